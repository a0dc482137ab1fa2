//! From a message's bytes, in whatever pieces they come, to its [`Summary`].
//!
//! One pass, line by line, in memory that does not grow with the body: kept are the header being read, the first bytes
//! of a line that may be a boundary, and the parts so far. How the bytes are cut into pieces makes no difference.
//!
//! How broken mail is read:
//! - A boundary line is one that begins with `--` and an open boundary; what follows on the line does not matter
//!   (RFC 2046 section 5.1.1). Where several open boundaries fit, the longest counts, and of equal ones the innermost.
//! - A boundary of an outer multipart ends all that is open within, as does the end of the message.
//! - A header ends at an empty line, at a boundary line, at the end, or where it is larger than
//!   [`limits::HEADER_MAX_BYTES`]. A `From ` line before the first field is part of the header.
//! - A multipart without a boundary has no parts. One too deep, and boundary lines past the last part that is told
//!   apart, are text.

use super::entity::{self, Default};
use super::header::is_empty_line;
use super::{Body, Envelope, Keys, Part, Summary, keys};
use crate::types::limits;

/// Most headers are no longer.
const HEADER_USUAL_BYTES: usize = 2048;

/// Takes a message in pieces.
#[derive(Debug)]
pub struct Scanner {
    /// The header of the message itself: its envelope is read at the end, or by who finishes this elsewhere.
    root_header: Vec<u8>,
    /// The parts that are not ended yet, each within the one before it; the message itself is first.
    open: Vec<Open>,
    /// The boundaries of open multiparts, outermost first.
    boundaries: Vec<Boundary>,
    reading: Reading,
    line: Line,
    /// Bytes taken.
    offset: u64,
    /// Line breaks taken.
    line_breaks: u64,
    /// Whether the last byte taken is a carriage return.
    after_cr: bool,
    parts: usize,
    /// Header bytes, and addresses of messages within this one, that may still be turned into values.
    header_room: usize,
    address_room: usize,
    /// Bytes compared with boundaries, for the test that says how much work a message can make.
    #[cfg(test)]
    compared: std::cell::Cell<u64>,
}

/// A part that is not ended.
#[derive(Debug)]
struct Open {
    part: Part,
    kind: Kind,
    /// What the header's silence means.
    default: Default,
    /// Line breaks before its body.
    line_breaks: u64,
}

/// What an open part is made of.
#[derive(Debug)]
enum Kind {
    Leaf,
    Multipart {
        parts: Vec<Part>,
    },
    /// A message: its envelope once its header is read, its root part once that is ended.
    Message {
        envelope: Box<Envelope>,
        root: Box<Part>,
    },
}

/// What divides an open multipart.
#[derive(Debug)]
struct Boundary {
    /// The multipart's place in `open`.
    depth: usize,
    text: Vec<u8>,
}

/// What the bytes belong to.
#[derive(Debug)]
enum Reading {
    /// The header of the innermost open part, as far as it was read; its last line begins at `line`.
    Header { bytes: Vec<u8>, line: usize },
    /// Text of the innermost open part; of the line, the bytes that may be a boundary.
    Body { line: Vec<u8> },
}

/// The line being read.
#[derive(Debug, Clone, Copy)]
struct Line {
    start: u64,
    /// Line breaks before it.
    line_breaks: u64,
    /// Bytes of the line break just before it, which belong to a boundary that it may be.
    break_bytes: u64,
}

impl std::default::Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// Before the first byte.
    pub fn new() -> Self {
        let mut scanner = Self {
            root_header: Vec::new(),
            open: Vec::new(),
            boundaries: Vec::new(),
            reading: Reading::Body { line: Vec::new() },
            line: Line { start: 0, line_breaks: 0, break_bytes: 0 },
            offset: 0,
            line_breaks: 0,
            after_cr: false,
            parts: 0,
            header_room: limits::MIME_HEADERS_MAX_BYTES,
            address_room: limits::ENVELOPE_ADDRESSES_MAX,
            #[cfg(test)]
            compared: std::cell::Cell::new(0),
        };
        scanner.open_part(0, Default::TextPlain);
        scanner
    }

    /// The summary of a message that is in memory.
    pub fn scan(message: &[u8]) -> Summary {
        Self::scan_with_keys(message).0
    }

    /// And by what it is sorted and threaded.
    pub fn scan_with_keys(message: &[u8]) -> (Summary, Keys) {
        let mut scanner = Self::new();
        scanner.push(message);
        scanner.finish()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.boundaries.is_empty() && matches!(self.reading, Reading::Body { .. }) {
                self.offset += bytes.len() as u64;
                self.line_breaks += line_breaks_in(bytes);
                return;
            }
            let plain = if self.is_in_plain_line(bytes[0]) { plain_lines(bytes) } else { 0 };
            if plain > 0 {
                self.pass_lines(&bytes[..plain]);
                bytes = &bytes[plain..];
                continue;
            }
            let line_end = memchr::memchr(b'\n', bytes);
            let (piece, rest) = bytes.split_at(line_end.map_or(bytes.len(), |place| place + 1));
            let break_bytes = self.break_bytes(piece);
            self.take_piece(piece);
            if line_end.is_some() {
                self.line_breaks += 1;
                self.end_line();
                self.line = Line { start: self.offset, line_breaks: self.line_breaks, break_bytes };
            }
            bytes = rest;
        }
    }

    /// Is the line to which `next` belongs one of a body, and no boundary?
    fn is_in_plain_line(&self, next: u8) -> bool {
        matches!(&self.reading, Reading::Body { line } if *line.first().unwrap_or(&next) != b'-')
    }

    /// Takes text up to the end of a line; no line in it is a boundary.
    fn pass_lines(&mut self, lines: &[u8]) {
        let break_bytes = self.break_bytes(lines);
        self.offset += lines.len() as u64;
        self.line_breaks += line_breaks_in(lines);
        self.after_cr = false;
        self.line = Line { start: self.offset, line_breaks: self.line_breaks, break_bytes };
        if let Reading::Body { line } = &mut self.reading {
            line.clear();
        }
    }

    /// How long the line break is that ends `piece`, which comes next.
    fn break_bytes(&self, piece: &[u8]) -> u64 {
        let crlf = match piece {
            [.., before, _] => *before == b'\r',
            _ => self.after_cr,
        };
        if crlf { 2 } else { 1 }
    }

    /// After the last byte.
    pub fn finish(mut self) -> (Summary, Keys) {
        if self.offset > self.line.start {
            self.end_line();
        }
        self.end_headers(self.offset, self.line_breaks);
        self.line = Line { start: self.offset, line_breaks: self.line_breaks, break_bytes: 0 };
        self.close_below(1);
        let root = self.open.pop().expect("the message itself is open from the beginning to the end");
        let envelope = entity::envelope(&self.root_header, &mut { limits::ENVELOPE_ADDRESSES_MAX });
        let keys = Keys::with_references(&envelope, keys::references(&self.root_header));
        (Summary { envelope, root: root.ended(self.offset, self.line_breaks) }, keys)
    }

    /// Takes a line, or a piece of one.
    fn take_piece(&mut self, piece: &[u8]) {
        self.offset += piece.len() as u64;
        self.after_cr = piece.last() == Some(&b'\r');
        loop {
            match &mut self.reading {
                Reading::Header { bytes, .. } if bytes.len() + piece.len() <= limits::HEADER_MAX_BYTES => {
                    return bytes.extend(piece);
                }
                // Too large: it ends before this line. What was read of the line is read again as what follows a
                // header, which is the header of another message at most.
                Reading::Header { bytes, line } => {
                    let again = bytes.split_off(*line);
                    self.end_header(self.line.start, self.line.line_breaks);
                    match &mut self.reading {
                        Reading::Header { bytes, .. } => *bytes = again,
                        Reading::Body { line } => keep_start(line, &again),
                    }
                }
                Reading::Body { line } => return keep_start(line, piece),
            }
        }
    }

    /// The line is complete, or the message is.
    fn end_line(&mut self) {
        let line = match &self.reading {
            Reading::Header { bytes, line } => &bytes[*line..],
            Reading::Body { line } => line.as_slice(),
        };
        if let Some((boundary, is_last)) = self.boundary_on(line) {
            return self.meet_boundary(boundary, is_last);
        }
        let header_ends = is_empty_line(line);
        match &mut self.reading {
            Reading::Header { .. } if header_ends => self.end_header(self.offset, self.line_breaks),
            Reading::Header { bytes, line } => *line = bytes.len(),
            Reading::Body { line } => line.clear(),
        }
    }

    /// Which boundary the line is, and whether it is the closing one.
    fn boundary_on(&self, line: &[u8]) -> Option<(usize, bool)> {
        let text = line.strip_prefix(b"--")?;
        let mut found: Option<(usize, &Boundary)> = None;
        for (place, boundary) in self.boundaries.iter().enumerate().rev() {
            #[cfg(test)]
            self.compared.set(self.compared.get() + boundary.text.len().min(text.len()) as u64);
            let longest = found.is_none_or(|(_, longest)| boundary.text.len() > longest.text.len());
            if longest && text.starts_with(&boundary.text) {
                found = Some((place, boundary));
            }
        }
        let (place, boundary) = found?;
        let is_last = text[boundary.text.len()..].starts_with(b"--");
        (is_last || self.parts < limits::MIME_PARTS_MAX).then_some((place, is_last))
    }

    /// The line is a boundary: what is open within its multipart ends before it, and the next part begins after it.
    fn meet_boundary(&mut self, boundary: usize, is_last: bool) {
        if let Reading::Header { bytes, line } = &mut self.reading {
            bytes.truncate(*line);
        }
        self.end_headers(self.line.start, self.line.line_breaks);
        let depth = self.boundaries[boundary].depth;
        self.close_below(depth + 1);
        if is_last {
            self.boundaries.truncate(boundary);
            self.reading = Reading::Body { line: Vec::new() };
        } else {
            let digest = self.open[depth].part.media_subtype == "DIGEST";
            self.open_part(self.offset, if digest { Default::MessageRfc822 } else { Default::TextPlain });
        }
    }

    fn open_part(&mut self, header_start: u64, default: Default) {
        let part = Part { header_start, ..entity::describe(&[], default) };
        self.parts += 1;
        self.open.push(Open { part, kind: Kind::Leaf, default, line_breaks: 0 });
        self.reading = Reading::Header { bytes: Vec::with_capacity(HEADER_USUAL_BYTES), line: 0 };
    }

    /// Ends the header being read, and those of messages that begin there.
    fn end_headers(&mut self, body_start: u64, line_breaks: u64) {
        while let Reading::Header { .. } = self.reading {
            self.end_header(body_start, line_breaks);
        }
    }

    /// The header of the innermost part is complete: what it says decides what follows.
    fn end_header(&mut self, body_start: u64, line_breaks: u64) {
        let Reading::Header { bytes: header, .. } =
            std::mem::replace(&mut self.reading, Reading::Body { line: Vec::new() })
        else {
            return;
        };
        let header = if header.len() <= self.header_room { header } else { Vec::new() };
        self.header_room -= header.len();

        if let [.., Open { kind: Kind::Message { envelope, .. }, .. }, _] = self.open.as_mut_slice() {
            **envelope = entity::envelope(&header, &mut self.address_room);
        }
        let nested_too_deep = self.open.len() > limits::MIME_NESTING_MAX;
        let depth = self.open.len() - 1;
        let open = &mut self.open[depth];
        open.part =
            Part { header_start: open.part.header_start, body_start, ..entity::describe(&header, open.default) };
        open.line_breaks = line_breaks;
        if depth == 0 {
            self.root_header = header;
        }
        if nested_too_deep {
            return;
        }
        if open.part.media_type == "MULTIPART" {
            open.kind = Kind::Multipart { parts: Vec::new() };
            let text = open.part.parameters.iter().find(|(name, _)| name == "BOUNDARY");
            let text = text.map(|(_, text)| text).filter(|text| !text.is_empty());
            self.boundaries.extend(text.map(|text| Boundary { depth, text: start_of(text).to_vec() }));
        } else if is_message(&open.part) && self.parts < limits::MIME_PARTS_MAX {
            let root = Box::new(entity::describe(&[], Default::TextPlain));
            open.kind = Kind::Message { envelope: Box::default(), root };
            self.open_part(body_start, Default::TextPlain);
        }
    }

    /// Ends all open parts but the outermost `keep`, before the line.
    fn close_below(&mut self, keep: usize) {
        self.boundaries.truncate(self.boundaries.partition_point(|boundary| boundary.depth < keep));
        let mut end = self.line.start - self.line.break_bytes;
        let mut line_breaks = self.line.line_breaks - u64::from(self.line.break_bytes > 0);
        while self.open.len() > keep {
            let Some(open) = self.open.pop() else { return };
            // The line break before the line may be the one that ends the header: then it is no part of the boundary.
            if open.part.body_start > end {
                (end, line_breaks) = (self.line.start, self.line.line_breaks);
            }
            let part = open.ended(end, line_breaks);
            match self.open.last_mut().map(|parent| &mut parent.kind) {
                Some(Kind::Multipart { parts }) => parts.push(part),
                Some(Kind::Message { root, .. }) => **root = part,
                Some(Kind::Leaf) | None => {}
            }
        }
    }
}

impl Open {
    fn ended(self, end: u64, line_breaks: u64) -> Part {
        let body = match self.kind {
            Kind::Leaf => Body::Leaf,
            Kind::Multipart { parts } => Body::Multipart(parts),
            Kind::Message { envelope, root } => Body::Message(envelope, root),
        };
        Part { end, lines: line_breaks - self.line_breaks, body, ..self.part }
    }
}

/// message/rfc822 (RFC 2046 section 5.2.1) and its internationalised form (RFC 6532 section 3.7).
fn is_message(part: &Part) -> bool {
    part.media_type == "MESSAGE" && matches!(part.media_subtype.as_str(), "RFC822" | "GLOBAL")
}

fn line_breaks_in(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// How many of `bytes`, which go on in a line that is no boundary, are whole lines before the first that may be one.
/// Looking for that one place is several times as fast as looking at each line.
fn plain_lines(bytes: &[u8]) -> usize {
    let next = memchr::memmem::find(bytes, b"\n-").or_else(|| memchr::memrchr(b'\n', bytes));
    next.map_or(0, |line_end| line_end + 1)
}

/// Of a boundary, what is compared.
fn start_of(boundary: &[u8]) -> &[u8] {
    &boundary[..boundary.len().min(limits::MIME_BOUNDARY_MAX_BYTES)]
}

/// Adds to `line` what of `piece` may be part of a boundary line: `--`, the boundary, `--`. Of any other line the first
/// byte is kept, so that what follows is not taken for its beginning.
fn keep_start(line: &mut Vec<u8>, piece: &[u8]) {
    let may_be_boundary = line.first().or(piece.first()) == Some(&b'-');
    let wanted = if may_be_boundary { limits::MIME_BOUNDARY_MAX_BYTES + 4 } else { 1 };
    line.extend(&piece[..piece.len().min(wanted - line.len())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree on one line: `type/subtype[header_start body_start end lines]{parts}`.
    fn shown(part: &Part) -> String {
        let inside = match &part.body {
            Body::Leaf => String::new(),
            Body::Multipart(parts) => format!("{{{}}}", parts.iter().map(shown).collect::<Vec<_>>().join(" ")),
            Body::Message(_, root) => format!("<{}>", shown(root)),
        };
        let Part { header_start, body_start, end, lines, .. } = part;
        let name = format!("{}/{}", part.media_type, part.media_subtype).to_lowercase();
        format!("{name}[{header_start} {body_start} {end} {lines}]{inside}")
    }

    #[test]
    fn every_part_has_its_place() {
        for (message, expected) in [
            ("", "text/plain[0 0 0 0]"),
            ("\r\n", "text/plain[0 2 2 0]"),
            ("A: b", "text/plain[0 4 4 0]"),
            ("A: b\n\nx\ny\n", "text/plain[0 6 10 2]"),
            ("A: b\r\n\r\n--x\r\ny", "text/plain[0 8 14 1]"),
            (
                "Content-Type: multipart/x; boundary=b\n\npre\n--b\n\n1\n--b \nContent-Type: a/b\n\n2\n\n--b--\npost",
                "multipart/x[0 39 87 10]{text/plain[47 48 49 0] a/b[55 74 76 1]}",
            ),
        ] {
            assert_eq!(shown(&Scanner::scan(message.as_bytes()).root), expected, "{message:?}");
        }
    }

    /// Scans and returns how many bytes were compared with boundaries.
    fn compared(message: &[u8]) -> (Summary, u64) {
        let mut scanner = Scanner::new();
        scanner.push(message);
        let compared = scanner.compared.get();
        (scanner.finish().0, compared)
    }

    fn count(part: &Part) -> usize {
        1 + match &part.body {
            Body::Leaf => 0,
            Body::Multipart(parts) => parts.iter().map(count).sum(),
            Body::Message(_, root) => count(root),
        }
    }

    fn depth(part: &Part) -> usize {
        1 + match &part.body {
            Body::Leaf => 0,
            Body::Multipart(parts) => parts.iter().map(depth).max().unwrap_or(0),
            Body::Message(_, root) => depth(root),
        }
    }

    #[test]
    fn no_message_makes_more_work_than_its_size_times_the_nesting() {
        let nested: String = (0..1000)
            .map(|level| {
                let boundary = format!("{}{level}", "b".repeat(200));
                format!("Content-Type: multipart/mixed; boundary={boundary}\n\n--{boundary}\n")
            })
            .collect();
        let nearly = format!("--{}\n", "b".repeat(250)).repeat(1000);
        let messages = "Content-Type: message/rfc822\n\n".repeat(10_000);
        let boundaries = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n".repeat(100_000));
        let fields = format!("{}\n{}", "To: a,\n".repeat(100_000), "--x\n".repeat(1000));
        for (name, message) in [
            ("nested", nested.clone()),
            ("nearly", nested + &nearly),
            ("messages", messages),
            ("boundaries", boundaries),
            ("fields", fields),
        ] {
            let (summary, compared) = compared(message.as_bytes());
            assert!(compared <= message.len() as u64 * limits::MIME_NESTING_MAX as u64, "{name}: {compared}");
            assert!(count(&summary.root) <= limits::MIME_PARTS_MAX, "{name}");
            assert!(depth(&summary.root) <= limits::MIME_NESTING_MAX + 1, "{name}");
        }
    }

    #[test]
    fn a_header_too_large_goes_on_as_body() {
        let line = format!("X: {}\n", "x".repeat(996));
        let lines = Scanner::scan(line.repeat(2000).as_bytes()).root;
        let fitting = limits::HEADER_MAX_BYTES / line.len() * line.len();
        assert_eq!(lines.body_start, fitting as u64);
        assert_eq!(lines.lines, 2000 - (fitting / line.len()) as u64);

        let one_line = "x".repeat(limits::HEADER_MAX_BYTES + 1);
        assert_eq!(Scanner::scan(one_line.as_bytes()).root.body_start, 0);

        let boundary_after = format!("Content-Type: multipart/x; boundary=b\n{}--b\n\nfound", line.repeat(2000));
        assert!(
            matches!(Scanner::scan(boundary_after.as_bytes()).root.body, Body::Multipart(parts) if parts.len() == 1)
        );
    }

    #[test]
    fn headers_beyond_the_room_keep_their_place_and_say_nothing() {
        let part = format!("--b\nContent-Type: a/b; c={}\n\n", "x".repeat(limits::HEADER_MAX_BYTES - 100));
        let message = format!("Content-Type: multipart/x; boundary=b\n\n{}", part.repeat(6));
        let Body::Multipart(parts) = Scanner::scan(message.as_bytes()).root.body else { panic!("a multipart") };
        let types: Vec<&str> = parts.iter().map(|part| part.media_type.as_str()).collect();
        assert_eq!(types, ["A", "A", "A", "A", "TEXT", "TEXT"]);
        assert!(parts.iter().all(|part| part.body_start - part.header_start > limits::HEADER_MAX_BYTES as u64 / 2));
    }
}
