//! Mail clients on a terminal at the local face, driven under tmux, with Dovecot upstream.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::world;
use crate::support::agent::LOCAL_PASSWORD;
use crate::support::corpus;
use crate::support::peers;
use crate::support::snapshot;
use crate::support::wait::{SOON, try_wait_for, wait_for, wait_until};
use crate::world::USER;

#[test]
fn neomutt_reads_flags_and_sends() {
    let (Some(tmux), Some(neomutt)) = (peers::find("tmux"), peers::find("neomutt")) else { return };
    let Some(world) = world(6) else { return };
    world.server().append("INBOX", &[], 2_000_000_000, &corpus::small(4711));
    world.agent.sync();
    let folder = world.agent.folder().join("neomutt");
    std::fs::create_dir_all(&folder).expect("a writable folder");
    let (imap, smtp) = (world.agent.imap, world.agent.smtp);
    let config = folder.join("muttrc");
    let text = format!(
        "set folder = \"imap://{USER}@{imap}/\"\nset spoolfile = \"+INBOX\"\nset imap_pass = \"{LOCAL_PASSWORD}\"\n\
         set smtp_url = \"smtp://{USER}@{smtp}/\"\nset smtp_pass = \"{LOCAL_PASSWORD}\"\nset smtp_authenticators = \"plain\"\n\
         set ssl_starttls = no\nset ssl_force_tls = no\nset from = \"ada@home.example\"\nset realname = \"Ada\"\n\
         set copy = no\nset sort = reverse-mailbox-order\nset sleep_time = 0\nset timeout = 1\nset mail_check = 1\n\
         set abort_nosubject = no\nset abort_unmodified = no\nset editor = \"echo Written in an editor. >>\"\n\
         set tmpdir = \"{folder}\"\nset wait_key = no\nset confirmcreate = no\nset markers = no\n",
        folder = folder.display(),
    );
    std::fs::write(&config, text).expect("a writable folder");
    let start = format!("env HOME={} {} -F {}", folder.display(), neomutt.display(), config.display());
    let screen = Screen::start(&tmux, &folder.join("tmux.sock"), &start);

    screen.wait_shows("4711");
    screen.keys(&["=", "Enter"]);
    screen.wait_shows("About the");
    screen.keys(&["q"]);
    screen.wait_shows("q:Quit");
    screen.keys(&["F"]);
    screen.keys(&["$"]);
    let read = snapshot::hash(&corpus::small(4711));
    wait_until("reading and flagging to arrive upstream", SOON, || {
        let inbox = snapshot::take(&mut world.server()).remove("INBOX").expect("an INBOX");
        let wanted = ["\\flagged", "\\seen"];
        inbox.iter().any(|entry| entry.hash == read && wanted.iter().all(|flag| entry.flags.contains(*flag)))
    });

    screen.keys(&["m"]);
    screen.wait_shows("To:");
    screen.keys(&["bob@far.example", "Enter"]);
    screen.wait_shows("Subject:");
    screen.keys(&["Under tmux", "Enter"]);
    screen.wait_shows("y:Send");
    screen.keys(&["y"]);
    let delivered = wait_for("the delivery", SOON, || world.sink.delivered().pop());
    let text = String::from_utf8_lossy(&delivered.bytes).into_owned();
    assert!(text.contains("Subject: Under tmux") && text.contains("Written in an editor."), "{text}");
    wait_until("it to be filed in Sent", SOON, || {
        snapshot::take(&mut world.server()).get("Sent").is_some_and(|sent| sent.len() == 1)
    });
}

/// A program on a terminal that nobody looks at.
struct Screen {
    tmux: PathBuf,
    socket: PathBuf,
}

impl Screen {
    fn start(tmux: &Path, socket: &Path, program: &str) -> Self {
        let screen = Self { tmux: tmux.to_owned(), socket: socket.to_owned() };
        screen.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", program]);
        screen
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn wait_shows(&self, text: &str) {
        let mut last = String::new();
        let shown = try_wait_for(SOON, || {
            last = self.tmux(&["capture-pane", "-p"]);
            last.contains(text).then_some(())
        });
        assert!(shown.is_some(), "the screen shows no {text:?}:\n{last}");
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(&self.tmux);
        command.arg("-S").arg(&self.socket).args(arguments).env_remove("TMUX").env("TERM", "screen");
        command.env("LC_ALL", "C.UTF-8");
        let output = command.output().expect("tmux runs");
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Gone already when the program has ended.
        let _ = Command::new(&self.tmux).arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}
