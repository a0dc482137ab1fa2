//! Cuts the byte stream from a server into responses: a line and the literals in it (RFC 3501 section 4.3).
//!
//! The literal of a message or of a section of one (`BODY[]`, `BODY[HEADER]`, `BODY[2]<0>`) is handed over while it arrives and never kept. Everything else is bounded
//! by the `UPSTREAM_*` limits; what is over them ends the connection, since there is no way to skip it safely.

use bytes::{Buf, Bytes, BytesMut};

use super::token::{STREAMED, number};
use crate::types::limits;

/// The next thing found in the stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The literal of a message begins; so many bytes follow.
    BodyBegins(u64),
    /// Some of them.
    Body(Bytes),
    /// All of them came.
    BodyEnds,
    /// A whole response, without its final line end. Literals stand in it as they came, with CRLF after the brace.
    Response(Vec<u8>),
}

/// Why the stream cannot be followed any further.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FrameError {
    #[error("a line longer than {} bytes", limits::UPSTREAM_LINE_MAX_BYTES)]
    LineTooLong,
    #[error("a response larger than {} bytes", limits::UPSTREAM_RESPONSE_MAX_BYTES)]
    ResponseTooLarge,
    #[error("a literal of {announced} bytes is announced, and at most {max} are taken")]
    LiteralTooLarge { announced: u64, max: u64 },
    #[error("a literal of {0} bytes is announced")]
    LiteralBeyondMeasure(String),
    #[error("an answer of more than {} bytes", limits::UPSTREAM_ANSWER_MAX_BYTES)]
    AnswerTooLarge,
    #[error("two message bodies in one response")]
    TwoBodies,
}

/// Where in a response the stream stands.
#[derive(Debug, Clone, Copy)]
enum State {
    /// In a line, which began at this place of the response.
    Line { start: usize },
    /// In a literal that is kept, with so many bytes to come.
    Literal { left: usize },
    /// In a literal that is handed over.
    Body { left: u64 },
}

/// The stream so far.
#[derive(Debug)]
pub(super) struct Framer {
    response: Vec<u8>,
    state: State,
    had_body: bool,
}

impl Framer {
    pub(super) const fn new() -> Self {
        Self { response: Vec::new(), state: State::Line { start: 0 }, had_body: false }
    }

    /// Is the stream between two responses?
    pub(super) fn is_between_responses(&self) -> bool {
        self.response.is_empty() && !self.had_body && matches!(self.state, State::Line { .. })
    }

    /// Takes bytes off the front of `input` until something is found; `None`: all of `input` was taken, and more is
    /// needed.
    pub(super) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Piece>, FrameError> {
        loop {
            match self.state {
                State::Body { left: 0 } => {
                    self.state = State::Line { start: self.response.len() };
                    return Ok(Some(Piece::BodyEnds));
                }
                State::Body { left } if !input.is_empty() => {
                    let bytes = input.split_to(input.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
                    self.state = State::Body { left: left - bytes.len() as u64 };
                    return Ok(Some(Piece::Body(bytes.freeze())));
                }
                State::Literal { left: 0 } => self.state = State::Line { start: self.response.len() },
                State::Literal { left } if !input.is_empty() => {
                    let taken = input.len().min(left);
                    self.response.extend_from_slice(&input[..taken]);
                    input.advance(taken);
                    self.state = State::Literal { left: left - taken };
                }
                State::Line { start } if !input.is_empty() => {
                    if let Some(piece) = self.line(start, input)? {
                        return Ok(Some(piece));
                    }
                }
                State::Body { .. } | State::Literal { .. } | State::Line { .. } => return Ok(None),
            }
        }
    }

    /// Goes on in a line that began at `start`.
    fn line(&mut self, start: usize, input: &mut BytesMut) -> Result<Option<Piece>, FrameError> {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |end| end + 1);
        // A NUL is never legal here, and marks a streamed literal in what we hand on.
        self.response.extend(input[..taken].iter().map(|byte| if *byte == STREAMED { b'?' } else { *byte }));
        input.advance(taken);
        if self.response.len() - start > limits::UPSTREAM_LINE_MAX_BYTES {
            return Err(FrameError::LineTooLong);
        }
        if self.response.len() > limits::UPSTREAM_RESPONSE_MAX_BYTES {
            return Err(FrameError::ResponseTooLarge);
        }
        if end.is_none() {
            return Ok(None);
        }
        self.response.pop();
        if self.response.last() == Some(&b'\r') && self.response.len() > start {
            self.response.pop();
        }
        match self.announced(start)? {
            Some((brace, size)) => self.literal_begins(brace, size),
            None => {
                self.state = State::Line { start: 0 };
                self.had_body = false;
                Ok(Some(Piece::Response(std::mem::take(&mut self.response))))
            }
        }
    }

    /// The literal announced at the end of the line that began at `start`: the place of its brace, and its size.
    /// The text of a status response may end in what looks like one.
    fn announced(&self, start: usize) -> Result<Option<(usize, u64)>, FrameError> {
        let line = &self.response[start..];
        let Some(inside) = line.strip_suffix(b"}") else { return Ok(None) };
        let Some(brace) = inside.iter().rposition(|byte| *byte == b'{') else { return Ok(None) };
        let digits = &inside[brace + 1..];
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) || has_free_text(&self.response) {
            return Ok(None);
        }
        match number(digits) {
            Some(size) => Ok(Some((start + brace, size))),
            None => Err(FrameError::LiteralBeyondMeasure(String::from_utf8_lossy(digits).chars().take(40).collect())),
        }
    }

    fn literal_begins(&mut self, brace: usize, size: u64) -> Result<Option<Piece>, FrameError> {
        if announces_body(&self.response[..brace]) {
            if size > limits::MESSAGE_MAX_BYTES {
                return Err(FrameError::LiteralTooLarge { announced: size, max: limits::MESSAGE_MAX_BYTES });
            }
            if std::mem::replace(&mut self.had_body, true) {
                return Err(FrameError::TwoBodies);
            }
            self.response.truncate(brace);
            self.response.push(STREAMED);
            self.state = State::Body { left: size };
            return Ok(Some(Piece::BodyBegins(size)));
        }
        let max = limits::UPSTREAM_LITERAL_MAX_BYTES;
        match usize::try_from(size) {
            Ok(left) if left <= max => {
                if self.response.len() + left > limits::UPSTREAM_RESPONSE_MAX_BYTES {
                    return Err(FrameError::ResponseTooLarge);
                }
                self.response.extend_from_slice(b"\r\n");
                self.state = State::Literal { left };
                Ok(None)
            }
            _ => Err(FrameError::LiteralTooLarge { announced: size, max: max as u64 }),
        }
    }
}

/// Whether a response is one that ends in text for people: `resp-text` holds no literal (RFC 3501 section 9).
fn has_free_text(response: &[u8]) -> bool {
    let Some(rest) = response.strip_prefix(b"* ") else { return true };
    let word = rest.split(|byte| *byte == b' ').next().unwrap_or_default();
    ["OK", "NO", "BAD", "BYE", "PREAUTH"].iter().any(|status| word.eq_ignore_ascii_case(status.as_bytes()))
        || word.starts_with(b"[")
}

/// Whether the literal that follows is (of) a message: the last item named in a FETCH is `BODY[..]`, with no list of fields.
fn announces_body(response: &[u8]) -> bool {
    let Some(rest) = response.strip_prefix(b"* ") else { return false };
    let mut words = rest.splitn(3, |byte| *byte == b' ');
    let is_fetch =
        words.next().and_then(number).is_some() && words.next().is_some_and(|word| word.eq_ignore_ascii_case(b"FETCH"));
    let item = response.strip_suffix(b" ").unwrap_or_default();
    let name = item.rsplit(|byte| matches!(byte, b' ' | b'(' | b')')).next().unwrap_or_default();
    is_fetch && is_body(name)
}

/// Is it the name of the item that gives a message or a section of it: `BODY[..]`, perhaps with `<..>` behind it? Some fields
/// of a header are asked for to be looked at, and are not handed over.
pub(super) fn is_body(name: &[u8]) -> bool {
    let section =
        name.split_at_checked(5).filter(|(body, _)| body.eq_ignore_ascii_case(b"BODY[")).map(|(_, rest)| rest);
    section.is_some_and(|section| {
        let end = section.iter().position(|byte| *byte == b']');
        end.is_some_and(|end| !section[..end].iter().any(|byte| matches!(byte, b' ' | b'(')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pieces of `stream`, fed `step` bytes at a time, bodies joined.
    fn pieces(stream: &[u8], step: usize) -> Result<Vec<Piece>, FrameError> {
        let mut framer = Framer::new();
        let mut found: Vec<Piece> = Vec::new();
        for chunk in stream.chunks(step) {
            let mut input = BytesMut::from(chunk);
            while let Some(piece) = framer.next(&mut input)? {
                match (piece, found.last_mut()) {
                    (Piece::Body(more), Some(Piece::Body(bytes))) => *bytes = [&bytes[..], &more].concat().into(),
                    (piece, _) => found.push(piece),
                }
            }
            assert!(input.is_empty(), "all input is taken");
        }
        Ok(found)
    }

    #[test]
    fn a_stream_is_cut_the_same_way_however_it_arrives() {
        let stream =
            b"* OK hello {3}\r\n* LIST () \"/\" {3}\r\na\r\n\r\n* 1 FETCH (UID 7 BODY[] {6}\r\nab\r\ncd FLAGS ())\r\n\
            * 2 FETCH (BODY[] {0}\r\n UID 8)\nA1 OK done {9}\r\n";
        let response = |text: &[u8]| Piece::Response(text.to_vec());
        let expected = vec![
            response(b"* OK hello {3}"),
            response(b"* LIST () \"/\" {3}\r\na\r\n"),
            Piece::BodyBegins(6),
            Piece::Body(Bytes::from_static(b"ab\r\ncd")),
            Piece::BodyEnds,
            response(b"* 1 FETCH (UID 7 BODY[] \0 FLAGS ())"),
            Piece::BodyBegins(0),
            Piece::BodyEnds,
            response(b"* 2 FETCH (BODY[] \0 UID 8)"),
            response(b"A1 OK done {9}"),
        ];
        for step in 1..=stream.len() {
            assert_eq!(pieces(stream, step).as_ref(), Ok(&expected), "{step} bytes at a time");
        }
    }

    #[test]
    fn what_is_over_a_limit_is_refused_when_announced() {
        let line = vec![b'x'; limits::UPSTREAM_LINE_MAX_BYTES + 1];
        let many = [&b"* X"[..], &[&b" {1048576}\r\n"[..], &vec![b'x'; 1 << 20]].concat().repeat(5)].concat();
        let rows: [(&[u8], FrameError); 6] = [
            (&line, FrameError::LineTooLong),
            (&many, FrameError::ResponseTooLarge),
            (
                b"* 1 FETCH (BODY[] {2147483648}\r\n",
                FrameError::LiteralTooLarge { announced: 1 << 31, max: limits::MESSAGE_MAX_BYTES },
            ),
            (b"* LIST () {1048577}\r\n", FrameError::LiteralTooLarge { announced: 1_048_577, max: 1_048_576 }),
            (b"* LIST () {99999999999999999999}\r\n", FrameError::LiteralBeyondMeasure("99999999999999999999".into())),
            (b"* 1 FETCH (BODY[] {1}\r\nx BODY[] {1}\r\nx)\r\n", FrameError::TwoBodies),
        ];
        for (stream, error) in rows {
            assert_eq!(pieces(stream, 4096), Err(error));
        }
    }

    #[test]
    fn a_nul_in_a_line_is_not_taken_for_a_body() {
        assert_eq!(
            pieces(b"* 1 FETCH (BODY[] \0)\r\n", 99),
            Ok(vec![Piece::Response(b"* 1 FETCH (BODY[] ?)".to_vec())])
        );
    }
}
