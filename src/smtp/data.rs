//! The message after DATA: its dots undone, its one end, and whether its lines end as they must.
//!
//! Content with a bare CR or LF is reported so that the session refuses it (RFC 5321 section 2.3.8): what the next server
//! would see in it is not known.

use crate::types::Unstuffing;

/// Takes the data as it comes.
#[derive(Debug, Default)]
pub struct DataReceiver {
    unstuffing: Unstuffing,
    breaks: LineBreaks,
}

impl DataReceiver {
    /// Was there a CR without LF or an LF without CR?
    pub const fn had_bare_line_break(&self) -> bool {
        self.breaks.had_bare()
    }

    /// Appends the content in `input` to `out`. Gives how many bytes of `input` were used, and whether the data ended
    /// there.
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> (usize, bool) {
        let before = out.len();
        out.reserve(input.len());
        let used = self.unstuffing.push(input, out);
        self.breaks.see(&out[before..]);
        (used, self.unstuffing.is_over())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Content, what was left unread, whether it ended, whether a bare line break was seen.
    fn receive(input: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, bool, bool) {
        let (mut receiver, mut content, mut used) = (DataReceiver::default(), Vec::new(), 0);
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
