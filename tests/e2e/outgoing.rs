//! Mail handed to the local server: delivered once, filed once, refused with a report.

use crate::support::agent::{Account, Agent};
use crate::support::proxy::Proxy;
use crate::support::refserver::RefServer;
use crate::support::sink::Sink;
use crate::support::wait::{SOON, wait_until};

const FROM: &str = "ada@home.example";

struct Outgoing {
    agent: Agent,
    server: RefServer,
    sink: Sink,
    line: Proxy,
}

fn outgoing() -> Outgoing {
    let server = RefServer::with_users(&["ada"]);
    let sink = Sink::start();
    let line = Proxy::to(sink.address);
    let account = Account { smtp: line.address, ..Account::at(&server, "ada", server.address("imap")) };
    let agent = Agent::started(&account.text());
    agent.sync();
    Outgoing { agent, server, sink, line }
}

impl Outgoing {
    fn send(&self, to: &[&str], subject: &str) {
        let text = format!(
            "From: {FROM}\r\nTo: {}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@home.example>\r\n\r\n.dot\r\n",
            to.join(", ")
        );
        let answer = self.agent.login_smtp("ada").send(FROM, to, text.as_bytes()).expect("the local server stays");
        assert_eq!(answer.code, 250, "{answer:?}");
    }

    fn found_upstream(&self, mailbox: &str, criteria: &str) -> usize {
        let mut imap = self.server.login("ada");
        if imap.list().iter().all(|listed| listed.name != mailbox) {
            return 0;
        }
        imap.select(mailbox);
        imap.ok(&format!("SEARCH {criteria}")).found().len()
    }
}

#[test]
fn a_message_is_delivered_once_and_filed_once() {
    let out = outgoing();
    out.line.cut();
    out.send(&["bob@far.example", "eve@far.example"], "first");
    assert_eq!(out.sink.delivered().len(), 0);
    out.line.join();
    out.agent.sync();
    wait_until("the delivery", SOON, || !out.sink.delivered().is_empty());
    wait_until("the copy in Sent", SOON, || out.found_upstream("Sent", "SUBJECT first") == 1);
    out.agent.sync();
    let delivered = out.sink.delivered();
    assert_eq!(delivered.len(), 1, "{delivered:?}");
    assert_eq!(delivered[0].to, ["bob@far.example", "eve@far.example"]);
    assert_eq!(delivered[0].from, FROM);
    assert!(delivered[0].bytes.ends_with(b"\r\n\r\n.dot\r\n"), "the text is as it was written");
    assert_eq!(out.found_upstream("Sent", "ALL"), 1);
}

#[test]
fn a_permanent_refusal_comes_back_as_a_report_with_the_message_and_the_others_are_served() {
    let out = outgoing();
    out.sink.answer_recipient("nobody", "550 5.1.1 no such user here");
    out.send(&["bob@far.example", "nobody@far.example"], "mixed");
    wait_until("the report in INBOX", SOON, || out.found_upstream("INBOX", "ALL") == 1);
    let mut imap = out.agent.login("ada");
    imap.select("INBOX");
    let report = String::from_utf8_lossy(&imap.fetch_all()[0].body).into_owned();
    for wanted in ["multipart/report", "message/delivery-status", "nobody@far.example", "5.1.1", "Subject: mixed"] {
        assert!(report.contains(wanted), "no {wanted} in {report}");
    }
    assert!(!report.contains("Final-Recipient: rfc822;bob@far.example"), "bob got it: {report}");
    assert!(report.starts_with("Return-Path: <>\r\n"), "{report}");
    let delivered = out.sink.delivered();
    assert_eq!(delivered.len(), 1);
    assert_eq!(delivered[0].to, ["bob@far.example"]);
}

#[test]
fn a_temporary_refusal_is_tried_again_and_delivered_once() {
    let out = outgoing();
    out.sink.answer_recipient("bob", "451 4.7.1 greylisted, come back later");
    out.send(&["bob@far.example"], "patience");
    let row = || out.agent.ctl_json(&["outbox", "list", "--json"])[0].clone();
    wait_until("the first attempt", SOON, || row()["last_error"].is_string());
    assert_eq!(row()["recipients"][0]["state"], "waiting");
    assert!(row()["next_attempt"].is_string(), "it says when it comes back: {}", row());
    out.sink.welcome_all();
    let id = row()["id"].to_string();
    // Not waiting for the time to come: the user says now.
    out.agent.ctl_ok(&["outbox", "hold", &id]);
    out.agent.ctl_ok(&["outbox", "release", &id]);
    wait_until("the delivery", SOON, || out.sink.delivered().len() == 1);
    wait_until("the copy in Sent", SOON, || out.found_upstream("Sent", "SUBJECT patience") == 1);
    assert_eq!(out.found_upstream("INBOX", "ALL"), 0, "no report about a delay that short");
}

#[test]
fn what_waits_for_its_next_attempt_is_tried_when_the_user_asks() {
    for (number, ask) in [&["outbox", "flush"][..], &["sendmail", "-q"], &["sync", "--wait"]].into_iter().enumerate() {
        let out = outgoing();
        out.sink.answer_recipient("bob", "451 4.7.1 greylisted, come back later");
        out.sink.answer_recipient("nobody", "550 5.1.1 no such user here");
        out.send(&["nobody@far.example", "bob@far.example"], &format!("asked{number}"));
        let row = || out.agent.ctl_json(&["outbox", "list", "--json"])[0].clone();
        wait_until("the first attempt", SOON, || row()["last_error"].is_string());
        let listed = out.agent.ctl_ok(&["outbox", "list"]);
        assert!(listed.contains("greylisted") && !listed.contains("no such user"), "why it waits: {listed}");
        out.sink.welcome_all();
        let said = out.agent.ctl(ask);
        assert!(said.code == 0, "{ask:?}: {said:?}");
        wait_until("the delivery", SOON, || out.sink.delivered().len() == 1);
        wait_until("its end", SOON, || row()["state"] == "handed-over");
        // By itself it would have been the second attempt: its back-off began anew with the question.
        assert_eq!(row()["attempts"], 1, "{ask:?}: {}", row());
    }
}

#[test]
fn several_are_held_at_once_and_a_number_that_nothing_has_keeps_none_of_them_from_it() {
    let out = outgoing();
    out.agent.ctl_ok(&["offline"]);
    out.send(&["bob@far.example"], "one");
    out.send(&["bob@far.example"], "two");
    let rows = || out.agent.ctl_json(&["outbox", "list", "--json"]);
    let ids: Vec<String> = rows().as_array().expect("rows").iter().map(|row| row["id"].to_string()).collect();
    let listed = out.agent.ctl_ok(&["outbox", "list"]);
    assert!(listed.contains("GOES") && listed.contains("when there is a connection"), "{listed}");
    let said = out.agent.ctl(&["outbox", "hold", &ids[0], "4711", &ids[1]]);
    assert!(said.code == 64 && said.err.contains("4711"), "{said:?}");
    assert_eq!([&rows()[0]["state"], &rows()[1]["state"]], ["held", "held"]);
    out.agent.ctl_ok(&["outbox", "release", &ids[1]]);
    let said = out.agent.ctl(&["outbox", "requeue", &ids[0], &ids[1]]);
    let held = format!("outgoing message {}: it is held; `syncctl outbox release {}` sends it", ids[0], ids[0]);
    let queued = format!("outgoing message {}: it has not failed", ids[1]);
    assert!(said.code == 1 && said.err.contains(&held) && said.err.contains(&queued), "{said:?}");
    assert_eq!(said.out, "", "nothing is tried again");
    let said = out.agent.ctl(&["outbox", "later", &ids[0], "5000d"]);
    assert!(said.code == 64 && said.err.contains("366d"), "{said:?}");
    let said = out.agent.ctl(&["outbox", "later", &ids[0], "2999-01-01T00:00:00Z"]);
    assert!(said.code == 64 && said.err.contains("a year and a day"), "{said:?}");
    let said = out.agent.ctl(&["outbox", "later", &ids[0], "4711", &ids[1], "8h"]);
    assert!(said.code == 64 && said.err.contains("4711"), "{said:?}");
    assert_eq!(said.out.matches(" is sent later, at ").count(), 2, "{said:?}");
    out.agent.ctl_ok(&["outbox", "hold", &ids[0], &ids[1]]);
    let said = out.agent.ctl_ok(&["outbox", "later", &ids[0], "8h"]);
    let goes =
        rows().as_array().and_then(|rows| rows.iter().find_map(|row| row["next_attempt"].as_str()).map(str::to_owned));
    let goes = goes.expect("one is to be sent later");
    assert!(said.contains(&goes) && out.agent.ctl_ok(&["outbox", "list"]).contains(&goes), "{said}");
}

#[test]
fn what_is_being_sent_is_not_held_and_is_a_moment_later_if_it_did_not_go() {
    let server = RefServer::with_users(&["ada"]);
    // It takes the connection and says nothing.
    let silent = std::net::TcpListener::bind(crate::support::net::free_address()).expect("an address of our own");
    let address = silent.local_addr().expect("bound");
    let account = Account { smtp: address, ..Account::at(&server, "ada", server.address("imap")) };
    let agent = Agent::started(&account.text());
    let answer = agent.login_smtp("ada").send(FROM, &["bob@far.example"], b"Subject: x\r\n\r\nx\r\n");
    assert_eq!(answer.expect("the local server stays").code, 250);
    let row = || agent.ctl_json(&["outbox", "list", "--json"])[0].clone();
    let (connection, _) = silent.accept().expect("the agent comes");
    let id = row()["id"].to_string();
    let said = agent.ctl(&["outbox", "hold", &id]);
    assert!(said.code == 75 && said.err.contains("is being sent at this moment, and nothing is changed"), "{said:?}");
    assert_eq!(row()["state"], "sending");
    drop((connection, silent));
    wait_until("the end of the attempt", SOON, || row()["state"] == "queued");
    agent.ctl_ok(&["outbox", "hold", &id]);
    assert_eq!(row()["state"], "held");
    agent.ctl_ok(&["outbox", "release", &id]);
    wait_until("the next attempt", SOON, || row()["last_error"].to_string().contains("cannot reach"));
    assert!(row()["last_error"].to_string().contains(&format!("cannot reach {address}: ")), "{}", row());
}
