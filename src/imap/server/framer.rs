//! Cuts the input into commands and literals, in bounded memory (RFC 3501 section 2.2.1, section 4.3; RFC 7888).
//!
//! A command is collected with its literals inside, as the parser wants it. Where a line announces a literal the
//! framer stops and asks: the session has it collected ([`Framer::collect`]), streamed ([`Framer::stream`]) or thrown
//! away with the rest of the command ([`Framer::refuse`]). So the client and the server stay in step whatever is
//! refused. Lines end in CRLF; a bare LF is taken too.

use crate::types::limits;

/// What comes next in the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// Nothing whole yet.
    NeedInput,
    /// A whole command (or the rest of one, after streamed bytes), without its last line break.
    Command(Vec<u8>),
    /// The command so far ends with the announcement of a literal.
    Announced(Announced),
    /// Bytes of a literal that is streamed.
    Streamed(Vec<u8>),
    /// A line longer than the limit came to its end; the beginning of its command, for the tag.
    TooLong(Vec<u8>),
    /// The refused command came to its end.
    Refused,
}

/// The announcement of a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    pub size_bytes: u64,
    /// The client waits for `+` before it sends the bytes.
    pub waits: bool,
}

/// The unread input and the command being put together.
#[derive(Debug)]
pub struct Framer {
    input: Vec<u8>,
    at: usize,
    command: Vec<u8>,
    line_start: usize,
    /// Of a line that is thrown away only its end, which can announce a literal.
    line_end: Vec<u8>,
    literal_bytes: usize,
    non_synchronizing: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Within a line of the command.
    Line,
    /// The session is to say what becomes of a literal.
    Asked(Announced),
    /// Within a literal that belongs into the command.
    Collecting { left: usize },
    /// Within a literal that is handed out.
    Streaming { left: u64 },
    /// Within what is thrown away: first this many bytes, then up to the end of the command.
    Refusing { left: u64, too_long: bool },
}

/// As much of a line's end as can be the announcement of a literal.
const ANNOUNCEMENT_MAX_BYTES: usize = 32;

impl Framer {
    /// Without `non_synchronizing`, `{5+}` announces nothing.
    pub const fn new(non_synchronizing: bool) -> Self {
        Self {
            input: Vec::new(),
            at: 0,
            command: Vec::new(),
            line_start: 0,
            line_end: Vec::new(),
            literal_bytes: 0,
            non_synchronizing,
            state: State::Line,
        }
    }

    /// Adds input.
    pub fn push(&mut self, input: &[u8]) {
        self.input.drain(..self.at);
        self.at = 0;
        self.input.extend_from_slice(input);
    }

    /// Forgets everything that came: before a TLS handshake.
    pub fn discard_input(&mut self) {
        *self = Self::new(self.non_synchronizing);
    }

    /// Takes what came and was not looked at yet.
    pub fn take_unread(&mut self) -> Vec<u8> {
        let unread = self.input.split_off(self.at);
        (self.input, self.at) = (Vec::new(), 0);
        unread
    }

    /// The command so far, its last line break included.
    pub fn so_far(&self) -> &[u8] {
        &self.command
    }

    /// Bytes of literals collected in this command.
    pub const fn literal_bytes(&self) -> usize {
        self.literal_bytes
    }

    /// What comes next. After [`Frame::Announced`] the session answers before it calls this again.
    pub fn next(&mut self) -> Frame {
        loop {
            match self.state {
                State::Line => {
                    if let Some(frame) = self.line() {
                        return frame;
                    }
                }
                State::Asked(announced) => return Frame::Announced(announced),
                State::Collecting { left } => {
                    let bytes = self.take(left);
                    self.command.extend_from_slice(&bytes);
                    self.state = State::Collecting { left: left - bytes.len() };
                    if left > bytes.len() {
                        return Frame::NeedInput;
                    }
                    self.line_start = self.command.len();
                    self.state = State::Line;
                }
                State::Streaming { left: 0 } => self.state = State::Line,
                State::Streaming { left } => {
                    let bytes = self.take(usize::try_from(left).unwrap_or(usize::MAX));
                    if bytes.is_empty() {
                        return Frame::NeedInput;
                    }
                    self.state = State::Streaming { left: left - bytes.len() as u64 };
                    return Frame::Streamed(bytes);
                }
                State::Refusing { left, too_long } => {
                    if let Some(frame) = self.refusing(left, too_long) {
                        return frame;
                    }
                }
            }
        }
    }

    /// The announced literal belongs into the command.
    pub fn collect(&mut self) {
        if let State::Asked(announced) = self.state {
            let left = usize::try_from(announced.size_bytes).unwrap_or(usize::MAX);
            self.literal_bytes = self.literal_bytes.saturating_add(left);
            self.state = State::Collecting { left };
        }
    }

    /// The announced literal is handed out in pieces; what follows it begins a new command.
    pub fn stream(&mut self) {
        if let State::Asked(announced) = self.state {
            self.begin_command();
            self.state = State::Streaming { left: announced.size_bytes };
        }
    }

    /// Throws the announced or streamed literal away and the rest of the command with it; [`Frame::Refused`] tells the
    /// end. A client that waits sends nothing: for it the command ends here.
    pub fn refuse(&mut self) {
        let left = match self.state {
            State::Asked(announced) if announced.waits => None,
            State::Asked(announced) => Some(announced.size_bytes),
            State::Streaming { left } => Some(left),
            State::Line | State::Collecting { .. } | State::Refusing { .. } => Some(0),
        };
        self.begin_command();
        match left {
            Some(left) => self.state = State::Refusing { left, too_long: false },
            None => self.state = State::Line,
        }
    }

    fn begin_command(&mut self) {
        self.command = Vec::new();
        self.line_start = 0;
        self.line_end = Vec::new();
        self.literal_bytes = 0;
    }

    /// At most `max` bytes of the input.
    fn take(&mut self, max: usize) -> Vec<u8> {
        let rest = &self.input[self.at..];
        let bytes = rest[..rest.len().min(max)].to_vec();
        self.at += bytes.len();
        bytes
    }

    /// Moves the input up to the end of the line into the command; `None`: the state changed.
    fn line(&mut self) -> Option<Frame> {
        let rest = &self.input[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(rest.len(), |end| end + 1);
        let room = limits::IMAP_LINE_MAX_BYTES.saturating_sub(self.command.len() - self.literal_bytes);
        if length > room {
            // The command keeps its beginning, for the tag.
            self.command.extend_from_slice(&rest[..room]);
            self.at += room;
            let line = &self.command[self.line_start..];
            self.line_end = line[line.len().saturating_sub(ANNOUNCEMENT_MAX_BYTES)..].to_vec();
            self.state = State::Refusing { left: 0, too_long: true };
            return None;
        }
        self.command.extend_from_slice(&rest[..length]);
        self.at += length;
        if end.is_none() {
            return Some(Frame::NeedInput);
        }
        if let Some(announced) = announcement(&self.command[self.line_start..], self.non_synchronizing) {
            self.state = State::Asked(announced);
            return None;
        }
        let mut command = std::mem::take(&mut self.command);
        self.begin_command();
        command.truncate(command.len() - line_break(&command));
        Some(Frame::Command(command))
    }

    /// Throws away; `None`: go on.
    fn refusing(&mut self, left: u64, too_long: bool) -> Option<Frame> {
        if left > 0 {
            let bytes = self.take(usize::try_from(left).unwrap_or(usize::MAX)).len();
            self.state = State::Refusing { left: left - bytes as u64, too_long };
            return (bytes == 0).then_some(Frame::NeedInput);
        }
        let rest = &self.input[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.map_or(rest.len(), |end| end + 1)];
        self.at += line.len();
        self.line_end.extend_from_slice(&line[line.len().saturating_sub(ANNOUNCEMENT_MAX_BYTES)..]);
        let surplus = self.line_end.len().saturating_sub(ANNOUNCEMENT_MAX_BYTES);
        self.line_end.drain(..surplus);
        if end.is_none() {
            return Some(Frame::NeedInput);
        }
        let line_end = std::mem::take(&mut self.line_end);
        if let Some(Announced { size_bytes, waits: false }) = announcement(&line_end, self.non_synchronizing) {
            self.state = State::Refusing { left: size_bytes, too_long };
            return None;
        }
        let command = std::mem::take(&mut self.command);
        self.begin_command();
        self.state = State::Line;
        Some(if too_long { Frame::TooLong(command) } else { Frame::Refused })
    }
}

/// Length of the line break at the end.
fn line_break(line: &[u8]) -> usize {
    match line {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// `"{" number ["+"] "}" CRLF` at the end of a line.
fn announcement(line: &[u8], non_synchronizing: bool) -> Option<Announced> {
    let line = line[..line.len() - line_break(line)].strip_suffix(b"}")?;
    let tail = &line[line.len().saturating_sub(ANNOUNCEMENT_MAX_BYTES)..];
    let inner = &tail[tail.iter().rposition(|byte| *byte == b'{')? + 1..];
    let (digits, waits) = match inner.strip_suffix(b"+") {
        Some(digits) if non_synchronizing => (digits, false),
        Some(_) => return None,
        None => (inner, true),
    };
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(digits).ok().filter(|_| all_digits)?;
    // A number too large for its type is a literal too large for every limit.
    Some(Announced { size_bytes: number.parse().unwrap_or(u64::MAX), waits })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything the framer makes of `input`, literals collected, refused where larger than 10 bytes.
    fn frames(input: &[u8], piece_bytes: usize) -> Vec<Frame> {
        let mut framer = Framer::new(true);
        let mut frames: Vec<Frame> = Vec::new();
        for piece in input.chunks(piece_bytes) {
            framer.push(piece);
            loop {
                match framer.next() {
                    Frame::NeedInput => break,
                    Frame::Announced(announced) if announced.size_bytes > 10 => {
                        framer.refuse();
                        frames.push(Frame::Announced(announced));
                    }
                    Frame::Announced(_) => framer.collect(),
                    frame => frames.push(frame),
                }
            }
        }
        frames
    }

    fn command(text: &[u8]) -> Frame {
        Frame::Command(text.to_vec())
    }

    #[test]
    fn the_frames_do_not_depend_on_how_the_input_was_cut() {
        let long = [b"x LONG ".as_slice(), &b"y".repeat(70_000), b"{3+}\r\nabc {2+}\nxx\r\nb NOOP\r\n"].concat();
        let inputs: [(&[u8], usize); 5] = [
            (b"a NOOP\r\nb NOOP\nc", 2),
            (b"a LOGIN {3}\r\nx\r\n {1+}\r\ny\r\n", 1),
            (
                b"a LOGIN {99+}\r\n0123456789012345678901234567890123456789012345678901234567890123456789\
               01234567890123456789012345678 rest {2+}\r\nxx\r\nb NOOP\r\n",
                3,
            ),
            (b"a LOGIN {99999999999999999999999}\r\nb NOOP\r\n", 2),
            (&long, 2),
        ];
        for (input, count) in inputs {
            let whole = frames(input, usize::MAX);
            assert_eq!(whole.len(), count, "{whole:?}");
            for piece_bytes in [1, 2, 3, 7, 4096] {
                let cut = frames(input, piece_bytes);
                assert!(cut == whole, "{piece_bytes}");
            }
        }
    }

    #[test]
    fn literals_stand_in_their_command() {
        assert_eq!(frames(b"a LOGIN {3}\r\nx\r\n {1+}\r\ny\r\n", 5), [command(b"a LOGIN {3}\r\nx\r\n {1+}\r\ny")]);
        assert_eq!(frames(b"a X {+}\r\n{}\r\n", 5), [command(b"a X {+}"), command(b"{}")]);
    }

    #[test]
    fn a_refused_literal_leaves_client_and_server_in_step() {
        let announced = |size_bytes, waits| Frame::Announced(Announced { size_bytes, waits });
        let waited = frames(b"a X {11}\r\nb NOOP\r\n", 100);
        assert_eq!(waited, [announced(11, true), command(b"b NOOP")]);
        let sent = frames(b"a X {11+}\r\nhello\nworld more\r\nb NOOP\r\n", 100);
        assert_eq!(sent, [announced(11, false), Frame::Refused, command(b"b NOOP")]);
    }

    #[test]
    fn streamed_bytes_are_handed_out_and_the_rest_is_a_command() {
        let mut framer = Framer::new(true);
        framer.push(b"a APPEND x {7}\r\nhel");
        assert_eq!(framer.next(), Frame::Announced(Announced { size_bytes: 7, waits: true }));
        assert_eq!(framer.so_far(), b"a APPEND x {7}\r\n");
        framer.stream();
        assert_eq!(framer.next(), Frame::Streamed(b"hel".to_vec()));
        assert_eq!(framer.next(), Frame::NeedInput);
        framer.push(b"lo\r\n\r\nb NOOP\r\n");
        assert_eq!(framer.next(), Frame::Streamed(b"lo\r\n".to_vec()));
        assert_eq!(framer.next(), command(b""));
        assert_eq!(framer.next(), command(b"b NOOP"));
    }
}
