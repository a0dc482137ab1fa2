//! Cuts an IMAP stream, either way, into lines and the literals behind them.

/// A piece of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line with its CRLF; `begins` a command or a response, or goes on behind a literal.
    Line { text: Vec<u8>, begins: bool, literal: Option<Literal> },
    /// Bytes of a literal.
    Bytes(Vec<u8>),
}

/// A literal that a line announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Literal {
    pub size_bytes: usize,
    /// Whoever sends it waits for `+` first.
    pub waits: bool,
}

/// Keeps what is not a whole piece yet.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    line: Vec<u8>,
    literal_left: usize,
    is_behind_literal: bool,
}

impl Cutter {
    pub(super) fn push(&mut self, mut bytes: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            if self.literal_left > 0 {
                let (now, rest) = bytes.split_at(bytes.len().min(self.literal_left));
                self.literal_left -= now.len();
                pieces.push(Piece::Bytes(now.to_vec()));
                bytes = rest;
                continue;
            }
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |place| place + 1);
            let (now, rest) = bytes.split_at(end);
            self.line.extend_from_slice(now);
            bytes = rest;
            if self.line.ends_with(b"\n") {
                let text = std::mem::take(&mut self.line);
                let literal = literal(&text);
                let begins = !std::mem::replace(&mut self.is_behind_literal, literal.is_some());
                self.literal_left = literal.map_or(0, |literal| literal.size_bytes);
                pieces.push(Piece::Line { text, begins, literal });
            }
        }
        pieces
    }

    /// The sender was refused what it announced, and does not send it.
    pub(super) fn forget_literal(&mut self) {
        self.literal_left = 0;
        self.is_behind_literal = false;
    }
}

/// `literal = "{" number ["+"] "}" CRLF`
fn literal(line: &[u8]) -> Option<Literal> {
    let inside = line.strip_suffix(b"\r\n")?.strip_suffix(b"}")?;
    let open = inside.iter().rposition(|byte| *byte == b'{')?;
    let digits = std::str::from_utf8(&inside[open + 1..]).ok()?;
    let (digits, waits) = digits.strip_suffix('+').map_or((digits, true), |digits| (digits, false));
    Some(Literal { size_bytes: digits.parse().ok()?, waits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_the_same_however_it_comes() {
        let stream = b"a APPEND x {3+}\r\na\nb\r\nb NOOP\r\n* 1 FETCH (BODY[] {2}\r\nxx UID 5)\r\n";
        let whole = Cutter::default().push(stream);
        assert_eq!(whole.len(), 7);
        let mut cutter = Cutter::default();
        let mut bytes = Vec::new();
        let mut begins = 0;
        for byte in stream {
            for piece in cutter.push(&[*byte]) {
                match piece {
                    Piece::Line { text, begins: new, .. } => {
                        begins += usize::from(new);
                        bytes.extend(text);
                    }
                    Piece::Bytes(some) => bytes.extend(some),
                }
            }
        }
        assert_eq!((bytes.as_slice(), begins), (stream.as_slice(), 3));
    }
}
