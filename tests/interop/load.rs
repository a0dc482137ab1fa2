//! Fills a server with mail, in folders with odd names.

use std::collections::BTreeSet;

use crate::support::imap::{Imap, mailbox_argument};
use crate::support::random::Random;
use crate::support::server::Naming;

/// The first date of the mail put on servers: 2001-09-09 01:46:40 UTC.
pub const FIRST_DATE: i64 = 1_000_000_000;

/// Folder names with `|` where the server's delimiter goes. The other usual delimiter is then part of a name.
pub const FOLDERS: [&str; 13] = [
    "INBOX",
    "Archive|2025|Spring",
    "Archive|2026",
    "With spaces  two",
    "Größe & Maß",
    "收件箱|二〇二六",
    "日本語のフォルダ",
    // No backslash: Dovecot 2.3.19 with listescape ends in an assertion on one.
    "quote\"and'quote",
    "Trash~ (old) {1} %w",
    "😀 astral",
    "CaseMatters|casematters",
    "and/or",
    "v1.0",
];

/// Names that every server takes.
pub const PLAIN_FOLDERS: [&str; 8] = [
    "INBOX",
    "Archive|2025|Spring",
    "Archive|2026",
    "With spaces two",
    "Größe & Maß",
    "收件箱|二〇二六",
    "日本語のフォルダ",
    "CaseMatters|casematters",
];

const FLAGS: [&str; 9] =
    ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "$Forwarded", "$Junk", "NonJunk", "work", "to-do.2026"];

/// Creates the folders and appends the messages to them in turn, with random flags and rising dates. Some servers take no
/// message that is malformed: returns how many were refused.
pub fn fill(imap: &mut Imap, naming: Naming, folders: &[&str], messages: &[Vec<u8>], random: &mut Random) -> usize {
    let existing: BTreeSet<String> = imap.list().into_iter().map(|mailbox| mailbox.name).collect();
    let wire: Vec<String> = folders.iter().map(|name| naming.wire(name, '|')).collect();
    for name in wire.iter().filter(|name| !existing.contains(*name)) {
        imap.ok(&format!("CREATE {}", mailbox_argument(name)));
        imap.ok(&format!("SUBSCRIBE {}", mailbox_argument(name)));
    }
    // In batches: the server may stop reading when nobody takes its answers.
    let batch = if imap.takes_literals_at_once() { 50 } else { 1 };
    let (mut waiting, mut refused) = (Vec::new(), 0);
    for (count, message) in messages.iter().enumerate() {
        let mut flags: Vec<&str> = FLAGS.iter().copied().filter(|_| random.below(5) == 0).collect();
        flags.sort_unstable();
        let folder = &wire[random.index(wire.len())];
        let date = FIRST_DATE + 61 * i64::try_from(count).expect("a small number");
        waiting.push(imap.send_append(folder, &flags, date, message).expect("the server takes it"));
        if waiting.len() == batch {
            refused += take_answers(imap, &mut waiting);
        }
    }
    refused + take_answers(imap, &mut waiting)
}

fn take_answers(imap: &mut Imap, waiting: &mut Vec<String>) -> usize {
    let answers = waiting.drain(..).map(|tag| imap.answer(&tag).expect("the server answers"));
    answers.filter(|reply| reply.status != "OK").count()
}
