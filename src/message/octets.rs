//! How long a message is on a line whose lines end with CRLF (RFC 1939 section 11), as it stands and as its
//! [`Surrogate`] (RFC 6856 section 2.1), told beside its bytes: with most mail it is the same.

use super::surrogate::Surrogate;

/// By how many octets a message is longer, on the line, than its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growth {
    /// As it stands: bare line feeds, and a last line without an end.
    pub utf8: i64,
    /// As its surrogate. Some are shorter: an address that ASCII cannot tell may be longer than what stands for it.
    pub ascii: i64,
}

/// What a message has on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Octets {
    /// To who reads UTF-8.
    pub utf8: u64,
    /// To others.
    pub ascii: u64,
}

impl Growth {
    /// The octets of a message with so many bytes.
    pub const fn of(self, bytes: u64) -> Octets {
        Octets { utf8: bytes.saturating_add_signed(self.utf8), ascii: bytes.saturating_add_signed(self.ascii) }
    }
}

/// Measures one message as it comes, in whatever pieces.
#[derive(Debug, Default)]
pub struct Meter {
    bytes: u64,
    surrogate: Surrogate,
    as_it_stands: Lines,
    put: Lines,
    piece: Vec<u8>,
}

impl Meter {
    /// The growth of a message that is in memory.
    pub fn measure(message: &[u8]) -> Growth {
        let mut meter = Self::default();
        meter.push(message);
        meter.finish()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let before = self.as_it_stands;
        self.as_it_stands.take(bytes);
        if self.surrogate.is_in_body() {
            // It goes as it is, and the line before it was the same.
            return self.put.grow_as(before, self.as_it_stands);
        }
        self.surrogate.write(bytes, &mut self.piece);
        self.put.take(&self.piece);
        self.piece.clear();
    }

    /// After the last byte.
    pub fn finish(mut self) -> Growth {
        self.surrogate.finish(&mut self.piece);
        self.put.take(&self.piece);
        let growth = |lines: Lines| lines.octets().cast_signed() - self.bytes.cast_signed();
        Growth { utf8: growth(self.as_it_stands), ascii: growth(self.put) }
    }
}

/// Bytes whose line feeds become CRLF where they are not, the end of the last line included.
#[derive(Debug, Clone, Copy, Default)]
struct Lines {
    bytes: u64,
    bare_feeds: u64,
    last: Option<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        let before = |at: usize| at.checked_sub(1).map_or(self.last, |at| Some(bytes[at]));
        let bare = memchr::memchr_iter(b'\n', bytes).filter(|at| before(*at) != Some(b'\r')).count();
        self.bare_feeds += bare as u64;
        self.bytes += bytes.len() as u64;
        self.last = Some(*last);
    }

    /// Takes what others took.
    const fn grow_as(&mut self, before: Self, after: Self) {
        self.bytes += after.bytes - before.bytes;
        self.bare_feeds += after.bare_feeds - before.bare_feeds;
        self.last = after.last;
    }

    fn octets(self) -> u64 {
        let end = match self.last {
            None | Some(b'\n') => 0,
            Some(b'\r') => 1,
            Some(_) => 2,
        };
        self.bytes + self.bare_feeds + end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_is_sent() {
        for (message, utf8, ascii) in [
            ("", 0, 0),
            ("A: b\r\n\r\nc\r\n", 0, 0),
            ("A: b\r\n\r\nc", 2, 2),
            ("A: b\r\n\r\nc\r", 1, 1),
            ("A: b\n\nc\r\nd\n", 3, 3),
            ("\n", 1, 1),
            // `ü` is two bytes, `=?utf-8?B?w7w=?=` sixteen.
            ("A: ü\r\n\r\nü\r\n", 0, 14),
            ("A: ü", 2, 16),
            // `<ü@é>` is seven bytes; its name has twenty, a space one, the address of nobody 43.
            ("To: <ü@é>\r\n\r\n", 0, 57),
            ("To: x <üüüüüüüüüüüüüüüüüüüüüüüüüüüüüü@é>\n\n", 2, -20),
        ] {
            assert_eq!(Meter::measure(message.as_bytes()), Growth { utf8, ascii }, "{message:?}");
            let mut meter = Meter::default();
            message.bytes().for_each(|byte| meter.push(&[byte]));
            assert_eq!(meter.finish(), Growth { utf8, ascii }, "{message:?}, byte by byte");
        }
        assert_eq!(Growth { utf8: 2, ascii: -9 }.of(10), Octets { utf8: 12, ascii: 1 });
    }
}
