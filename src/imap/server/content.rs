//! The bytes of messages on their way out: sections as literals, streamed chunk by chunk.
//!
//! A message's bytes go out as they are, whatever they hold: a mail that another server took with 8-bit bytes or NULs
//! in it stays that mail.

use std::ops::Range;

use super::backend::{Account, Error, Message};
use super::reply::Context;
use crate::imap::syntax::fetch::Content;
use crate::message::section::{resolve, select_fields};
use crate::message::{Section, SectionText, Summary};
use crate::types::{ContentId, limits};

/// A literal being written.
pub struct Streaming {
    content: ContentId,
    /// What is still to be read.
    rest: Range<u64>,
    chunk: Vec<u8>,
    at: usize,
}

impl Streaming {
    /// Writes the next piece; false at the end. A literal that cannot be read on is broken: its length was told.
    pub fn step<A: Account>(&mut self, context: &mut Context, account: &mut A) -> Result<bool, Unavailable> {
        if self.at == self.chunk.len() {
            if self.rest.is_empty() {
                return Ok(false);
            }
            self.chunk = read_chunk(account, self.content, &self.rest)?;
            self.rest.start += self.chunk.len() as u64;
            self.at = 0;
        }
        let end = (self.at + limits::OUTPUT_CHUNK_BYTES).min(self.chunk.len());
        context.out.extend_from_slice(&self.chunk[self.at..end]);
        self.at = end;
        Ok(true)
    }
}

/// The whole message is served by its size alone.
pub fn is_whole_message(section: &Section) -> bool {
    section.part.is_empty() && section.text == SectionText::Whole
}

/// The bytes are not here, or cannot be read.
pub struct Unavailable;

/// Writes the name of a section and its literal's head; what is to be streamed behind it.
pub fn begin_content<A: Account>(
    message: &Message,
    summary: Option<&Summary>,
    content: &Content,
    account: &mut A,
    text: &mut Vec<u8>,
) -> Result<Option<Streaming>, Unavailable> {
    let id = message.content.ok_or(Unavailable)?;
    let range = match (is_whole_message(&content.section), summary) {
        (true, _) => Some(0..message.size_bytes),
        (false, Some(summary)) => resolve(summary, &content.section),
        (false, None) => return Err(Unavailable),
    };
    let Some(range) = range else {
        content.write_name(text);
        text.extend_from_slice(b" NIL");
        return Ok(None);
    };
    if let SectionText::HeaderFields { not, names } = &content.section.text {
        let fields = select_fields(&read_all(account, id, range)?, names, *not);
        let wanted = partial(content, 0..fields.len() as u64);
        let wanted = usize::try_from(wanted.start).unwrap_or(0)..usize::try_from(wanted.end).unwrap_or(0);
        content.write_name(text);
        text.extend_from_slice(format!(" {{{}}}\r\n", wanted.len()).as_bytes());
        text.extend_from_slice(&fields[wanted]);
        return Ok(None);
    }
    let range = partial(content, range);
    // The first chunk is read before the literal is announced: once it is, only closing the connection helps.
    let chunk = read_chunk(account, id, &range)?;
    content.write_name(text);
    text.extend_from_slice(format!(" {{{}}}\r\n", range.end - range.start).as_bytes());
    let rest = range.start + chunk.len() as u64..range.end;
    Ok(Some(Streaming { content: id, rest, chunk, at: 0 }))
}

/// The part of `range` that `<origin.length>` names; empty where it begins behind the end (RFC 3501 section 6.4.5).
fn partial(content: &Content, range: Range<u64>) -> Range<u64> {
    let Some((origin, length)) = content.partial else { return range };
    let start = range.start.saturating_add(u64::from(origin)).min(range.end);
    start..start.saturating_add(u64::from(length)).min(range.end)
}

/// At most one chunk from the beginning of `range`; whole chunks of the store where it can.
fn read_chunk<A: Account>(account: &mut A, id: ContentId, range: &Range<u64>) -> Result<Vec<u8>, Unavailable> {
    let chunk_bytes = limits::CONTENT_CHUNK_BYTES as u64;
    let to_boundary = chunk_bytes - range.start % chunk_bytes;
    let wanted = to_boundary.min(range.end - range.start);
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let read = account.read(id, range.start, usize::try_from(wanted).unwrap_or(limits::CONTENT_CHUNK_BYTES));
    match read {
        Ok(bytes) if !bytes.is_empty() => Ok(bytes),
        Ok(_) => {
            tracing::error!(content = %id, offset = range.start, "a message is shorter than its size says");
            Err(Unavailable)
        }
        Err(Error::Unavailable) => Err(Unavailable),
        Err(error) => {
            tracing::error!(content = %id, offset = range.start, error = %error, "a message cannot be read");
            Err(Unavailable)
        }
    }
}

/// A header as a whole: the message reader bounds it by [`limits::HEADER_MAX_BYTES`].
fn read_all<A: Account>(account: &mut A, id: ContentId, mut range: Range<u64>) -> Result<Vec<u8>, Unavailable> {
    let mut bytes = Vec::new();
    while !range.is_empty() {
        let chunk = read_chunk(account, id, &range)?;
        range.start += chunk.len() as u64;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
