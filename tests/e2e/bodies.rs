//! Mirrors that hold not all bodies: what is here, what comes when somebody asks, what it costs and what `syncctl` says of it.

use serde_json::{Value, json};

use crate::support::agent::{Account, Agent};
use crate::support::imap::Imap;
use crate::support::proxy::Proxy;
use crate::support::refserver::RefServer;
use crate::support::wait::{SOON, wait_until};

const USER: &str = "ada";

/// A message of that many lines of 72 bytes in its text.
fn letter(number: u64, lines: usize) -> Vec<u8> {
    let text = format!("{number:>5} {}\r\n", "tide".repeat(16));
    format!(
        "From: Ada <ada@far.example>\r\nTo: me@home.example\r\nSubject: letter {number}\r\n\
         Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: <letter{number}@far.example>\r\n\r\n{}",
        text.repeat(lines)
    )
    .into_bytes()
}

/// A server whose user has these messages in INBOX.
fn server(letters: &[Vec<u8>]) -> RefServer {
    let server = RefServer::with_users(&[USER]);
    let mut imap = server.login(USER);
    for letter in letters {
        imap.append("INBOX", &[], 1_000_000_000, letter);
    }
    server
}

fn account(server: &RefServer, line: &Proxy, mirror: &str) -> String {
    let more = format!("mirror = {{ {mirror} }}");
    Account { more: &more, ..Account::at(server, USER, line.address) }.text()
}

fn bodies(agent: &Agent) -> Value {
    agent.account()["bodies"].clone()
}

fn amount(messages: usize, letters: &[Vec<u8>]) -> Value {
    json!({"messages": messages, "bytes": letters.iter().map(Vec::len).sum::<usize>()})
}

/// The bytes of a message in INBOX.
fn text(imap: &mut Imap, number: u32) -> Vec<u8> {
    imap.select("INBOX");
    text_of(imap, number)
}

/// The bytes of a message in the mailbox that is selected.
fn text_of(imap: &mut Imap, number: u32) -> Vec<u8> {
    imap.fetch_all().into_iter().nth(number as usize - 1).expect("a message").body
}

#[test]
fn a_message_and_a_folder_are_fetched_by_name_and_kept() {
    let letters = [letter(1, 10), letter(2, 20), letter(3, 30)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    assert_eq!(bodies(&agent)["absent"], amount(3, &letters));
    assert_eq!((&bodies(&agent)["wanted"]["messages"], &bodies(&agent)["stopped_by"]), (&json!(0), &Value::Null));

    let said = agent.ctl_json(&["fetch", "<letter2@far.example>", "--json"]);
    let target = &said["targets"][0];
    assert_eq!(target["fetched"], amount(1, &letters[1..2]));
    assert_eq!((&target["here"], &target["waiting"], &target["refused"]), (&json!(0), &json!(0), &json!(0)));
    assert_eq!(bodies(&agent)["absent"]["messages"], 2);
    assert_eq!(bodies(&agent)["today"]["on_demand_bytes"], letters[1].len());
    assert!(agent.ctl_ok(&["fetch", "letter2@far.example"]).contains("it is here already"));

    let said = agent.ctl_ok(&["fetch", "inbox", "--account", USER]);
    assert!(said.contains("fetched 2 messages") && said.contains("1 were here already"), "{said}");
    assert_eq!(bodies(&agent)["absent"]["messages"], 0);
    assert!(!agent.ctl_ok(&["status"]).contains("not here"), "nothing to be told");
    line.cut();
    for (place, letter) in (1..).zip(&letters) {
        assert!(text(&mut agent.login(USER), place) == *letter, "kept: {place}");
    }
    assert_eq!(agent.ctl(&["fetch", "Nowhere"]).code, 64);
    assert_eq!(agent.ctl(&["fetch", "INBOX", "--account", "nobody"]).code, 64);
}

#[test]
fn what_is_wanted_offline_is_told_and_comes_with_the_line() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let mut agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    line.cut();
    wait_until("the agent to notice", SOON, || agent.account()["state"] == "offline");
    let said = agent.ctl(&["fetch", "INBOX"]);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.out.contains("2 messages are wanted and not here: ada is offline"), "{said:?}");
    assert!(said.out.contains("they are fetched once it is online"), "{said:?}");
    agent.kill();
    agent.start();
    agent.ctl_ok(&["offline"]);
    let said = agent.ctl(&["fetch", "letter1@far.example"]);
    assert!(said.code == 75 && said.out.contains("after `syncctl online ada`"), "{said:?}");
    assert_eq!(bodies(&agent)["wanted"]["messages"], 2, "over a crash");
    agent.ctl_ok(&["online"]);
    line.join();
    wait_until("both of them to come", SOON, || bodies(&agent)["absent"]["messages"] == 0);
}

#[test]
fn a_metered_line_costs_only_what_is_asked_for_and_stays_metered_over_a_restart() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&[]);
    let line = Proxy::to(server.address("imap"));
    let mut agent = Agent::started(&account(&server, &line, ""));
    agent.sync();
    let said = agent.ctl_ok(&["metered", "on"]);
    assert!(said.contains("no bodies are fetched but those that are asked for"), "{said}");
    for letter in &letters {
        server.login(USER).append("INBOX", &[], 1_000_000_000, letter);
    }
    agent.sync();
    agent.stop();
    agent.start();
    agent.sync();
    let told = bodies(&agent);
    assert_eq!((&told["metered"], &told["stopped_by"]), (&json!(true), &json!("metered")), "{told}");
    assert_eq!((&told["absent"], &told["wanted"]), (&amount(2, &letters), &amount(2, &letters)));
    assert_eq!(told["today"]["fetched_bytes"], 0);
    assert!(agent.ctl_ok(&["status"]).contains("metered: only what is asked for is fetched (`syncctl metered off`)"));
    assert_eq!(agent.ctl(&["fetch", "letter1@far.example"]).code, 0);
    assert_eq!(bodies(&agent)["absent"]["messages"], 1);
    agent.ctl_ok(&["metered", "off", USER]);
    wait_until("the other one to come", SOON, || bodies(&agent)["absent"]["messages"] == 0);
    agent.ctl_ok(&["metered", "configured"]);
    assert_eq!(bodies(&agent)["metered"], false);
    assert_eq!(agent.ctl(&["metered", "sideways"]).code, 64);
}

#[test]
fn a_pop3_client_has_every_message_while_there_is_a_line() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    line.cut();
    let mut pop3 = agent.login_pop3(USER);
    assert_eq!(pop3.ok("STAT"), format!("2 {}", letters.iter().map(Vec::len).sum::<usize>()));
    let header = pop3.lines("TOP 1 0");
    assert!(letters[0].starts_with(&header) && header.ends_with(b"\r\n\r\n"), "the header is here");
    let refused = pop3.command("RETR 1");
    assert!(
        refused
            .starts_with("-ERR [SYS/TEMP] the message is not here, and cannot be fetched while there is no connection"),
        "{refused}"
    );
    line.join();
    wait_until("the line to be used again", SOON, || pop3.command("TOP 2 1").starts_with("+OK"));
    assert!(pop3.rest().starts_with(&letters[1][..200]));
    assert!(pop3.lines("RETR 2") == letters[1] && pop3.lines("RETR 1") == letters[0], "byte for byte");
    pop3.ok("QUIT");
    assert_eq!(bodies(&agent)["absent"]["messages"], 0);
}

#[test]
fn a_message_that_was_never_fetched_is_told_by_its_subject_and_not_as_recoverable() {
    let letters = [letter(1, 10), letter(2, 20)];
    let server = server(&letters);
    let line = Proxy::to(server.address("imap"));
    let agent = Agent::started(&account(&server, &line, r#"bodies = "headers""#));
    agent.sync();
    let why = agent.ctl_ok(&["why", "letter1@far.example"]);
    assert!(why.contains("letter 1 (") && why.contains("its text not here: `syncctl fetch` gets it"), "{why}");
    agent.ctl_ok(&["offline"]);
    let mut here = agent.login(USER);
    here.ok("CREATE Kept");
    here.select("INBOX");
    here.ok("COPY 2 Kept");
    here.ok("MOVE 1 Kept");
    here.select("Kept");
    assert!(here.ok("FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]").untagged.len() == 2);
    let refused = here.command("FETCH 1 BODY.PEEK[]");
    assert_eq!(refused.status, "NO");
    assert!(refused.text.contains("[UNAVAILABLE]") && refused.text.contains("while there is no connection"));
    let mut there = server.login(USER);
    there.select("INBOX");
    there.ok("STORE 1 +FLAGS (\\Deleted)");
    there.ok("EXPUNGE");
    agent.ctl_ok(&["online"]);
    wait_until("both sides to have settled", SOON, || agent.unsettled() == 0 && agent.account()["conflicts"] == 1);
    let conflicts = agent.ctl_json(&["conflicts", "--json"]);
    assert_eq!(
        (&conflicts[0]["kind"], &conflicts[0]["message"]["subject"]),
        (&json!("moved-lost"), &json!("letter 1"))
    );
    let gone = agent.ctl_json(&["recover", "list", "--json"]);
    assert_eq!((&gone[0]["subject"], &gone[0]["recoverable"]), (&json!("letter 1"), &json!(false)), "{gone}");
    let number = gone[0]["id"].to_string();
    let said = agent.ctl(&["recover", "restore", &number]);
    assert_eq!(said.code, 1, "{said:?}");
    let said = agent.ctl(&["fetch", &number]);
    assert!(said.code == 1 && said.out.contains("its server does not have it any more"), "{said:?}");
    here.select("Kept");
    assert!(text_of(&mut here, 1) == letters[1], "the copy can be had");
    assert!(server.login(USER).select("Kept").exists() == 1);
}
