//! A message of which only the header is here, and what a server says of the rest (BODYSTRUCTURE, RFC822.SIZE): its summary,
//! and what has to be asked for when a section of it is wanted.
//!
//! Where the parts stand in the message is not known, only how large they are. They are laid out one behind the other, so
//! that every size can be read from the summary as from that of a whole message. Only the ranges of the header, and of the
//! body as a whole, are true.

use std::fmt;
use std::ops::Range;

use super::section::{Section, SectionText, resolve};
use super::{Body, Part, Summary};

/// Messages up to this size are always asked for whole: that costs little more than a part of them.
const WHOLE_MAX_BYTES: u64 = 16 * 1024;

/// A piece from the beginning of a section is asked for alone up to this size, where the section is so many times larger:
/// mail programs show the beginning of a text. Who wants more, or another piece, reads on: then all of it is asked for.
const PIECE_MAX_BYTES: u64 = 32 * 1024;
const PIECE_FACTOR: u64 = 4;

/// What is to be asked for, so that a section can be given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// All of the message.
    Whole,
    /// What stands between the brackets of FETCH, and of it only so many bytes from its beginning.
    Section { name: String, first_bytes: Option<u64> },
}

/// As it is kept: `2.MIME`, `1<0.2048>`; empty is the whole message.
impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Section { name, first_bytes: None } => f.write_str(name),
            Self::Section { name, first_bytes: Some(count) } => write!(f, "{name}<0.{count}>"),
        }
    }
}

/// The summary of a message from its header's (`header_bytes` long, the empty line included), the structure that the server
/// tells (of each part's range only the length counts) and its size.
pub fn lay_out(header: &Summary, header_bytes: u64, mut root: Part, size_bytes: u64) -> Summary {
    let ours = &header.root;
    // Our own reading of the header stays when the bytes come.
    if ours.media_type == root.media_type && ours.media_subtype == root.media_subtype {
        root = Part { lines: root.lines, body: root.body, ..ours.clone() };
    }
    root.header_start = 0;
    root.body_start = header_bytes;
    root.end = size_bytes.max(header_bytes);
    lay_out_below(&mut root.body, header_bytes);
    Summary { envelope: header.envelope.clone(), root }
}

/// Parts from `start` on; where what follows them begins. Nesting is bounded by who read the structure.
fn lay_out_below(body: &mut Body, start: u64) -> u64 {
    match body {
        Body::Leaf => start,
        Body::Multipart(parts) => parts.iter_mut().fold(start, |start, part| lay_out_part(part, start)),
        Body::Message(_, root) => lay_out_part(root, start),
    }
}

fn lay_out_part(part: &mut Part, start: u64) -> u64 {
    let length = part.end.saturating_sub(part.body_start);
    (part.header_start, part.body_start) = (start, start);
    let below = lay_out_below(&mut part.body, start);
    part.end = match part.body {
        Body::Multipart(_) => below,
        Body::Leaf | Body::Message(..) => start.saturating_add(length),
    };
    part.end.max(below)
}

/// What is to be asked for, so that `section` (of it `partial`: first byte, count) can be given; `None`: the message has no
/// such section.
pub fn wanted(summary: &Summary, section: &Section, partial: Option<(u32, u32)>) -> Option<Wanted> {
    let range = resolve(summary, section)?;
    let whole_bytes = summary.root.end;
    if section.part.is_empty() && section.text == SectionText::Whole || whole_bytes <= WHOLE_MAX_BYTES {
        return Some(Wanted::Whole);
    }
    let text = match &section.text {
        SectionText::Whole => None,
        SectionText::Header | SectionText::HeaderFields { .. } => Some("HEADER"),
        SectionText::Mime => Some("MIME"),
        SectionText::Text => Some("TEXT"),
    };
    let numbers = section.part.iter().map(u32::to_string);
    let name = numbers.chain(text.map(str::to_owned)).collect::<Vec<_>>().join(".");
    let length = range.end - range.start;
    match first_bytes(&range, partial) {
        Some(count) => Some(Wanted::Section { name, first_bytes: Some(count) }),
        // Nearly all of it: then it is kept as a whole.
        None if length.saturating_mul(4) >= whole_bytes.saturating_mul(3) => Some(Wanted::Whole),
        None => Some(Wanted::Section { name, first_bytes: None }),
    }
}

/// How many bytes from the beginning suffice, where that is worth while.
fn first_bytes(range: &Range<u64>, partial: Option<(u32, u32)>) -> Option<u64> {
    let (first, count) = partial.map(|(first, count)| (u64::from(first), u64::from(count)))?;
    let is_small = count <= PIECE_MAX_BYTES && count * PIECE_FACTOR <= range.end - range.start;
    (first == 0 && is_small).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scanner;

    const MESSAGE: &str = concat!(
        "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        "--b\r\n\r\ntext\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n",
        "Subject: y\r\n\r\ninner\r\n--b\r\nContent-Type: image/png\r\n\r\n0123456789\r\n--b--\r\n",
    );

    fn outlined(size_bytes: u64) -> (Summary, Summary) {
        let whole = Scanner::scan(MESSAGE.as_bytes());
        let header = &MESSAGE[..usize::try_from(whole.root.body_start).expect("small")];
        let outlined = lay_out(&Scanner::scan(header.as_bytes()), header.len() as u64, whole.root.clone(), size_bytes);
        (whole, outlined)
    }

    fn section(part: &[u32], text: SectionText) -> Section {
        Section { part: part.to_vec(), text }
    }

    #[test]
    fn an_outline_shows_what_the_whole_message_would() {
        let (whole, outlined) = outlined(MESSAGE.len() as u64);
        fn shown(part: &Part) -> String {
            let below = match &part.body {
                Body::Leaf => String::new(),
                Body::Multipart(parts) => parts.iter().map(shown).collect(),
                Body::Message(_, root) => shown(root),
            };
            let length = if matches!(part.body, Body::Multipart(_)) { 0 } else { part.end - part.body_start };
            format!("({}/{} {length} {}{below})", part.media_type, part.media_subtype, part.lines)
        }
        assert_eq!(shown(&outlined.root), shown(&whole.root));
        assert_eq!(outlined.envelope, whole.envelope);
        let header = section(&[], SectionText::Header);
        assert_eq!(resolve(&outlined, &header), resolve(&whole, &header));
    }

    #[test]
    fn a_part_is_asked_for_alone_where_that_saves_much() {
        let (_, mut large) = outlined(1_000_000);
        let name = |large: &Summary, part: &[u32], text, partial| {
            wanted(large, &section(part, text), partial).map(|wanted| wanted.to_string())
        };
        assert_eq!(name(&large, &[3], SectionText::Whole, None), Some("3".to_owned()));
        assert_eq!(name(&large, &[1], SectionText::Mime, None), Some("1.MIME".to_owned()));
        assert_eq!(
            name(&large, &[2], SectionText::HeaderFields { not: false, names: vec![] }, None),
            Some("2.HEADER".to_owned())
        );
        assert_eq!(name(&large, &[4], SectionText::Whole, None), None, "there is no such part");
        assert_eq!(name(&large, &[], SectionText::Whole, None), Some(String::new()));
        assert_eq!(name(&large, &[], SectionText::Text, None), Some(String::new()), "that is nearly all");
        assert_eq!(name(&large, &[], SectionText::Text, Some((0, 2048))), Some("TEXT<0.2048>".to_owned()));
        assert_eq!(
            name(&large, &[], SectionText::Text, Some((2048, 2048))),
            Some(String::new()),
            "who reads on reads all"
        );
        large.root.end = WHOLE_MAX_BYTES;
        assert_eq!(name(&large, &[3], SectionText::Whole, None), Some(String::new()), "a small message");
    }
}
