//! Which messages of a mailbox match: the index says what it can, columns decide what they can, and only what is left is
//! read. Of a message of which only the header is here the text is unknown: what depends on it is as its server says, where
//! that was asked; else the message is counted, and whoever searches is told.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use super::bring::Answers;
use crate::message::search::{Candidate, Query};
use crate::message::{Body, Part, Summary};
use crate::store::{Error, Findings, Message, Reader, Result, Sieve, Store, Viewer, With};
use crate::types::{ByteSource, LocalUid, MailboxId, UidSet};

/// Messages looked at between two reads of the store: bounds how long one read lasts.
const BATCH: usize = 500;

/// Texts of one search that are asked for elsewhere.
const INQUIRED_MAX: usize = 8;

/// What a server is asked of messages whose text is not here: the texts that the query looks for.
pub fn inquired(query: &Query) -> Vec<Query> {
    let is_text = |key: &&Query| matches!(key, Query::Text(text) | Query::Body(text) if !text.is_empty());
    query.text_keys().into_iter().filter(is_text).take(INQUIRED_MAX).cloned().collect()
}

/// Texts that are not here.
pub struct Elsewhere<'a> {
    /// What was told of them.
    pub told: &'a Answers,
    /// Messages of which that does not suffice.
    pub unsearched: usize,
}

/// As [`matching`], of each message its UID alone: flags are looked at first, and nothing else where that is enough.
pub fn matching_uids(
    store: &Store,
    viewer: &Viewer,
    mailbox: MailboxId,
    among: &UidSet<LocalUid>,
    query: &Query,
    elsewhere: &mut Elsewhere<'_>,
) -> Result<Vec<LocalUid>> {
    let (possible, rest) = match Sieve::split(query) {
        None => (Cow::Borrowed(among), Cow::Borrowed(query)),
        Some((sieve, rest)) => {
            let sifted = store.show(|reader| reader.seen_by(viewer).sifted(mailbox, among, &sieve))?;
            match rest {
                None => return Ok(sifted),
                Some(rest) => (Cow::Owned(sifted.into_iter().collect()), Cow::Owned(rest)),
            }
        }
    };
    let found = matching(store, Some(viewer), mailbox, &possible, &rest, elsewhere)?;
    Ok(found.into_iter().map(|message| message.uid).collect())
}

/// The messages with UIDs in `among` that match, ascending, without their summaries. Some thousand at a time: their
/// columns are held in memory.
///
/// `\Seen` is what `viewer` has seen. Those of which that cannot be told, because their text is not here, are counted.
pub fn matching(
    store: &Store,
    viewer: Option<&Viewer>,
    mailbox: MailboxId,
    among: &UidSet<LocalUid>,
    query: &Query,
    elsewhere: &mut Elsewhere<'_>,
) -> Result<Vec<Message>> {
    let (mut found, mut undecided) = (Vec::new(), Vec::new());
    let seen_by = |reader: &Reader<'_>, mailbox, uids: &UidSet<LocalUid>, with| match viewer {
        Some(viewer) => reader.seen_by(viewer).messages_in(mailbox, uids, with),
        None => reader.messages_in(mailbox, uids, with),
    };
    let mut findings = Findings::default();
    let mut possible = Cow::Borrowed(among);
    if !query.text_keys().is_empty() {
        let contents = store.show(|reader| reader.contents_in(mailbox, among))?;
        findings = store.findings(query, contents.iter().filter_map(|(_, content)| *content).collect());
        let is_possible = |content| query.decided_by(&|key| findings.say(content, key)) != Some(false);
        possible =
            Cow::Owned(contents.iter().filter(|(_, content)| is_possible(*content)).map(|(uid, _)| *uid).collect());
    }
    for message in store.show(|reader| seen_by(reader, mailbox, &possible, With::Columns))? {
        let indexed = |key: &Query| findings.say(message.content, key);
        let candidate = candidate(&message, None, &indexed);
        match query.decided_by(&|key| candidate.says(key)) {
            Some(true) => found.push(message),
            Some(false) => {}
            None => undecided.push(message.uid),
        }
    }
    for batch in undecided.chunks(BATCH) {
        for message in store.show(|reader| seen_by(reader, mailbox, &batch.iter().copied().collect(), With::Summary))? {
            if message.content.is_none() {
                match decided_by_header(store, &message, query, elsewhere.told)? {
                    Some(true) => found.push(Message { summary: None, ..message }),
                    Some(false) => {}
                    None => elsewhere.unsearched += 1,
                }
                continue;
            }
            let indexed = |key: &Query| findings.say(message.content, key);
            let mut bytes = message.content.map(|content| store.source(content)).transpose()?;
            let bytes = bytes.as_mut().map(|bytes| bytes as &mut dyn ByteSource);
            let is_match = query.matches(&mut candidate(&message, bytes, &indexed));
            if is_match.map_err(Error::unreadable)? {
                found.push(Message { summary: None, ..message });
            }
        }
    }
    found.sort_unstable_by_key(|message| message.uid);
    Ok(found)
}

/// Whether a message matches of which only the header is here; `None`: its text would have to tell.
fn decided_by_header(store: &Store, message: &Message, query: &Query, told: &Answers) -> Result<Option<bool>> {
    let alone = message.summary.as_deref().map(|summary| {
        let root = Part { body: Body::Leaf, media_type: String::new(), ..summary.root.clone() };
        Arc::new(Summary { root, ..summary.clone() })
    });
    let header = Message { summary: alone, ..message.clone() };
    let failed = RefCell::new(None);
    let says = |key: &Query| {
        let is_match = || -> Result<bool> {
            let mut bytes = message.header.map(|header| store.source(header)).transpose()?;
            let bytes = bytes.as_mut().map(|bytes| bytes as &mut dyn ByteSource);
            // The structure is known, whatever the text may be.
            let of = if *key == Query::HasAttachment { message } else { &header };
            key.matches(&mut candidate(of, bytes, &|_| None)).map_err(Error::unreadable)
        };
        match (key, is_match()) {
            (_, Err(error)) => {
                *failed.borrow_mut() = Some(error);
                None
            }
            (Query::Text(text) | Query::Body(text), Ok(false)) if !text.is_empty() => told.say(message.id, key),
            (_, Ok(is_match)) => Some(is_match),
        }
    };
    let decided = query.decided_by(&says);
    failed.into_inner().map_or(Ok(decided), Err)
}

fn candidate<'a>(
    message: &'a Message,
    bytes: Option<&'a mut dyn ByteSource>,
    indexed: &'a dyn Fn(&Query) -> Option<bool>,
) -> Candidate<'a> {
    Candidate {
        uid: message.uid,
        flags: &message.flags,
        mod_seq: message.mod_seq,
        internal_date: message.internal_date,
        saved: message.saved,
        size_bytes: message.told_bytes.unwrap_or(message.size_bytes),
        email_id: &message.object_id,
        summary: message.summary.as_deref(),
        bytes,
        indexed,
    }
}
