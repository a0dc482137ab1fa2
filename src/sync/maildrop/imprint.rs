//! By what a message is known again, whatever the server calls it: hashes of its header and of all of it, without the
//! header fields in which servers keep notes of their own (Status, X-UIDL and the like), since
//! those change between two visits.

use crate::types::ContentHash;

/// Names of fields that are left out, in lower case.
const NOTES: [&[u8]; 6] = [b"status", b"x-status", b"x-uidl", b"x-keywords", b"x-imap", b"x-imapbase"];

/// More than the longest of [`NOTES`].
const NAME_MAX_BYTES: usize = 16;

/// What a message is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imprint {
    pub header: ContentHash,
    pub whole: ContentHash,
}

/// Takes an imprint of a message, or of its header alone, piece by piece.
#[derive(Debug)]
pub struct Imprinter {
    header: blake3::Hasher,
    whole: blake3::Hasher,
    place: Place,
    /// The beginning of a line of which it is not known yet whether it counts.
    name: Vec<u8>,
}

/// Where in the message the bytes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `counts`: whether the line before did, of which this may be the continuation.
    LineStart {
        counts: bool,
    },
    Name,
    Line {
        counts: bool,
    },
    Body,
}

impl Default for Imprinter {
    fn default() -> Self {
        Self {
            header: blake3::Hasher::new(),
            whole: blake3::Hasher::new(),
            place: Place::LineStart { counts: true },
            name: Vec::new(),
        }
    }
}

impl Imprinter {
    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.place == Place::Body {
                self.whole.update(bytes);
                return;
            }
            self.step(*first);
            bytes = rest;
        }
    }

    /// Has the whole header come?
    pub fn has_header(&self) -> bool {
        self.place == Place::Body
    }

    /// All came.
    pub fn finish(mut self) -> Imprint {
        self.decide();
        let hash = |hasher: blake3::Hasher| ContentHash::from_bytes(*hasher.finalize().as_bytes());
        Imprint { header: hash(self.header), whole: hash(self.whole) }
    }

    fn step(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::LineStart { counts }, b' ' | b'\t') => self.line(counts, byte),
            // The empty line, whose CR is no part of any field.
            (Place::LineStart { .. }, b'\r' | b'\n') => {
                self.whole.update(&[byte]);
                Place::Body
            }
            (Place::LineStart { .. } | Place::Name, b':' | b'\n') => {
                self.name.push(byte);
                let counts = self.decide();
                if byte == b'\n' { Place::LineStart { counts } } else { Place::Line { counts } }
            }
            (Place::LineStart { .. } | Place::Name, _) => {
                self.name.push(byte);
                match self.name.len() < NAME_MAX_BYTES {
                    true => Place::Name,
                    false => Place::Line { counts: self.decide() },
                }
            }
            (Place::Line { counts }, _) => self.line(counts, byte),
            (Place::Body, _) => {
                self.whole.update(&[byte]);
                Place::Body
            }
        };
    }

    fn line(&mut self, counts: bool, byte: u8) -> Place {
        if counts {
            self.header.update(&[byte]);
            self.whole.update(&[byte]);
        }
        if byte == b'\n' { Place::LineStart { counts } } else { Place::Line { counts } }
    }

    /// Does the line that begins so count? If it does, its beginning is taken.
    fn decide(&mut self) -> bool {
        let name = std::mem::take(&mut self.name);
        let bare = name.strip_suffix(b":").unwrap_or_default().to_ascii_lowercase();
        let counts = !NOTES.contains(&bare.as_slice());
        if counts {
            self.header.update(&name);
            self.whole.update(&name);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &str, step: usize) -> Imprint {
        let mut imprinter = Imprinter::default();
        message.as_bytes().chunks(step).for_each(|piece| imprinter.push(piece));
        imprinter.finish()
    }

    #[test]
    fn notes_of_servers_do_not_count_and_everything_else_does() {
        let message = "Subject: a\r\nFrom: b\r\n\r\nbody\r\nStatus: O\r\n";
        for (other, same_header, same_whole) in [
            ("Subject: a\r\nStatus: RO\r\nFrom: b\r\n\r\nbody\r\nStatus: O\r\n", true, true),
            ("X-UIDL: 1\r\n  2\r\nSubject: a\r\nFrom: b\r\n\r\nbody\r\nStatus: O\r\n", true, true),
            ("Subject: a\r\nFrom: b\r\n\r\n", true, false),
            ("Subject: a\r\nFrom: b\r\n", true, false),
            ("Subject: a\r\nFrom: b\r\n\r\nbody\r\nStatus: RO\r\n", true, false),
            ("Subject: a\r\nFrom: c\r\n\r\nbody\r\nStatus: O\r\n", false, false),
            ("Subject: a\r\nX-Status-Too: O\r\nFrom: b\r\n\r\nbody\r\nStatus: O\r\n", false, false),
        ] {
            for step in [1, 3, 7, 1000] {
                let (one, two) = (of(message, step), of(other, 1000));
                assert_eq!((one.header == two.header, one.whole == two.whole), (same_header, same_whole), "{other:?}");
            }
        }
        assert_ne!(of("", 1).whole, of("\r\n", 1).whole);
        assert_eq!(of("no colon", 1), of("no colon", 8));
    }
}
