//! A message as a multi-line response: CRLF lines, dot-stuffed, ended by a dot (RFC 1939 section 3).
//!
//! Stored bytes may hold bare line feeds (another server took them so). They go out as CRLF: a client that reads lines
//! would otherwise take a bare `LF "." LF` for the end.

/// Stuffs one message as it comes, all of it or only the header and some lines of the body (TOP).
#[derive(Debug)]
pub struct Stuffer {
    line_start: bool,
    after_cr: bool,
    /// A line with nothing in it so far.
    line_empty: bool,
    in_body: bool,
    /// Lines of the body still wanted; `None` wants all.
    body_lines: Option<u64>,
}

impl Stuffer {
    /// For the whole message, or its header and `body_lines` lines.
    pub const fn new(body_lines: Option<u64>) -> Self {
        Self { line_start: true, after_cr: false, line_empty: true, in_body: false, body_lines }
    }

    /// Is everything wanted written?
    pub fn is_satisfied(&self) -> bool {
        self.in_body && self.line_start && self.body_lines == Some(0)
    }

    /// Appends the wire form of the next bytes.
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) {
        for byte in content.iter().copied() {
            if self.is_satisfied() {
                return;
            }
            match byte {
                b'\n' => self.end_line(out),
                byte => {
                    if self.line_start && byte == b'.' {
                        out.push(b'.');
                    }
                    out.push(byte);
                    self.line_empty &= byte == b'\r';
                    self.after_cr = byte == b'\r';
                    self.line_start = false;
                }
            }
        }
    }

    /// Appends the end of the response.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        if !self.line_start {
            self.end_line(out);
        }
        out.extend_from_slice(b".\r\n");
    }

    fn end_line(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.after_cr { b"\n" } else { b"\r\n" });
        if self.in_body {
            self.body_lines = self.body_lines.map(|lines| lines.saturating_sub(1));
        } else {
            self.in_body = self.line_empty;
        }
        (self.line_start, self.after_cr, self.line_empty) = (true, false, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(content: &str, body_lines: Option<u64>) -> String {
        let (mut stuffer, mut out) = (Stuffer::new(body_lines), Vec::new());
        content.bytes().for_each(|byte| stuffer.write(&[byte], &mut out));
        stuffer.finish(&mut out);
        String::from_utf8(out).expect("text stays text")
    }

    #[test]
    fn a_message_goes_out_in_lines_that_cannot_end_it() {
        for (content, expected) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            ("a\r", "a\r\n.\r\n"),
            (".\r\n..\r\n", "..\r\n...\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\r\n", "a\r.\r\n.\r\n"),
        ] {
            assert_eq!(wire(content, None), expected, "{content:?}");
        }
    }

    #[test]
    fn top_gives_the_header_and_as_many_lines_as_asked() {
        let message = "A: b\r\n\r\none\r\n\r\n.three\r\n";
        assert_eq!(wire(message, Some(0)), "A: b\r\n\r\n.\r\n");
        assert_eq!(wire(message, Some(2)), "A: b\r\n\r\none\r\n\r\n.\r\n");
        assert_eq!(wire(message, Some(9)), "A: b\r\n\r\none\r\n\r\n..three\r\n.\r\n");
        assert_eq!(wire("A: b\r\n", Some(3)), "A: b\r\n.\r\n");
    }
}
