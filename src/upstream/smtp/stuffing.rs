//! The body of DATA: dots doubled, line ends CRLF (RFC 5321 section 4.5.2); that of BDAT: the line ends (RFC 3030
//! section 2).
//!
//! A CR or LF alone must not be sent (section 2.3.8): a server that takes one for a line end would see another end of the
//! message than we meant. Each becomes CRLF.

/// Where in a line the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    InLine,
    /// Behind a CR that is not written yet.
    AfterCr,
}

/// Stuffs a message piece by piece.
#[derive(Debug)]
pub(super) struct Stuffing {
    place: Place,
    dots: bool,
}

impl Stuffing {
    pub(super) const fn new() -> Self {
        Self { place: Place::LineStart, dots: true }
    }

    /// Line ends only: the message goes out in counted chunks.
    pub(super) const fn without_dots() -> Self {
        Self { place: Place::LineStart, dots: false }
    }

    /// The next piece as it goes over the line.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
        for byte in bytes {
            if self.place == Place::AfterCr {
                out.extend_from_slice(b"\r\n");
                self.place = Place::LineStart;
                if *byte == b'\n' {
                    continue;
                }
            }
            match byte {
                b'\r' => self.place = Place::AfterCr,
                b'\n' => {
                    out.extend_from_slice(b"\r\n");
                    self.place = Place::LineStart;
                }
                _ => {
                    if self.dots && *byte == b'.' && self.place == Place::LineStart {
                        out.push(b'.');
                    }
                    out.push(*byte);
                    self.place = Place::InLine;
                }
            }
        }
        out
    }

    /// What is missing to the end of the message, the final dot included.
    pub(super) const fn end(&self) -> &'static [u8] {
        match (self.place, self.dots) {
            (Place::LineStart, true) => b".\r\n",
            (Place::InLine | Place::AfterCr, true) => b"\r\n.\r\n",
            (Place::LineStart, false) => b"",
            (Place::InLine | Place::AfterCr, false) => b"\r\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_stuffed_the_same_way_however_it_is_cut() {
        let rows: [(&[u8], &[u8]); 8] = [
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b"..a\r\n.\r\nb\r\n", b"...a\r\n..\r\nb\r\n.\r\n"),
            (b"a\n.\nb", b"a\r\n..\r\nb\r\n.\r\n"),
            (b"a\r.\r", b"a\r\n..\r\n.\r\n"),
            (b"\r\r\n\n", b"\r\n\r\n\r\n.\r\n"),
        ];
        for (message, stuffed) in rows {
            for step in 1..=message.len().max(1) {
                let mut stuffing = Stuffing::new();
                let mut out: Vec<u8> = message.chunks(step).flat_map(|piece| stuffing.piece(piece)).collect();
                out.extend_from_slice(stuffing.end());
                assert_eq!(out, stuffed, "{:?} by {step}", String::from_utf8_lossy(message));
                let mut ends = Stuffing::without_dots();
                let mut chunked: Vec<u8> = message.chunks(step).flat_map(|piece| ends.piece(piece)).collect();
                chunked.extend_from_slice(ends.end());
                let unstuffed = String::from_utf8_lossy(stuffed).replace("\r\n..", "\r\n.");
                let unstuffed = unstuffed.strip_suffix(".\r\n").expect("an end");
                let unstuffed = if message.starts_with(b".") { &unstuffed[1..] } else { unstuffed };
                assert_eq!(String::from_utf8_lossy(&chunked), unstuffed, "by {step}");
            }
        }
    }
}
