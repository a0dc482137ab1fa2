//! Mail on its way through submission, queue, relay and delivery, while the servers are killed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::net::free_address;
use crate::support::refserver::{Options, PASSWORD, RefServer};
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

const MESSAGES: usize = 120;

/// A kill after so many more messages were acknowledged.
const ACKNOWLEDGED_BETWEEN_KILLS: usize = 8;

/// Submits message `number` to ada here and ben far away; true once a 250 was seen.
fn submit(server: SocketAddr, number: usize) -> bool {
    let letter = format!("Message-ID: <{number}@home.example>\r\nSubject: number {number}.\r\n\r\nx\r\n");
    let attempt = || -> std::io::Result<bool> {
        let mut smtp = Smtp::connect(server)?;
        if smtp.login("ada", PASSWORD)?.code != 235 {
            return Ok(false);
        }
        let to = ["ada@home.example", "ben@far.example"];
        Ok(smtp.send("ada@home.example", &to, letter.as_bytes())?.code == 250)
    };
    attempt().unwrap_or(false)
}

/// How often each message is in that INBOX.
fn copies(server: &RefServer, user: &str) -> BTreeMap<usize, usize> {
    let mut imap = server.login(user);
    imap.select("INBOX");
    let mut copies = BTreeMap::new();
    for message in imap.fetch_all() {
        let text = String::from_utf8_lossy(&message.body).into_owned();
        let number = text.split_once("Subject: number ").and_then(|(_, rest)| rest.split_once('.')?.0.parse().ok());
        *copies.entry(number.expect("only our messages are here")).or_default() += 1;
    }
    copies
}

#[test]
fn what_was_acknowledged_arrives_once_though_both_servers_are_killed_again_and_again() {
    let far_smtp = free_address();
    let mut far = RefServer::start(&Options {
        users: &["ben"],
        domain: Some("far.example"),
        smtp: Some(far_smtp),
        ..Options::default()
    });
    let config = format!("[routes]\n\"far.example\" = \"{far_smtp}\"\n");
    let mut home = RefServer::start(&Options { users: &["ada"], config, ..Options::default() });
    let (submission, acknowledged) = (home.address("submission"), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&acknowledged);
    // Like any client it sends again what it heard no 250 for, the same message each time.
    let client = thread::spawn(move || {
        for number in 0..MESSAGES {
            while !submit(submission, number) {
                thread::yield_now();
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    for kill in 1..MESSAGES / ACKNOWLEDGED_BETWEEN_KILLS {
        let enough = kill * ACKNOWLEDGED_BETWEEN_KILLS;
        wait_until("more to be acknowledged", SOON, || acknowledged.load(Ordering::Relaxed) >= enough);
        let victim = if kill % 3 == 0 { &mut far } else { &mut home };
        victim.kill();
        victim.restart();
    }
    client.join().expect("the client did its work");
    wait_until("everything at the other end", SOON, || copies(&far, "ben").len() == MESSAGES);
    for (server, user) in [(&home, "ada"), (&far, "ben")] {
        let copies = copies(server, user);
        let doubled: Vec<_> = copies.iter().filter(|(_, copies)| **copies > 1).collect();
        assert_eq!((copies.len(), doubled), (MESSAGES, Vec::new()), "{user}");
    }
}
