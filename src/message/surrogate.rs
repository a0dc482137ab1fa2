//! A message for a client that did not say UTF8 (POP3's, RFC 6856 section 2.1): the UTF-8 in its header is put as ASCII, in the
//! manner of RFC 6858. Who can read more says so and gets the bytes as they are.
//!
//! Text becomes encoded-words (RFC 2047), parameters of MIME fields extended ones (RFC 2231), an address that has no ASCII
//! form one that is nobody's, behind a name that shows it. Bytes that are no UTF-8 are no such header: they are older than
//! it, and go as they are. So does the body, and with it the fields of its parts.

use super::header;
use crate::types::encoded_words;

/// Longer lines are none of mail (RFC 5322 section 2.1.1 allows 998 octets), and are not looked at.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// What stands for an address that ASCII cannot tell (RFC 6858 section 2.1).
const NOBODY: &str = "<invalid@internationalized-address.invalid>";

/// Puts one message as it comes.
#[derive(Debug, Default)]
pub struct Surrogate {
    /// The line of the header that is not complete yet.
    line: Vec<u8>,
    /// It is longer than any: it passes.
    passes: bool,
    in_body: bool,
    kind: Kind,
    /// The last line ended with an encoded-word: the white space between two of them is not shown.
    after_word: bool,
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Text,
    Addresses,
    /// Parameters behind a value.
    Mime,
}

impl Surrogate {
    /// Appends what stands for the next bytes.
    pub fn write(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        let is_at_line_start = self.line.is_empty() && !self.passes;
        self.in_body |= is_at_line_start && header::end(bytes).is_some_and(|end| bytes[..end].is_ascii());
        while !bytes.is_empty() {
            if self.in_body {
                return out.extend_from_slice(bytes);
            }
            let end = memchr::memchr(b'\n', bytes).map(|at| at + 1);
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.line.extend_from_slice(piece);
            self.passes |= self.line.len() > LINE_MAX_BYTES;
            if end.is_some() || self.passes {
                self.put_line(out);
                self.passes &= end.is_none();
            }
            bytes = rest;
        }
    }

    /// What comes from here on stands for itself.
    pub const fn is_in_body(&self) -> bool {
        self.in_body
    }

    /// The message is at its end.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.put_line(out);
    }

    fn put_line(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        if self.passes {
            return out.extend_from_slice(&line);
        }
        let content = line.trim_ascii_end().len();
        self.in_body = matches!(line.as_slice(), b"\r\n" | b"\n");
        let (content, end) = line.split_at(content);
        let is_first = !content.first().is_some_and(u8::is_ascii_whitespace);
        let name = content.iter().position(|byte| *byte == b':').filter(|_| is_first);
        if is_first {
            self.kind = name.map_or(Kind::Text, |colon| Kind::of(&content[..colon]));
            self.after_word = false;
        }
        match std::str::from_utf8(content) {
            Ok(text) if !text.is_ascii() => {
                let (before, text) = text.split_at(name.map_or(0, |colon| colon + 1));
                let mut put = Put { text: String::new(), after_word: self.after_word };
                put.line(self.kind, text);
                self.after_word = put.after_word;
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(put.text.as_bytes());
            }
            _ => {
                self.after_word = false;
                out.extend_from_slice(content);
            }
        }
        out.extend_from_slice(end);
    }
}

impl Kind {
    fn of(name: &[u8]) -> Self {
        let name = name.trim_ascii_end().to_ascii_lowercase();
        match name.strip_prefix(b"resent-").unwrap_or(&name) {
            b"from" | b"sender" | b"reply-to" | b"to" | b"cc" | b"bcc" | b"return-path" => Self::Addresses,
            b"content-type" | b"content-disposition" => Self::Mime,
            _ => Self::Text,
        }
    }
}

/// One line on its way.
struct Put {
    text: String,
    after_word: bool,
}

impl Put {
    fn line(&mut self, kind: Kind, text: &str) {
        match kind {
            Kind::Text => self.words(text),
            Kind::Addresses => self.addresses(text),
            Kind::Mime => text.split_inclusive(';').for_each(|part| self.parameter(part)),
        }
    }

    fn plain(&mut self, text: &str) {
        self.text.push_str(text);
        self.after_word &= text.trim().is_empty();
    }

    /// Words as they are, and encoded-words for those that are not ASCII; several together with the space between them.
    fn words(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            let (space, word, after) = next_word(rest);
            rest = after;
            if word.is_ascii() {
                self.plain(space);
                self.plain(word);
                continue;
            }
            let mut run = word.to_owned();
            loop {
                let (space, word, after) = next_word(rest);
                if word.is_ascii() {
                    break;
                }
                run.push_str(space);
                run.push_str(word);
                rest = after;
            }
            self.text.push_str(space);
            self.encoded(&run);
        }
    }

    fn encoded(&mut self, text: &str) {
        let text = if self.after_word { format!(" {text}") } else { text.to_owned() };
        self.text.push_str(&encoded_words(&text));
        self.after_word = true;
    }

    /// Quoted strings, angle brackets, comments, and what stands between them.
    fn addresses(&mut self, text: &str) {
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '"' => closing(rest, '"'),
                '<' => closing(rest, '>'),
                '(' => closing(rest, ')'),
                ',' | ';' | ':' => 1,
                _ => rest.find(['"', '<', '(', ',', ';', ':']).unwrap_or(rest.len()),
            };
            let (token, after) = rest.split_at(end);
            match first {
                _ if token.is_ascii() => self.plain(token),
                '"' => self.encoded(&unquoted(token)),
                '<' if self.text.trim_end().ends_with([',', ':']) || self.text.trim().is_empty() => {
                    self.named_nobody(token.trim_matches(['<', '>']));
                }
                '<' => self.plain(NOBODY),
                '(' => {
                    self.plain("(");
                    self.words(token.trim_start_matches('(').trim_end_matches(')'));
                    self.plain(")");
                }
                _ if token.contains('@') => {
                    let address = token.trim();
                    self.plain(&token[..token.len() - token.trim_start().len()]);
                    self.named_nobody(address);
                }
                _ => self.words(token),
            }
            rest = after;
        }
    }

    /// The address as a name, and an address that is nobody's.
    fn named_nobody(&mut self, address: &str) {
        self.encoded(address);
        self.plain(" ");
        self.plain(NOBODY);
    }

    /// `attribute "=" value` (RFC 2045 section 5.1), the `;` behind it included.
    fn parameter(&mut self, part: &str) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) if !part.is_ascii() && name.is_ascii() => (name, value),
            _ => return self.words(part),
        };
        let (value, end) = match value.strip_suffix(';') {
            Some(value) => (value.trim(), ";"),
            None => (value.trim(), ""),
        };
        let value = if value.starts_with('"') { unquoted(value) } else { value.to_owned() };
        self.plain(&format!("{name}*=utf-8''"));
        for byte in value.bytes() {
            match byte.is_ascii_alphanumeric() || b"-._".contains(&byte) {
                true => self.text.push(char::from(byte)),
                false => self.text.push_str(&format!("%{byte:02X}")),
            }
        }
        self.plain(end);
    }
}

/// White space, the word behind it, and the rest.
fn next_word(text: &str) -> (&str, &str, &str) {
    let word = text.find(|character: char| !matches!(character, ' ' | '\t')).unwrap_or(text.len());
    let (space, rest) = text.split_at(word);
    let (word, rest) = rest.split_at(rest.find([' ', '\t']).unwrap_or(rest.len()));
    (space, word, rest)
}

/// Where what opens with the first character is closed; the end where it is not.
fn closing(text: &str, close: char) -> usize {
    let mut escaped = false;
    for (place, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            character if character == close => return place + character.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

fn unquoted(quoted: &str) -> String {
    let inside = quoted.strip_prefix('"').unwrap_or(quoted);
    let inside = inside.strip_suffix('"').unwrap_or(inside);
    let (mut text, mut escaped) = (String::new(), false);
    for character in inside.chars() {
        escaped = character == '\\' && !escaped;
        if !escaped {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;

    fn put(message: &[u8]) -> Vec<u8> {
        let whole = {
            let (mut surrogate, mut out) = (Surrogate::default(), Vec::new());
            surrogate.write(message, &mut out);
            surrogate.finish(&mut out);
            out
        };
        let (mut surrogate, mut out) = (Surrogate::default(), Vec::new());
        message.iter().for_each(|byte| surrogate.write(&[*byte], &mut out));
        surrogate.finish(&mut out);
        assert_eq!(out, whole, "in whatever pieces it comes");
        out
    }

    fn word(text: &str) -> String {
        format!("=?utf-8?B?{}?=", BASE64.encode(text))
    }

    #[test]
    fn each_field_is_put_as_it_is_read() {
        let nobody = NOBODY;
        for (field, expected) in [
            ("Subject: plain text", "Subject: plain text".to_owned()),
            ("Subject: Grüße an alle", format!("Subject: {} an alle", word("Grüße"))),
            ("Subject: schöne Grüße  für dich", format!("Subject: {} dich", word("schöne Grüße  für"))),
            ("Subject: über\r\n alle\r\n Bäume", format!("Subject: {}\r\n alle\r\n {}", word("über"), word("Bäume"))),
            ("Subject: über\r\n Bäume", format!("Subject: {}\r\n {}", word("über"), word(" Bäume"))),
            ("Subject: \"ü\" (é)", format!("Subject: {}", word("\"ü\" (é)"))),
            ("From: Jörg Müller <j@x>", format!("From: {} <j@x>", word("Jörg Müller"))),
            ("From: \"Mül\\\"ler, J.\" <j@x>", format!("From: {} <j@x>", word("Mül\"ler, J."))),
            ("To: Ann <ann@x>, Jörg <jörg@é>", format!("To: Ann <ann@x>, {} {nobody}", word("Jörg"))),
            ("To: Jo <jörg@é>", format!("To: Jo {nobody}")),
            ("Cc: jörg@é, <ü@x>,b@y", format!("Cc: {} {nobody}, {} {nobody},b@y", word("jörg@é"), word("ü@x"))),
            ("Resent-To: a@b (Büro)", format!("Resent-To: a@b ({})", word("Büro"))),
            (
                "Content-Type: text/plain; name=\"ü b.txt\"; charset=utf-8",
                "Content-Type: text/plain; name*=utf-8''%C3%BC%20b.txt; charset=utf-8".to_owned(),
            ),
            (
                "Content-Disposition: attachment; filename=é",
                "Content-Disposition: attachment; filename*=utf-8''%C3%A9".into(),
            ),
            ("no field ü", format!("no field {}", word("ü"))),
        ] {
            let message = format!("{field}\r\n\r\nKörper: ü\r\n");
            let shown = String::from_utf8(put(message.as_bytes())).expect("UTF-8 stays UTF-8");
            assert_eq!(shown, format!("{expected}\r\n\r\nKörper: ü\r\n"), "{field}");
        }
    }

    #[test]
    fn long_text_goes_in_words_of_whole_characters() {
        let text = "ü".repeat(50);
        let shown = String::from_utf8(put(format!("Subject: {text}\r\n\r\n").as_bytes())).expect("ASCII");
        assert!(shown.is_ascii() && shown.lines().all(|line| line.len() <= 85), "{shown}");
        let words = shown.trim().trim_start_matches("Subject: ").split("\r\n ");
        let decoded = words.map(|word| {
            let inside = word.trim_start_matches("=?utf-8?B?").trim_end_matches("?=");
            String::from_utf8(BASE64.decode(inside).expect("BASE64")).expect("whole characters")
        });
        assert_eq!(decoded.collect::<String>(), text);
    }

    #[test]
    fn what_is_no_utf8_or_no_header_is_let_pass() {
        let long = [b"X: ".to_vec(), "ü".repeat(LINE_MAX_BYTES).into_bytes(), b"\r\nA: b\r\n\r\n".to_vec()].concat();
        for message in [&b"Subject: caf\xe9\r\n\r\n\xff"[..], b"", b"\r\n\xc3\xbc", b"\n\xc3\xbc", b"A: b", &long] {
            assert_eq!(put(message), message);
        }
        let unfinished = String::from_utf8(put("A: ü".as_bytes())).expect("ASCII");
        assert_eq!(unfinished, format!("A: {}", word("ü")));
    }
}
