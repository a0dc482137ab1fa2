//! Mail between two people whose lines are down when they write and when they read: a letter from Ann at sea to Eva in the
//! harbour, of another domain, and the answer.

use std::io;
use std::time::{Duration, Instant};

use super::report::Report;
use super::shore::Shore;
use super::wire::{Imap, quoted, send_mail};
use super::world::World;

const ANN: &str = "ann@tide.example";
const EVA: &str = "eva@harbour.example";

const LETTER_ID: &str = "<letter.2@tide.example>";
const LETTER: &[u8] =
    b"From: Ann <ann@tide.example>\r\nTo: Eva <eva@harbour.example>\r\nSubject: to another harbour\r\n\
    Date: Mon, 02 Nov 2026 10:06:00 +0100\r\nMessage-ID: <letter.2@tide.example>\r\n\r\nAre you on land?\r\n";

const ANSWER_ID: &str = "<answer.1@harbour.example>";
const ANSWER: &[u8] =
    b"From: Eva <eva@harbour.example>\r\nTo: Ann <ann@tide.example>\r\nSubject: Re: to another harbour\r\n\
    Date: Mon, 02 Nov 2026 12:00:00 +0100\r\nMessage-ID: <answer.1@harbour.example>\r\n\
    In-Reply-To: <letter.2@tide.example>\r\n\r\nNo, on the ferry.\r\n";

/// How long mail may take from one mirror to the other.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ann writes, with no net.
pub fn write(sea: &Shore) -> io::Result<()> {
    send_mail(sea.local_smtp()?, Some(&sea.local_credentials()?), ANN, EVA, LETTER)
}

/// The letter is on its way; it is read, answered, and the answer is read.
pub fn exchange(world: &World, report: &mut Report) -> io::Result<()> {
    let World { sea, harbour } = world;
    let letter = read_offline(harbour, LETTER_ID)?;
    report.step("the letter to another domain came by queue, MX and its server into Eva's mirror; she read it offline");
    send_mail(harbour.local_smtp()?, Some(&harbour.local_credentials()?), EVA, ANN, ANSWER)?;
    harbour.join();
    let answer = read_offline(sea, ANSWER_ID)?;
    sea.join();
    report.step("Eva answered offline, and joined her line; the answer came into Ann's mirror; she read it offline");
    report.compare("letter and answer arrived once each, as they were written", {
        let mut wrong = arrived("the letter", &letter, LETTER);
        wrong.extend(arrived("the answer", &answer, ANSWER));
        wrong
    });
    Ok(())
}

/// Waits until a message is in the mirror, cuts the line, and reads it.
fn read_offline(shore: &Shore, id: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut local = shore.locally()?;
    let deadline = Instant::now() + PATIENCE;
    while search(&mut local, id)?.is_empty() {
        if Instant::now() > deadline {
            return Err(io::Error::other(format!("{id} is not there after {PATIENCE:?}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    shore.cut();
    let mut messages = Vec::new();
    for uid in search(&mut local, id)? {
        messages.extend(local.run(&format!("UID FETCH {uid} BODY.PEEK[]"))?.into_iter().flat_map(|it| it.literals));
    }
    Ok(messages)
}

/// The UIDs of the messages of that Message-ID in INBOX.
fn search(imap: &mut Imap, id: &str) -> io::Result<Vec<String>> {
    imap.run("EXAMINE INBOX")?;
    let found = imap.run(&format!("UID SEARCH HEADER Message-ID {}", quoted(id)))?;
    let numbers =
        found.iter().filter_map(|answer| answer.text.strip_prefix("* SEARCH")).flat_map(str::split_whitespace);
    Ok(numbers.map(str::to_owned).collect())
}

/// One message, its bytes behind the trace of its way.
fn arrived(what: &str, found: &[Vec<u8>], written: &[u8]) -> Vec<String> {
    match found {
        [only] if only.ends_with(written) && only.starts_with(b"Return-Path: <") => Vec::new(),
        [only] => vec![format!("{what} arrived as {:?}", String::from_utf8_lossy(only))],
        several => vec![format!("{what} arrived {} times", several.len())],
    }
}
