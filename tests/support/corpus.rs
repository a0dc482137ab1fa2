//! Real mail to test with: a large corpus beside the repository where there is one, the folder that MAILTIDE_CORPUS names,
//! and always the demonstration's.

use std::fs;
use std::path::{Path, PathBuf};

/// Every message there is, as IMAP APPEND takes it: CRLF line ends.
pub fn all() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut messages = demo();
    let more = std::env::var_os("MAILTIDE_CORPUS").map(PathBuf::from);
    for folder in [root.join("tests/corpus"), root.join("../shared/corpus")].into_iter().chain(more) {
        for file in files(&folder) {
            let bytes = fs::read(&file).expect("a readable file");
            messages.extend(split(&bytes).into_iter().map(with_crlf));
        }
    }
    // An empty message cannot be appended, and IMAP literals hold no NUL (RFC 3501 section 9).
    messages.retain(|message| !message.is_empty() && !message.contains(&0));
    messages
}

/// What [`ordering`] calls the part of all mail.
pub const MIXED: &str = "mixed mail";

/// Mail to be sorted and threaded, by names: what was made for that, each file by itself, and a part of the rest.
pub fn ordering() -> Vec<(String, Vec<Vec<u8>>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/dovecot-imaptest");
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let made_for_it =
        files(&folder).into_iter().filter(|path| ["sort-", "thread"].iter().any(|start| name(path).starts_with(start)));
    let one_by_one = made_for_it.map(|path| {
        let bytes = fs::read(&path).expect("a readable file");
        (name(&path), split(&bytes).into_iter().map(with_crlf).collect())
    });
    let rest = all().into_iter().step_by(6).filter(|message| !message.ends_with(b"\r")).collect();
    one_by_one.chain([(MIXED.to_owned(), rest)]).collect()
}

/// The mail of the demonstration.
pub fn demo() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo/mail");
    files(&folder).iter().map(|file| fs::read(file).expect("a readable file")).collect()
}

/// A small message of our own, told from all others by its number.
pub fn small(number: u64) -> Vec<u8> {
    let words = ["harbour", "tide", "anchor", "lantern", "gull", "keel"];
    let word = words[usize::try_from(number).expect("a small number") % words.len()];
    format!(
        "From: Sender {number} <sender{number}@far.example>\r\nTo: me@home.example\r\nSubject: {word} {number}\r\n\
         Date: Mon, 02 Mar 2026 10:00:00 +0000\r\nMessage-ID: <{number}@far.example>\r\n\r\nAbout the {word}.\r\n"
    )
    .into_bytes()
}

/// The message files below a folder, sorted; none where there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a readable name").to_owned();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["SOURCE", "README.md"].contains(&name.as_str()) && !name.starts_with('.') {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The messages of an mbox, or the one message of another file.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    if !bytes.starts_with(b"From ") {
        return vec![bytes];
    }
    let starts: Vec<usize> = std::iter::once(0)
        .chain(bytes.windows(7).enumerate().filter(|(_, window)| window == b"\n\nFrom ").map(|(place, _)| place + 2))
        .chain([bytes.len()])
        .collect();
    let messages = starts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
    // The separating line belongs to the mbox, not to the message.
    messages.filter_map(|message| Some(&message[message.iter().position(|byte| *byte == b'\n')? + 1..])).collect()
}

pub fn with_crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for &byte in bytes {
        if byte == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(byte);
    }
    out
}
