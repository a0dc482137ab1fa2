//! How soon a client that waits is told of mail that comes to the server: through IDLE, and through NOTIFY. None may be
//! missed; a busy machine measures nothing, so no figure is judged.
//!
//! A few messages in the usual tests; the full run is `MAILTIDE_PUSH=200 cargo test --release --test interop push --
//! --nocapture`.

use std::time::{Duration, Instant};

use crate::support::agent::{Account, Agent};
use crate::support::dovecot::{self, Dovecot};
use crate::support::imap::Imap;
use crate::support::refserver::RefServer;

/// Messages that come one after the other where `MAILTIDE_PUSH` does not say.
const MESSAGES: u32 = 10;

/// How the client is told, and what of it shows that the n-th message is there.
const WAYS: [(&str, &[&str], &str); 2] =
    [("IDLE", &[], "INBOX"), ("NOTIFY", &["NOTIFY SET (personal (MessageNew MessageExpunge))"], "Lists")];

fn messages() -> u32 {
    std::env::var("MAILTIDE_PUSH").map_or(MESSAGES, |text| text.parse().expect("a number"))
}

#[test]
fn every_message_that_comes_to_refserver_is_told_to_a_client_that_waits() {
    let server = RefServer::with_users(&["ada"]);
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    tell("refserver", &agent, "ada", &mut server.login("ada"));
}

#[test]
fn every_message_that_comes_to_dovecot_is_told_to_a_client_that_waits() {
    let Some(server) = Dovecot::start(&dovecot::Options::default()) else { return };
    let account = Account {
        name: "ann",
        address: "ann@example.org".to_owned(),
        imap: server.imap,
        smtp: server.imap,
        tls: "none",
        user: "ann",
        password: dovecot::PASSWORD,
        more: "",
    };
    let agent = Agent::started(&account.text());
    tell("Dovecot", &agent, "ann", &mut server.login("ann"));
}

/// Has messages come to the server, each once the one before was told.
fn tell(name: &str, agent: &Agent, user: &str, upstream: &mut Imap) {
    upstream.ok("CREATE Lists");
    agent.sync();
    for (way, wishes, mailbox) in WAYS {
        let mut client = agent.login(user);
        client.select("INBOX");
        wishes.iter().for_each(|wish| drop(client.ok(wish)));
        client.send("IDLE").expect("a connection");
        assert!(client.line().expect("a connection").text.starts_with('+'));
        let took: Vec<Duration> = (1..=messages()).map(|number| told(&mut client, upstream, mailbox, number)).collect();
        report(name, way, took);
    }
}

/// How long it takes from the server's answer to the delivery until the client is told of the n-th message.
fn told(client: &mut Imap, upstream: &mut Imap, mailbox: &str, number: u32) -> Duration {
    let letter = format!("Message-ID: <{number}@example.org>\r\nSubject: {number}\r\n\r\nbody\r\n");
    upstream.append(mailbox, &[], 1_000_000_000, letter.as_bytes());
    let came = Instant::now();
    let (exists, status) = (format!("* {number} EXISTS"), format!("MESSAGES {number} "));
    loop {
        let line =
            client.line().unwrap_or_else(|error| panic!("message {number} of {mailbox} is not told: {error}")).text;
        if line == exists || (line.starts_with("* STATUS") && format!("{line} ").replace(')', " ").contains(&status)) {
            return came.elapsed();
        }
    }
}

fn report(name: &str, way: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let (median, p95) = (took[took.len() / 2], took[took.len() * 95 / 100]);
    println!("{name}, {way}: {} messages told, median {median:.1?}, 95 % within {p95:.1?}", took.len());
}
