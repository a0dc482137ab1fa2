//! Strings as they stand on the wire: atoms, quoted strings, literals (RFC 3501 section 9).
//!
//! For both directions. A client must wait before it sends a literal, so it asks [`can_be_quoted`] first; the writers
//! here write literals as servers do, without waiting.

use super::utf7;
use crate::types::MailboxName;

/// `ATOM-CHAR = <any CHAR except atom-specials>` where
/// `atom-specials = "(" / ")" / "{" / SP / CTL / list-wildcards / quoted-specials / resp-specials`.
pub const fn is_atom_char(byte: u8) -> bool {
    is_astring_char(byte) && byte != b']'
}

/// `ASTRING-CHAR = ATOM-CHAR / resp-specials`
pub const fn is_astring_char(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\')
}

/// `TEXT-CHAR = <any CHAR except CR and LF>`: whether all of `bytes` can stand in a quoted string.
pub fn can_be_quoted(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 1..=0x7f) && !matches!(byte, b'\r' | b'\n'))
}

/// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`. The bytes must be such as [`can_be_quoted`] allows.
pub fn write_quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(can_be_quoted(bytes), "the caller chose the form by can_be_quoted");
    quote(out, bytes);
}

fn quote(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for byte in bytes {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

/// `literal = "{" number "}" CRLF *CHAR8`, as a server sends it. NUL is no CHAR8: a header value that holds one is
/// told without.
pub fn write_literal(out: &mut Vec<u8>, bytes: &[u8]) {
    let sent = bytes.iter().copied().filter(|byte| *byte != 0);
    out.extend_from_slice(format!("{{{}}}\r\n", sent.clone().count()).as_bytes());
    out.extend(sent);
}

/// `string = quoted / literal`. Long strings are literals: clients' line buffers are small.
pub fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    const QUOTED_MAX_BYTES: usize = 1000;
    match bytes.len() <= QUOTED_MAX_BYTES && can_be_quoted(bytes) {
        true => write_quoted(out, bytes),
        false => write_literal(out, bytes),
    }
}

/// A person's text: in quotes where the client takes UTF-8 there.
pub fn write_text(out: &mut Vec<u8>, text: &str, form: NameForm) {
    let line = !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
    match form {
        NameForm::Utf8 if line => quote(out, text.as_bytes()),
        NameForm::Utf8 | NameForm::ModifiedUtf7 => write_string(out, text.as_bytes()),
    }
}

/// `nstring = string / nil`
pub fn write_nstring(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => write_string(out, bytes),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// `astring = 1*ASTRING-CHAR / string`. `NIL` is quoted: some parsers read it as no string.
pub fn write_astring(out: &mut Vec<u8>, bytes: &[u8]) {
    let atom = !bytes.is_empty() && bytes.iter().copied().all(is_astring_char) && !bytes.eq_ignore_ascii_case(b"NIL");
    match atom {
        true => out.extend_from_slice(bytes),
        false => write_string(out, bytes),
    }
}

/// How mailbox names stand on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameForm {
    /// RFC 3501 section 5.1.3
    ModifiedUtf7,
    /// RFC 9051 section 5.1, RFC 6855 section 3: also within quoted strings.
    Utf8,
}

/// `mailbox = "INBOX" / astring`
pub fn write_mailbox(out: &mut Vec<u8>, name: &MailboxName, form: NameForm) {
    match form {
        NameForm::Utf8 if !name.as_str().is_ascii() => quote(out, name.as_str().as_bytes()),
        NameForm::Utf8 => write_astring(out, name.as_str().as_bytes()),
        NameForm::ModifiedUtf7 => write_astring(out, utf7::encode(name.as_str()).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: fn(&mut Vec<u8>, &[u8]), bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write(&mut out, bytes);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn the_shortest_safe_form_is_chosen() {
        let rows: [(&[u8], &str, &str); 9] = [
            (b"abc", "abc", "\"abc\""),
            (b"a]b", "a]b", "\"a]b\""),
            (b"", "\"\"", "\"\""),
            (b"nil", "\"nil\"", "\"nil\""),
            (b"a b", "\"a b\"", "\"a b\""),
            (b"a\"\\", "\"a\\\"\\\\\"", "\"a\\\"\\\\\""),
            (b"a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"),
            ("é".as_bytes(), "{2}\r\né", "{2}\r\né"),
            (b"a\0b", "{2}\r\nab", "{2}\r\nab"),
        ];
        for (bytes, astring, string) in rows {
            assert_eq!(written(write_astring, bytes), astring);
            assert_eq!(written(write_string, bytes), string);
        }
    }

    #[test]
    fn a_mailbox_is_written_in_either_form() {
        for (name, utf7, utf8) in [
            ("Entwürfe/a b", "\"Entw&APw-rfe/a b\"", "\"Entwürfe/a b\""),
            ("Entwürfe", "Entw&APw-rfe", "\"Entwürfe\""),
            ("a&b", "a&-b", "a&b"),
            ("NIL", "\"NIL\"", "\"NIL\""),
        ] {
            for (form, expected) in [(NameForm::ModifiedUtf7, utf7), (NameForm::Utf8, utf8)] {
                let mut out = Vec::new();
                write_mailbox(&mut out, &MailboxName::parse(name).expect("a valid name"), form);
                assert_eq!(String::from_utf8_lossy(&out), expected);
            }
        }
    }
}
