//! Fills a server with mail, in folders with odd names.

use std::collections::BTreeSet;

use crate::support::imap::{Imap, mailbox_argument};
use crate::support::random::Random;

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

const FLAGS: [&str; 9] =
    ["\\Seen", "\\Answered", "\\Flagged", "\\Draft", "$Forwarded", "$Junk", "NonJunk", "work", "to-do.2026"];

/// Creates the folders and appends the messages to them in turn, with random flags and rising dates.
pub fn fill(imap: &mut Imap, delimiter: char, folders: &[&str], messages: &[Vec<u8>], random: &mut Random) {
    let existing: BTreeSet<String> = imap.list().into_iter().map(|mailbox| mailbox.name).collect();
    let wire: Vec<String> = folders.iter().map(|name| name.replace('|', &delimiter.to_string())).collect();
    for name in wire.iter().filter(|name| !existing.contains(*name)) {
        imap.ok(&format!("CREATE {}", mailbox_argument(name)));
        imap.ok(&format!("SUBSCRIBE {}", mailbox_argument(name)));
    }
    let mut waiting = Vec::new();
    for (count, message) in messages.iter().enumerate() {
        let mut flags: Vec<&str> = FLAGS.iter().copied().filter(|_| random.below(5) == 0).collect();
        flags.sort_unstable();
        let folder = &wire[random.index(wire.len())];
        let date = FIRST_DATE + 61 * i64::try_from(count).expect("a small number");
        waiting.push(imap.send_append(folder, &flags, date, message).expect("the server takes it"));
        // In batches: the server may stop reading when nobody takes its answers.
        if waiting.len() == 50 {
            take_answers(imap, &mut waiting);
        }
    }
    take_answers(imap, &mut waiting);
}

fn take_answers(imap: &mut Imap, waiting: &mut Vec<String>) {
    for tag in waiting.drain(..) {
        let reply = imap.answer(&tag).expect("the server answers");
        assert_eq!(reply.status, "OK", "APPEND was answered {}", reply.text);
    }
}
