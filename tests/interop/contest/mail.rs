//! The mail that is mirrored, the changes that are made to it, and what must be there afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::load::FIRST_DATE;
use crate::support::imap::{Imap, mailbox_argument};
use crate::support::random::Random;

/// Folder, Message-ID, flags.
pub type Held = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

pub struct Letter {
    folder: String,
    id: String,
    flags: BTreeSet<String>,
    pub bytes: Vec<u8>,
}

pub enum Change {
    /// The flag is set where it is not, and taken where it is.
    Flag {
        folder: String,
        id: String,
        flag: &'static str,
    },
    Move {
        folder: String,
        id: String,
        to: String,
    },
    Delete {
        folder: String,
        id: String,
    },
}

/// How many of each.
#[derive(Clone, Copy, Default)]
pub struct Changes {
    pub flags: usize,
    pub moves: usize,
    pub deletes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// Up to 15 KB.
    Small,
    /// As well, but a seventeenth up to 200 KB, and each 167th up to 5 MB.
    Usual,
}

/// Mail most of which is in few of the folders.
pub fn letters(name: &str, count: usize, sizes: Sizes, folders: usize, random: &mut Random) -> Vec<Letter> {
    let lines: Vec<String> = (0..2000).map(|_| line(random)).collect();
    let letter = |number| {
        let attached = match number {
            _ if sizes == Sizes::Small => 0,
            _ if number % 167 == 3 => 1_000_000 + random.below(4_000_000),
            _ if number % 17 == 5 => 20_000 + random.below(180_000),
            _ => 0,
        };
        letter(
            &format!("<{name}.{number}@far.example>"),
            attached,
            folder(random.index(folders), random),
            &lines,
            random,
        )
    };
    (0..count).map(letter).collect()
}

fn letter(id: &str, attached: u64, folder: String, lines: &[String], random: &mut Random) -> Letter {
    let mut bytes = format!(
        "Received: from relay.far.example by home.example; Mon, 02 Mar 2026 10:00:00 +0000\r\n\
         From: Sender <sender@far.example>\r\nTo: me@home.example\r\nSubject: About {id}\r\n\
         Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: {id}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=parts\r\n\r\n--parts\r\nContent-Type: text/plain\r\n\r\n"
    );
    let text = 1_000 + random.below(14_000);
    fill(&mut bytes, text, lines, random);
    if attached > 0 {
        bytes += "--parts\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        fill(&mut bytes, attached, lines, random);
    }
    bytes += "--parts--\r\n";
    let flags = ["\\Seen", "\\Answered", "\\Flagged"].iter().zip([72, 10, 5]);
    let flags = flags.filter(|(_, share)| random.below(100) < *share).map(|(flag, _)| (*flag).to_owned()).collect();
    Letter { folder, id: id.to_owned(), flags, bytes: bytes.into_bytes() }
}

fn fill(text: &mut String, length: u64, lines: &[String], random: &mut Random) {
    let end = text.len() + usize::try_from(length).expect("a small number");
    while text.len() < end {
        *text += &lines[random.index(lines.len())];
    }
}

/// One up to the given one, so that the first ones hold most.
fn folder(last: usize, random: &mut Random) -> String {
    match random.index(last + 1) {
        0 => "INBOX".to_owned(),
        number => format!("list-{number:03}"),
    }
}

fn line(random: &mut Random) -> String {
    let mut line = String::new();
    while line.len() < 60 {
        let _ = write!(line, "{:x} ", random.next());
    }
    line + "\r\n"
}

/// Puts mail on the server.
pub fn deliver(imap: &mut Imap, letters: &[Letter]) {
    let mut known: BTreeSet<String> = imap.list().into_iter().map(|mailbox| mailbox.name).collect();
    for (letter, date) in letters.iter().zip(FIRST_DATE..) {
        if known.insert(letter.folder.clone()) {
            imap.ok(&format!("CREATE {}", letter.folder));
            imap.ok(&format!("SUBSCRIBE {}", letter.folder));
        }
        let flags: Vec<&str> = letter.flags.iter().map(String::as_str).collect();
        imap.append(&letter.folder, &flags, date, &letter.bytes);
    }
}

pub fn add(held: &mut Held, letters: &[Letter]) {
    for letter in letters {
        held.entry(letter.folder.clone()).or_default().insert(letter.id.clone(), letter.flags.clone());
    }
}

/// Draws changes of different messages, the flags first.
pub fn draw(held: &Held, changes: Changes, random: &mut Random) -> Vec<Change> {
    let all = held.iter().flat_map(|(folder, messages)| messages.keys().map(|id| (folder.clone(), id.clone())));
    let mut all: Vec<(String, String)> = all.collect();
    let Changes { flags, moves, deletes } = changes;
    let mut drawn = Vec::new();
    for (number, (folder, id)) in random.draw(&mut all, flags).into_iter().enumerate() {
        drawn.push(Change::Flag { folder, id, flag: if number % 2 == 0 { "\\Seen" } else { "\\Flagged" } });
    }
    for (folder, id) in random.draw(&mut all, moves) {
        let others: Vec<&String> = held.keys().filter(|other| **other != folder).collect();
        let to = others[random.index(others.len())].clone();
        drawn.push(Change::Move { folder, id, to });
    }
    drawn.extend(random.draw(&mut all, deletes).into_iter().map(|(folder, id)| Change::Delete { folder, id }));
    drawn
}

/// What the mail is after the changes.
pub fn change(held: &mut Held, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Flag { folder, id, flag } => toggle(message(held, folder, id), flag),
            Change::Move { folder, id, to } => {
                let flags = std::mem::take(message(held, folder, id));
                held.get_mut(folder).expect("a folder").remove(id);
                held.entry(to.clone()).or_default().insert(id.clone(), flags);
            }
            Change::Delete { folder, id } => drop(held.get_mut(folder).expect("a folder").remove(id)),
        }
    }
}

fn message<'a>(held: &'a mut Held, folder: &str, id: &str) -> &'a mut BTreeSet<String> {
    held.get_mut(folder).and_then(|messages| messages.get_mut(id)).expect("a message that is there")
}

pub fn toggle(flags: &mut BTreeSet<String>, flag: &str) {
    if !flags.remove(flag) {
        flags.insert(flag.to_owned());
    }
}

/// Makes the changes as a mail client does: one command for each, and the next after the answer.
pub fn act(imap: &mut Imap, changes: &[Change]) {
    let mut folders: BTreeMap<&String, Vec<&Change>> = BTreeMap::new();
    for change in changes {
        let (Change::Flag { folder, .. } | Change::Move { folder, .. } | Change::Delete { folder, .. }) = change;
        folders.entry(folder).or_default().push(change);
    }
    for (folder, changes) in folders {
        imap.select(folder);
        let messages: BTreeMap<String, (u32, BTreeSet<String>)> =
            fetch(imap).into_iter().map(|(id, uid, flags)| (id, (uid, flags))).collect();
        for change in changes {
            match change {
                Change::Flag { id, flag, .. } => {
                    let (uid, flags) = &messages[id];
                    let sign = if flags.contains(*flag) { '-' } else { '+' };
                    imap.ok(&format!("UID STORE {uid} {sign}FLAGS.SILENT ({flag})"));
                }
                Change::Move { id, to, .. } => {
                    imap.ok(&format!("UID MOVE {} {}", messages[id].0, mailbox_argument(to)));
                }
                Change::Delete { id, .. } => {
                    imap.ok(&format!("UID STORE {} +FLAGS.SILENT (\\Deleted)", messages[id].0));
                    imap.ok(&format!("UID EXPUNGE {}", messages[id].0));
                }
            }
        }
    }
}

/// What an IMAP server holds; folders without mail are left out.
pub fn held(imap: &mut Imap) -> Held {
    let mut held = Held::new();
    for mailbox in imap.list() {
        if imap.ok(&format!("EXAMINE {}", mailbox_argument(&mailbox.name))).exists() == 0 {
            continue;
        }
        let messages = held.entry(mailbox.name.clone()).or_default();
        for (id, _, flags) in fetch(imap) {
            assert!(messages.insert(id.clone(), flags).is_none(), "{id} is twice in {}", mailbox.name);
        }
    }
    held
}

fn fetch(imap: &mut Imap) -> Vec<(String, u32, BTreeSet<String>)> {
    let items = "UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]";
    let fetched = imap.try_fetch(items).expect("a connection that holds");
    fetched
        .into_iter()
        .map(|message| (message_id(&String::from_utf8_lossy(&message.body)), message.uid, message.flags))
        .collect()
}

pub fn message_id(header: &str) -> String {
    let line = header.lines().find_map(|line| line.strip_prefix("Message-ID:"));
    line.expect("a Message-ID").trim().to_owned()
}

/// How two sides differ, in a few lines a person can read.
pub fn tell(held: &Held, wanted: &Held) -> String {
    const SHOWN_MAX: usize = 10;
    let flat = |held: &Held| -> BTreeSet<String> {
        let all = held
            .iter()
            .flat_map(|(folder, messages)| messages.iter().map(move |(id, flags)| format!("{folder} {id} {flags:?}")));
        all.collect()
    };
    let (held, wanted) = (flat(held), flat(wanted));
    let part = |name: &str, only: Vec<&String>| {
        format!("{name} {}: {:#?}\n", only.len(), only.iter().take(SHOWN_MAX).collect::<Vec<_>>())
    };
    part("too much", held.difference(&wanted).collect()) + &part("missing", wanted.difference(&held).collect())
}
