//! Commands on their way out: text, and literals where a string cannot be quoted (RFC 3501 section 4.3, RFC 7888).

use std::collections::VecDeque;

use super::outward::Line;
use crate::imap::syntax::quote::{can_be_quoted, write_quoted};
use crate::sync::remote::RemoteName;
use crate::types::ByteSource;

/// One command without its tag and its final CRLF.
pub(super) struct Command<'a> {
    /// Its name, for errors.
    pub request: &'static str,
    parts: Vec<Part<'a>>,
}

enum Part<'a> {
    Text(Vec<u8>),
    Literal(Vec<u8>),
    /// A literal read while it is sent.
    Stream(&'a mut dyn ByteSource),
}

/// What is sent without a pause.
pub(super) enum Segment<'a> {
    /// Bytes, and whether the server must then ask for more.
    Line { line: Line, awaits_continue: bool },
    /// A literal read while it is sent, with how much of it is sent.
    Stream { source: &'a mut dyn ByteSource, sent: u64 },
}

/// Which literals a server takes without being asked (RFC 7888).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum NonSync {
    #[default]
    None,
    /// LITERAL-: up to 4096 bytes.
    Small,
    /// LITERAL+.
    All,
}

impl NonSync {
    const fn allows(self, size: u64) -> bool {
        match self {
            Self::None => false,
            Self::Small => size <= 4096,
            Self::All => true,
        }
    }
}

impl<'a> Command<'a> {
    /// A command that begins with these words.
    pub(super) fn new(request: &'static str, text: impl Into<Vec<u8>>) -> Self {
        Self { request, parts: vec![Part::Text(text.into())] }
    }

    /// Goes on with text as it is.
    pub(super) fn text(mut self, more: impl AsRef<[u8]>) -> Self {
        if let Some(Part::Text(text)) = self.parts.last_mut() {
            text.extend_from_slice(more.as_ref());
        } else {
            self.parts.push(Part::Text(more.as_ref().to_vec()));
        }
        self
    }

    /// Goes on with a string: quoted, or a literal where it must be. `string = quoted / literal`
    pub(super) fn string(mut self, bytes: &[u8]) -> Self {
        if can_be_quoted(bytes) {
            let mut quoted = Vec::with_capacity(bytes.len() + 2);
            write_quoted(&mut quoted, bytes);
            return self.text(quoted);
        }
        self.parts.push(Part::Literal(bytes.to_vec()));
        self
    }

    /// Goes on with a mailbox name.
    pub(super) fn mailbox(self, name: &RemoteName) -> Self {
        self.string(name.0.as_bytes())
    }

    /// Goes on with a literal read while it is sent.
    pub(super) fn stream(mut self, source: &'a mut dyn ByteSource) -> Self {
        self.parts.push(Part::Stream(source));
        self
    }

    /// The same once more, unless it reads a literal while it is sent.
    pub(super) fn twin(&self) -> Option<Command<'static>> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => Some(Part::Text(text.clone())),
            Part::Literal(bytes) => Some(Part::Literal(bytes.clone())),
            Part::Stream(_) => None,
        });
        Some(Command { request: self.request, parts: parts.collect::<Option<_>>()? })
    }

    /// What is sent, in order.
    pub(super) fn into_segments(self, non_sync: NonSync) -> VecDeque<Segment<'a>> {
        let mut segments = VecDeque::new();
        let mut line = Line::default();
        for part in self.parts {
            match part {
                Part::Text(text) => line.text(&text),
                Part::Literal(bytes) => {
                    announce(&mut segments, &mut line, bytes.len() as u64, non_sync);
                    line.bytes.extend(bytes);
                }
                Part::Stream(source) => {
                    announce(&mut segments, &mut line, source.size(), non_sync);
                    if !line.bytes.is_empty() {
                        let line = std::mem::take(&mut line);
                        segments.push_back(Segment::Line { line, awaits_continue: false });
                    }
                    segments.push_back(Segment::Stream { source, sent: 0 });
                }
            }
        }
        line.text(b"\r\n");
        segments.push_back(Segment::Line { line, awaits_continue: false });
        segments
    }
}

/// `literal = "{" number ["+"] "}" CRLF *CHAR8`, up to its bytes.
fn announce(segments: &mut VecDeque<Segment<'_>>, line: &mut Line, size: u64, non_sync: NonSync) {
    let plus = if non_sync.allows(size) { "+" } else { "" };
    line.text(format!("{{{size}{plus}}}\r\n").as_bytes());
    if plus.is_empty() {
        segments.push_back(Segment::Line { line: std::mem::take(line), awaits_continue: true });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments as text; `|` where the server must ask for more, `~` for a streamed literal.
    fn shown(command: Command<'_>, non_sync: NonSync) -> String {
        let one = |segment: Segment<'_>| match segment {
            Segment::Line { line, awaits_continue } => {
                String::from_utf8_lossy(&line.bytes).into_owned() + if awaits_continue { "|" } else { "" }
            }
            Segment::Stream { .. } => "~".to_owned(),
        };
        command.into_segments(non_sync).into_iter().map(one).collect()
    }

    #[test]
    fn a_literal_waits_unless_the_server_takes_it_unasked() {
        let name = RemoteName("é".to_owned());
        let rows = [
            (NonSync::None, "APPEND {2}\r\n|é () {5000}\r\n|~\r\n"),
            (NonSync::Small, "APPEND {2+}\r\né () {5000}\r\n|~\r\n"),
            (NonSync::All, "APPEND {2+}\r\né () {5000+}\r\n~\r\n"),
        ];
        for (non_sync, text) in rows {
            let mut message = vec![b'x'; 5000];
            let command = Command::new("APPEND", "APPEND ").mailbox(&name).text(" () ").stream(&mut message);
            assert_eq!(shown(command, non_sync), text);
        }
        let command = Command::new("SELECT", "SELECT ").string(b"a\"b\\");
        assert_eq!(shown(command, NonSync::None), "SELECT \"a\\\"b\\\\\"\r\n");
    }
}
