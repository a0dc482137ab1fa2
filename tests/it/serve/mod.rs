//! The IMAP engine on the real store: what a session does is there, is journalled where the user did it, is told to
//! the other sessions, and is refused in the protocol's words.

mod acl;
mod bodies;
pub mod face;
mod hostile;
mod notify;
mod search_index;

use std::net::IpAddr;

use face::{Face, NOW};
use mailtide::journal::Op;
use mailtide::serve::failures::Failures;
use mailtide::store::{Origin, check};
use mailtide::types::{MailboxId, MailboxName, MessageId, limits};

const HELLO: &[u8] = b"From: a@example.org\r\nSubject: hello\r\n\r\nHello\r\n";

/// The journal in short, mailboxes by the name they have (or had), messages by the order in which they were made.
fn journal(face: &Face) -> Vec<String> {
    let entries = face.store.read(|reader| reader.entries(face.account)).expect("a journal");
    entries.iter().map(|entry| shown(face, &entry.op)).collect()
}

fn shown(face: &Face, op: &Op) -> String {
    let ids = |messages: &[MessageId]| messages.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let place = |mailbox: &MailboxId| {
        let found = face.store.read(|reader| reader.mailbox(*mailbox)).ok().and_then(|mailbox| mailbox.name);
        found.map_or("(deleted)".to_owned(), String::from)
    };
    match op {
        Op::Flags { messages, add, remove } => {
            let words = |flags: &mailtide::types::Flags| {
                flags.iter().map(|flag| flag.as_str().to_owned()).collect::<Vec<_>>().join(" ")
            };
            format!("flags {} +({}) -({})", ids(messages), words(add), words(remove))
        }
        Op::Move { messages, from, to } => format!("move {} {} {}", ids(messages), place(from), place(to)),
        Op::Copy { copies, from, to } => {
            let (sources, made): (Vec<_>, Vec<_>) = copies.iter().copied().unzip();
            format!("copy {} as {} {} {}", ids(&sources), ids(&made), place(from), place(to))
        }
        Op::Append { message, mailbox } => format!("append {message} {}", place(mailbox)),
        Op::Expunge { messages, from } => format!("expunge {} {}", ids(messages), place(from)),
        Op::CreateMailbox { name, .. } => format!("create {name}"),
        Op::RenameMailbox { from, to, .. } => format!("rename {from} {to}"),
        Op::DeleteMailbox { name, .. } => format!("delete {name}"),
        Op::Subscribe { name, subscribed } => format!("subscribe {name} {subscribed}"),
    }
}

/// What the user does, on an INBOX with the messages 1 (unseen), 2 (`\Seen`) and 3 (`\Deleted`), and what is journalled.
const ACTS: &[(&str, &[&str])] = &[
    ("STORE 1 +FLAGS (\\Seen work)", &["flags 1 +(\\Seen work) -()"]),
    ("STORE 1:2 +FLAGS.SILENT \\Seen", &["flags 1,2 +(\\Seen) -()"]),
    ("STORE 2 -FLAGS \\Seen", &["flags 2 +() -(\\Seen)"]),
    ("UID STORE 2 FLAGS \\Answered", &["flags 2 +(\\Answered) -(\\Seen)"]),
    ("FETCH 1 BODY[]", &["flags 1 +(\\Seen) -()"]),
    ("FETCH 2 BODY[]", &[]),
    ("FETCH 1 BODY.PEEK[]", &[]),
    ("EXPUNGE", &["expunge 3 INBOX"]),
    ("UID EXPUNGE 1:2", &[]),
    ("CLOSE", &["expunge 3 INBOX"]),
    ("UNSELECT", &[]),
    ("COPY 1:2 INBOX", &["copy 1,2 as 4,5 INBOX INBOX"]),
    ("MOVE 1 Archive", &["create Archive", "move 1 INBOX Archive"]),
    ("UID MOVE 1,3 Archive", &["create Archive", "move 1,3 INBOX Archive"]),
    ("APPEND INBOX (\\Draft) {5+}\r\nhello", &["append 4 INBOX"]),
    ("APPEND INBOX {1+}\r\na {1+}\r\nb", &["append 4 INBOX", "append 5 INBOX"]),
    ("CREATE a/b", &["create a", "create a/b"]),
    ("RENAME Archive Attic/2026", &["create Archive", "create Attic", "rename Archive Attic/2026"]),
    ("RENAME INBOX Old", &["create Old", "move 1,2,3 INBOX Old"]),
    ("DELETE Archive", &["create Archive", "delete Archive"]),
    ("SUBSCRIBE x", &["subscribe x true"]),
    ("UNSUBSCRIBE x", &[]),
    ("SEARCH BODY hello", &[]),
    ("STATUS INBOX (MESSAGES)", &[]),
];

/// A face on which `act` was done, after what it needs.
fn done(origin: Origin, act: &str) -> (Face, String) {
    let face = Face::new(origin);
    face.give(HELLO, "");
    face.give(HELLO, "\\Seen");
    face.give(HELLO, "\\Deleted");
    let mut talk = face.inbox();
    if act.contains("Archive") {
        assert!(talk.say("p CREATE Archive\r\n").starts_with("p OK"));
    }
    let said = talk.say(&format!("a {act}\r\n"));
    (face, said)
}

#[test]
fn each_act_of_the_user_is_journalled_with_it() {
    for (act, expected) in ACTS {
        let (face, said) = done(Origin::LocalUser, act);
        assert!(said.lines().any(|line| line.starts_with("a OK")), "{act}: {said}");
        assert_eq!(journal(&face), *expected, "{act}");
        assert_eq!(check(&face.store).expect("a check"), Vec::<String>::new(), "{act}");
    }
}

#[test]
fn a_server_in_its_own_right_journals_nothing() {
    for (act, _) in ACTS {
        let (face, said) = done(Origin::Authority, act);
        assert!(said.lines().any(|line| line.starts_with("a OK")), "{act}: {said}");
        assert_eq!(journal(&face), Vec::<String>::new(), "{act}");
        assert_eq!(check(&face.store).expect("a check"), Vec::<String>::new(), "{act}");
    }
}

#[test]
fn both_faces_say_the_same() {
    for (act, _) in ACTS {
        assert_eq!(done(Origin::LocalUser, act).1, done(Origin::Authority, act).1, "{act}");
    }
}

#[test]
fn what_cannot_be_done_is_refused_in_the_words_of_the_protocol_and_changes_nothing() {
    for (act, expected) in [
        ("SELECT Absent", "NO [NONEXISTENT]"),
        ("COPY 1 Absent", "NO [TRYCREATE]"),
        ("MOVE 1 Absent", "NO [TRYCREATE]"),
        ("APPEND Absent {1+}\r\na", "NO [TRYCREATE]"),
        ("CREATE INBOX", "NO [ALREADYEXISTS]"),
        ("CREATE a.b", "NO [CANNOT]"),
        ("DELETE INBOX", "NO [CANNOT]"),
        ("DELETE Absent", "NO [NONEXISTENT]"),
        ("RENAME Absent x", "NO [NONEXISTENT]"),
        ("STATUS Absent (MESSAGES)", "NO [NONEXISTENT]"),
    ] {
        let face = Face::new(Origin::LocalUser);
        face.give(HELLO, "");
        let account = face.account;
        face.store.write(Origin::Upstream, NOW, move |txn| txn.set_delimiter(account, Some('.'))).expect("a write");
        let said = face.inbox().say(&format!("a {act}\r\n"));
        assert!(said.lines().any(|line| line.starts_with(&format!("a {expected}"))), "{act}: {said}");
        assert_eq!(journal(&face), Vec::<String>::new(), "{act}");
    }
}

#[test]
fn only_who_proves_to_be_the_user_gets_in() {
    let face = Face::new(Origin::LocalUser);
    for (command, expected) in [
        ("LOGIN alice wrong", "NO [AUTHENTICATIONFAILED]"),
        ("LOGIN bob secret", "NO [AUTHENTICATIONFAILED]"),
        ("AUTHENTICATE PLAIN Ym9iAGFsaWNlAHNlY3JldA==", "NO [AUTHORIZATIONFAILED]"),
        ("AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==", "OK"),
        ("LOGIN alice secret", "OK"),
    ] {
        let mut session = face.session();
        let mut said = session.say(&format!("a {command}\r\n"));
        // Whoever is refused waits for it.
        assert!(!said.contains("a NO"), "{command}: {said}");
        said.push_str(&session.wait(limits::LOGIN_FAILURE_DELAY_MS));
        assert!(said.lines().any(|line| line.starts_with(&format!("a {expected}"))), "{command}: {said}");
    }
}

#[test]
fn who_failed_on_another_connection_waits_longer() {
    let (face, failures) = (Face::new(Origin::Authority), Failures::default());
    let (there, elsewhere) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let waits = |from: IpAddr| {
        let mut session = face.session_from(from, &failures);
        session.say("a LOGIN alice wrong\r\n");
        (1..60).find(|times| session.wait(times * limits::LOGIN_FAILURE_DELAY_MS).contains("a NO"))
    };
    assert_eq!([there, there, there, elsewhere].map(waits), [Some(1), Some(2), Some(3), Some(1)]);
    let mut session = face.session_from(there, &failures);
    assert!(session.say("a LOGIN alice secret\r\n").contains("a OK"), "who knows the password does not wait");
    for _ in 0..100 {
        waits(there);
    }
    assert_eq!(waits(there), Some(limits::LOGIN_FAILURE_DELAY_MAX_MS / limits::LOGIN_FAILURE_DELAY_MS));
}

#[test]
fn a_full_disk_is_told_and_what_was_there_stays() {
    let face = Face::limited(Origin::LocalUser, Some(2_000_000));
    face.give(HELLO, "");
    let mut talk = face.inbox();
    let large = "x".repeat(3_000_000);
    let said = talk.say(&format!("a APPEND INBOX {{{}+}}\r\n{large}\r\n", large.len()));
    assert!(said.contains("a NO [UNAVAILABLE] The disk is full"), "no quota is to blame: {said}");
    assert_eq!(journal(&face), Vec::<String>::new());
    assert!(talk.say("b FETCH 1 BODY.PEEK[TEXT]\r\n").contains("Hello"));
    assert_eq!(check(&face.store).expect("a check"), Vec::<String>::new());
}

#[test]
fn sessions_on_one_mailbox_are_told_of_each_other() {
    for origin in [Origin::LocalUser, Origin::Authority] {
        let face = Face::new(origin);
        face.give(HELLO, "");
        face.give(HELLO, "");
        let (mut one, mut other) = (face.inbox(), face.inbox());
        assert!(other.say("i IDLE\r\n").starts_with("+ "));

        one.say("a STORE 1 +FLAGS \\Flagged\r\n");
        assert!(other.hear().contains("* 1 FETCH (FLAGS (\\Flagged"));
        one.say("b APPEND INBOX {5+}\r\nhello\r\n");
        assert!(other.hear().contains("* 3 EXISTS"));
        one.say("c STORE 2 +FLAGS.SILENT \\Deleted\r\n");
        one.say("d EXPUNGE\r\n");
        assert!(other.hear().contains("* 2 EXPUNGE"));
        assert!(other.say("DONE\r\n").contains("i OK"));
        assert_eq!(other.hear(), "");

        // A message that is gone keeps its number until it may be told.
        one.say("e STORE 1 +FLAGS \\Deleted\r\n");
        one.say("f EXPUNGE\r\n");
        let fetched = other.say("x FETCH 2 (UID)\r\n");
        assert!(fetched.contains("* 2 FETCH (UID 3)") && !fetched.contains("EXPUNGE"), "{fetched}");
        assert!(other.say("y NOOP\r\n").contains("* 1 EXPUNGE"));
    }
}

#[test]
fn a_session_whose_mailbox_was_deleted_is_told() {
    let face = Face::new(Origin::LocalUser);
    let (mut one, mut other) = (face.login(), face.login());
    one.say("a CREATE Doomed\r\n");
    other.say("b SELECT Doomed\r\n");
    assert!(one.say("c DELETE Doomed\r\n").contains("c OK"));
    let said = other.say("d NOOP\r\n");
    assert!(said.contains("BYE") || said.contains("NO") || said.contains("CLOSED"), "{said}");
}

#[test]
fn search_finds_what_a_reader_sees_in_any_mailbox_size() {
    let face = Face::new(Origin::LocalUser);
    for number in 0..1200 {
        let subject = if number % 400 == 0 { "=?utf-8?q?gr=C3=BCn?=" } else { "plain" };
        let head = format!("Subject: {subject}\r\nContent-Transfer-Encoding: base64\r\n\r\n");
        let body = if number % 500 == 0 { "U2VjcmV0IHdvcmQ=" } else { "bm90aGluZw==" };
        face.give(format!("{head}{body}\r\n").as_bytes(), if number % 2 == 0 { "\\Seen" } else { "" });
    }
    let mut talk = face.inbox();
    for (query, expected) in [
        ("SEARCH CHARSET UTF-8 SUBJECT {5+}\r\nGR\u{dc}N", "* SEARCH 1 401 801"),
        ("SEARCH BODY \"secret WORD\"", "* SEARCH 1 501 1001"),
        ("SEARCH UNSEEN BODY secret", "* SEARCH"),
        ("UID SEARCH 400:600 BODY secret", "* SEARCH 501"),
        ("SEARCH TEXT absent", "* SEARCH"),
    ] {
        let said = talk.say(&format!("a {query}\r\n"));
        assert_eq!(said.lines().next(), Some(expected), "{query}: {said}");
    }
}

#[test]
fn keywords_are_searched_for_whatever_others_a_message_has() {
    let face = Face::new(Origin::LocalUser);
    for flags in ["", "work", "WORK other", "works", "it's \\Seen", "a,\u{22}b work \\Seen"] {
        face.give(b"Subject: x\r\n\r\n", flags);
    }
    let mut talk = face.inbox();
    for (query, expected) in [
        ("KEYWORD Work", "* SEARCH 2 3 6"),
        ("KEYWORD work UNSEEN", "* SEARCH 2 3"),
        ("KEYWORD work KEYWORD other", "* SEARCH 3"),
        ("KEYWORD it's", "* SEARCH 5"),
        ("KEYWORD none", "* SEARCH"),
        ("UNKEYWORD work", "* SEARCH 1 4 5"),
        ("UNKEYWORD none SEEN", "* SEARCH 5 6"),
        ("OR KEYWORD works UNKEYWORD work", "* SEARCH 1 4 5"),
        ("3:* KEYWORD work SUBJECT x", "* SEARCH 3 6"),
    ] {
        let said = talk.say(&format!("a SEARCH {query}\r\n"));
        assert_eq!(said.lines().next(), Some(expected), "{query}: {said}");
    }
}

#[test]
fn a_large_message_passes_through_in_small_pieces() {
    const SIZE: usize = 50 * 1024 * 1024;
    let face = Face::new(Origin::LocalUser);
    let mut talk = face.inbox();
    talk.say(&format!("a APPEND INBOX {{{SIZE}+}}\r\n"));
    let line = [b"X-Line: ".as_slice(), &[b'x'; 1014], b"\r\n"].concat();
    let piece = line.repeat(64);
    for _ in 0..SIZE / piece.len() {
        assert_eq!(talk.say_and_count(&piece), 0);
    }
    assert!(talk.say("\r\n").contains("a OK"));

    let fetched = talk.say_and_count(b"b FETCH 1 BODY.PEEK[]\r\n");
    assert!(fetched > SIZE && fetched < SIZE + 200, "{fetched}");
    assert!(talk.say("c FETCH 1 BODY.PEEK[]<52428790.20>\r\n").contains("BODY[]<52428790> {10}\r\nxxxxxxxx\r\n"));
    assert!(talk.say("d SEARCH BODY absent\r\n").starts_with("* SEARCH\r\n"));
    assert!(talk.largest_output < limits::OUTPUT_CHUNK_BYTES + limits::CONTENT_CHUNK_BYTES, "{}", talk.largest_output);
}

#[test]
fn names_of_every_script_come_back_as_they_were_given() {
    let face = Face::new(Origin::LocalUser);
    let mut talk = face.login();
    for (wire, name) in [("&ZeVnLIqe-", "日本語"), ("Entw&APw-rfe/2026", "Entwürfe/2026"), ("a &- b", "a & b")] {
        assert!(talk.say(&format!("a CREATE \"{wire}\"\r\n")).contains("a OK"), "{name}");
        let parsed = MailboxName::parse(name).expect("a valid name");
        assert!(face.store.read(|reader| reader.mailbox_named(face.account, &parsed)).expect("a read").is_some());
        assert!(talk.say(&format!("b LIST \"\" \"{wire}\"\r\n")).contains(wire), "{name}");
    }
}
