//! An IMAP connection, understood as far as is needed to count its commands and its waits. It must be in the clear.

/// What the client said on one connection.
#[derive(Default)]
pub struct Talk {
    up: Lines,
    down: Lines,
    /// Commands that are not answered yet.
    outstanding: u64,
    pub commands: u64,
    /// How often the client could not go on without the server: it had every answer when it sent a command, or it sent a
    /// literal that the server must first ask for, or it answered what the server asked.
    pub waits: u64,
}

impl Talk {
    /// As the client sends it.
    pub fn hear_client(&mut self, bytes: &[u8]) {
        self.up.take(bytes, |line, is_start| {
            // DONE, and a line of a SASL exchange, are one word.
            if is_start && line.contains(&b' ') {
                self.commands += 1;
                self.waits += u64::from(self.outstanding == 0);
                self.outstanding += 1;
            } else if is_start {
                self.waits += 1;
            }
            // Not `{5+}` (RFC 7888).
            self.waits += u64::from(literal(line).is_some() && !line.ends_with(b"+}"));
        });
    }

    /// As the client gets it.
    pub fn hear_server(&mut self, bytes: &[u8]) {
        self.down.take(bytes, |line, is_start| {
            if is_start && !line.starts_with(b"*") && !line.starts_with(b"+") {
                self.outstanding = self.outstanding.saturating_sub(1);
            }
        });
    }
}

/// Cuts a stream into lines and leaves literals out (RFC 3501 section 4.3).
#[derive(Default)]
struct Lines {
    line: Vec<u8>,
    /// What is still to come of a literal.
    literal: usize,
    /// The line before ended with a literal.
    goes_on: bool,
}

impl Lines {
    /// Each whole line, and whether a command or an answer starts with it.
    fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8], bool)) {
        while !bytes.is_empty() {
            let skipped = self.literal.min(bytes.len());
            self.literal -= skipped;
            bytes = &bytes[skipped..];
            let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                self.line.extend(bytes);
                return;
            };
            self.line.extend(&bytes[..end]);
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").unwrap_or(&line);
            each(line, !self.goes_on);
            self.goes_on = literal(line).is_some();
            self.literal = literal(line).unwrap_or(0);
        }
    }
}

/// The length of the literal that a line ends with.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}")?;
    let line = line.strip_suffix(b"+").unwrap_or(line);
    let start = line.iter().rposition(|byte| *byte == b'{')? + 1;
    std::str::from_utf8(&line[start..]).ok()?.parse().ok()
}

#[test]
fn commands_and_waits_are_counted_whatever_the_pieces_are() {
    let talk: [(bool, &str); 8] = [
        (false, "* OK hello\r\n"),
        (true, "a LOGIN me x\r\nb ENABLE QRESYNC\r\n"),
        (false, "a OK\r\n* ENABLED\r\nb OK\r\n"),
        (true, "c APPEND x {4+}\r\na b\n\r\nd APPEND x {3}\r\n"),
        (false, "+ go\r\nc OK\r\n"),
        (true, "a b\r\ne UID FETCH 1 BODY[]\r\n"),
        (false, "d OK\r\n* 1 FETCH (BODY[] {7}\r\nf OK x\n)\r\n"),
        (true, "f NOOP\r\n"),
    ];
    for length in [1, 3, 1000] {
        let mut heard = Talk::default();
        for (is_client, said) in talk {
            for piece in said.as_bytes().chunks(length) {
                if is_client { heard.hear_client(piece) } else { heard.hear_server(piece) }
            }
        }
        // The waits are LOGIN, the first APPEND, and the literal that is asked for; all else is pipelined.
        assert_eq!((heard.commands, heard.waits, heard.outstanding), (6, 3, 2), "in pieces of {length}");
    }
}
