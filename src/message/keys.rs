//! By what messages are sorted and threaded (RFC 5256, RFC 5957): computed once when a message arrives, so that a SORT of
//! a large mailbox reads nothing else of it.
//!
//! Strings are kept as i;unicode-casemap compares them, Message-IDs as hashes: who makes two of them meet gets a wrong
//! thread, of his own mail. Long values are cut at a limit, beyond which two messages are taken for equal.

use serde::{Deserialize, Serialize};

use super::casemap::casemapped;
use super::header::fields;
use super::lexical::Cursor;
use super::subject::BaseSubject;
use super::{Address, Envelope, header_value};
use crate::types::{InternalDate, LocalUid, limits};

/// What of the keys is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysRead {
    /// The sent date alone; the others are left empty.
    SentDate,
    All,
}

/// A message in a mailbox with its keys; of one whose bytes are not here they are empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    pub uid: LocalUid,
    pub internal_date: InternalDate,
    pub size_bytes: u64,
    pub keys: Keys,
}

impl Keyed {
    /// The sent date in seconds since the epoch: "If the sent date cannot be determined ..., the INTERNALDATE for that
    /// message is used as the sent date" (RFC 5256 section 2.2).
    pub fn sent_s(&self) -> i64 {
        self.keys.sent_s.unwrap_or_else(|| self.internal_date.unix_seconds())
    }
}

/// The keys of one message. Stored; their encoding is postcard, so fields are only ever added with a migration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The Date header in seconds since the epoch, where it can be read (RFC 5256 section 2.2).
    pub sent_s: Option<i64>,
    /// The base subject (section 2.1).
    pub subject: String,
    /// The subject says that it is a reply or a forward (section 3, REFERENCES).
    pub is_reply: bool,
    /// addr-mailbox of the first address.
    pub from: String,
    pub to: String,
    pub cc: String,
    /// The display value of the first address (RFC 5957 section 3).
    pub display_from: String,
    pub display_to: String,
    pub message_id: Option<u64>,
    /// The messages this one answers, oldest first.
    pub references: Vec<u64>,
}

impl Keys {
    /// Of a message with that envelope and header.
    pub fn of(envelope: &Envelope, header: &[u8]) -> Self {
        Self::with_references(envelope, references(header))
    }

    /// Of a message with that envelope, and [`references`] of its header.
    pub(super) fn with_references(envelope: &Envelope, references: Vec<u64>) -> Self {
        let subject = BaseSubject::of(&envelope.subject.as_deref().map(header_value).unwrap_or_default());
        Self {
            sent_s: envelope.sent.map(|(seconds, _)| seconds),
            subject: key(&subject.text),
            is_reply: subject.is_reply,
            from: mailbox_of_first(&envelope.from),
            to: mailbox_of_first(&envelope.to),
            cc: mailbox_of_first(&envelope.cc),
            display_from: display_of_first(&envelope.from),
            display_to: display_of_first(&envelope.to),
            message_id: envelope.message_id.as_deref().and_then(|value| message_ids(value).next()),
            references,
        }
    }
}

/// The messages that a header says its message answers: "If a message contains a References header line, then use the
/// Message IDs in" it, else "the first (if any) valid Message ID found in the In-Reply-To header line" (RFC 5256
/// section 3). Of a longer list the last ones, which are the nearest.
pub(super) fn references(header: &[u8]) -> Vec<u64> {
    let (mut references, mut parent) = (Vec::new(), None);
    for field in fields(header) {
        if field.is("References") {
            references = message_ids(&field.unfolded()).collect();
        } else if field.is("In-Reply-To") {
            parent = message_ids(&field.unfolded()).next();
        }
    }
    if references.is_empty() {
        return parent.into_iter().collect();
    }
    references.drain(..references.len().saturating_sub(limits::REFERENCES_MAX));
    references
}

/// The valid Message-IDs of an unfolded header value, without quoting and white space: "Implementations of the
/// REFERENCES threading algorithm MUST normalize any msg-id" (RFC 5256 section 3).
fn message_ids(value: &[u8]) -> impl Iterator<Item = u64> {
    let mut cursor = Cursor::new(value);
    std::iter::from_fn(move || {
        loop {
            cursor.skip_to(|byte| byte == b'<');
            cursor.bump()?;
            if let Some(id) = message_id(&mut cursor) {
                return Some(id);
            }
        }
    })
}

/// `msg-id = "<" id-left "@" id-right ">"` (RFC 5322 section 3.6.4), behind its angle bracket.
fn message_id(cursor: &mut Cursor<'_>) -> Option<u64> {
    let (mut id, mut at) = (Vec::new(), None);
    loop {
        cursor.skip_blank();
        match cursor.peek() {
            None | Some(b'<') => return None,
            Some(b'>') => {
                cursor.bump();
                let valid = at.is_some_and(|at| at > 0 && at + 1 < id.len());
                let hash = blake3::hash(&id);
                return hash.as_bytes().first_chunk().copied().map(u64::from_le_bytes).filter(|_| valid);
            }
            Some(b'"') => id.extend(cursor.quoted_string()),
            Some(byte) => {
                if byte == b'@' {
                    at = Some(id.len());
                }
                id.extend(cursor.bump());
            }
        }
    }
}

/// "[IMAP] addr-mailbox of the first ... address" (RFC 5256 section 3).
fn mailbox_of_first(addresses: &[Address]) -> String {
    let mailbox = addresses.first().and_then(|address| address.mailbox.as_deref());
    key(&String::from_utf8_lossy(mailbox.unwrap_or_default()))
}

/// The name of the first address, or where it has none the address itself (RFC 5957 section 3).
fn display_of_first(addresses: &[Address]) -> String {
    let Some(first) = addresses.first() else { return String::new() };
    let name = first.name.as_deref().map(header_value).unwrap_or_default();
    if !name.is_empty() {
        return key(&name);
    }
    let text = |part: &Option<Vec<u8>>| String::from_utf8_lossy(part.as_deref().unwrap_or_default()).into_owned();
    match first.host.as_deref() {
        Some(host) if !host.is_empty() => key(&format!("{}@{}", text(&first.mailbox), text(&first.host))),
        _ => key(&text(&first.mailbox)),
    }
}

fn key(text: &str) -> String {
    let mut end = text.len().min(limits::SORT_KEY_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    casemapped(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scanner;

    fn keys(header: &str) -> Keys {
        Scanner::scan_with_keys(format!("{header}\r\n\r\nbody").as_bytes()).1
    }

    #[test]
    fn a_message_is_sorted_by_what_a_reader_sees() {
        let keys = keys(
            "From: =?utf-8?q?J=C3=B6?= <joe@example.org>, x@y\r\nTo: jane@example.org\r\nCc: friends: a@b;\r\n\
             Date: Sun, 9 Sep 2001 03:46:40 +0200\r\nSubject: Re: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
        );
        assert_eq!(keys.sent_s, Some(1_000_000_000));
        assert_eq!((keys.subject.as_str(), keys.is_reply), ("GRU\u{308}ßE", true));
        assert_eq!((keys.from.as_str(), keys.to.as_str(), keys.cc.as_str()), ("JOE", "JANE", "FRIENDS"));
        assert_eq!((keys.display_from.as_str(), keys.display_to.as_str()), ("JO\u{308}", "JANE@EXAMPLE.ORG"));
        assert_eq!(super::tests::keys(""), Keys::default());
    }

    #[test]
    fn message_ids_are_the_same_however_they_are_quoted() {
        let one = keys("Message-ID: <\"01KF8JCEOCBS0045PS\"@xxx.yyy.com>").message_id;
        assert!(one.is_some());
        for other in ["<01KF8JCEOCBS0045PS@xxx.yyy.com>", " (c) < 01KF8JCEOCBS0045PS @ xxx.yyy.com > junk"] {
            assert_eq!(keys(&format!("Message-ID: {other}")).message_id, one, "{other}");
        }
        for other in
            ["", "01KF8JCEOCBS0045PS@xxx.yyy.com", "<a>", "<@b>", "<a@>", "<a@b", "<01kf8jceocbs0045ps@xxx.yyy.com>"]
        {
            assert_ne!(keys(&format!("Message-ID: {other}")).message_id, one, "{other}");
        }
    }

    #[test]
    fn references_count_before_in_reply_to() {
        let id = |text: &str| keys(&format!("Message-ID: {text}")).message_id.expect("an id");
        let (a, b, c) = (id("<a@x>"), id("<b@x>"), id("<c@x>"));
        assert_eq!(keys("References: <a@x>\r\n <b@x>\r\nIn-Reply-To: <c@x>").references, [a, b]);
        assert_eq!(keys("References: none\r\nIn-Reply-To: <c@x> from <a@x>").references, [c]);
        assert_eq!(keys("References: <a@x><b@x> <broken <c@x>").references, [a, b, c]);
        assert!(keys("In-Reply-To: your message").references.is_empty());
        let many: String = (0..limits::REFERENCES_MAX).map(|number| format!("\r\n <{number}@x>")).collect();
        let kept = keys(&format!("References: <a@x>{many}")).references;
        assert_eq!((kept.len(), kept[0]), (limits::REFERENCES_MAX, id("<0@x>")));
    }
}
