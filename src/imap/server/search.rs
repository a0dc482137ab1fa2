//! SEARCH (RFC 3501 section 6.4.4; ESEARCH: RFC 4731; MODSEQ: RFC 7162 sections 3.1.5, 3.1.10).

use super::backend::{Account, Backend, With};
use super::config::Capability;
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::select::enable_condstore;
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::search::{SearchKey, SearchReturn};
use crate::message::search::Query;
use crate::types::{LocalUid, ModSeq, UidSet, limits};

pub fn search<B: Backend>(
    context: &mut Context,
    _: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let wanted = args.search(context.has(Capability::ESearch), context.has(Capability::CondStore))?;
    if wanted.charset.is_some_and(|charset| charset != "UTF-8" && charset != "US-ASCII") {
        return Err(Refusal::no(Code::BadCharset, "Search in US-ASCII or UTF-8"));
    }
    let (query, asks_mod_seq) = resolve(wanted.key, view);
    if asks_mod_seq {
        enable_condstore(context, Some(view));
    }
    let stage = Stage::Searching { query, place: 0 };
    let highest = asks_mod_seq.then(|| ModSeq::new(0));
    Ok(Done::Run(Box::new(Searching { by, returns: wanted.returns, stage, found: Vec::new(), highest })))
}

/// The query for the backend, which knows neither sequence numbers nor `\Recent`; and whether it holds a MODSEQ key.
/// Recursion is bounded by the parser.
fn resolve(key: SearchKey, view: &View) -> (Query, bool) {
    let mut asks_mod_seq = false;
    let query = resolve_key(key, view, &mut asks_mod_seq);
    (query, asks_mod_seq)
}

fn resolve_key(key: SearchKey, view: &View, asks_mod_seq: &mut bool) -> Query {
    match key {
        SearchKey::All => Query::All,
        SearchKey::And(keys) => Query::And(keys.into_iter().map(|key| resolve_key(key, view, asks_mod_seq)).collect()),
        SearchKey::Or(first, second) => Query::Or(
            Box::new(resolve_key(*first, view, asks_mod_seq)),
            Box::new(resolve_key(*second, view, asks_mod_seq)),
        ),
        SearchKey::Not(key) => Query::Not(Box::new(resolve_key(*key, view, asks_mod_seq))),
        SearchKey::Has(flag) => Query::Has(flag),
        SearchKey::Recent => Query::Uids(view.recent().clone()),
        SearchKey::Sequence(set) => Query::Uids(view.uids_of_sequence(&set)),
        SearchKey::Uid(set) => Query::Uids(view.uids_of_uids(&set)),
        SearchKey::Before(day) => Query::Before(day),
        SearchKey::On(day) => Query::On(day),
        SearchKey::Since(day) => Query::Since(day),
        SearchKey::SentBefore(day) => Query::SentBefore(day),
        SearchKey::SentOn(day) => Query::SentOn(day),
        SearchKey::SentSince(day) => Query::SentSince(day),
        SearchKey::Larger(bytes) => Query::Larger(bytes),
        SearchKey::Smaller(bytes) => Query::Smaller(bytes),
        SearchKey::Header { name, value } => Query::Header { name, value },
        SearchKey::Body(text) => Query::Body(text),
        SearchKey::Text(text) => Query::Text(text),
        SearchKey::ModSeq(mod_seq) => {
            *asks_mod_seq = true;
            Query::ModSeq(mod_seq)
        }
    }
}

struct Searching {
    by: By,
    returns: Option<Vec<SearchReturn>>,
    stage: Stage,
    found: Vec<LocalUid>,
    /// With a MODSEQ key: the highest mod-sequence of what was found.
    highest: Option<ModSeq>,
}

enum Stage {
    /// From this place of the view on.
    Searching { query: Query, place: usize },
    /// The old answer, from this place of what was found on.
    Writing { place: usize },
    /// The pieces of ESEARCH's ALL, and what comes behind them.
    WritingAll { pieces: std::vec::IntoIter<UidSet<LocalUid>>, tail: String },
}

impl<A: Account> Task<A> for Searching {
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        match &mut self.stage {
            Stage::Searching { query, place } => {
                let end = (*place + limits::IMAP_SEARCH_BATCH).min(view.uids().len());
                let batch = &view.uids()[*place..end];
                *place = end;
                let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
                    self.begin_answer(context, view);
                    return Ok(Progress::More);
                };
                let among = UidSet::range(*first, *last);
                let mut found = account.search(view.mailbox, &among, query)?;
                found.retain(|uid| batch.binary_search(uid).is_ok());
                if let Some(highest) = &mut self.highest {
                    let messages = account.messages(view.mailbox, &found, With::Columns)?;
                    *highest = messages.iter().map(|message| message.mod_seq).fold(*highest, Ord::max);
                }
                self.found.extend(found);
                Ok(Progress::More)
            }
            Stage::Writing { place } => {
                let end = (*place + limits::IMAP_SEARCH_BATCH).min(self.found.len());
                let numbers = self.found[*place..end].iter().filter_map(|uid| number(view, self.by, *uid));
                let line: String = numbers.map(|number| format!(" {number}")).collect();
                context.out.extend_from_slice(line.as_bytes());
                *place = end;
                if end < self.found.len() {
                    return Ok(Progress::More);
                }
                if let Some(highest) = self.highest.filter(|_| !self.found.is_empty()) {
                    context.out.extend_from_slice(format!(" (MODSEQ {highest})").as_bytes());
                }
                context.out.extend_from_slice(b"\r\n");
                Ok(Progress::Done(Reply::new("Searched")))
            }
            Stage::WritingAll { pieces, tail } => {
                if let Some(piece) = pieces.next() {
                    let comma = if pieces.as_slice().is_empty() { "" } else { "," };
                    context.out.extend_from_slice(format!("{piece}{comma}").as_bytes());
                    return Ok(Progress::More);
                }
                context.out.extend_from_slice(tail.as_bytes());
                context.out.extend_from_slice(b"\r\n");
                Ok(Progress::Done(Reply::new("Searched")))
            }
        }
    }
}

impl Searching {
    fn begin_answer(&mut self, context: &mut Context, view: &View) {
        let Some(returns) = &self.returns else {
            context.out.extend_from_slice(b"* SEARCH");
            self.stage = Stage::Writing { place: 0 };
            return;
        };
        // "If the list of result options is empty, that requests ... ALL" (RFC 4731 section 3.1).
        let wants = |option| returns.contains(&option);
        let numbers: UidSet<LocalUid> =
            self.found.iter().filter_map(|uid| number(view, self.by, *uid)).map(LocalUid::new).collect();
        // esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data) (RFC 4466 section 2.6.2)
        let mut line = format!("* ESEARCH (TAG \"{}\")", context.tag);
        if self.by == By::Uid {
            line.push_str(" UID");
        }
        if let (Some((first, _)), Some((_, last))) = (numbers.ranges().first(), numbers.ranges().last()) {
            if wants(SearchReturn::Min) {
                line.push_str(&format!(" MIN {first}"));
            }
            if wants(SearchReturn::Max) {
                line.push_str(&format!(" MAX {last}"));
            }
        }
        if wants(SearchReturn::Count) {
            line.push_str(&format!(" COUNT {}", numbers.len()));
        }
        let all = !numbers.is_empty() && (wants(SearchReturn::All) || returns.is_empty());
        if all {
            line.push_str(" ALL ");
        }
        context.out.extend_from_slice(line.as_bytes());
        let tail = self.highest.filter(|_| !numbers.is_empty()).map(|highest| format!(" MODSEQ {highest}"));
        let pieces = if all { numbers.split(limits::OUTPUT_CHUNK_BYTES) } else { Vec::new() };
        self.stage = Stage::WritingAll { pieces: pieces.into_iter(), tail: tail.unwrap_or_default() };
    }
}

fn number(view: &View, by: By, uid: LocalUid) -> Option<u32> {
    match by {
        By::Uid => Some(uid.get()),
        By::Sequence => view.number(uid).and_then(|number| u32::try_from(number).ok()),
    }
}
