//! FETCH (RFC 3501 sections 6.4.5, 7.4.2; CHANGEDSINCE, VANISHED: RFC 7162 sections 3.1.4, 3.2.6).
//!
//! Rows come from the backend in batches, bytes in chunks, and each step writes one item or one piece: what a FETCH
//! holds in memory depends neither on the mailbox's size nor on a message's.

use std::collections::VecDeque;
use std::ops::Range;

use super::backend::{Account, Backend, FlagChange, Message, With};
use super::config::Capability;
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::select::enable_condstore;
use super::table::Outcome;
use super::view::{By, Places, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::body::{write_body, write_envelope};
use crate::imap::syntax::code::Code;
use crate::imap::syntax::fetch::{Content, FetchItem};
use crate::message::section::{resolve, select_fields};
use crate::message::{Section, SectionText, Summary};
use crate::types::{ContentId, Flags, LocalUid, ModSeq, SystemFlag, UidSet, limits};

pub fn fetch<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let wanted = args.fetch(context.has(Capability::CondStore))?;
    let mut items = wanted.items;
    let asks_mod_seq = items.contains(&FetchItem::ModSeq) || wanted.changed_since.is_some();
    if asks_mod_seq && !context.has(Capability::CondStore) {
        return Err(Refusal::bad("Unknown item MODSEQ"));
    }
    // RFC 7162 section 3.2.6: VANISHED only with UID FETCH, CHANGEDSINCE and QRESYNC enabled.
    if wanted.vanished && (by != By::Uid || wanted.changed_since.is_none() || !context.qresync) {
        return Err(Refusal::bad("VANISHED needs UID FETCH, CHANGEDSINCE and ENABLE QRESYNC"));
    }
    let places = view.select(&wanted.set, by)?;
    if asks_mod_seq {
        enable_condstore(context, Some(view));
    }
    // The UID is part of every answer to a UID command (RFC 3501 section 6.4.8), MODSEQ of one to CHANGEDSINCE.
    if by == By::Uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    if wanted.changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
        items.push(FetchItem::ModSeq);
    }
    if let Some(since) = wanted.changed_since.filter(|_| wanted.vanished) {
        let among = view.uids_of_uids(&wanted.set);
        let vanished = account.changes(view.mailbox, since, false)?.vanished;
        let vanished: UidSet<LocalUid> = vanished.into_iter().filter(|uid| among.contains(*uid)).collect();
        if !vanished.is_empty() {
            context.untagged(format_args!("VANISHED (EARLIER) {vanished}"));
        }
    }
    let sets_seen = items.iter().any(|item| matches!(item, FetchItem::Content(content) if content.sets_seen));
    Ok(Done::Run(Box::new(Fetching {
        by,
        with: if items.iter().any(needs_summary) { With::Summary } else { With::Columns },
        sets_seen: sets_seen && !view.read_only,
        items,
        changed_since: wanted.changed_since,
        places,
        ready: VecDeque::new(),
        current: None,
        missing: false,
        unavailable: false,
    })))
}

/// The whole message is served by its size alone.
fn needs_summary(item: &FetchItem) -> bool {
    match item {
        FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure => true,
        FetchItem::Content(content) => !is_whole_message(&content.section),
        FetchItem::Flags | FetchItem::InternalDate | FetchItem::Rfc822Size | FetchItem::Uid | FetchItem::ModSeq => {
            false
        }
    }
}

fn is_whole_message(section: &Section) -> bool {
    section.part.is_empty() && section.text == SectionText::Whole
}

struct Fetching {
    by: By,
    with: With,
    sets_seen: bool,
    items: Vec<FetchItem>,
    changed_since: Option<ModSeq>,
    places: Places,
    /// The rest of the batch.
    ready: VecDeque<Row>,
    current: Option<Current>,
    /// A message went meanwhile.
    missing: bool,
    /// A message's bytes are not here.
    unavailable: bool,
}

struct Row {
    message: Message,
    /// This FETCH set `\Seen`, so the flags are told even if nobody asked.
    seen_now: bool,
}

/// The message whose response is being written.
struct Current {
    row: Row,
    next_item: usize,
    written: bool,
    streaming: Option<Streaming>,
}

/// A literal being written.
struct Streaming {
    content: ContentId,
    /// What is still to be read.
    rest: Range<u64>,
    chunk: Vec<u8>,
    at: usize,
}

impl<A: Account> Task<A> for Fetching {
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        if let Some(current) = &mut self.current {
            if current.streaming.is_some() {
                return Ok(stream(current, context, account));
            }
            if current.next_item < self.items.len() {
                let item = &self.items[current.next_item];
                current.next_item += 1;
                self.unavailable |= !write_item(current, item, context, account, view)?;
                return Ok(Progress::More);
            }
            end_response(current, &self.items, context, view);
            self.current = None;
            return Ok(Progress::More);
        }
        if let Some(row) = self.ready.pop_front() {
            if let Some(number) = view.number(row.message.uid) {
                context.out.extend_from_slice(format!("* {number} FETCH (").as_bytes());
                self.current = Some(Current { row, next_item: 0, written: false, streaming: None });
            }
            return Ok(Progress::More);
        }
        match self.next_batch(context, account, view)? {
            true => Ok(Progress::More),
            false => self.finish().map(Progress::Done),
        }
    }
}

impl Fetching {
    /// Reads the next rows; false at the end.
    fn next_batch<A: Account>(
        &mut self,
        context: &mut Context,
        account: &mut A,
        view: &mut View,
    ) -> Result<bool, Refusal> {
        let max = match self.with {
            With::Columns => limits::IMAP_ROWS_BATCH,
            With::Summary => limits::IMAP_SUMMARIES_BATCH,
        };
        let uids = self.places.next_batch(view, max);
        if uids.is_empty() {
            return Ok(false);
        }
        let mut messages = account.messages(view.mailbox, &uids, self.with)?;
        self.missing |= messages.len() < uids.len();
        if let Some(since) = self.changed_since {
            messages.retain(|message| message.mod_seq > since);
        }
        let mut rows: VecDeque<Row> = messages.into_iter().map(|message| Row { message, seen_now: false }).collect();
        if self.sets_seen {
            set_seen(&mut rows, account, view)?;
        }
        if self.items.contains(&FetchItem::Flags) || self.sets_seen {
            view.announce_keywords(context, rows.iter().map(|row| &row.message.flags));
            for row in &rows {
                view.told(row.message.uid, row.message.mod_seq);
            }
        }
        self.ready = rows;
        Ok(true)
    }

    fn finish(&self) -> Result<Reply, Refusal> {
        // A UID that names nothing is no error (RFC 3501 section 6.4.8); a sequence number the client holds named
        // something (RFC 2180 section 4.1).
        if self.missing && self.by == By::Sequence {
            return Err(Refusal::no(Code::ExpungeIssued, "Some of the messages no longer exist"));
        }
        match self.unavailable {
            true => Err(Refusal::no(Code::Unavailable, "Some of the messages are not available offline")),
            false => Ok(Reply::new("Fetched")),
        }
    }
}

/// Sets `\Seen` on the rows that lack it (RFC 3501 section 6.4.5, BODY[...]).
fn set_seen<A: Account>(rows: &mut VecDeque<Row>, account: &mut A, view: &View) -> Result<(), Refusal> {
    let unseen = |row: &&Row| !row.message.flags.has(SystemFlag::Seen) && row.message.content.is_some();
    let uids: Vec<LocalUid> = rows.iter().filter(unseen).map(|row| row.message.uid).collect();
    if uids.is_empty() {
        return Ok(());
    }
    let seen: Flags = [SystemFlag::Seen.into()].into_iter().collect();
    for changed in account.store(view.mailbox, &uids, &FlagChange::Add(seen), None)?.now {
        if let Ok(place) = rows.binary_search_by(|row| row.message.uid.cmp(&changed.uid)) {
            let row = &mut rows[place];
            row.message.flags = changed.flags;
            row.message.mod_seq = changed.mod_seq;
            row.seen_now = true;
        }
    }
    Ok(())
}

/// Writes an item, or begins to; false where the message does not have here what it needs.
fn write_item<A: Account>(
    current: &mut Current,
    item: &FetchItem,
    context: &mut Context,
    account: &mut A,
    view: &View,
) -> Result<bool, Refusal> {
    let message = &current.row.message;
    let mut text = Vec::new();
    match (item, message.summary.as_deref()) {
        (FetchItem::Uid, _) => text = format!("UID {}", message.uid).into_bytes(),
        (FetchItem::Flags, _) => view.write_message_flags(&mut text, message.uid, &message.flags),
        (FetchItem::InternalDate, _) => {
            text = format!("INTERNALDATE \"{}\"", message.internal_date.to_imap()).into_bytes();
        }
        (FetchItem::Rfc822Size, _) => text = format!("RFC822.SIZE {}", message.size_bytes).into_bytes(),
        (FetchItem::ModSeq, _) => text = format!("MODSEQ ({})", message.mod_seq).into_bytes(),
        (FetchItem::Envelope, Some(summary)) => {
            text.extend_from_slice(b"ENVELOPE ");
            write_envelope(&mut text, &summary.envelope);
        }
        (FetchItem::Body, Some(summary)) => {
            text.extend_from_slice(b"BODY ");
            write_body(&mut text, &summary.root, false);
        }
        (FetchItem::BodyStructure, Some(summary)) => {
            text.extend_from_slice(b"BODYSTRUCTURE ");
            write_body(&mut text, &summary.root, true);
        }
        (FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure, None) => return Ok(false),
        (FetchItem::Content(content), summary) => match begin_content(message, summary, content, account, &mut text) {
            Ok(streaming) => current.streaming = streaming,
            Err(Unavailable) => return Ok(false),
        },
    }
    if current.written {
        context.out.push(b' ');
    }
    context.out.extend_from_slice(&text);
    current.written = true;
    Ok(true)
}

/// The bytes are not here, or cannot be read.
struct Unavailable;

/// Writes the name of a section and its literal's head; what is to be streamed behind it.
fn begin_content<A: Account>(
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

/// Writes the next piece of the literal.
fn stream<A: Account>(current: &mut Current, context: &mut Context, account: &mut A) -> Progress {
    let Some(streaming) = &mut current.streaming else { return Progress::More };
    if streaming.at == streaming.chunk.len() {
        if streaming.rest.is_empty() {
            current.streaming = None;
            return Progress::More;
        }
        match read_chunk(account, streaming.content, &streaming.rest) {
            Ok(chunk) => {
                streaming.rest.start += chunk.len() as u64;
                (streaming.chunk, streaming.at) = (chunk, 0);
            }
            Err(Unavailable) => return Progress::Broken,
        }
    }
    let end = (streaming.at + limits::OUTPUT_CHUNK_BYTES).min(streaming.chunk.len());
    context.out.extend_from_slice(&streaming.chunk[streaming.at..end]);
    streaming.at = end;
    Progress::More
}

/// Writes what was not asked for and has to be told, and closes the response.
fn end_response(current: &mut Current, items: &[FetchItem], context: &mut Context, view: &View) {
    let Row { message, seen_now } = &current.row;
    let mut more = Vec::new();
    if *seen_now && !items.contains(&FetchItem::Flags) {
        let mut flags = Vec::new();
        view.write_message_flags(&mut flags, message.uid, &message.flags);
        more.push(flags);
        if context.condstore && !items.contains(&FetchItem::ModSeq) {
            more.push(format!("MODSEQ ({})", message.mod_seq).into_bytes());
        }
    }
    // A response must tell something (RFC 3501 section 9, msg-att).
    if !current.written && more.is_empty() {
        more.push(format!("UID {}", message.uid).into_bytes());
    }
    for item in more {
        if current.written {
            context.out.push(b' ');
        }
        context.out.extend_from_slice(&item);
        current.written = true;
    }
    context.out.extend_from_slice(b")\r\n");
}
