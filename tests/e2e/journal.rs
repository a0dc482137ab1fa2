//! `syncctl journal`: which entry is which, and what it says before it gives one up.

use serde_json::Value;

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::refserver::RefServer;

const USER: &str = "ada";

/// An agent that mirrors Archive and INBOX, each with a message, and is offline.
fn offline(server: &RefServer) -> Agent {
    server.login(USER).append("Archive", &[], 1_000_000_000, &corpus::small(1));
    for number in 2..=3 {
        server.login(USER).append("INBOX", &[], 1_000_000_000, &corpus::small(number));
    }
    let agent = Agent::started(&Account::at(server, USER, server.address("imap")).text());
    agent.sync();
    agent.ctl_ok(&["offline"]);
    agent
}

fn list(agent: &Agent) -> Vec<Value> {
    agent.ctl_json(&["journal", "list", "--json"]).as_array().expect("a list").clone()
}

#[test]
fn the_journal_names_the_mailbox_and_the_message_of_each_entry() {
    let server = RefServer::with_users(&[USER]);
    let agent = offline(&server);
    let mut imap = agent.login(USER);
    imap.select("Archive");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    imap.select("INBOX");
    imap.ok("STORE 1 +FLAGS (\\Flagged)");
    imap.ok("STORE 1:2 +FLAGS (\\Answered)");
    imap.ok("MOVE 2 Archive");
    let hostile = format!("From: a@b.example\r\nSubject: =?UTF-8?Q?=1B[2J{}?=\r\n\r\nx\r\n", "long".repeat(20));
    imap.append("Archive", &[], 1_000_000_000, hostile.as_bytes());

    let about = |entry: &Value| {
        let text = |field: &str| entry[field].as_str().unwrap_or("-").to_owned();
        (text("what"), text("mailbox"), text("to_mailbox"), text("subject"), entry["messages"].clone())
    };
    let row = |what: &str, mailbox: &str, to: &str, subject: &str, messages: u64| {
        (what.to_owned(), mailbox.to_owned(), to.to_owned(), subject.to_owned(), Value::from(messages))
    };
    let told: Vec<_> = list(&agent).iter().map(about).collect();
    let expected = [
        row("flags +\\Flagged on 1 message in Archive", "Archive", "-", "tide 1", 1),
        row("flags +\\Flagged on 1 message in INBOX", "INBOX", "-", "anchor 2", 1),
        row("flags +\\Answered on 2 messages in INBOX and elsewhere", "INBOX", "-", "-", 2),
        row("move 1 message from INBOX to Archive", "INBOX", "Archive", "lantern 3", 1),
        row("append 1 message to Archive", "Archive", "-", &format!("\u{1b}[2J{}", "long".repeat(20)), 1),
    ];
    assert_eq!(told, expected);

    let text = agent.ctl_ok(&["journal"]);
    assert!(text.contains("  tide 1") && text.contains("  \\u{1b}[2Jlonglong") && text.contains("…"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains(&"long".repeat(10)), "harmless, and cut off: {text}");
    let number = |place: usize| list(&agent)[place]["id"].to_string();
    assert!(agent.ctl_ok(&["journal", "show", &number(3)]).contains("subject:   lantern 3"));
    let said = agent.ctl(&["journal", "discard", &number(4)]);
    assert!(said.code == 64 && said.err.contains("Archive\" (\\u{1b}[2Jlong"), "{said:?}");
    let said = agent.ctl_ok(&["journal", "discard", &number(0), &number(1)]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        matches!(lines[..], [a, b] if a.contains("in Archive\" (tide 1):") && b.contains("in INBOX\" (anchor 2):"))
    );
}

#[test]
fn a_new_mailbox_that_holds_mail_is_named_when_its_creation_is_not_discarded() {
    let server = RefServer::with_users(&[USER]);
    let agent = offline(&server);
    let mut imap = agent.login(USER);
    imap.ok("CREATE Papers");
    imap.append("Papers", &[], 1_000_000_000, &corpus::small(4));
    let (create, append) = (list(&agent)[0]["id"].to_string(), list(&agent)[1]["id"].to_string());
    let told = "that is not possible while the mailbox Papers holds 1 message: move or delete it first";
    assert!(agent.ctl_ok(&["journal", "show", &create]).contains(told));
    let said = agent.ctl(&["journal", "discard", &create]);
    assert!(said.code == 1 && said.err.contains("the mailbox Papers holds messages"), "{said:?}");
    agent.ctl_ok(&["journal", "discard", &append, "--yes"]);
    assert!(agent.ctl_ok(&["journal", "discard", &create]).contains("the mailbox Papers is deleted here"));
}

#[test]
fn what_became_of_a_message_or_a_mailbox_since_is_told() {
    let server = RefServer::with_users(&[USER]);
    let agent = offline(&server);
    let mut imap = agent.login(USER);
    imap.select("INBOX");
    imap.ok("MOVE 1 Archive");
    imap.select("Archive");
    imap.ok("STORE 2 +FLAGS (\\Deleted)");
    imap.ok("EXPUNGE");
    imap.ok("CREATE Papers");
    imap.ok("DELETE Papers");
    let entries = list(&agent);
    assert_eq!(entries[1]["what"], "flags +\\Deleted on 1 message in Archive");
    let create = entries.iter().find(|entry| entry["what"] == "create mailbox Papers").expect("an entry");
    assert_eq!(create["discarding"], "the mailbox was deleted here since, and nothing else becomes of it");
}

#[test]
fn a_mailbox_that_is_back_stays_when_its_deletion_is_discarded() {
    let server = RefServer::with_users(&[USER]);
    let agent = offline(&server);
    agent.login(USER).ok("DELETE Archive");
    server.login(USER).append("Archive", &[], 1_000_000_000, &corpus::small(4));
    agent.ctl_ok(&["online"]);
    agent.sync();
    let [entry] = &list(&agent)[..] else { panic!("{:?}", list(&agent)) };
    let told = agent.ctl_ok(&["journal", "discard", &entry["id"].to_string(), "--yes"]);
    assert!(told.contains("the mailbox Archive, which is here again already, stays"), "{told}");
    agent.sync();
    let mut imap = agent.login(USER);
    imap.select("Archive");
    assert_eq!(imap.ok("SEARCH ALL").found(), [1, 2]);
}
