//! What is read on standard input, made into a message: lines with CRLF, a From where there is none, and whom it is for.
//! Pure.

use super::addressees::parse_list;
use crate::message::header;
use crate::serve::completion::{begins_with_field, is_empty, without_empty};
use crate::smtp::address::Address;
use crate::types::encoded_words;

/// A message as it is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Letter {
    bytes: Vec<u8>,
}

/// What names recipients (RFC 5322 section 3.6.3), in a message and in one sent on (section 3.6.6).
const RECIPIENTS: [&str; 3] = ["To", "Cc", "Bcc"];
const RESENT_RECIPIENTS: [&str; 3] = ["Resent-To", "Resent-Cc", "Resent-Bcc"];

/// A longer name goes in words on lines of their own: no line has more than 998 octets (RFC 5322 section 2.1.1).
const QUOTED_NAME_MAX_BYTES: usize = 500;

impl Letter {
    /// Lines may end as they like. With `dot_ends` a line with nothing but a dot is the end. The first line of a message
    /// out of a mailbox file is no part of it. A text whose first line is no header field is all body.
    pub fn read(input: &[u8], dot_ends: bool) -> Self {
        let mut bytes = Vec::with_capacity(input.len() + input.len() / 32);
        for (number, line) in input.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let text = line.strip_suffix(b"\n");
            let text = text.map_or(line, |text| text.strip_suffix(b"\r").unwrap_or(text));
            if dot_ends && text == b"." {
                break;
            }
            if number == 0 && (text.starts_with(b"From ") || text.starts_with(b">From ")) {
                continue;
            }
            bytes.extend_from_slice(text);
            bytes.extend_from_slice(b"\r\n");
        }
        if !begins_with_field(&bytes) {
            bytes.splice(..0, *b"\r\n");
        }
        Self { bytes }
    }

    /// A message as it stands.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec() }
    }

    /// As it is sent.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Who wrote it: the first address in From, if From says anything; else what is no address there.
    pub fn author(&self) -> Result<Option<Address>, String> {
        let fields = header::fields(&self.bytes).filter(|field| field.is("From") && !is_empty(field));
        let mut written = fields.flat_map(|field| parse_list(&field.unfolded())).collect::<Vec<_>>().into_iter();
        match written.clone().find_map(Result::ok) {
            Some(author) => Ok(Some(author)),
            None => written.next().transpose(),
        }
    }

    /// Whom the header names; what is no address as it is written.
    pub fn recipients(&self) -> Vec<Result<Address, String>> {
        match self.addresses(&RESENT_RECIPIENTS) {
            resent if resent.is_empty() => self.addresses(&RECIPIENTS),
            resent => resent,
        }
    }

    /// Puts a From in front, in place of those that say nothing.
    pub fn add_from(&mut self, address: &str, name: Option<&str>) {
        let name = name.map(|name| name.chars().filter(|letter| !letter.is_control()).collect::<String>());
        let field = match name.as_deref().map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => format!("From: {} <{address}>\r\n", display_name(name)),
            None => format!("From: {address}\r\n"),
        };
        self.bytes = [field.as_bytes(), &without_empty(&self.bytes, &["From"])].concat();
    }

    fn addresses(&self, names: &[&str]) -> Vec<Result<Address, String>> {
        let fields = header::fields(&self.bytes).filter(|field| names.iter().any(|name| field.is(name)));
        fields.flat_map(|field| parse_list(&field.unfolded())).collect()
    }
}

/// `display-name` (RFC 5322 section 3.4): a quoted string, or encoded-words for what that cannot hold (RFC 2047 section 5).
fn display_name(name: &str) -> String {
    let quoted = format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""));
    match name.is_ascii() && quoted.len() <= QUOTED_NAME_MAX_BYTES {
        true => quoted,
        false => encoded_words(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_get_their_ends_and_nothing_else_changes() {
        for (input, dot_ends, expected) in [
            ("A: 1\n\nb\r\nc", false, "A: 1\r\n\r\nb\r\nc\r\n"),
            ("A: 1\n\n.\nmore\n", true, "A: 1\r\n\r\n"),
            ("A: 1\n\n.\nmore\n", false, "A: 1\r\n\r\n.\r\nmore\r\n"),
            ("From me Mon Nov 23\nA: 1\n\n", false, "A: 1\r\n\r\n"),
            ("only text\nA: 1\n", false, "\r\nonly text\r\nA: 1\r\n"),
            ("", false, ""),
        ] {
            let letter = Letter::read(input.as_bytes(), dot_ends);
            assert_eq!(String::from_utf8_lossy(&letter.into_bytes()), expected, "{input:?}");
        }
    }

    #[test]
    fn the_header_names_recipients() {
        let recipients = |text: &str| {
            let found = Letter::read(text.as_bytes(), false).recipients();
            found.into_iter().map(|it| it.map_or_else(|it| format!("?{it}"), |it| it.to_string())).collect::<Vec<_>>()
        };
        let header =
            "To: Bob <bob@x>, \"a b\"@y\nCc: friends: c@x, d@x;, undisclosed:;\nBcc: e@x,\n f@x\n\nTo: body@x\n";
        assert_eq!(recipients(header), ["bob@x", "\"a b\"@y", "c@x", "d@x", "e@x", "f@x"]);
        assert_eq!(recipients("To: a@x\nResent-To: b@x\n\n"), ["b@x"]);
        assert_eq!(recipients("To: root, a@x\n\n"), ["?root", "a@x"]);
        assert_eq!(recipients("To: not an address\n\n"), ["?not an address"]);
        assert_eq!(recipients("Subject: x\n\n"), Vec::<String>::new());
    }

    #[test]
    fn a_from_is_added_with_the_name_as_it_was_said() {
        let long = "Ann ".repeat(200);
        for (name, written) in [
            ("It's \"me\" \\o/", "\"It's \\\"me\\\" \\\\o/\" <me@x>"),
            ("Jörg Müller", "=?utf-8?B?SsO2cmcgTcO8bGxlcg==?= <me@x>"),
            ("a\r\nBcc: b", "\"aBcc: b\" <me@x>"),
            ("  ", "me@x"),
            (&long, "=?utf-8?B?"),
        ] {
            let mut letter = Letter::read(b"From:\nSubject: x\nFrom: <>\n\n", false);
            assert_eq!(letter.author(), Ok(None));
            letter.add_from("me@x", Some(name));
            assert_eq!(letter.author(), Ok(Address::parse("me@x")), "{name}");
            let text = String::from_utf8(letter.into_bytes()).expect("ASCII");
            assert!(text.starts_with(&format!("From: {written}")), "{name}: {text}");
            assert!(text.ends_with("\r\nSubject: x\r\n\r\n") && text.lines().all(|line| line.len() < 998), "{text}");
            let parsed = mail_parser::MessageParser::default().parse(text.as_bytes()).expect("a message");
            let read = parsed.from().and_then(|from| from.first()).and_then(|from| from.name.as_deref());
            let meant = name.replace(['\r', '\n'], "");
            assert_eq!(read.unwrap_or_default(), meant.trim(), "read as it was said");
        }
    }
}
