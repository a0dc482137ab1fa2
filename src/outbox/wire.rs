//! A message as it goes out: without the fields that name blind recipients (RFC 5322 section 3.6.3). The stored bytes
//! keep them; the copy in Sent shows the sender whom it went to.

use std::io;
use std::ops::Range;

use crate::message::header;
use crate::types::{ByteSource, limits};

/// The bytes of a source less some ranges of its header.
pub struct Wire<S> {
    source: S,
    /// What is left out, ascending and apart.
    hidden: Vec<Range<u64>>,
}

impl<S: ByteSource> Wire<S> {
    /// The message in `source`, whose body begins at `body_start`, without its Bcc fields.
    pub fn without_bcc(mut source: S, body_start: u64) -> io::Result<Self> {
        let header_bytes = usize::try_from(body_start).unwrap_or(usize::MAX).min(limits::HEADER_MAX_BYTES);
        let header = read_all(&mut source, header_bytes)?;
        let mut hidden = Vec::new();
        let mut offset = 0;
        for field in header::fields(&header) {
            let end = offset + field.whole.len() as u64;
            if field.is("Bcc") || field.is("Resent-Bcc") {
                hidden.push(offset..end);
            }
            offset = end;
        }
        Ok(Self { source, hidden })
    }
}

impl<S: ByteSource> ByteSource for Wire<S> {
    fn size(&self) -> u64 {
        let hidden: u64 = self.hidden.iter().map(|range| range.end - range.start).sum();
        self.source.size().saturating_sub(hidden)
    }

    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let mut place = offset;
        let mut until = u64::MAX;
        for range in &self.hidden {
            if place < range.start {
                until = range.start;
                break;
            }
            place += range.end - range.start;
        }
        let max = usize::try_from(until - place).unwrap_or(usize::MAX).min(max);
        self.source.read_at(place, max)
    }
}

fn read_all(source: &mut impl ByteSource, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < max {
        let piece = source.read_at(bytes.len() as u64, max - bytes.len())?;
        if piece.is_empty() {
            break;
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blind_recipients_are_named_to_nobody() {
        for (message, expected) in [
            ("A: 1\r\nBcc: x@y,\r\n z@y\r\nB: 2\r\n\r\nBcc: body\r\n", "A: 1\r\nB: 2\r\n\r\nBcc: body\r\n"),
            ("bcc: x@y\r\nBCC : z@y\r\n\r\nbody", "\r\nbody"),
            ("A: 1\r\nResent-Bcc: q\r\n\r\n", "A: 1\r\n\r\n"),
            ("A: 1\r\nX-Bcc: q\r\n\r\n", "A: 1\r\nX-Bcc: q\r\n\r\n"),
            ("\r\nBcc: body\r\n", "\r\nBcc: body\r\n"),
            ("", ""),
        ] {
            let bytes = message.as_bytes().to_vec();
            let body_start = message.find("\r\n\r\n").map_or(0, |place| place as u64 + 4);
            let mut wire = Wire::without_bcc(bytes, body_start).expect("memory is readable");
            assert_eq!(wire.size(), expected.len() as u64, "{message:?}");
            for piece in [1, 3, 1000] {
                let mut seen = Vec::new();
                loop {
                    let read = wire.read_at(seen.len() as u64, piece).expect("memory is readable");
                    if read.is_empty() {
                        break;
                    }
                    seen.extend(read);
                }
                assert_eq!(String::from_utf8_lossy(&seen), expected, "in pieces of {piece}");
            }
        }
    }
}
