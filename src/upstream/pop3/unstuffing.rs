//! Undoes what a multi-line response adds: a dot before each line that begins with one, and the line with nothing but a
//! dot that ends it (RFC 1939 section 3).
//!
//! Only CRLF ends a line. A server that doubles no dot behind a bare LF means just that; to take LF "." LF for the end would
//! end the message of somebody who wrote it there.

/// Where the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    /// Behind a dot at the start of a line.
    Dot,
    /// Behind that and a CR.
    DotCr,
    InLine,
    AfterCr,
    End,
}

/// One response, piece by piece.
#[derive(Debug)]
pub(super) struct Unstuffing(Place);

impl Unstuffing {
    pub(super) const fn new() -> Self {
        Self(Place::LineStart)
    }

    /// Has it ended?
    pub(super) fn is_over(&self) -> bool {
        self.0 == Place::End
    }

    /// Appends what `bytes` mean to `out`. How many of them belong to the response: all, unless it ends among them.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        for (at, byte) in bytes.iter().copied().enumerate() {
            self.0 = match (self.0, byte) {
                (Place::End, _) => return at,
                (Place::DotCr, b'\n') => Place::End,
                (Place::LineStart, b'.') => Place::Dot,
                (Place::Dot, b'\r') => Place::DotCr,
                (place, _) => {
                    if place == Place::DotCr {
                        out.push(b'\r');
                    }
                    out.push(byte);
                    match (place, byte) {
                        (Place::AfterCr, b'\n') => Place::LineStart,
                        (_, b'\r') => Place::AfterCr,
                        _ => Place::InLine,
                    }
                }
            };
        }
        bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_means_the_same_however_it_is_cut_and_ends_where_it_ends() {
        let rows: [(&[u8], &[u8]); 9] = [
            (b".\r\n", b""),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"...a\r\n..\r\n.\r\n", b"..a\r\n.\r\n"),
            (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),
            (b"a\r.\r\n.\r\n", b"a\r.\r\n"),
            (b".a\r\n.\r\n", b"a\r\n"),
            (b".\ra\r\n.\r\n", b"\ra\r\n"),
            (b".\r\r\n.\r\n", b"\r\r\n"),
        ];
        for (wire, message) in rows {
            let stream = [wire, b"+OK the next\r\n"].concat();
            for step in 1..=stream.len() {
                let (mut unstuffing, mut out, mut used) = (Unstuffing::new(), Vec::new(), 0);
                while !unstuffing.is_over() {
                    let piece = &stream[used..stream.len().min(used + step)];
                    used += unstuffing.push(piece, &mut out);
                }
                assert_eq!((out.as_slice(), used), (message, wire.len()), "{wire:?} by {step}");
            }
        }
    }
}
