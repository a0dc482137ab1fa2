//! `syncctl search` and the local server's SEARCH, without the index, with it, and without a connection.

use crate::support::agent::{Account, Agent};
use crate::support::refserver::RefServer;
use crate::support::wait::{SOON, wait_until};

const USER: &str = "ada";

/// Received one day after the other from 2001-09-09 on.
const MAIL: &[(&str, &str, &str)] = &[
    (
        "INBOX",
        "\\Seen",
        "From: Bob <bob@home.example>\r\nSubject: Lunch\r\n\r\nShall we meet at the Straße caf=C3=A9?\r\n",
    ),
    (
        "INBOX",
        "",
        "From: carol@home.example\r\nTo: ada@home.example\r\nSubject: =?utf-8?B?5Lya6K2w?=\r\n\
                   Content-Type: text/html; charset=utf-8\r\n\r\n<p>The <b>agen</b>da: 会議の資料</p>\r\n",
    ),
    (
        "Archive",
        "\\Flagged",
        "From: bob@home.example\r\nSubject: Report\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
                              --b\r\n\r\nmeet\r\n--b\r\nContent-Disposition: attachment; filename=x.txt\r\n\
                              Content-Transfer-Encoding: base64\r\n\r\ncXVhcnRlcmx5IGZpZ3VyZXM=\r\n--b--\r\n",
    ),
];

/// Queries and the subjects of what is found.
const SEARCHES: &[(&[&str], &[&str])] = &[
    (&["meet"], &["Report", "Lunch"]),
    (&["MEET from:bob -is:flagged"], &["Lunch"]),
    (&["meet", "-is:flagged"], &["Lunch"]),
    (&["-has:attachment", "-hello", "meet", "-from:nobody at all"], &["Lunch"]),
    (&["strasse"], &["Lunch"]),
    (&["agenda"], &["会議"]),
    (&["資料"], &["会議"]),
    (&["の"], &["会議"]),
    (&["subject:会"], &["会議"]),
    (&["quarterly figures"], &["Report"]),
    (&["has:attachment"], &["Report"]),
    (&["is:unread", "OR", "since:2001-09-11"], &["Report", "会議"]),
    (&["meet", "--mailbox", "inbox"], &["Lunch"]),
    (&["meet", "--account", USER, "--limit", "1"], &["Report"]),
    (&["absent"], &[]),
];

fn check(agent: &Agent) {
    for (arguments, expected) in SEARCHES {
        let (options, query): (Vec<&str>, Vec<&str>) = {
            let place = arguments.iter().position(|argument| argument.starts_with("--")).unwrap_or(arguments.len());
            (arguments[place..].to_vec(), arguments[..place].to_vec())
        };
        let found = agent.ctl_json(&[&["search", "--json"], &options[..], &query[..]].concat());
        let messages = found["messages"].as_array().expect("messages");
        let subjects: Vec<&str> = messages.iter().filter_map(|message| message["subject"].as_str()).collect();
        assert_eq!(subjects, *expected, "{arguments:?}: {found}");
    }
    let mut here = agent.login(USER);
    here.select("INBOX");
    assert_eq!(here.ok("UID SEARCH BODY agenda").found(), [2]);
    assert_eq!(here.ok("UID SEARCH NOT TEXT meet").found(), [2]);
}

#[test]
fn mail_is_found_without_the_index_with_it_and_without_a_connection() {
    let server = RefServer::with_users(&[USER]);
    let mut there = server.login(USER);
    for (day, (mailbox, flags, message)) in MAIL.iter().enumerate() {
        let flags: Vec<&str> = flags.split_whitespace().collect();
        there.append(mailbox, &flags, 1_000_000_000 + day as i64 * 86_400, message.as_bytes());
    }
    let agent = Agent::started(&Account::at(&server, USER, server.address("imap")).text());
    agent.sync();
    check(&agent);

    // syncd keeps its files to itself: what is looked at is a copy.
    let seen = tempfile::tempdir().expect("a temporary folder");
    wait_until("all messages are in the index", SOON, || {
        for name in ["search.db", "search.db-wal"] {
            drop(std::fs::copy(agent.data.join(name), seen.path().join(name)));
        }
        let entries = rusqlite::Connection::open(seen.path().join("search.db"))
            .and_then(|index| index.query_row("SELECT count(*) AS n FROM entry", [], |row| row.get::<_, u32>("n")));
        entries.ok().map(|entries| entries as usize) == Some(MAIL.len())
    });
    check(&agent);
    agent.ctl_ok(&["offline"]);
    check(&agent);

    let shown = agent.ctl_ok(&["search", "会議"]);
    assert!(shown.contains("carol@home.example") && shown.contains("The agenda: 会議の資料"), "{shown}");
    assert!(agent.ctl_ok(&["search", "absent"]).contains("Nothing found"));
    for (arguments, code, expected) in [
        (&["search", "form:bob"][..], 64, "there is no key \"form\""),
        (&["search"], 64, "QUERY"),
        (&["search", ""], 64, "nothing is asked for"),
        (&["search", "from:"], 64, "nothing stands behind from:"),
        (&["search", "--mailbox", "Nowhere", "x"], 64, "Nowhere"),
    ] {
        let said = agent.ctl(arguments);
        assert!(said.code == code && said.err.contains(expected), "{arguments:?}: {said:?}");
    }
}
