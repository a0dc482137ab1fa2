//! SEARCH: a program and its opposite part the mailbox between them; what a message's body holds its text holds; how the
//! message's bytes are read makes no difference.
//!
//! Input: up to the first line end the search program, behind it a message.

use std::io;

use mailtide::imap::server::{Capabilities, Session, SessionConfig};
use mailtide::message::Scanner;
use mailtide::message::search::{Candidate, Query, UNINDEXED};
use mailtide::types::{ByteSource, Flags, InternalDate, LocalUid, ModSeq, Timestamp};

use super::converse::{NOW, converse};
use super::imap_wire::responses;
use super::pieces::Cut;
use crate::imap::memory_backend::MemoryBackend;

pub fn check(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (program, message) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    programs(program.trim_ascii(), message);
    texts(&String::from_utf8_lossy(program), message);
}

/// What the session finds.
fn programs(program: &[u8], message: &[u8]) {
    if program.is_empty() || program.contains(&b'{') {
        return;
    }
    let backend = MemoryBackend::new();
    backend.fill_inbox(1, message);
    backend.fill_inbox(2, b"Subject: other\r\n\r\nother text\r\n");
    let search = |program: &[u8]| {
        let config = SessionConfig {
            scram_nonce: None,
            binding: None,
            name: "Mailtide".to_owned(),
            version: "1".to_owned(),
            plaintext_login: true,
            tokens: true,
            starttls: false,
            capabilities: Capabilities::all(),
        };
        let session = Session::new(config, backend.clone(), NOW);
        let lines = [b"a LOGIN alice secret\r\nb EXAMINE INBOX\r\nc UID SEARCH ", program, b"\r\n"].concat();
        let said = converse(session, &lines, Cut::Whole);
        let found = responses(&said.output).into_iter().find_map(|line| {
            let uids = std::str::from_utf8(line.strip_prefix(b"* SEARCH")?).ok()?.split("(MODSEQ").next()?;
            Some(uids.split_whitespace().map(|uid| uid.parse().expect("a UID")).collect::<Vec<u32>>())
        });
        found.unwrap_or_default()
    };
    let no_charset = [b"OR ALL (", program, b")"].concat();
    if search(&no_charset) != [1, 2, 3] {
        // Not a program.
        return;
    }
    let yes = search(program);
    let no = search(&[b"NOT (", program, b")"].concat());
    let mut both = [yes.clone(), no.clone()].concat();
    both.sort_unstable();
    assert_eq!(both, [1, 2, 3], "{} finds {yes:?}, its opposite {no:?}", program.escape_ascii());
    assert_eq!(search(&[b"NOT NOT (", program, b")"].concat()), yes);
    assert_eq!(search(&[b"OR (", program, b") (", program, b")"].concat()), yes);
}

/// Gives few bytes at a time.
struct Slow<'a>(&'a [u8]);

impl ByteSource for Slow<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        Ok(rest[..rest.len().min(max).min(7)].to_vec())
    }
}

/// What a query finds.
fn texts(needle: &str, message: &[u8]) {
    let summary = Scanner::scan(message);
    let matches = |query: &Query| {
        let found = |bytes: &mut dyn ByteSource| {
            let mut candidate = Candidate {
                uid: LocalUid::new(1),
                flags: &Flags::none(),
                mod_seq: ModSeq::new(1),
                internal_date: InternalDate::new(0, 0),
                saved: Timestamp::from_unix_ms(0),
                email_id: "M1",
                size_bytes: message.len() as u64,
                summary: Some(&summary),
                bytes: Some(bytes),
                indexed: UNINDEXED,
            };
            query.matches(&mut candidate).expect("memory can be read")
        };
        let (fast, slow) = (found(&mut message.to_vec()), found(&mut Slow(message)));
        assert_eq!(fast, slow, "{query:?} in bytes that come slowly");
        fast
    };
    let needle: String = needle.chars().take(40).collect();
    let (body, text) = (matches(&Query::Body(needle.clone())), matches(&Query::Text(needle.clone())));
    assert!(text || !body, "what is in the body is in the text: {needle:?}");
    let header = matches(&Query::Header { name: "Subject".to_owned(), value: needle.clone() });
    let exists = matches(&Query::Header { name: "Subject".to_owned(), value: String::new() });
    assert!(exists || !header, "a field that does not exist holds {needle:?}");
    assert!(text || !header, "what is in a header is in the text: {needle:?}");
    let parts = needle.chars().count() / 2;
    let half: String = needle.chars().take(parts).collect();
    assert!(!body || matches(&Query::Body(half.clone())), "{needle:?} is there and its beginning {half:?} is not");
}
