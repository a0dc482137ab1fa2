//! While the line is up: changes go both ways within seconds, and several sessions see one another.

use std::time::Duration;

use crate::support::agent::{Account, Agent};
use crate::support::corpus;
use crate::support::proxy::Proxy;
use crate::support::refserver::{self, RefServer};
use crate::support::snapshot;
use crate::support::wait::wait_until;

/// A change may take this long to reach the other side.
const SECONDS: Duration = Duration::from_secs(20);

#[test]
fn changes_go_both_ways_within_seconds() {
    let server = RefServer::with_users(&["ada"]);
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    let mut upstream = server.login("ada");
    upstream.append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    wait_until("new mail to arrive here", SECONDS, || agent.login("ada").select("INBOX").exists() == 1);

    let mut local = agent.login("ada");
    local.select("INBOX");
    local.ok("STORE 1 +FLAGS (\\Flagged)");
    wait_until("the flag to arrive there", SECONDS, || {
        upstream.select("INBOX");
        upstream.fetch_flags()[0].flags.contains("\\Flagged")
    });

    upstream.ok("STORE 1 +FLAGS (\\Answered)");
    wait_until("the flag to arrive here", SECONDS, || {
        local.ok("NOOP");
        local.fetch_flags()[0].flags.contains("\\Answered")
    });

    local.ok("CREATE Shelf");
    local.ok("UID MOVE 1:* Shelf");
    wait_until("the move to arrive there", SECONDS, || {
        upstream.list().iter().any(|mailbox| mailbox.name == "Shelf") && upstream.select("Shelf").exists() == 1
    });
}

/// Each change comes while the agent is just done with the one before: none may wait for the next poll.
#[test]
fn changes_in_turn_here_and_there_all_arrive_within_seconds() {
    let server = RefServer::with_users(&["ada"]);
    let mut upstream = server.login("ada");
    upstream.append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    let mut local = agent.login("ada");
    local.select("INBOX");
    upstream.select("INBOX");
    for turn in 0..30 {
        let keyword = format!("turn{turn}");
        let (from, to) = if turn % 2 == 0 { (&mut local, &mut upstream) } else { (&mut upstream, &mut local) };
        from.ok(&format!("STORE 1 +FLAGS ({keyword})"));
        wait_until(&format!("{keyword} to arrive"), SECONDS, || {
            to.ok("NOOP");
            to.fetch_flags()[0].flags.contains(&keyword)
        });
    }
}

/// The next poll is an hour away: somebody watches.
#[test]
fn mail_that_comes_into_any_mailbox_is_told_of_by_notify_and_by_idle() {
    for quirks in ["{ notify = true }", "{ notify = false }"] {
        let server = RefServer::with_users(&["ada"]);
        let mut upstream = server.login("ada");
        upstream.ok("CREATE Lists");
        upstream.append("Lists", &[], 1_000_000_000, &corpus::small(1));
        let more = &format!("poll-seconds = 3600\nconnections = 2\nquirks = {quirks}");
        let account = Account::at(&server, "ada", server.address("imap"));
        let agent = Agent::started(&Account { more, ..account }.text());
        agent.sync();
        for number in 2..5_u32 {
            upstream.append("Lists", &[], 1_000_000_000, &corpus::small(number.into()));
            let what = format!("message {number} to arrive with {quirks}");
            wait_until(&what, SECONDS, || agent.login("ada").select("Lists").exists() == number);
        }
        upstream.ok("SELECT Lists");
        upstream.ok("STORE 1 +FLAGS (\\Flagged)");
        wait_until(&format!("the flag to arrive with {quirks}"), SECONDS, || {
            let mut local = agent.login("ada");
            local.select("Lists");
            local.fetch_flags()[0].flags.contains("\\Flagged")
        });
    }
}

#[test]
fn a_client_in_idle_is_told_of_what_another_client_does() {
    let server = RefServer::with_users(&["ada"]);
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    let (mut idle, mut other) = (agent.login("ada"), agent.login("ada"));
    idle.select("INBOX");
    let tag = idle.send("IDLE").expect("syncd serves");
    assert!(idle.line().expect("a continuation").text.starts_with('+'));
    other.append("INBOX", &["\\Seen"], 1_000_000_000, &corpus::small(1));
    while !idle.line().expect("to be told").text.ends_with(" EXISTS") {}
    other.select("INBOX");
    other.ok("STORE 1 +FLAGS (\\Deleted)");
    while !idle.line().expect("to be told").text.contains("\\Deleted") {}
    other.ok("EXPUNGE");
    while idle.line().expect("to be told").text != "* 1 EXPUNGE" {}
    idle.write(b"DONE\r\n").expect("syncd serves");
    assert_eq!(idle.answer(&tag).expect("an answer").status, "OK");
}

#[test]
fn two_accounts_live_side_by_side() {
    let server = RefServer::with_users(&["ada", "bob"]);
    server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(1));
    server.login("bob").append("INBOX", &[], 1_000_000_000, &corpus::small(2));
    let text = |user| Account::at(&server, user, server.address("imap")).text();
    let agent = Agent::started(&format!("{}\n{}", text("ada"), text("bob")));
    agent.sync();
    for (user, number) in [("ada", 1), ("bob", 2)] {
        let mut local = agent.login(user);
        local.select("INBOX");
        let bodies: Vec<Vec<u8>> = local.fetch_all().into_iter().map(|message| message.body).collect();
        assert_eq!(bodies, [corpus::small(number)], "{user} sees only what is {user}'s");
    }
}

#[test]
fn a_first_mirror_that_was_cut_goes_on_where_it_stopped() {
    let server = RefServer::with_users(&["ada"]);
    let mut upstream = server.login("ada");
    let total: usize = (0..120)
        .map(|number| {
            let mut message = corpus::small(number);
            message.extend(format!("{number:070}\r\n").repeat(300).into_bytes());
            upstream.append("INBOX", &[], 1_000_000_000, &message);
            message.len()
        })
        .sum();
    let total = total as u64;
    let line = Proxy::to(server.address("imap"));
    // Bytes on the line are to be bytes of mail.
    let account = Account::at(&server, "ada", line.address);
    let mut agent = Agent::new(&Account { more: "quirks = { compress = false }", ..account }.text());
    line.cut_each_after(total / 2);
    assert_eq!(agent.once().code, 75);
    line.stop_cutting();
    let before = line.bytes();
    assert_eq!(agent.once().code, 0);
    let again = line.bytes() - before;
    assert!(again < total * 6 / 10, "{again} of {total} bytes after half of it had come");
    agent.start();
    assert_eq!(snapshot::take(&mut agent.login("ada")), snapshot::take(&mut upstream));
}

#[test]
fn a_token_that_expires_while_the_line_rests_is_asked_for_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let token = folder.path().join("token");
    let renew = |text: &str| std::fs::write(&token, text).expect("a writable folder");
    renew("first");
    let path = token.display();
    let config = format!(
        "[[user]]\nname = \"ada\"\npassword = \"{}\"\ntoken-command = [\"cat\", \"{path}\"]\n",
        refserver::PASSWORD
    );
    let mut server = RefServer::start(&refserver::Options { config, ..refserver::Options::default() });
    let line = Proxy::to(server.address("imap"));
    let text = Account::at(&server, "ada", line.address).text();
    let password = format!("password = \"{}\"", refserver::PASSWORD);
    assert!(text.contains(&password), "{text}");
    let agent =
        Agent::started(&text.replace(&password, &format!("oauth2 = {{ token-command = [\"cat\", \"{path}\"] }}")));
    agent.sync();
    for (number, text) in [(1, "second"), (2, "third")] {
        // The old one counts no more, and the server hangs up on whoever came by it.
        renew(text);
        line.cut();
        server.restart();
        line.join();
        server.login("ada").append("INBOX", &[], 1_000_000_000, &corpus::small(number));
        wait_until("mail to arrive by the new token", SECONDS, || {
            u64::from(agent.login("ada").select("INBOX").exists()) == number
        });
    }
    agent.sync();
    assert_eq!(agent.account()["last_error"], serde_json::Value::Null, "{}", agent.log());
    assert!(!agent.log().contains("refused the login"), "{}", agent.log());
}
