//! Text as a reader sees it: encoded-words, transfer encodings and charsets decoded (RFC 2047, RFC 2045 section 6), for
//! SEARCH and for what people are shown of a message: what is served is never decoded.
//!
//! A part is decoded in windows, so that one of 100 MB needs no more memory than one of 1 MB. What cannot be decoded is
//! searched as it stands.

use std::io;

use mail_parser::decoders::charsets::map::charset_decoder;
use mail_parser::parsers::MessageStream;

use super::Part;
use super::transfer::Transfer;
use crate::types::ByteSource;
use crate::types::limits::SEARCH_WINDOW_BYTES;

/// An unfolded header value, its encoded-words decoded.
pub fn header_value(value: &[u8]) -> String {
    let mut line = decoded(value, None).into_bytes();
    line.push(b'\n');
    match MessageStream::new(&line).parse_unstructured() {
        mail_parser::HeaderValue::Text(text) => text.into_owned(),
        _ => String::new(),
    }
}

/// The beginning of a part's text: what its first `max_bytes` decode to.
pub(super) fn beginning(part: &Part, bytes: &mut dyn ByteSource, max_bytes: usize) -> io::Result<String> {
    let end = part.end.min(part.body_start.saturating_add(max_bytes as u64));
    let encoded = window(bytes, part.body_start, end)?;
    Ok(Decoder::new(part).text(&encoded, true))
}

/// The bytes from `offset` on, to `end` or to the size of a window.
pub(super) fn window(bytes: &mut dyn ByteSource, offset: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut window: Vec<u8> = Vec::new();
    loop {
        let at = offset + window.len() as u64;
        let room = (end - at).min((SEARCH_WINDOW_BYTES - window.len()) as u64);
        let piece = bytes.read_at(at, usize::try_from(room).unwrap_or(SEARCH_WINDOW_BYTES))?;
        if piece.is_empty() {
            return Ok(window);
        }
        window.extend(piece);
    }
}

/// The way from a part's bytes to its text, window by window.
pub(super) struct Decoder<'a> {
    transfer: Transfer,
    charset: Option<&'a [u8]>,
    /// Decoded bytes that wait for the rest of their character.
    bytes: Vec<u8>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(part: &'a Part) -> Self {
        let transfer = Transfer::named(&part.encoding).unwrap_or(Transfer::Identity);
        let charset = part.parameters.iter().find(|(name, _)| name == "CHARSET").map(|(_, value)| value.as_slice());
        Self { transfer, charset, bytes: Vec::new() }
    }

    pub(super) fn text(&mut self, window: &[u8], is_last: bool) -> String {
        self.transfer.decode(window, is_last, &mut self.bytes);
        let complete = if is_last { self.bytes.len() } else { complete_characters(&self.bytes, self.charset) };
        let rest = self.bytes.split_off(complete);
        decoded(&std::mem::replace(&mut self.bytes, rest), self.charset)
    }
}

/// How many of `bytes` are whole characters: in UTF-8 by its own rule, else up to the last line break, since in most
/// other charsets a byte does not tell whether it ends a character.
fn complete_characters(bytes: &[u8], charset: Option<&[u8]>) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(_) if charset.is_none_or(is_utf8) => bytes.len(),
        Err(error) if charset.is_none_or(is_utf8) && error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.iter().rposition(|byte| *byte == b'\n').map_or(bytes.len(), |place| place + 1),
    }
}

fn is_utf8(charset: &[u8]) -> bool {
    [&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii"].iter().any(|name| name.eq_ignore_ascii_case(charset))
}

/// `bytes` in `charset`; those that are said to be ASCII or UTF-8, or nothing is said of, and are not, in Windows-1252.
fn decoded(bytes: &[u8], charset: Option<&[u8]>) -> String {
    let decode_as = |charset: &[u8]| charset_decoder(charset).map(|decode| decode(bytes));
    match charset.filter(|charset| !is_utf8(charset)).and_then(decode_as) {
        Some(text) => text,
        None => match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => decode_as(b"windows-1252").unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::fold::folded;
    use super::super::searched;
    use super::*;
    use crate::message::Scanner;

    fn contains(message: &[u8], needle: &str) -> bool {
        let summary = Scanner::scan(message);
        searched::contains(&summary, &mut message.to_vec(), false, &folded(needle)).expect("memory can be read")
    }

    #[test]
    fn text_is_found_as_a_reader_sees_it() {
        for (header, body, needle, expected) in [
            ("", &b"Hello World"[..], "hello w", true),
            ("", b"Hello World", "hellow", false),
            ("", b"", "x", false),
            ("Content-Type: text/plain; charset=utf-8", "Straße Ελλάς".as_bytes(), "STRASSE ΕΛΛΆΣ", true),
            ("Content-Type: text/plain; charset=iso-8859-1", b"gr\xfcn", "GRÜN", true),
            ("Content-Type: text/plain; charset=us-ascii", b"gr\xfcn", "grün", true),
            ("Content-Type: text/plain; charset=x-unknown", "grün".as_bytes(), "grün", true),
            ("Content-Type: text/plain; charset=gb2312", b"\xc4\xe3\xba\xc3", "你好", true),
            ("Content-Type: text/plain; charset=iso-2022-jp", b"\x1b$B$3$s\x1b(B", "こん", true),
            ("Content-Transfer-Encoding: quoted-printable", b"soft=\r\nbreak =C3=BC =zz", "softbreak ü", true),
            ("Content-Transfer-Encoding: quoted-printable", b"broken =zz", "=zz", true),
            ("Content-Transfer-Encoding: base64", b"aGVs\r\nbG8=", "HELLO", true),
            ("Content-Transfer-Encoding: base64", b"aGVsbG8", "hello", true),
        ] {
            let message = [header.as_bytes(), b"\r\n\r\n", body].concat();
            let message = if header.is_empty() { message[2..].to_vec() } else { message };
            assert_eq!(contains(&message, needle), expected, "{header:?} {needle:?}");
        }
    }

    #[test]
    fn a_match_across_windows_is_found() {
        for (header, unit, needle) in [
            ("", "x", "nädel"),
            ("Content-Transfer-Encoding: quoted-printable\r\n", "=C3=A4 line\r\n", "n=C3=A4del"),
            ("Content-Transfer-Encoding: quoted-printable\r\n", "=C3=A4", "n=C3=A4del"),
        ] {
            for shift in 0..3 {
                let mut message = format!("{header}\r\n{}", "y".repeat(shift));
                while message.len() < header.len() + 2 + SEARCH_WINDOW_BYTES - 4 {
                    message.push_str(unit);
                }
                message.push_str(needle);
                assert!(contains(message.as_bytes(), "NÄDEL"), "{header:?} {unit:?} {shift}");
            }
        }
    }

    #[test]
    fn encoded_words_in_headers_are_decoded() {
        for (value, expected) in [
            ("plain", "plain"),
            ("=?utf-8?q?gr=C3=BCn?=", "grün"),
            ("Re: =?iso-8859-1?B?Z3L8?= =?iso-8859-1?Q?n?= topic", "Re: grün topic"),
            ("=?broken", "=?broken"),
            ("grün", "grün"),
            ("", ""),
        ] {
            assert_eq!(header_value(value.as_bytes()), expected, "{value:?}");
        }
        assert_eq!(header_value(b"gr\xfcn"), "grün");
    }
}
