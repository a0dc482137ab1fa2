//! Undoes what SMTP and POP3 add to a message on its way: a dot before each line that begins with one, and the line with
//! nothing but a dot that ends it (RFC 5321 section 4.5.2, RFC 1939 section 3).
//!
//! Only `CRLF "." CRLF` ends it. A dot between bare line feeds, or any other near miss, is content: no two programs can see
//! different ends in what passed here (SMTP smuggling), and nobody ends a message by writing such a line into it.

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

/// One message, piece by piece.
#[derive(Debug)]
pub struct Unstuffing(Place);

impl Default for Unstuffing {
    fn default() -> Self {
        Self::new()
    }
}

impl Unstuffing {
    /// Stands at the first line's beginning.
    pub const fn new() -> Self {
        Self(Place::LineStart)
    }

    /// Has it ended?
    pub fn is_over(&self) -> bool {
        self.0 == Place::End
    }

    /// Appends what `bytes` mean to `out`. How many of them belong to it: all, unless it ends among them.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> usize {
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
    fn a_message_means_the_same_however_it_is_cut_and_ends_where_it_ends() {
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
