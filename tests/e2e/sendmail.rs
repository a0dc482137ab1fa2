//! `syncctl sendmail` and `syncctl outbox` as programs and people use them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::support::agent::{Account, Agent, Said};
use crate::support::refserver::RefServer;
use crate::support::sink::Sink;
use crate::support::wait::{SOON, wait_until};

struct Desk {
    agent: Agent,
    _server: RefServer,
    sink: Sink,
}

impl Desk {
    /// Two accounts that are offline until the test says otherwise.
    fn offline(local: &str) -> Self {
        let server = RefServer::with_users(&["ada", "bea"]);
        let sink = Sink::start();
        let accounts = ["ada", "bea"].map(|user| {
            let account = Account { smtp: sink.address, ..Account::at(&server, user, server.address("imap")) };
            account.text()
        });
        // The accounts come after what more belongs into [local].
        let agent = Agent::started(&format!("{local}\n{}", accounts.concat()));
        agent.ctl_ok(&["offline"]);
        Self { agent, _server: server, sink }
    }

    fn sendmail(&self, arguments: &[&str], input: &str) -> Said {
        self.run(env!("CARGO_BIN_EXE_syncctl").as_ref(), &[&["sendmail"], arguments].concat(), input)
    }

    /// A program of a few lines.
    fn script(&self, name: &str, lines: &str) -> std::path::PathBuf {
        let path = self.agent.folder().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{lines}")).expect("a writable folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).expect("ours");
        path
    }

    fn edit(&self, id: &str, editor: &str) -> Command {
        let mut command = self.agent.command(env!("CARGO_BIN_EXE_syncctl"));
        command.args(["outbox", "edit", id]).env("VISUAL", editor).env("TMPDIR", self.agent.folder());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A command of syncctl, for a shell.
    fn ctl(&self, command: &str) -> String {
        let command_line = self.agent.command(env!("CARGO_BIN_EXE_syncctl"));
        let words = std::iter::once(command_line.get_program()).chain(command_line.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        format!("{} {command}", words.join(" "))
    }

    fn run(&self, program: &std::path::Path, arguments: &[&str], input: impl AsRef<[u8]>) -> Said {
        let mut command = self.agent.command(program.to_str().expect("a plain path"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a program");
        child.stdin.take().expect("piped").write_all(input.as_ref()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    fn outbox(&self) -> Vec<serde_json::Value> {
        self.agent.ctl_json(&["outbox", "list", "--json"]).as_array().expect("a list").clone()
    }

    fn recipients(entry: &serde_json::Value) -> Vec<&str> {
        let recipients = entry["recipients"].as_array().expect("a list");
        recipients.iter().map(|recipient| recipient["address"].as_str().expect("text")).collect()
    }
}

const LETTER: &str =
    "From: Bea <bea@home.example>\nTo: x@far.example\nBcc: y@far.example\nSubject: hi\n\none\n.\ntwo\n";

#[test]
fn what_sendmail_takes_is_in_the_outbox_of_the_account_that_sends_as_its_author() {
    let desk = Desk::offline("");
    let said = desk.sendmail(&["-t", "-i"], LETTER);
    assert_eq!((said.code, said.out.as_str()), (0, ""), "{said:?}");
    let said =
        desk.sendmail(&["-F", "Ada L.", "z@far.example", "Zed <z@far.example>"], "Subject: no from\n\none\n.\ntwo\n");
    assert_eq!(said.code, 0, "{said:?}");
    let outbox = desk.outbox();
    let show = |entry: &serde_json::Value| desk.agent.ctl_ok(&["outbox", "show", "--raw", &entry["id"].to_string()]);
    assert_eq!(outbox.len(), 2);
    let (by_ada, by_bea): (Vec<_>, Vec<_>) = outbox.iter().partition(|entry| entry["account"] == "ada");
    assert_eq!(Desk::recipients(by_bea[0]), ["x@far.example", "y@far.example"]);
    let raw = show(by_bea[0]);
    assert!(raw.ends_with(&LETTER.replace('\n', "\r\n")), "only missing fields were added: {raw}");
    assert_eq!(Desk::recipients(by_ada[0]), ["z@far.example"]);
    assert!(show(by_ada[0]).ends_with("From: \"Ada L.\" <ada@home.example>\r\nSubject: no from\r\n\r\none\r\n"));
    desk.agent.ctl_ok(&["online"]);
    wait_until("both deliveries", SOON, || desk.sink.delivered().len() == 2);
    let delivered = desk.sink.delivered();
    let bea = delivered.iter().find(|it| it.from == "bea@home.example").expect("bea's");
    assert_eq!(bea.to, ["x@far.example", "y@far.example"]);
    assert!(!String::from_utf8_lossy(&bea.bytes).contains("Bcc"), "nobody is told of blind copies");
}

#[test]
fn a_text_without_a_header_is_a_body_and_an_empty_field_is_none() {
    let desk = Desk::offline("");
    let raw = |input: &str| {
        assert_eq!(desk.sendmail(&["-i", "x@far.example"], input).code, 0, "{input}");
        let id = desk.outbox().iter().filter_map(|entry| entry["id"].as_i64()).max().expect("one");
        desk.agent.ctl_ok(&["outbox", "show", "--raw", &id.to_string()])
    };
    let text = raw("only text\nsecond line\n");
    assert!(text.ends_with("From: ada@home.example\r\n\r\nonly text\r\nsecond line\r\n"), "{text}");
    let named = raw("From: <>\nDate:\nMessage-ID: \nSubject: x\n\nx\n");
    for name in ["From:", "Date:", "Message-ID:"] {
        assert_eq!(named.lines().filter(|line| line.starts_with(name)).count(), 1, "{named}");
    }
    assert!(named.ends_with("From: ada@home.example\r\nSubject: x\r\n\r\nx\r\n"), "{named}");
}

#[test]
fn what_sendmail_does_not_take_ends_as_sysexits_has_it() {
    let mut desk = Desk::offline("");
    for (arguments, input, code, word) in [
        (&["-t"][..], "Subject: x\n\nx\n", 64, "nobody is named"),
        (&["-i", "not-an-address"], LETTER, 64, "\"not-an-address\""),
        (&["-bd"], "", 64, "-bd"),
        (&["-V", "grün", "-i", "x@far.example"], LETTER, 64, "\"grün\" cannot be an ENVID"),
        (&["-V", &"x".repeat(101), "-i", "x@far.example"], LETTER, 64, "at most 100 characters"),
        (&["-t"], "To: a@far.example b@far.example\n\nx\n", 64, "\"a@far.example b@far.example\" is no mail address"),
        (&["-i", "a@far.example@evil.example"], LETTER, 64, "is no mail address"),
        (&["x@far.example"], "From: me@@here\n\nx\n", 64, "is no mail address"),
        (
            &["-f", "me@elsewhere.example", "x@far.example"],
            "Subject: x\n\nx\n",
            77,
            "ada@home.example, bea@home.example",
        ),
        (&["x@far.example"], "From: me@elsewhere.example\n\nx\n", 77, "me@elsewhere.example"),
    ] {
        let said = desk.sendmail(arguments, input);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(word) && said.out.is_empty(), "{arguments:?}: {said:?}");
    }
    assert!(desk.outbox().is_empty());
    desk.agent.stop();
    assert_eq!(desk.sendmail(&["-t"], LETTER).code, 69);
}

#[test]
fn sendmail_tells_its_options_without_a_daemon() {
    let mut desk = Desk::offline("");
    desk.agent.stop();
    let said = desk.sendmail(&["--help"], "");
    assert_eq!(said.code, 0, "{said:?}");
    for word in ["-t ", "-f SENDER", "-bs", "-q ", "-F NAME", "77", "RECIPIENT"] {
        assert!(said.out.contains(word), "no {word} in {}", said.out);
    }
}

#[test]
fn sendmail_drops_no_message_and_tells_whose_mistake_it_is() {
    let mut desk = Desk::offline("");
    for (arguments, words) in [
        (&["-t", "-q"][..], "-q, -bp and -bs take neither"),
        (&["-q10m", "x@far.example"], "-q, -bp and -bs take neither"),
        (&["-f", "bea", "-t"], "\"bea\" is no mail address"),
        (&["-t", "--json"], "options of syncctl stand before sendmail's"),
    ] {
        let said = desk.sendmail(arguments, LETTER);
        assert!(said.code == 64 && said.err.contains(words), "{arguments:?}: {said:?}");
    }
    assert_eq!(desk.sendmail(&["-f", "Bea <bea@home.example>", "-t"], LETTER).code, 0);
    assert_eq!(desk.outbox().len(), 1);

    let mut command = desk.agent.command(env!("CARGO_BIN_EXE_syncctl"));
    command.args(["sendmail", "-bs"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program");
    let mut input = child.stdin.take().expect("piped");
    input
        .write_all(b"EHLO c\r\nMAIL FROM:<bea@home.example>\r\nRCPT TO:<x@far.example>\r\nDATA\r\n")
        .expect("it reads");
    let mut replies = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert!(replies.any(|line| line.is_ok_and(|line| line.starts_with("354 "))), "it asks for the message");
    desk.agent.kill();
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(75) && told.contains("send it again"), "{output:?}");
    drop(input);
}

#[test]
fn sendmail_speaks_smtp_and_goes_by_other_names() {
    let desk = Desk::offline("undo-seconds = 3600");
    let session = "EHLO c\r\nMAIL FROM:<bea@home.example>\r\nRCPT TO:<x@far.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\nQUIT\r\n";
    let said = desk.sendmail(&["-bs"], session);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.starts_with("220 ") && said.out.contains("\r\n221 "), "{said:?}");
    assert!(!said.out.contains("235"), "the login is not the client's business: {said:?}");
    assert_eq!(desk.outbox()[0]["account"], "bea");
    let links = desk.agent.folder().join("bin");
    std::fs::create_dir(&links).expect("a writable folder");
    for name in ["sendmail", "mailq"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_syncctl"), links.join(name)).expect("a link");
    }
    // Without options of syncctl's own it finds the daemon where it usually is.
    let by_link = |name: &str, arguments: &[&str], input: &str| {
        let mut command = Command::new("/bin/sh");
        let run = format!("cat > in; exec {}/{name} {} < in", links.display(), arguments.join(" "));
        command.args(["-c", &run]).current_dir(&links).env("XDG_RUNTIME_DIR", desk.agent.folder().join("run"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{name}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert_eq!(by_link("sendmail", &["-t", "-i"], LETTER), "");
    assert_eq!(by_link("mailq", &["-v"], "").matches("x@far.example").count(), 2);
    let mailq = |arguments: &[&str]| desk.run(&links.join("mailq"), arguments, "");
    let listed: Vec<serde_json::Value> = serde_json::from_str(&mailq(&["--json"]).out).expect("JSON");
    assert_eq!(listed, desk.outbox(), "--config and --data are taken");
    let help = mailq(&["--help"]);
    assert!(help.code == 0 && help.out.contains("Usage: mailq [OPTION]..."), "{help:?}");
    assert!(help.out.contains("--data <DIR>") && !help.out.contains("-bs"), "{help:?}");
}

#[test]
fn for_a_while_it_can_be_taken_back_sent_later_or_written_anew() {
    let desk = Desk::offline("undo-seconds = 3600");
    desk.agent.ctl_ok(&["online"]);
    for _ in 0..3 {
        assert_eq!(desk.sendmail(&["-t", "-i"], LETTER).code, 0);
    }
    let id = |place: usize| desk.outbox()[place]["id"].to_string();
    let (first, second, third) = (id(0), id(1), id(2));
    desk.agent.ctl_ok(&["outbox", "cancel", &first]);
    let past = desk.agent.ctl(&["outbox", "later", &second, "2026-01-01T00:00:00Z"]);
    assert!(past.code == 64 && past.err.contains("is past"), "what is past by mistake sends nothing: {past:?}");
    desk.agent.ctl_ok(&["outbox", "later", &second, "2d"]);
    let editor = desk.script("editor", "sed -i -e 's/x@far/w@far/' -e 's/^one/ONE/' \"$1\"\n");
    let mut edit = desk.agent.command(env!("CARGO_BIN_EXE_syncctl"));
    let edit = edit.args(["outbox", "edit", &third]).env("VISUAL", "").env("EDITOR", &editor);
    let edited = edit.output().expect("a program");
    assert!(edited.status.success(), "an empty VISUAL is none: {edited:?}");
    let outbox = desk.outbox();
    assert_eq!(outbox.len(), 3);
    let fourth = outbox[2]["id"].to_string();
    assert_eq!((&outbox[1]["state"], &outbox[1]["replaced_by"]), (&"replaced".into(), &outbox[2]["id"]));
    let told = String::from_utf8(edited.stdout).expect("text");
    let replaced = format!(
        "Message {third} was replaced by message {fourth}, which goes to y@far.example, w@far.example, not before "
    );
    assert!(told.starts_with(&replaced), "{told}");
    assert_eq!(Desk::recipients(&outbox[2]), ["y@far.example", "w@far.example"]);
    assert!(desk.sink.delivered().is_empty(), "it could still be taken back");
    desk.agent.ctl_ok(&["outbox", "release", &fourth]);
    wait_until("the delivery", SOON, || !desk.sink.delivered().is_empty());
    let delivered = desk.sink.delivered();
    assert_eq!((delivered.len(), delivered[0].to.join(" ")), (1, "y@far.example w@far.example".to_owned()));
    assert!(String::from_utf8_lossy(&delivered[0].bytes).ends_with("\r\n\r\nONE\r\n.\r\ntwo\r\n"));
    let waiting = || desk.agent.ctl_json(&["outbox", "list", "--waiting", "--json"]);
    wait_until("the delivery to be noted", SOON, || waiting().as_array().is_some_and(|all| all.len() == 1));
    let late = desk.agent.ctl(&["outbox", "edit", &fourth]);
    assert!(late.code == 1 && late.err.contains("has gone out already"), "no editor opens: {late:?}");
    assert_eq!(waiting()[0]["id"].to_string(), second);
    assert_eq!(desk.outbox().len(), 3, "what was sent lately is listed, too");
}

#[test]
fn an_edit_that_comes_to_nothing_leaves_the_message_to_go_out_when_it_would_have() {
    let desk = Desk::offline("undo-seconds = 3600");
    assert_eq!(desk.sendmail(&["-t", "-i"], LETTER).code, 0);
    let before = desk.outbox().remove(0);
    assert_eq!((&before["state"], &before["subject"]), (&"queued".into(), &"hi".into()), "{before}");
    let id = before["id"].to_string();
    // What is written and cannot be sent is kept.
    let refusing = desk.script("refusing", "printf 'To: no address\\n\\n' >\"$1\"\n");
    for (editor, code, told) in [
        ("false", 1, "stays as it was"),
        ("/nowhere/editor", 1, "cannot edit with /nowhere/editor"),
        ("true", 0, "Nothing was changed"),
        ("truncate -s 0", 1, "nothing was written; the message stays as it was"),
        ("sed -i s/bea@home/eve@home/", 77, "no account here sends as eve@home.example"),
        (refusing.to_str().expect("a plain path"), 64, "what you wrote is in "),
    ] {
        let said = desk.edit(&id, editor).output().expect("a program");
        let words = String::from_utf8([said.stdout, said.stderr].concat()).expect("text");
        assert_eq!(said.status.code(), Some(code), "{editor}: {words}");
        assert!(words.contains(told), "{editor}: {words}");
        let now = desk.outbox().remove(0);
        assert_eq!((&now["state"], &now["next_attempt"]), (&before["state"], &before["next_attempt"]), "{editor}");
        let kept = words.split_once("what you wrote is in ").map(|(_, path)| path.trim().to_owned());
        assert!(kept.is_none_or(|path| {
            std::fs::read_to_string(path).is_ok_and(|it| it.contains("no address") || it.contains("eve@home"))
        }));
    }
}

#[test]
fn an_editor_that_is_killed_with_syncctl_keeps_nothing_back() {
    let desk = Desk::offline("");
    assert_eq!(desk.sendmail(&["-t", "-i"], LETTER).code, 0);
    let before = desk.outbox().remove(0);
    let id = before["id"].to_string();
    let seen = desk.agent.folder().join("seen");
    let killer = desk.script("killer", &format!("{} >{}\nkill -9 $PPID\n", desk.ctl("outbox list"), seen.display()));
    let edited = desk.edit(&id, killer.to_str().expect("a plain path")).output().expect("a program");
    assert_eq!(edited.status.code(), None, "it was killed");
    let seen = std::fs::read_to_string(seen).expect("it was written");
    assert!(seen.contains("being edited"), "{seen}");
    wait_until("the editor to be known to be closed", SOON, || desk.outbox().remove(0) == before);
}

#[test]
fn a_message_lies_in_its_editor_whatever_daemon_there_is_and_goes_out_as_it_was_written() {
    let mut desk = Desk::offline("");
    let head = "From: bea@home.example\r\nTo: x@far.example\r\nSubject: hi\r\n\r\n";
    let bytes = [head.as_bytes(), b"\xe9\r\none\r\n"].concat();
    let options = "RET=HDRS ENVID=abc BODY=8BITMIME HOLDFOR=3600";
    let session = ["EHLO c\r\n", &format!("MAIL FROM:<bea@home.example> {options}\r\n")].concat();
    let session = session + "RCPT TO:<x@far.example> NOTIFY=NEVER ORCPT=rfc822;y@z\r\nDATA\r\n";
    let session = [session.as_bytes(), &bytes, b".\r\nQUIT\r\n"].concat();
    let said = desk.run(env!("CARGO_BIN_EXE_syncctl").as_ref(), &["sendmail", "-bs"], &session);
    assert!(said.out.contains("\r\n221 "), "{said:?}");
    let before = desk.outbox().remove(0);
    let id = before["id"].to_string();
    let show = |agent: &Agent, id: &str| agent.ctl_json(&["outbox", "show", id, "--json"]);
    // The editor is open until it is told to write.
    let gate = desk.agent.folder().join("gate");
    assert!(Command::new("mkfifo").arg(&gate).status().expect("mkfifo").success());
    let editor = format!(
        "grep -q \"$(printf '\\r')\" \"$1\" && exit 1\nread line <{}\nsed -i 's/^one/ONE/' \"$1\"\n",
        gate.display()
    );
    let editor = desk.script("editor", &editor);
    let edit = desk.edit(&id, editor.to_str().expect("a plain path")).spawn().expect("a program");
    wait_until("the editor", SOON, || show(&desk.agent, &id)["state"] == "being-edited");
    let second = || desk.edit(&id, "true").output().expect("a program");
    assert_eq!(second().status.code(), Some(75), "one editor at a time");
    let moment = before["next_attempt"].as_str().expect("a moment");
    let later = desk.agent.ctl_ok(&["outbox", "later", &id, moment]);
    assert!(later.contains(&format!("is sent later, at {moment}; it is being edited, and ")), "{later}");
    desk.agent.kill();
    desk.agent.start();
    // While a daemon that was started anew does not know of the editor, it lets another one have it.
    let second = || desk.edit(&id, "true").output().expect("a program");
    wait_until("the editor to be known", SOON, || second().status.code() == Some(75));
    assert_eq!(show(&desk.agent, &id)["state"], "being-edited");
    std::fs::write(&gate, "now\n").expect("the editor reads");
    let output = edit.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    let by = show(&desk.agent, &id)["replaced_by"].to_string();
    let new = show(&desk.agent, &by);
    assert_eq!(new["next_attempt"], before["next_attempt"], "it goes when it was to go");
    desk.agent.ctl_ok(&["online"]);
    desk.agent.ctl_ok(&["outbox", "release", &by]);
    wait_until("the delivery", SOON, || desk.sink.count() == 1);
    let delivered = desk.sink.delivered().remove(0);
    let sent = [head.as_bytes(), b"\xe9\r\nONE\r\n"].concat();
    assert!(delivered.bytes.ends_with(&sent), "{:?}", String::from_utf8_lossy(&delivered.bytes));
}
