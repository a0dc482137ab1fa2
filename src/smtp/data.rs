//! The message after DATA: dot-unstuffing and the one end there is (RFC 5321 section 4.5.2).
//!
//! Only `CRLF "." CRLF` ends the data. A dot between bare line feeds, or any other near miss, is content, and content
//! with a bare CR or LF is reported so that the session refuses it (RFC 5321 section 2.3.8): no two servers can see
//! different ends in what passed here (SMTP smuggling).

/// What the receiver stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// A line's beginning: CRLF, or nothing yet.
    LineStart,
    /// Some byte of a line.
    Text,
    /// A CR within a line.
    Cr,
    /// The dot that begins a line. It is dropped.
    Dot,
    /// CR after that dot.
    DotCr,
}

/// Takes the data as it comes.
#[derive(Debug)]
pub struct DataReceiver {
    after: After,
    bare_line_break: bool,
}

impl DataReceiver {
    /// Stands at the first line's beginning.
    pub const fn new() -> Self {
        Self { after: After::LineStart, bare_line_break: false }
    }

    /// Was there a CR without LF or an LF without CR?
    pub const fn had_bare_line_break(&self) -> bool {
        self.bare_line_break
    }

    /// Appends the content in `input` to `out`. Gives how many bytes of `input` were used, and whether the data ended
    /// there.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        out.reserve(input.len());
        for (place, byte) in input.iter().copied().enumerate() {
            self.after = match (self.after, byte) {
                (After::DotCr, b'\n') => return (place + 1, true),
                (After::Dot, b'\r') => After::DotCr,
                (After::LineStart, b'.') => After::Dot,
                (After::Cr, b'\n') => {
                    out.push(byte);
                    After::LineStart
                }
                (before, byte) => {
                    if before == After::DotCr {
                        // The dot was dropped, its CR is content after all, and a bare one.
                        out.push(b'\r');
                    }
                    self.bare_line_break |= byte == b'\n' || matches!(before, After::Cr | After::DotCr);
                    out.push(byte);
                    if byte == b'\r' { After::Cr } else { After::Text }
                }
            };
        }
        (input.len(), false)
    }
}

/// Looks for bare CR and LF in what is framed otherwise (RFC 3030 section 2: text in chunks has CRLF as well).
#[derive(Debug, Default)]
pub struct LineBreaks {
    after_cr: bool,
    bare: bool,
}

impl LineBreaks {
    /// Takes the next bytes.
    pub fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bare |= (*byte == b'\n') != self.after_cr;
            self.after_cr = *byte == b'\r';
        }
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.bare |= std::mem::take(&mut self.after_cr);
    }

    /// Was there a CR without LF or an LF without CR?
    pub const fn had_bare(&self) -> bool {
        self.bare
    }
}

impl Default for DataReceiver {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, what was left unread, whether it ended, whether a bare line break was seen.
    fn receive(input: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, bool, bool) {
        let (mut receiver, mut content, mut used) = (DataReceiver::new(), Vec::new(), 0);
        while used < input.len() {
            let end = (used + piece).min(input.len());
            let (taken, ended) = receiver.receive(&input[used..end], &mut content);
            used += taken;
            if ended {
                return (content, input[used..].to_vec(), true, receiver.had_bare_line_break());
            }
        }
        (content, Vec::new(), false, receiver.had_bare_line_break())
    }

    #[test]
    fn bare_line_breaks_are_seen_across_pieces() {
        for (text, bare) in [("a\r\nb", false), ("\r\n\r\n", false), ("a\n", true), ("a\rb\n", true), ("a\r", true)] {
            let mut seen = LineBreaks::default();
            text.as_bytes().chunks(1).for_each(|piece| seen.see(piece));
            seen.end();
            assert_eq!(seen.had_bare(), bare, "{text:?}");
        }
    }

    #[test]
    fn dots_are_unstuffed_and_only_crlf_dot_crlf_ends() {
        let row = |content: &str, rest: &str, ended, bare| (content.into(), rest.into(), ended, bare);
        for (input, expected) in [
            (".\r\nNEXT", row("", "NEXT", true, false)),
            ("a\r\n.\r\nNEXT", row("a\r\n", "NEXT", true, false)),
            ("..a\r\n...\r\n.\r\n", row(".a\r\n..\r\n", "", true, false)),
            (".a\r\n.\r\n", row("a\r\n", "", true, false)),
            // Near misses are content.
            ("a\n.\nMAIL", row("a\n.\nMAIL", "", false, true)),
            ("a\n.\r\nMAIL", row("a\n.\r\nMAIL", "", false, true)),
            ("a\r\n.\nMAIL", row("a\r\n\nMAIL", "", false, true)),
            ("a\r\n.\rMAIL", row("a\r\n\rMAIL", "", false, true)),
            ("a\r.\r\nMAIL", row("a\r.\r\nMAIL", "", false, true)),
            ("a\r\n.\r\r\nMAIL", row("a\r\n\r\r\nMAIL", "", false, true)),
            ("a\r\n\0.\r\nMAIL", row("a\r\n\0.\r\nMAIL", "", false, false)),
            ("a\r\n.\0\r\nMAIL", row("a\r\n\0\r\nMAIL", "", false, false)),
        ] {
            for piece in [1, 2, 3, 1000] {
                assert_eq!(receive(input.as_bytes(), piece), expected, "{input:?} in pieces of {piece}");
            }
        }
    }
}
