//! The script: what the user does, what happens on the server meanwhile, and what must come of it.

use std::io;
use std::time::{Duration, Instant};

use super::letters;
use super::mail::MESSAGES;
use super::proof::{self, Side};
use super::report::Report;
use super::shore::Shore;
use super::wire::{quoted, send_mail};
use super::world::{ANN, BEN, World};
use crate::control::report::{State, Status};
use crate::imap::syntax::utf7;
use crate::types::ContentHash;

/// Messages that go to INBOX, to `Travel`; the rest goes to a mailbox with a Japanese name.
const INBOX_MESSAGES: usize = 22;
const TRAVEL_MESSAGES: usize = 8;

/// How long the agent may take to become quiet.
const QUIET_TIMEOUT: Duration = Duration::from_secs(45);

const DRAFT: &[u8] = b"From: Ann <ann@tide.example>\r\nTo: ben@tide.example\r\nSubject: half a thought\r\n\
    Date: Mon, 02 Nov 2026 10:00:00 +0100\r\nMessage-ID: <draft.1@tide.example>\r\n\r\nOn the ferry, no net. More later\r\n";

const LETTER_ID: &str = "<letter.1@tide.example>";
const LETTER: &[u8] = b"From: Ann <ann@tide.example>\r\nTo: Ben <ben@tide.example>\r\nSubject: from the sea\r\n\
    Date: Mon, 02 Nov 2026 10:05:00 +0100\r\nMessage-ID: <letter.1@tide.example>\r\n\r\n\
    Written with no net at all.\r\n.and a line that begins with a dot\r\n";

/// Plays the whole script.
pub fn play(world: &World, report: &mut Report) -> io::Result<()> {
    let World { sea, harbour } = world;
    fill_server(sea, report)?;
    first_mirror(sea, report)?;
    sea.cut();
    report.step("cut the line");
    act_offline(sea, report)?;
    change_server(sea, report)?;
    harbour.start_agent()?;
    sea.join();
    await_quiet(sea)?;
    report.step("joined the line; replayed what was done here, pulled what was done there, sent the letters");
    prove(sea, report)?;
    letters::exchange(world, report)
}

fn fill_server(sea: &Shore, report: &mut Report) -> io::Result<()> {
    let mut server = sea.on_server(ANN)?;
    let japanese = utf7::encode("旅行/東京");
    for name in ["Travel", &japanese] {
        server.run(&format!("CREATE {}", quoted(name)))?;
        server.run(&format!("SUBSCRIBE {}", quoted(name)))?;
    }
    for (place, (_, message)) in MESSAGES.iter().enumerate() {
        let mailbox = match place {
            _ if place < INBOX_MESSAGES => "INBOX",
            _ if place < INBOX_MESSAGES + TRAVEL_MESSAGES => "Travel",
            _ => &japanese,
        };
        let flags = ["", "\\Seen", "\\Seen $Forwarded", "\\Flagged"][place % 4];
        let day = 1 + place % 28;
        server.append(mailbox, &format!("({flags}) \"{day:02}-Oct-2026 08:{place:02}:00 +0200\""), message)?;
    }
    report.step(format!("put {} messages on the server, in 3 mailboxes", MESSAGES.len()));
    Ok(())
}

fn first_mirror(sea: &Shore, report: &mut Report) -> io::Result<()> {
    sea.start_agent()?;
    await_quiet(sea)?;
    report.step("started the agent: first mirror");
    let (server, local) = both(sea)?;
    report.compare(told("server and mirror", &local), proof::differences(&server, &local));
    report.step("read all of it through the local IMAP");
    Ok(())
}

/// Everything here happens with no server in reach.
fn act_offline(sea: &Shore, report: &mut Report) -> io::Result<()> {
    let mut local = sea.locally()?;
    local.run("SELECT INBOX")?;
    local.run("FETCH 1:5 BODY[]")?;
    local.run("STORE 6:10 +FLAGS (\\Flagged $Work)")?;
    local.run("CREATE \"Ideas/2026\"")?;
    local.run("COPY 1 Archive")?;
    local.run("STORE 15:16 +FLAGS.SILENT (\\Deleted)")?;
    local.run("EXPUNGE")?;
    local.run("MOVE 11:14 \"Ideas/2026\"")?;
    local.run("RENAME Travel Journeys")?;
    local.append("Drafts", "(\\Draft \\Seen) \" 2-Nov-2026 10:00:00 +0100\"", DRAFT)?;
    report.step("offline: read 5, flagged 5, moved 4, deleted 2, copied 1, made 1 mailbox, renamed 1, saved 1 draft");
    send_mail(sea.local_smtp()?, Some(&sea.local_credentials()?), "ann@tide.example", "ben@tide.example", LETTER)?;
    letters::write(sea)?;
    report.step("offline: sent 2 letters, queued durably");
    Ok(())
}

/// What others, and the user's other devices, do meanwhile.
fn change_server(sea: &Shore, report: &mut Report) -> io::Result<()> {
    let mut phone = sea.on_server(ANN)?;
    phone.run("SELECT INBOX")?;
    phone.run("STORE 1:3 +FLAGS (\\Answered)")?;
    phone.run("STORE 11 +FLAGS (\\Answered)")?;
    phone.run("STORE 6 -FLAGS (\\Seen)")?;
    phone.run("CREATE Phone")?;
    phone.run("STORE 7,21 +FLAGS (\\Deleted)")?;
    phone.run("MOVE 20 Archive")?;
    phone.run("EXPUNGE")?;
    for number in 1..=3 {
        let mail = format!(
            "From: Ben <ben@tide.example>\r\nTo: ann@tide.example\r\nSubject: postcard {number}\r\n\
             Date: Mon, 02 Nov 2026 11:0{number}:00 +0100\r\nMessage-ID: <postcard.{number}@tide.example>\r\n\r\nHello!\r\n"
        );
        send_mail(sea.server_mx()?, None, "ben@tide.example", "ann@tide.example", mail.as_bytes())?;
    }
    report.step("meanwhile on the server: flagged 5, moved 1, deleted 2, made 1 mailbox, 3 postcards arrived");
    Ok(())
}

fn await_quiet(sea: &Shore) -> io::Result<()> {
    let deadline = Instant::now() + QUIET_TIMEOUT;
    loop {
        sea.sync()?;
        let status = sea.status()?;
        if is_quiet(&status) && sea.outbox()?.iter().all(|submission| submission.filed) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let status = serde_json::to_string(&status).unwrap_or_default();
            return Err(io::Error::other(format!("the agent is not quiet after {QUIET_TIMEOUT:?}: {status}")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Online, and nothing waits to be done or sent.
fn is_quiet(status: &Status) -> bool {
    status.accounts.iter().all(|account| {
        let (journal, outbox) = (&account.journal, &account.outbox);
        account.state == State::Online && [journal.pending, journal.in_flight, outbox.queued, outbox.sending] == [0; 4]
    })
}

fn prove(sea: &Shore, report: &mut Report) -> io::Result<()> {
    let (server, local) = both(sea)?;
    report.compare(told("server and mirror, after the replay", &local), proof::differences(&server, &local));
    report.compare("each message where it belongs, none lost, none doubled", misplaced(&server));
    let letter = ContentHash::of(LETTER);
    let sent = server.get("Sent").map_or(0, |sent| sent.iter().filter(|message| message.hash == letter).count());
    report.compare("the letter is filed in Sent once", expect("copies in Sent", sent, 1));
    let mut ben = sea.on_server(BEN)?;
    ben.run("EXAMINE INBOX")?;
    let found = ben.run(&format!("UID SEARCH HEADER Message-ID {}", quoted(LETTER_ID)))?;
    let arrived =
        found.iter().filter_map(|answer| answer.text.strip_prefix("* SEARCH")).flat_map(str::split_whitespace);
    report.compare("the letter arrived at Ben once", expect("letters at Ben", arrived.count(), 1));
    report.step("compared both sides");
    Ok(())
}

/// Where each message of the script must stand in the end, and how often.
fn misplaced(server: &Side) -> Vec<String> {
    let copies = proof::copies(server);
    let mut wrong = Vec::new();
    for (place, (name, message)) in MESSAGES.iter().enumerate() {
        let hash = ContentHash::of(message);
        // Deleted on the server (7, 21), deleted here (15, 16), copied here (1); counted from 1.
        let wanted = match place + 1 {
            7 | 15 | 16 | 21 => 0,
            1 => 2,
            _ => 1,
        };
        let mailbox = match place + 1 {
            11..=14 => "Ideas/2026",
            20 => "Archive",
            1..=INBOX_MESSAGES => "INBOX",
            _ if place < INBOX_MESSAGES + TRAVEL_MESSAGES => "Journeys",
            _ => &utf7::encode("旅行/東京"),
        };
        let found = copies.get(&hash).copied().unwrap_or(0);
        wrong.extend(expect(&format!("copies of {name}"), found, wanted));
        let is_there = server.get(mailbox).is_some_and(|messages| messages.iter().any(|message| message.hash == hash));
        if wanted > 0 && !is_there {
            wrong.push(format!("{name} is not in {mailbox}"));
        }
    }
    wrong.extend(expect("copies of the draft", copies.get(&ContentHash::of(DRAFT)).copied().unwrap_or(0), 1));
    wrong
}

fn both(sea: &Shore) -> io::Result<(Side, Side)> {
    Ok((proof::read_all(&mut sea.on_server(ANN)?)?, proof::read_all(&mut sea.locally()?)?))
}

fn expect(what: &str, found: usize, wanted: usize) -> Vec<String> {
    if found == wanted { Vec::new() } else { vec![format!("{what}: {found}, expected {wanted}")] }
}

fn told(what: &str, side: &Side) -> String {
    let messages: usize = side.values().map(Vec::len).sum();
    format!("{what}: {} mailboxes, {messages} messages, by name, bytes, flags and date", side.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_message_of_the_demonstration_has_bytes_of_its_own() {
        let hashes: BTreeSet<_> = MESSAGES.iter().map(|(_, message)| ContentHash::of(message)).collect();
        assert_eq!(hashes.len(), MESSAGES.len());
        assert!(MESSAGES.len() > INBOX_MESSAGES + TRAVEL_MESSAGES);
    }
}
