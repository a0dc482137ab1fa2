//! What of a message is searched: every header field of every part as one line, its addresses also as ENVELOPE has them, and
//! the text of every text part as a reader sees it. Whoever searches a message and whoever makes an index of it are told the same by [`read`].

use std::io;
use std::ops::ControlFlow;

use memchr::memmem::{self, Finder};

use super::address::parse_list;
use super::fold::folded;
use super::header::{Field, fields};
use super::text::{Decoder, header_value, window};
use super::visible::Visible;
use super::{Address, Body, Part, Summary};
use crate::types::ByteSource;
use crate::types::limits::ENVELOPE_ADDRESSES_MAX;

/// Divides the pieces of [`Texts`]: a noncharacter, which a text worth searching for does not hold.
pub const DIVIDER: char = '\u{10FFFF}';

/// The fields whose addresses ENVELOPE tells (RFC 3501 section 7.4.2).
const ADDRESS_FIELDS: [&str; 6] = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];

/// So far from the address before one is looked for as it is written. Without an end to that, a long list would be read as
/// many times as it has addresses; what is missed is told twice.
const NEAR_BYTES: usize = 1024;

/// What is told of a message, in its order, [`folded`].
pub(super) enum Piece<'a> {
    /// A header field: `NAME: value`.
    Field(&'a str),
    /// What follows of a part's text.
    Text(&'a str),
    /// What follows of the same part's text as HTML shows it.
    Shown(&'a str),
    /// That part is told.
    End,
}

/// Tells `take` what is searched, until it has enough.
pub(super) fn read(
    root: &Part,
    bytes: &mut dyn ByteSource,
    with_headers: bool,
    take: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    if with_headers {
        let header = header(root, bytes)?;
        for field in fields(&header) {
            if take(Piece::Field(&line(&field))).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    match &root.body {
        Body::Multipart(parts) if !parts.is_empty() => {
            for part in parts {
                if read(part, bytes, with_headers, take)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        }
        Body::Message(_, message) => read(message, bytes, with_headers, take),
        // A reader of a multipart in which no parts can be found is shown all of it.
        Body::Multipart(_) => text(root, bytes, take),
        Body::Leaf if matches!(root.media_type.as_str(), "TEXT" | "MESSAGE") => text(root, bytes, take),
        Body::Leaf => Ok(ControlFlow::Continue(())),
    }
}

/// A field as it is searched.
fn line(field: &Field<'_>) -> String {
    folded(&String::from_utf8_lossy(field.name)) + ": " + &value(field)
}

/// What is searched of a field's value, [`folded`]: how it is written, and behind that what its addresses say otherwise in
/// "the envelope structure's FROM field" (RFC 3501 section 6.4.4), where no quotes and comments are. [`DIVIDER`]s stand between.
pub(super) fn value(field: &Field<'_>) -> String {
    let unfolded = field.unfolded();
    let mut value = folded(&header_value(&unfolded));
    if !ADDRESS_FIELDS.iter().any(|name| field.is(name)) {
        return value;
    }
    let (written, mut at) = (value.len(), 0);
    for Address { name, mailbox, host, .. } in parse_list(&unfolded, &mut { ENVELOPE_ADDRESSES_MAX }) {
        let at_host = host.filter(|host| !host.is_empty()).map(|host| [b"@", host.as_slice()].concat());
        let address = [mailbox.unwrap_or_default(), at_host.unwrap_or_default()].concat();
        let near = at..written.min(at + NEAR_BYTES);
        for said in [name.unwrap_or_default(), address].map(|said| folded(&header_value(&said))) {
            match memmem::find(&value.as_bytes()[near.clone()], said.as_bytes()) {
                Some(place) => at = at.max(near.start + place + said.len()),
                None => value.extend([DIVIDER.to_string(), said]),
            }
        }
    }
    value
}

/// At most [`crate::types::limits::HEADER_MAX_BYTES`], by the way the scanner ends a header.
pub(super) fn header(part: &Part, bytes: &mut dyn ByteSource) -> io::Result<Vec<u8>> {
    let length = usize::try_from(part.body_start - part.header_start).unwrap_or(usize::MAX);
    let mut header = Vec::new();
    while header.len() < length {
        let piece = bytes.read_at(part.header_start + header.len() as u64, length - header.len())?;
        if piece.is_empty() {
            break;
        }
        header.extend(piece);
    }
    Ok(header)
}

/// A part that holds no other parts, window by window.
fn text(
    part: &Part,
    bytes: &mut dyn ByteSource,
    take: &mut dyn FnMut(Piece<'_>) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut decoder = Decoder::new(part);
    let mut visible = (part.media_type == "TEXT" && part.media_subtype == "HTML").then(Visible::default);
    let mut offset = part.body_start;
    while offset < part.end {
        let window = window(bytes, offset, part.end)?;
        if window.is_empty() {
            break;
        }
        offset += window.len() as u64;
        let decoded = decoder.text(&window, offset >= part.end);
        if take(Piece::Text(&folded(&decoded))).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if let Some(visible) = &mut visible {
            let mut shown = String::new();
            visible.take(&decoded, &mut shown);
            if take(Piece::Shown(&folded(&shown))).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
    if let Some(visible) = visible {
        let mut shown = String::new();
        visible.finish(&mut shown);
        if take(Piece::Shown(&folded(&shown))).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(take(Piece::End))
}

/// Is `needle` (not empty, [`folded`]) in what is searched?
pub(super) fn contains(
    summary: &Summary,
    bytes: &mut dyn ByteSource,
    with_headers: bool,
    needle: &str,
) -> io::Result<bool> {
    let finder = Finder::new(needle);
    let (mut text, mut shown) = (String::new(), String::new());
    let found = read(&summary.root, bytes, with_headers, &mut |piece| {
        let seen = match piece {
            Piece::Field(line) => return found(finder.find(line.as_bytes()).is_some()),
            Piece::Text(more) => (&mut text, more),
            Piece::Shown(more) => (&mut shown, more),
            Piece::End => {
                text.clear();
                shown.clear();
                return ControlFlow::Continue(());
            }
        };
        let (seen, more) = seen;
        seen.push_str(more);
        if finder.find(seen.as_bytes()).is_some() {
            return ControlFlow::Break(());
        }
        // What a match that spans two windows needs of the first.
        let mut keep = seen.len().saturating_sub(needle.len());
        while !seen.is_char_boundary(keep) {
            keep -= 1;
        }
        seen.drain(..keep);
        ControlFlow::Continue(())
    })?;
    Ok(found.is_break())
}

fn found(is_found: bool) -> ControlFlow<()> {
    if is_found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// All that is searched of a message, for an index: its pieces, [`DIVIDER`]s between them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    pub headers: String,
    pub body: String,
}

impl Texts {
    /// Of the message; `None` where they are larger than `max_bytes`.
    pub fn of(summary: &Summary, bytes: &mut dyn ByteSource, max_bytes: usize) -> io::Result<Option<Self>> {
        let (mut texts, mut shown) = (Self::default(), String::new());
        let whole = read(&summary.root, bytes, true, &mut |piece| {
            match piece {
                Piece::Field(line) => {
                    texts.headers.push_str(line);
                    texts.headers.push(DIVIDER);
                }
                Piece::Text(more) => texts.body.push_str(more),
                Piece::Shown(more) => shown.push_str(more),
                Piece::End => {
                    texts.body.push(DIVIDER);
                    if !shown.is_empty() {
                        texts.body.push_str(&shown);
                        texts.body.push(DIVIDER);
                        shown.clear();
                    }
                }
            }
            found(texts.headers.len() + texts.body.len() + shown.len() > max_bytes)
        })?;
        Ok(whole.is_continue().then_some(texts))
    }
}
