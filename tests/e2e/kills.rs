//! Mail on its way from a client through submission, relay and delivery while both servers are killed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use crate::relay::{numbers, pair};
use crate::support::random::Random;
use crate::support::refserver::{self, RefServer};
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

/// How often a server is killed where `MAILTIDE_KILLS` does not say: a tenth of what it takes to believe it. The full run
/// is `MAILTIDE_KILLS=200 cargo test --test e2e kills`.
const KILLS: u64 = 20;

const MESSAGES_PER_KILL: u64 = 5;

/// A kill comes at most this long after the acknowledgement it was to come after.
const DELAY_MAX_US: u64 = 20_000;

/// How far a submission came.
enum Submitted {
    Taken,
    /// Refused, or not complete: the server has nothing.
    Not,
    /// The server may have it.
    AnswerLost,
}

fn submit(smtp: &mut Smtp, number: u64) -> Submitted {
    let to_both = number.is_multiple_of(4);
    let rcpt = if to_both {
        &["RCPT TO:<bob@b.example>", "RCPT TO:<ada@a.example>"][..]
    } else {
        &["RCPT TO:<bob@b.example>"]
    };
    for command in [&["MAIL FROM:<ada@a.example>"], rcpt, &["DATA"]].concat() {
        if smtp.try_command(command).map_or(500, |answer| answer.code) >= 400 {
            return Submitted::Not;
        }
    }
    let text = format!(
        "From: ada@a.example\r\nSubject: number {number}\r\nMessage-ID: <{number}@a.example>\r\n\r\nHi.\r\n.\r\n"
    );
    // Cut within the message, the server has nothing of it; cut behind it, it may have all.
    match smtp.write(text.as_bytes()).and_then(|()| smtp.answer()) {
        Ok(answer) if answer.code == 250 => Submitted::Taken,
        Ok(_) => Submitted::Not,
        Err(_) => Submitted::AnswerLost,
    }
}

/// Submits each message until it is acknowledged, as a mail program does. Gives those of which an answer was lost.
fn submit_all(address: SocketAddr, messages: u64, acknowledged: &Sender<u64>) -> BTreeSet<u64> {
    let connect = || {
        let mut smtp = Smtp::connect(address).ok()?;
        (smtp.login("ada", refserver::PASSWORD).ok()?.code == 235).then_some(smtp)
    };
    let mut unanswered = BTreeSet::new();
    let mut connection = None;
    for number in 0..messages {
        loop {
            let Some(mut smtp) = connection.take().or_else(connect) else {
                std::thread::yield_now();
                continue;
            };
            match submit(&mut smtp, number) {
                Submitted::Taken => {
                    connection = Some(smtp);
                    break;
                }
                Submitted::Not => {}
                Submitted::AnswerLost => drop(unanswered.insert(number)),
            }
        }
        // Nobody counts any more once the last kill was made.
        let _ = acknowledged.send(number);
    }
    unanswered
}

/// Kills one of the servers, or both, at random points between acknowledgements, and starts them again.
fn kill(a: &mut RefServer, b: &mut RefServer, kills: u64, acknowledged: &Receiver<u64>) {
    let mut random = Random::new(200);
    for round in 0..kills {
        let point = round * MESSAGES_PER_KILL + random.below(MESSAGES_PER_KILL);
        while acknowledged.recv().expect("it goes on until all are acknowledged") < point {}
        // In the midst of what comes next, or just behind it.
        let _ = acknowledged.recv_timeout(Duration::from_micros(random.below(DELAY_MAX_US)));
        let both = random.below(3);
        if both != 1 {
            a.kill();
        }
        if both != 0 {
            b.kill();
        }
        if both != 1 {
            a.restart();
        }
        if both != 0 {
            b.restart();
        }
    }
}

#[test]
fn mail_that_was_acknowledged_arrives_once_whatever_is_killed_on_its_way() {
    let kills = std::env::var("MAILTIDE_KILLS").map_or(KILLS, |text| text.parse().expect("MAILTIDE_KILLS is a number"));
    let messages = kills * MESSAGES_PER_KILL;
    let (mut a, mut b) = pair();
    let (address, (said, heard)) = (a.address("submission"), mpsc::channel());
    let unanswered = std::thread::scope(|scope| {
        let submitting = scope.spawn(move || submit_all(address, messages, &said));
        kill(&mut a, &mut b, kills, &heard);
        submitting.join().expect("no panic while submitting")
    });
    let flush = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
        command.arg("--data").arg(a.folder().join("data")).args(["queue", "flush"]);
        assert!(command.status().expect("it runs").success());
    };
    // What failed while a server was down waits for its next attempt.
    let mut last = 0;
    wait_until("every message to arrive", SOON * 4, || {
        let here = numbers(&mut b.login("bob")).into_iter().collect::<BTreeSet<_>>().len();
        if std::mem::replace(&mut last, here) == here {
            flush();
        }
        here as u64 == messages
    });
    let mut copies: BTreeMap<(&str, u64), u64> = BTreeMap::new();
    for (server, user) in [(&a, "ada"), (&b, "bob")] {
        for number in numbers(&mut server.login(user)) {
            *copies.entry((user, number)).or_default() += 1;
        }
    }
    let near = copies.keys().filter(|(user, _)| *user == "ada").count() as u64;
    assert_eq!(near, messages.div_ceil(4), "what was for our own user as well");
    let doubles: Vec<_> = copies.iter().filter(|(_, count)| **count > 1).collect();
    println!(
        "{kills} kills, {messages} messages: each arrived; {} had an answer to DATA lost to their client; doubles: {}",
        unanswered.len(),
        doubles.len()
    );
    // Even there: who did not see the answer sends the same again, and that is known.
    assert!(doubles.is_empty(), "{doubles:?}; answers lost: {unanswered:?}");
}
