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

#[test]
fn aerc_reads_searches_flags_moves_deletes_drafts_sends_and_hears_of_mail() {
    let (Some(tmux), Some(aerc)) = (peers::find("tmux"), peers::find("aerc")) else { return };
    let Some(world) = world(7) else { return };
    let arrives = |number: u64| drop(world.server().append("INBOX", &[], 2_000_000_000, &corpus::small(number)));
    arrives(4711);
    world.agent.sync();
    let folder = world.agent.folder().join("aerc");
    let config = folder.join("aerc");
    std::fs::create_dir_all(&config).expect("a writable folder");
    let (imap, smtp) = (world.agent.imap, world.agent.smtp);
    let password = LOCAL_PASSWORD.replace(' ', "%20");
    let accounts = format!(
        "[home]\nsource = imap+insecure://{USER}:{password}@{imap}\n\
         outgoing = smtp+plain://{USER}:{password}@{smtp}\nsmtp-starttls = no\n\
         from = Ada <ada@home.example>\ndefault = INBOX\npostpone = Drafts\n",
    );
    std::fs::write(config.join("accounts.conf"), accounts).expect("a writable folder");
    let settings = "[general]\nunsafe-accounts-conf = true\n[viewer]\npager = cat\n[filters]\ntext/plain = cat\n\
                    [compose]\neditor = sh -c 'echo Written in an editor. >> $0'\n";
    std::fs::write(config.join("aerc.conf"), settings).expect("a writable folder");
    let start = format!("env HOME={folder} XDG_CONFIG_HOME={folder} {}", aerc.display(), folder = folder.display());
    let screen = Screen::start(&tmux, &folder.join("tmux.sock"), &start);
    let command = |text: &str| screen.keys(&[text, "Enter"]);
    let upstream = |name: &str| snapshot::take(&mut world.server()).remove(name).unwrap_or_default();
    let (read, heard) = (snapshot::hash(&corpus::small(4711)), snapshot::hash(&corpus::small(4712)));

    screen.wait_shows("tide 4711");
    // A message that is opened while aerc still loads the list stays empty now and then.
    command(":cf Größe");
    screen.wait_shows_no("tide 4711");
    command(":cf INBOX");
    screen.wait_shows("tide 4711");
    screen.keys(&["Enter"]);
    screen.wait_shows("About the tide.");
    screen.keys(&["q"]);
    screen.wait_shows_no("About the tide.");
    command(":flag -t");
    wait_until("reading and flagging to arrive upstream", SOON, || {
        let wanted = ["\\flagged", "\\seen"];
        let is_it =
            |entry: &snapshot::Entry| entry.hash == read && wanted.iter().all(|flag| entry.flags.contains(*flag));
        upstream("INBOX").iter().any(is_it)
    });

    command(":filter -b ferry");
    screen.wait_shows_no("tide 4711");
    command(":clear");
    screen.wait_shows("tide 4711");

    // It idles.
    arrives(4712);
    screen.wait_shows("anchor 4712");
    screen.keys(&["g"]);
    command(":delete");
    screen.wait_shows_no("anchor 4712");
    wait_until("the deletion to arrive upstream", SOON, || !upstream("INBOX").iter().any(|entry| entry.hash == heard));

    screen.keys(&["g"]);
    command(":move 'With spaces two'");
    screen.wait_shows_no("tide 4711");
    wait_until("the move to arrive upstream", SOON, || {
        upstream("With spaces two").iter().any(|entry| entry.hash == read && entry.flags.contains("\\flagged"))
    });

    command(":compose -H 'To: bob@far.example' -H 'Subject: Not yet'");
    screen.wait_shows("Postpone");
    screen.keys(&["p"]);
    wait_until("the draft to arrive upstream", SOON, || upstream("Drafts").len() == 1);
    command(":compose -H 'To: bob@far.example' -H 'Subject: Under tmux'");
    screen.wait_shows("Postpone");
    screen.keys(&["y"]);
    let delivered = wait_for("the delivery", SOON, || world.sink.delivered().pop());
    let text = String::from_utf8_lossy(&delivered.bytes).into_owned();
    assert!(text.contains("Subject: Under tmux") && text.contains("Written in an editor."), "{text}");
    world.agent.sync();
    world.await_equal();
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
        self.wait(&format!("the screen shows no {text:?}"), |shown| shown.contains(text));
    }

    fn wait_shows_no(&self, text: &str) {
        self.wait(&format!("the screen shows {text:?}"), |shown| !shown.contains(text));
    }

    fn wait(&self, otherwise: &str, is_met: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let met = try_wait_for(SOON, || {
            last = self.tmux(&["capture-pane", "-p"]);
            is_met(&last).then_some(())
        });
        assert!(met.is_some(), "{otherwise}:\n{last}");
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
