//! From the keys of a SEARCH to the query of the backend, which knows neither sequence numbers, nor `\Recent`, nor what
//! time it is.

use std::sync::Arc;

use super::config::Capability;
use super::reply::{Context, Refusal};
use super::view::View;
use crate::imap::syntax::search::SearchKey;
use crate::imap::syntax::sequence::SequenceSet;
use crate::message::search::Query;

/// What a search asks of the backend.
pub struct Resolved {
    pub query: Query,
    /// It holds a MODSEQ key, which enables CONDSTORE and has the answer tell a mod-sequence (RFC 7162 section 3.1.5).
    pub asks_mod_seq: bool,
}

/// Resolves a key. Recursion is bounded by the parser.
pub fn resolve(key: SearchKey, view: &View, context: &Context) -> Result<Resolved, Refusal> {
    let mut resolver = Resolver { view, context, asks_mod_seq: false };
    let query = resolver.query(key)?;
    Ok(Resolved { query, asks_mod_seq: resolver.asks_mod_seq })
}

struct Resolver<'a> {
    view: &'a View,
    context: &'a Context,
    asks_mod_seq: bool,
}

impl Resolver<'_> {
    fn query(&mut self, key: SearchKey) -> Result<Query, Refusal> {
        if let Some((needs, name)) = needs(&key)
            && !self.context.has(needs)
        {
            return Err(Refusal::bad(format!("Unknown search key {name}")));
        }
        if matches!(key, SearchKey::Sequence(SequenceSet::Ranges(_))) && self.context.enabled.uid_only {
            return Err(Refusal::uid_required());
        }
        let seconds_ago = |seconds: u32| self.context.now.unix_seconds() - i64::from(seconds);
        Ok(match key {
            SearchKey::All => Query::All,
            SearchKey::And(keys) => {
                Query::And(keys.into_iter().map(|key| self.query(key)).collect::<Result<_, Refusal>>()?)
            }
            SearchKey::Or(first, second) => Query::Or(Box::new(self.query(*first)?), Box::new(self.query(*second)?)),
            SearchKey::Not(key) => Query::Not(Box::new(self.query(*key)?)),
            SearchKey::Has(flag) => Query::Has(flag),
            // Nothing is recent to a client of IMAP4rev2 (RFC 9051 appendix E item 12).
            SearchKey::Recent if self.context.enabled.rev2 => Query::Not(Box::new(Query::All)),
            SearchKey::Recent => Query::Uids(Arc::new(self.view.recent().clone())),
            SearchKey::Sequence(set) => Query::Uids(self.view.uids_of_sequence(&set)),
            SearchKey::Uid(set) => Query::Uids(self.view.uids_of_uids(&set)),
            SearchKey::Before(day) => Query::Before(day),
            SearchKey::On(day) => Query::On(day),
            SearchKey::Since(day) => Query::Since(day),
            SearchKey::SentBefore(day) => Query::SentBefore(day),
            SearchKey::SentOn(day) => Query::SentOn(day),
            SearchKey::SentSince(day) => Query::SentSince(day),
            SearchKey::SavedBefore(day) => Query::SavedBefore(day),
            SearchKey::SavedOn(day) => Query::SavedOn(day),
            SearchKey::SavedSince(day) => Query::SavedSince(day),
            SearchKey::SaveDateSupported => Query::All,
            SearchKey::Older(seconds) => Query::ReceivedUntil(seconds_ago(seconds)),
            SearchKey::Younger(seconds) => Query::ReceivedFrom(seconds_ago(seconds)),
            SearchKey::Larger(bytes) => Query::Larger(bytes),
            SearchKey::Smaller(bytes) => Query::Smaller(bytes),
            SearchKey::Header { name, value } => Query::Header { name, value },
            SearchKey::Body(text) => Query::Body(text),
            SearchKey::Text(text) => Query::Text(text),
            SearchKey::EmailId(id) => Query::EmailId(id),
            SearchKey::ThreadId(id) => Query::ThreadId(id),
            SearchKey::ModSeq(mod_seq) => {
                self.asks_mod_seq = true;
                Query::ModSeq(mod_seq)
            }
        })
    }
}

/// Does it hold a MODSEQ key?
pub fn asks_mod_seq(key: &SearchKey) -> bool {
    holds(key, &|key| matches!(key, SearchKey::ModSeq(_)))
}

/// Does it name messages as only the selected mailbox has them?
pub fn names_of_view(key: &SearchKey) -> bool {
    holds(key, &|key| matches!(key, SearchKey::Sequence(_) | SearchKey::Uid(SequenceSet::Saved)))
}

/// Does it name messages by their numbers? "A VANISHED response MUST NOT be sent ... during a UID SEARCH command that contains
/// message numbers in the search criteria" (RFC 7162 section 3.2.10.2): they would mean others.
pub fn names_numbers(key: &SearchKey) -> bool {
    holds(key, &|key| matches!(key, SearchKey::Sequence(SequenceSet::Ranges(_))))
}

/// Is any key in it of that kind? Recursion is bounded by the parser.
fn holds(key: &SearchKey, kind: &dyn Fn(&SearchKey) -> bool) -> bool {
    match key {
        SearchKey::And(keys) => keys.iter().any(|key| holds(key, kind)),
        SearchKey::Or(one, other) => holds(one, kind) || holds(other, kind),
        SearchKey::Not(key) => holds(key, kind),
        key => kind(key),
    }
}

/// The extension a key belongs to, and its name.
fn needs(key: &SearchKey) -> Option<(Capability, &'static str)> {
    match key {
        SearchKey::ModSeq(_) => Some((Capability::CondStore, "MODSEQ")),
        SearchKey::Sequence(SequenceSet::Saved) | SearchKey::Uid(SequenceSet::Saved) => {
            Some((Capability::SearchRes, "$"))
        }
        SearchKey::Older(_) => Some((Capability::Within, "OLDER")),
        SearchKey::Younger(_) => Some((Capability::Within, "YOUNGER")),
        SearchKey::SavedBefore(_) => Some((Capability::SaveDate, "SAVEDBEFORE")),
        SearchKey::SavedOn(_) => Some((Capability::SaveDate, "SAVEDON")),
        SearchKey::SavedSince(_) => Some((Capability::SaveDate, "SAVEDSINCE")),
        SearchKey::SaveDateSupported => Some((Capability::SaveDate, "SAVEDATESUPPORTED")),
        SearchKey::EmailId(_) => Some((Capability::ObjectId, "EMAILID")),
        SearchKey::ThreadId(_) => Some((Capability::ObjectId, "THREADID")),
        _ => None,
    }
}
