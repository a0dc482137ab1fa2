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
        let begins_bare = bytes[0] == b'\n' && self.last != Some(b'\r');
        self.bare_feeds += u64::from(begins_bare) + bare_feeds_behind_the_first(bytes);
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

/// How many bytes, but for the first, are line feeds without a carriage return before them.
fn bare_feeds_behind_the_first(bytes: &[u8]) -> u64 {
    // So many at a time that a byte counts them, which the processor does for many places at once.
    const AT_ONCE: usize = u8::MAX as usize;
    let [before, at] = [&bytes[..bytes.len() - 1], &bytes[1..]].map(|bytes| bytes.chunks(AT_ONCE));
    let bare = |(before, at): (&u8, &u8)| u8::from(*at == b'\n') & u8::from(*before != b'\r');
    before.zip(at).map(|(before, at)| u64::from(before.iter().zip(at).map(bare).sum::<u8>())).sum()
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
        let bare_lines = "\n".repeat(1000);
        assert_eq!(Meter::measure(bare_lines.as_bytes()), Growth { utf8: 1000, ascii: 1000 });
        assert_eq!(Growth { utf8: 2, ascii: -9 }.of(10), Octets { utf8: 12, ascii: 1 });
    }
}
