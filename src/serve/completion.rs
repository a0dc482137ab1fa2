//! What a message that is submitted lacks in its header, and gets (RFC 6409 section 8): a Message-ID, a Date and a From.
//! One rule for each way in: submission to the agent, to refserver, and `syncctl sendmail`.
//!
//! Rules: a field that says nothing counts as missing, and goes where ours comes, since there may be one and no more (RFC
//! 5322 section 3.6); nothing else of the message changes. Pure.

use std::borrow::Cow;

use crate::message::header;
use crate::types::{Timestamp, limits};

/// A header with nothing missing.
#[derive(Debug, PartialEq, Eq)]
pub struct Completed<'a> {
    /// What comes in front.
    pub missing: String,
    /// What was there, without fields that say nothing.
    pub head: Cow<'a, [u8]>,
}

/// Adds Message-ID, Date and From, as far as `head`, which is the header and what came with it, lacks them. Of a message
/// that is resent nobody here knows who wrote it.
pub fn completed<'a>(head: &'a [u8], author: &str, now: Timestamp, number: u64) -> Completed<'a> {
    let has = |name: &str| header::fields(head).any(|field| field.is(name) && !is_empty(&field));
    let mut missing = String::new();
    let mut added: Vec<&str> = Vec::new();
    if !has("Message-ID") {
        missing += &format!("Message-ID: {}\r\n", new_message_id(head, author, now, number));
        added.push("Message-ID");
    }
    if !has("Date") {
        missing += &format!("Date: {}\r\n", now.to_rfc5322());
        added.push("Date");
    }
    if !author.is_empty() && !has("From") && !has("Resent-From") {
        missing += &format!("From: {author}\r\n");
        added.push("From");
    }
    let head = without_empty(head, &added);
    if !missing.is_empty() && !begins_with_field(&head) {
        // The message has no header at all: its first line is text.
        missing += "\r\n";
    }
    Completed { missing, head }
}

/// `head` without those fields of these names that say nothing.
pub fn without_empty<'a>(head: &'a [u8], names: &[&str]) -> Cow<'a, [u8]> {
    let goes = |field: &header::Field<'_>| names.iter().any(|name| field.is(name)) && is_empty(field);
    if !header::fields(head).any(|field| goes(&field)) {
        return Cow::Borrowed(head);
    }
    let length: usize = header::fields(head).map(|field| field.whole.len()).sum();
    // Of a header that is longer than what is held the last field may go on.
    let is_cut = length == head.len() && length >= limits::HEADER_MAX_BYTES;
    let mut kept = Vec::with_capacity(head.len());
    let mut fields = header::fields(head).peekable();
    while let Some(field) = fields.next() {
        if !goes(&field) || is_cut && fields.peek().is_none() {
            kept.extend_from_slice(field.whole);
        }
    }
    kept.extend_from_slice(&head[length..]);
    Cow::Owned(kept)
}

/// Does it say nothing? A From says something if it names an address, or a group (RFC 6854).
pub fn is_empty(field: &header::Field<'_>) -> bool {
    let value = field.unfolded();
    if !field.is("From") {
        return value.is_empty() || value == b"<>";
    }
    !value.iter().any(|byte| matches!(byte, b'@' | b':'))
}

/// Is there a header? One that is empty counts, and one behind the line that begins a message in an mbox file.
pub fn begins_with_field(head: &[u8]) -> bool {
    let is_field = |field: header::Field<'_>| {
        let behind = field.whole.strip_prefix(field.name).unwrap_or_default();
        is_field_name(field.name) && behind.trim_ascii_start().starts_with(b":")
    };
    let mut fields = header::fields(head);
    let Some(first) = fields.next() else { return true };
    is_field(first) || first.name.starts_with(b"From ") && fields.next().is_some_and(is_field)
}

/// `field-name = 1*ftext` (RFC 5322 section 3.6.8).
fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':')
}

/// A Message-ID that no other message has: of the moment, a number that grows with each, and what is being sent.
fn new_message_id(head: &[u8], author: &str, now: Timestamp, number: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(author.as_bytes()).update(b"\0").update(head);
    let hash = hasher.finalize().to_hex();
    let domain = author.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    // A domain in another script is not for a header of an ASCII message.
    let domain = if domain.is_ascii() { domain } else { "localhost" };
    format!("<{}.{}@{domain}>", now.unix_ms(), &hash[..20])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added_and_what_says_nothing_goes() {
        let now = Timestamp::from_unix_ms(1_000_000_000_000);
        let (date, from) = ("Date: Sun, 09 Sep 2001 01:46:40 +0000\r\n", "From: me@example.org\r\n");
        let both = format!("{date}{from}");
        let with_line = |fields: &str| format!("{fields}\r\n");
        for (head, message_id, rest, kept) in [
            ("Message-ID: <1@x>\r\nDate: now\r\nFrom: a@b\r\n\r\n", false, String::new(), None),
            ("message-id: <1@x>\r\nSubject: x\r\n\r\n", false, both.clone(), None),
            ("Date: now\r\nMessage-Id:\r\n\r\n", true, from.to_owned(), Some("Date: now\r\n\r\n")),
            ("Date: now\r\nfrom:\r\n\r\nFrom:\r\n", true, from.to_owned(), Some("Date: now\r\n\r\nFrom:\r\n")),
            ("Date: \r\nFrom: <>\r\nSubject:\r\n", true, both.clone(), Some("Subject:\r\n")),
            ("Date: now\r\nFrom: \r\n \r\nA: b\r\n", true, from.to_owned(), Some("Date: now\r\nA: b\r\n")),
            ("Date: now\r\nFrom:\r\nFrom: a@b\r\n\r\n", true, String::new(), None),
            ("Date: now\r\nFrom: root (Cron Daemon)\r\n\r\n", true, from.to_owned(), Some("Date: now\r\n\r\n")),
            ("Date: now\r\nFrom: nobody:;\r\n\r\n", true, String::new(), None),
            ("Date: now\r\nResent-From: a@b\r\n\r\n", true, String::new(), None),
            ("From:\r\n\r\nbody", true, both.clone(), Some("\r\nbody")),
            ("\r\nbody", true, both.clone(), None),
            ("", true, both.clone(), None),
            ("just text\r\nDate: no\r\n", true, with_line(from), None),
            ("two words: text\r\n", true, with_line(&both), None),
        ] {
            let Completed { missing, head: left } = completed(head.as_bytes(), "me@example.org", now, 1);
            let rest_given = match message_id {
                true => missing.split_once("@example.org>\r\n").map(|(_, rest)| rest.to_owned()),
                false => Some(missing.clone()),
            };
            assert_eq!(missing.starts_with("Message-ID: <1000000000000."), message_id, "{head:?}");
            assert_eq!(rest_given, Some(rest), "{head:?}");
            assert_eq!(String::from_utf8_lossy(&left), kept.unwrap_or(head), "{head:?}");
        }
    }

    #[test]
    fn a_field_that_may_go_on_is_not_empty() {
        let head = format!("A: {}\r\nFrom:", "x".repeat(limits::HEADER_MAX_BYTES));
        assert_eq!(without_empty(head.as_bytes(), &["From"]), head.as_bytes());
    }

    #[test]
    fn no_two_messages_get_the_same_message_id() {
        let now = Timestamp::from_unix_ms(0);
        assert_ne!(new_message_id(b"a", "me@x", now, 1), new_message_id(b"a", "me@x", now, 2));
    }
}
