//! The bytes of messages on their way out: sections as literals, streamed chunk by chunk.
//!
//! A message's bytes go out as they are, whatever they hold: a mail that another server took with 8-bit bytes or NULs
//! in it stays that mail. Only BINARY takes a part's transfer encoding off (RFC 3516): in one pass to learn how long it
//! becomes, in another to send it.

use std::io;
use std::ops::Range;

use super::backend::{Account, Error, Message};
use super::reply::{Context, Refusal};
use crate::imap::syntax::fetch::{Content, ContentName};
use crate::imap::syntax::url::MessageUrl;
use crate::message::outline::{Wanted, wanted};
use crate::message::section::{part_at, resolve, select_fields};
use crate::message::transfer::Transfer;
use crate::message::{Section, SectionText, Summary};
use crate::types::{ByteSource, ContentId, limits};

/// Where the bytes of a section are: a content, and the range of it.
pub type Source = (ContentId, Range<u64>);

/// Why an item cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentError {
    /// The bytes are not here, or cannot be read.
    Unavailable,
    /// They would have to be fetched, and their server does not give them.
    Withheld,
    /// They would have to be fetched, and the budget for that is spent.
    OverBudget,
    /// Nobody knows how to take the part's encoding off (RFC 3516 section 4.3).
    UnknownEncoding,
}

/// A literal being written.
pub struct Streaming {
    content: ContentId,
    /// What is still to be read.
    rest: Range<u64>,
    transfer: Transfer,
    /// Decoded bytes to be passed over, and then to be written.
    skip: u64,
    left: u64,
    chunk: Vec<u8>,
    at: usize,
}

impl Streaming {
    /// Reads the first chunk: once the literal is announced, only closing the connection helps against one that cannot
    /// be read.
    fn begin<A: Account>(
        account: &mut A,
        content: ContentId,
        encoded: Range<u64>,
        transfer: Transfer,
        decoded: Range<u64>,
    ) -> Result<Self, ContentError> {
        let left = decoded.end - decoded.start;
        let mut streaming =
            Self { content, rest: encoded, transfer, skip: decoded.start, left, chunk: Vec::new(), at: 0 };
        if left > 0 {
            streaming.read_on(account)?;
        }
        Ok(streaming)
    }

    /// Writes the next piece; false at the end. A literal that cannot be read on is broken: its length was told.
    pub fn step<A: Account>(&mut self, context: &mut Context, account: &mut A) -> Result<bool, ContentError> {
        if self.at == self.chunk.len() {
            if self.left == 0 {
                return Ok(false);
            }
            self.read_on(account)?;
        }
        let end = (self.at + limits::OUTPUT_CHUNK_BYTES).min(self.chunk.len());
        context.out.extend_from_slice(&self.chunk[self.at..end]);
        self.at = end;
        Ok(true)
    }

    /// Reads until there is something to write.
    fn read_on<A: Account>(&mut self, account: &mut A) -> Result<(), ContentError> {
        (self.chunk, self.at) = (Vec::new(), 0);
        while self.chunk.is_empty() {
            if self.rest.is_empty() {
                tracing::error!(content = %self.content, "a part decodes to less than before");
                return Err(ContentError::Unavailable);
            }
            let encoded = read_chunk(account, self.content, &self.rest)?;
            self.rest.start += encoded.len() as u64;
            if matches!(self.transfer, Transfer::Identity) {
                self.chunk = encoded;
            } else {
                self.transfer.decode(&encoded, self.rest.is_empty(), &mut self.chunk);
            }
            let skipped = self.skip.min(self.chunk.len() as u64);
            self.chunk.drain(..usize::try_from(skipped).unwrap_or(usize::MAX));
            self.skip -= skipped;
        }
        self.chunk.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= self.chunk.len() as u64;
        Ok(())
    }
}

/// The whole message is served by its size alone.
pub fn is_whole_message(section: &Section) -> bool {
    section.part.is_empty() && section.text == SectionText::Whole
}

/// The header of the message itself is here whenever anything is.
fn is_own_header(section: &Section) -> bool {
    section.part.is_empty() && matches!(section.text, SectionText::Header | SectionText::HeaderFields { .. })
}

/// Must the section be brought before it can be given? `None`: no.
pub fn to_bring(message: &Message, section: &Section, partial: Option<(u32, u32)>) -> Option<Wanted> {
    let is_here = message.content.is_some() || (is_own_header(section) && message.header.is_some());
    match (is_here, message.summary.as_deref(), is_whole_message(section)) {
        (true, ..) => None,
        // Nothing of it is known, or nothing of its parts, so all of it has to come.
        (false, None, _) | (false, _, true) => Some(Wanted::Whole),
        (false, Some(_), false) if message.is_bare => Some(Wanted::Whole),
        (false, Some(summary), false) => wanted(summary, section, partial),
    }
}

/// Where the bytes of a section are; `None`: the message has no such section.
fn source(message: &Message, section: &Section, brought: Option<Source>) -> Result<Option<Source>, ContentError> {
    let summary = message.summary.as_deref();
    let content = message.content.or_else(|| message.header.filter(|_| is_own_header(section)));
    match (brought, content, is_whole_message(section), summary) {
        (Some(brought), ..) => Ok(Some(brought)),
        (None, Some(id), true, _) => Ok(Some((id, 0..message.size_bytes))),
        (None, Some(id), false, Some(summary)) => Ok(resolve(summary, section).map(|range| (id, range))),
        // There is nothing to be brought where the message has no such section.
        (None, None, false, Some(summary)) if !message.is_bare && resolve(summary, section).is_none() => Ok(None),
        (None, ..) => Err(ContentError::Unavailable),
    }
}

/// Writes the name of a section and its literal's head; what is to be streamed behind it.
pub fn begin_content<A: Account>(
    message: &Message,
    content: &Content,
    account: &mut A,
    brought: Option<Source>,
    text: &mut Vec<u8>,
) -> Result<Option<Streaming>, ContentError> {
    let Some((id, range)) = source(message, &content.section, brought)? else {
        content.write_name(text);
        text.extend_from_slice(b" NIL");
        return Ok(None);
    };
    if content.name == ContentName::Binary {
        return begin_binary(id, message.summary.as_deref(), content, range, account, text).map(Some);
    }
    if let SectionText::HeaderFields { not, names } = &content.section.text {
        let fields = select_fields(&read_all(account, id, range)?, names, *not);
        let wanted = piece(&fields, content.partial);
        content.write_name(text);
        text.extend_from_slice(format!(" {{{}}}\r\n", wanted.len()).as_bytes());
        text.extend_from_slice(wanted);
        return Ok(None);
    }
    let range = partial(content.partial, range);
    let length = range.end - range.start;
    let streaming = Streaming::begin(account, id, range, Transfer::Identity, 0..length)?;
    content.write_name(text);
    text.extend_from_slice(format!(" {{{length}}}\r\n").as_bytes());
    Ok(Some(streaming))
}

/// `"BINARY" section-binary SP (nstring / literal8)`: a literal8 only where there is a NUL, "this allows the client to
/// determine if the "8bit" data contains the NUL octet" (RFC 3516 section 4.3).
fn begin_binary<A: Account>(
    id: ContentId,
    summary: Option<&Summary>,
    content: &Content,
    encoded: Range<u64>,
    account: &mut A,
    text: &mut Vec<u8>,
) -> Result<Streaming, ContentError> {
    let transfer = transfer_of(summary, &content.section.part)?;
    let measure = measure(account, id, encoded.clone(), transfer.clone())?;
    let wanted = partial(content.partial, 0..measure.size_bytes);
    let length = wanted.end - wanted.start;
    let streaming = Streaming::begin(account, id, encoded, transfer, wanted)?;
    content.write_name(text);
    let tilde = if measure.holds_nul { "~" } else { "" };
    text.extend_from_slice(format!(" {tilde}{{{length}}}\r\n").as_bytes());
    Ok(streaming)
}

/// BINARY.SIZE of a part; 0 where the message has no such part.
pub fn binary_size<A: Account>(
    message: &Message,
    summary: Option<&Summary>,
    part: &[u32],
    account: &mut A,
    brought: Option<Source>,
) -> Result<u64, ContentError> {
    let section = Section { part: part.to_vec(), text: SectionText::Whole };
    let Some((id, range)) = source(message, &section, brought)? else { return Ok(0) };
    match transfer_of(summary, part)? {
        Transfer::Identity => Ok(range.end - range.start),
        transfer => measure(account, id, range, transfer).map(|measure| measure.size_bytes),
    }
}

/// How to take a part's encoding off. A message as a whole has none.
fn transfer_of(summary: Option<&Summary>, part: &[u32]) -> Result<Transfer, ContentError> {
    match summary.and_then(|summary| part_at(summary, part)) {
        Some(part) => Transfer::named(&part.encoding).ok_or(ContentError::UnknownEncoding),
        None => Ok(Transfer::Identity),
    }
}

struct Measure {
    size_bytes: u64,
    holds_nul: bool,
}

fn measure<A: Account>(
    account: &mut A,
    id: ContentId,
    mut encoded: Range<u64>,
    mut transfer: Transfer,
) -> Result<Measure, ContentError> {
    let mut measure = Measure { size_bytes: 0, holds_nul: false };
    let mut decoded = Vec::new();
    while !encoded.is_empty() {
        let chunk = read_chunk(account, id, &encoded)?;
        encoded.start += chunk.len() as u64;
        decoded.clear();
        transfer.decode(&chunk, encoded.is_empty(), &mut decoded);
        measure.size_bytes += decoded.len() as u64;
        measure.holds_nul |= decoded.contains(&0);
    }
    Ok(measure)
}

/// The part of `range` that `<origin.length>` names; empty where it begins behind the end (RFC 3501 section 6.4.5).
fn partial(wanted: Option<(u32, u32)>, range: Range<u64>) -> Range<u64> {
    let Some((origin, length)) = wanted else { return range };
    let start = range.start.saturating_add(u64::from(origin)).min(range.end);
    start..start.saturating_add(u64::from(length)).min(range.end)
}

/// The same of bytes that are here.
fn piece(bytes: &[u8], wanted: Option<(u32, u32)>) -> &[u8] {
    let range = partial(wanted, 0..bytes.len() as u64);
    &bytes[usize::try_from(range.start).unwrap_or(0)..usize::try_from(range.end).unwrap_or(0)]
}

/// Hands the bytes that the URL names to `write`; `None` where the message has no such section, or its bytes are not here.
pub fn for_each_chunk<A: Account>(
    account: &mut A,
    message: &Message,
    url: &MessageUrl,
    mut write: impl FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<Option<()>, Refusal> {
    let (Some(id), Some(summary)) = (message.content, message.summary.as_deref()) else { return Ok(None) };
    let Some(range) = resolve(summary, &url.section) else { return Ok(None) };
    if let SectionText::HeaderFields { not, names } = &url.section.text {
        let Ok(header) = read_all(account, id, range) else { return Ok(None) };
        let fields = select_fields(&header, names, *not);
        return write(piece(&fields, url.partial)).map(Some);
    }
    let mut range = partial(url.partial, range);
    while !range.is_empty() {
        let Ok(chunk) = read_chunk(account, id, &range) else { return Ok(None) };
        range.start += chunk.len() as u64;
        write(&chunk)?;
    }
    Ok(Some(()))
}

/// At most one chunk from the beginning of `range`; whole chunks of the store where it can.
fn read_chunk<A: Account>(account: &mut A, id: ContentId, range: &Range<u64>) -> Result<Vec<u8>, ContentError> {
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
            Err(ContentError::Unavailable)
        }
        Err(Error::Unavailable) => Err(ContentError::Unavailable),
        Err(error) => {
            tracing::error!(content = %id, offset = range.start, error = %error, "a message cannot be read");
            Err(ContentError::Unavailable)
        }
    }
}

/// A header as a whole: the message reader bounds it by [`limits::HEADER_MAX_BYTES`].
fn read_all<A: Account>(account: &mut A, id: ContentId, mut range: Range<u64>) -> Result<Vec<u8>, ContentError> {
    let mut bytes = Vec::new();
    while !range.is_empty() {
        let chunk = read_chunk(account, id, &range)?;
        range.start += chunk.len() as u64;
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// A message's bytes for those who read them from anywhere.
pub struct MessageBytes<'a, A> {
    pub account: &'a mut A,
    pub content: ContentId,
    pub size_bytes: u64,
}

impl<A: Account> ByteSource for MessageBytes<'_, A> {
    fn size(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        self.account.read(self.content, offset, max).map_err(io::Error::other)
    }
}
