//! Fields that are not to reach the recipients: Authentication-Results fields that others wrote in our name (RFC 8601
//! section 5), for who reads ours would believe them; Bcc in what our users send; and Return-Path, which is ours to write
//! (RFC 5321 section 4.4). Before a text without a header comes the empty line that ends ours. Pure.

use std::borrow::Cow;

use crate::serve::completion::begins_with_field;
use crate::smtp::reply::Refusal;
use crate::types::limits;

/// Takes such fields out of a message that comes in pieces: its header is held until it is complete.
#[derive(Debug, Default)]
pub(super) struct Cleaner {
    held: Vec<u8>,
    /// Bcc fields go as well: the message is on its way from its author to all of its recipients.
    takes_bcc: bool,
    /// A server of ours found out what it says in our name.
    keeps_results: bool,
    /// The header is through.
    in_body: bool,
    /// How many were taken out.
    pub removed: usize,
}

impl Cleaner {
    /// For what users of ours send.
    pub(super) fn of_submissions() -> Self {
        Self { takes_bcc: true, ..Self::default() }
    }

    /// For what servers of ours bring.
    pub(super) fn of_our_servers() -> Self {
        Self { keeps_results: true, ..Self::default() }
    }

    /// Takes the next bytes. Gives what may go on.
    pub(super) fn push<'a>(&mut self, bytes: &'a [u8], our_name: &str) -> Result<Cow<'a, [u8]>, Refusal> {
        if self.in_body {
            return Ok(Cow::Borrowed(bytes));
        }
        // An end may lie across two pieces.
        let from = self.held.len().saturating_sub(3);
        self.held.extend_from_slice(bytes);
        let ends = self.held.starts_with(b"\r\n") || self.held[from..].windows(4).any(|end| end == b"\r\n\r\n");
        if ends {
            self.in_body = true;
            return Ok(Cow::Owned(self.finish(our_name)));
        }
        match self.held.len() > limits::HEADER_MAX_BYTES {
            true => Err(Refusal::permanent(552, "5.3.4", "The header is too long")),
            false => Ok(Cow::Borrowed(&[])),
        }
    }

    /// Gives what is still held: nothing comes any more.
    pub(super) fn finish(&mut self, our_name: &str) -> Vec<u8> {
        let is_unwanted = |field: &[u8]| {
            !self.keeps_results && is_forged(field, our_name)
                || self.takes_bcc && is_blind(field)
                || is_return_path(field)
        };
        let (kept, removed) = without(&std::mem::take(&mut self.held), is_unwanted);
        self.removed += removed;
        kept
    }
}

/// The message from elsewhere without such fields, and how many those were.
pub(super) fn cleaned(message: &[u8], our_name: &str) -> (Vec<u8>, usize) {
    without(message, |field| is_forged(field, our_name) || is_return_path(field))
}

/// The message without fields that are not wanted, and how many those were.
fn without(message: &[u8], is_unwanted: impl Fn(&[u8]) -> bool) -> (Vec<u8>, usize) {
    let (mut kept, mut removed) = (Vec::with_capacity(message.len()), 0);
    let mut rest = message;
    while let Some(end) = field_end(rest) {
        let (field, after) = rest.split_at(end);
        match is_unwanted(field) {
            true => removed += 1,
            false => kept.extend_from_slice(field),
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    if !begins_with_field(&kept) {
        kept.splice(..0, *b"\r\n");
    }
    (kept, removed)
}

fn is_forged(field: &[u8], our_name: &str) -> bool {
    match results_of(field) {
        Some(None) => true,
        Some(Some(writer)) => writer.eq_ignore_ascii_case(our_name),
        None => false,
    }
}

/// Does it name those whom the other recipients are not to know of (RFC 5322 sections 3.6.3 and 3.6.6)?
fn is_blind(field: &[u8]) -> bool {
    is_named(field, "Bcc") || is_named(field, "Resent-Bcc")
}

fn is_return_path(field: &[u8]) -> bool {
    is_named(field, "Return-Path")
}

fn is_named(field: &[u8], name: &str) -> bool {
    let written = field.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii_end();
    written.eq_ignore_ascii_case(name.as_bytes())
}

/// Where the field at the start ends, its folded lines included; none at the end of the header.
fn field_end(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.starts_with(b"\r\n") || text.starts_with(b"\n") {
        return None;
    }
    let mut end = 0;
    loop {
        let line = text[end..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| end + at + 1);
        end = line;
        if !matches!(text.get(end), Some(b' ' | b'\t')) {
            return Some(end);
        }
    }
}

/// Of an Authentication-Results field: who wrote it, if that can be read.
fn results_of(field: &[u8]) -> Option<Option<String>> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let name = field[..colon].trim_ascii_end();
    name.eq_ignore_ascii_case(b"Authentication-Results").then(|| authserv_id(&field[colon + 1..]))
}

/// `authres-payload = [CFWS] authserv-id ...`, `authserv-id = value` (RFC 8601 section 2.2), a token or a quoted string.
fn authserv_id(payload: &[u8]) -> Option<String> {
    let rest = after_cfws(payload)?;
    let mut id = Vec::new();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let mut bytes = quoted.iter();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => id.push(*bytes.next()?),
                byte => id.push(*byte),
            }
        }
    } else {
        id.extend(rest.iter().take_while(|byte| !byte.is_ascii_whitespace() && !b";(\"/".contains(byte)));
    }
    String::from_utf8(id).ok().filter(|id| !id.is_empty())
}

/// What follows white space and comments, which may be nested (RFC 5322 section 3.2.2).
fn after_cfws(text: &[u8]) -> Option<&[u8]> {
    let (mut depth, mut place) = (0_usize, 0);
    while let Some(byte) = text.get(place) {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => place += 1,
            byte if depth == 0 && !byte.is_ascii_whitespace() => return Some(&text[place..]),
            _ => {}
        }
        place += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_it_is_ours_goes_and_everything_else_stays_as_it_is() {
        let body = "\r\nAuthentication-Results: mx.here; spf=pass\r\n";
        for (field, is_forged) in [
            ("Authentication-Results: mx.here; spf=pass\r\n", true),
            ("authentication-results : MX.Here 1;\r\n\tspf=pass\r\n smtp.mailfrom=x\r\n", true),
            ("Authentication-Results:\r\n (a (nested \\) one)) \"mx.he\\re\";spf=pass\r\n", true),
            ("Authentication-Results: mx.here(x);none\r\n", true),
            ("Authentication-Results: mx.here/1; none\r\n", true),
            ("Authentication-Results: (never ends\r\n", true),
            ("Authentication-Results: ; none\r\n", true),
            ("Authentication-Results: mx.here\n", true),
            ("Authentication-Results: mx.there; spf=pass\r\n", false),
            ("Authentication-Results: mx.here.there; spf=pass\r\n", false),
            ("X-Authentication-Results: mx.here; spf=pass\r\n", false),
            ("return-path : <x@y>\r\n", true),
            ("X-Return-Path: <x@y>\r\n", false),
            ("Subject: x\r\n Authentication-Results: mx.here; spf=pass\r\n", false),
            ("no field\r\n", false),
        ] {
            let message = format!("A: b\r\n{field}C: d\r\n{body}");
            let (kept, removed) = cleaned(message.as_bytes(), "mx.here");
            let expected = if is_forged { format!("A: b\r\nC: d\r\n{body}") } else { message };
            assert_eq!((String::from_utf8_lossy(&kept).as_ref(), removed), (expected.as_str(), usize::from(is_forged)));
        }
    }

    #[test]
    fn a_message_in_pieces_is_cleaned_as_one_that_is_whole() {
        for message in [
            "A: b\r\nAuthentication-Results: mx.here;\r\n\tspf=pass\r\nC: d\r\n\r\nAuthentication-Results: mx.here; none\r\n",
            "Authentication-Results: mx.here; none\r\n\r\nbody",
            "\r\nAuthentication-Results: mx.here; none\r\n",
            "A: b\r\nAuthentication-Results: mx.here; none\r\n",
            "Hello,\r\nthis is text: without a header\r\n\r\nReturn-Path: x\r\n",
            "",
        ] {
            let (expected, removed) = cleaned(message.as_bytes(), "mx.here");
            for size in [1, 2, 3, 7, 1000] {
                let (mut cleaner, mut kept) = (Cleaner::default(), Vec::new());
                for piece in message.as_bytes().chunks(size) {
                    kept.extend_from_slice(&cleaner.push(piece, "mx.here").expect("a short header"));
                }
                kept.extend_from_slice(&cleaner.finish("mx.here"));
                assert_eq!(
                    (String::from_utf8_lossy(&kept), cleaner.removed),
                    (String::from_utf8_lossy(&expected), removed)
                );
            }
        }
    }

    #[test]
    fn of_what_is_submitted_bcc_goes_as_well() {
        let message = b"A: b\r\nBcc: x@y,\r\n z@y\r\nresent-bcc : q\r\nX-Bcc: k\r\n\r\nBcc: body\r\n";
        let kept =
            |mut cleaner: Cleaner| String::from_utf8(cleaner.push(message, "mx.here").expect("short").into_owned());
        assert_eq!(kept(Cleaner::of_submissions()).expect("text"), "A: b\r\nX-Bcc: k\r\n\r\nBcc: body\r\n");
        assert_eq!(kept(Cleaner::default()).expect("text").as_bytes(), message);
    }

    #[test]
    fn a_header_that_never_ends_is_refused() {
        let (mut cleaner, line) = (Cleaner::default(), format!("A: {}\r\n", "x".repeat(994)));
        let taken = (0..2000).take_while(|_| cleaner.push(line.as_bytes(), "mx.here").is_ok()).count();
        assert!((1000..1100).contains(&taken), "{taken}");
    }

    #[test]
    fn any_bytes_are_taken() {
        for message in
            [&b""[..], b"\r\n", b"\n", b"Authentication-Results:", b"Authentication-Results: \"\\", b"a\xff:"]
        {
            let (kept, removed) = cleaned(message, "mx.here");
            let behind_ours = [b"\r\n", message].concat();
            assert!(kept == message || kept == behind_ours || removed == 1, "{message:?}");
        }
    }

    #[test]
    fn a_text_without_a_header_does_not_become_part_of_ours() {
        for (message, is_text) in [
            ("Hello\r\n", true),
            (" indented\r\nA: b\r\n", true),
            ("From me to you\r\n\r\nA: b\r\n", true),
            ("From me@here Mon Jan 1 00:00:00 2001\r\nA: b\r\n\r\n", false),
            ("A: b\r\n\r\n", false),
            ("\r\nHello\r\n", false),
        ] {
            let expected = if is_text { format!("\r\n{message}") } else { message.to_owned() };
            let kept = Cleaner::of_our_servers().push(message.as_bytes(), "mx.here").expect("short").into_owned();
            assert_eq!(String::from_utf8(cleaned(message.as_bytes(), "mx.here").0), Ok(expected.clone()));
            assert!(kept.is_empty() || kept == expected.as_bytes(), "{message:?}");
        }
    }
}
