//! All that a server shows of its mail, in a form that two servers can be compared by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io;

use super::imap::{Fetched, Imap};
use super::wait::{SOON, wait_for};

/// Local names (parts joined by `/`) with what is in them, sorted.
pub type Snapshot = BTreeMap<String, Vec<Entry>>;

/// One message: which bytes, which flags, when it came.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Entry {
    pub hash: String,
    pub flags: BTreeSet<String>,
    pub internal_date: i64,
}

impl Entry {
    pub fn of(message: &Fetched) -> Self {
        Self { hash: hash(&message.body), flags: lower_case(&message.flags), internal_date: message.internal_date }
    }
}

pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// Flags and keywords are case-insensitive.
fn lower_case(flags: &BTreeSet<String>) -> BTreeSet<String> {
    flags.iter().map(|flag| flag.to_ascii_lowercase()).collect()
}

/// What the logged-in user's mailboxes hold.
pub fn take(imap: &mut Imap) -> Snapshot {
    try_take(imap).expect("a server that stays")
}

/// As [`take`] while folders are renamed and deleted: a server may then hang up in the middle of a FETCH.
pub fn take_in_motion(mut connect: impl FnMut() -> Imap) -> Snapshot {
    wait_for("a look at all folders", SOON, || try_take(&mut connect()).ok())
}

fn try_take(imap: &mut Imap) -> io::Result<Snapshot> {
    let mut snapshot = Snapshot::new();
    for mailbox in selectable(imap) {
        let reply = imap.try_command(&format!("EXAMINE {}", super::imap::mailbox_argument(&mailbox.wire)))?;
        if reply.status == "NO" {
            // Renamed or deleted since it was listed.
            continue;
        }
        let messages = if reply.exists() == 0 { Vec::new() } else { imap.try_fetch_all()? };
        let mut entries: Vec<Entry> = messages.iter().map(Entry::of).collect();
        entries.sort();
        snapshot.insert(mailbox.local, entries);
    }
    Ok(snapshot)
}

/// A mailbox under both its names.
pub struct Name {
    /// As this server calls it, in UTF-8.
    pub wire: String,
    /// Joined by `/`; a `/` within a part stands as U+2215.
    pub local: String,
}

pub fn selectable(imap: &mut Imap) -> Vec<Name> {
    let is_folder = |attributes: &BTreeSet<String>| {
        attributes.iter().any(|name| ["\\noselect", "\\nonexistent"].contains(&name.to_ascii_lowercase().as_str()))
    };
    let prefix = imap.personal_prefix();
    let listed = imap.list().into_iter().filter(|mailbox| !is_folder(&mailbox.attributes));
    let local = |wire: &str, delimiter| local_name(wire.strip_prefix(&prefix).unwrap_or(wire), delimiter);
    listed.map(|mailbox| Name { local: local(&mailbox.name, mailbox.delimiter), wire: mailbox.name }).collect()
}

fn local_name(wire: &str, delimiter: Option<char>) -> String {
    match delimiter {
        Some('/') => wire.to_owned(),
        Some(delimiter) => wire.replace('/', "\u{2215}").replace(delimiter, "/"),
        None => wire.replace('/', "\u{2215}"),
    }
}

/// How two snapshots differ, in a few lines a person can read.
pub fn tell(left: &Snapshot, right: &Snapshot) -> String {
    const SHOWN_MAX: usize = 8;
    let mut out = String::new();
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    for name in names {
        match (left.get(name), right.get(name)) {
            (Some(left), Some(right)) if left == right => {}
            (Some(left), Some(right)) => {
                let _ = writeln!(out, "{name}: {} messages against {}", left.len(), right.len());
                for (side, only) in [("left", without(left, right)), ("right", without(right, left))] {
                    for entry in only.iter().take(SHOWN_MAX) {
                        let _ = writeln!(out, "  only {side}: {entry:?}");
                    }
                    if only.len() > SHOWN_MAX {
                        let _ = writeln!(out, "  and {} more", only.len() - SHOWN_MAX);
                    }
                }
            }
            (Some(_), None) => drop(writeln!(out, "{name}: only left")),
            (None, _) => drop(writeln!(out, "{name}: only right")),
        }
    }
    out
}

/// What `left` has more of than `right`.
fn without(left: &[Entry], right: &[Entry]) -> Vec<Entry> {
    let mut rest = right.to_vec();
    left.iter()
        .filter(|entry| match rest.iter().position(|other| other == *entry) {
            Some(place) => {
                rest.remove(place);
                false
            }
            None => true,
        })
        .cloned()
        .collect()
}
