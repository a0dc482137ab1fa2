//! SEARCH (RFC 3501 section 6.4.4; MODSEQ: RFC 7162 section 3.1.5), and `$`, what a search saved (RFC 5182).

use super::backend::{Account, Backend, With};
use super::config::Capability;
use super::esearch::{Answer, significant};
use super::query::resolve;
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::select::enable_condstore;
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::search::SearchReturns;
use crate::message::search::Query;
use crate::types::{LocalUid, ModSeq, UidSet, limits};

pub fn search<B: Backend>(
    context: &mut Context,
    _: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let wanted = args.search()?;
    check_returns(context, wanted.returns.as_ref())?;
    if wanted.charset.is_some() && context.enabled.utf8 {
        return Err(Refusal::bad("After ENABLE UTF8=ACCEPT a search names no charset"));
    }
    let returns = match wanted.returns {
        // "SEARCH command now requires to return the ESEARCH response" (RFC 9051 appendix E item 4).
        None if context.enabled.rev2 => Some(SearchReturns::ALL),
        returns => returns,
    };
    let saves = returns.is_some_and(|returns| returns.save);
    if wanted.charset.is_some_and(|charset| charset != "UTF-8" && charset != "US-ASCII") {
        forget_saved(view, saves);
        return Err(Refusal::no(Code::BadCharset, "Search in US-ASCII or UTF-8"));
    }
    let resolved = resolve(wanted.key, view, context)?;
    if resolved.asks_mod_seq {
        enable_condstore(context, Some(view));
    }
    let highest = resolved.asks_mod_seq.then(|| ModSeq::new(0));
    let stage = Stage::Searching { query: resolved.query, place: 0, goal: view.uids().len() };
    Ok(Done::Run(Box::new(Searching { by, returns, stage, found: Vec::new(), highest })))
}

/// Options whose capability is off are unknown.
fn check_returns(context: &Context, returns: Option<&SearchReturns>) -> Result<(), Refusal> {
    let Some(returns) = returns else { return Ok(()) };
    let offered = context.has(Capability::ESearch)
        && (!returns.save || context.has(Capability::SearchRes))
        && (returns.partial.is_none() || context.has(Capability::Partial));
    if offered { Ok(()) } else { Err(Refusal::bad("Unknown result option")) }
}

/// "A SEARCH command with the SAVE result option that caused the server to return the NO tagged response sets the value
/// of the search result variable to the empty sequence" (RFC 5182 section 2.1).
fn forget_saved(view: &mut View, saves: bool) {
    if saves {
        view.save(UidSet::new());
    }
}

struct Searching {
    by: By,
    returns: Option<SearchReturns>,
    stage: Stage,
    found: Vec<LocalUid>,
    /// With a MODSEQ key: the highest mod-sequence of what was found.
    highest: Option<ModSeq>,
}

enum Stage {
    /// From this place of the view on, up to that one.
    Searching {
        query: Query,
        place: usize,
        goal: usize,
    },
    /// The old answer, from this place of what was found on.
    Writing {
        place: usize,
    },
    Answering(Answer),
}

impl<A: Account> Task<A> for Searching {
    fn progress(&self) -> Option<(usize, usize)> {
        match &self.stage {
            Stage::Searching { place, goal, .. } => Some((*place, *goal)),
            Stage::Writing { .. } | Stage::Answering(_) => None,
        }
    }

    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        match &mut self.stage {
            Stage::Searching { .. } => {
                let stepped = self.search_on(context, account, view);
                if stepped.is_err() {
                    forget_saved(view, self.returns.is_some_and(|returns| returns.save));
                }
                stepped.map(|()| Progress::More)
            }
            Stage::Writing { place } => {
                let end = (*place + limits::IMAP_SEARCH_BATCH).min(self.found.len());
                let numbers = self.found[*place..end].iter().filter_map(|uid| view.number_by(self.by, *uid));
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
            Stage::Answering(answer) => Ok(match answer.step(context) {
                true => Progress::More,
                false => Progress::Done(Reply::new("Searched")),
            }),
        }
    }
}

impl Searching {
    /// Searches a batch of the view, or after the last begins the answer.
    fn search_on<A: Account>(
        &mut self,
        context: &mut Context,
        account: &mut A,
        view: &mut View,
    ) -> Result<(), Refusal> {
        let Stage::Searching { query, place, .. } = &mut self.stage else { return Ok(()) };
        let end = (*place + limits::IMAP_SEARCH_BATCH).min(view.uids().len());
        let batch = &view.uids()[*place..end];
        *place = end;
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return self.begin_answer(context, account, view);
        };
        let among = UidSet::range(*first, *last);
        let mut found = account.search(view.mailbox, &among, query)?;
        found.retain(|uid| batch.binary_search(uid).is_ok());
        if let Some(highest) = &mut self.highest {
            *highest = highest_of(account, view, &found, *highest)?;
        }
        self.found.extend(found);
        Ok(())
    }

    fn begin_answer<A: Account>(
        &mut self,
        context: &mut Context,
        account: &mut A,
        view: &mut View,
    ) -> Result<(), Refusal> {
        let Some(returns) = &self.returns else {
            context.out.extend_from_slice(b"* SEARCH");
            self.stage = Stage::Writing { place: 0 };
            return Ok(());
        };
        let told = significant(returns, &self.found);
        if self.highest.is_some() && told.len() < self.found.len() {
            self.highest = Some(highest_of(account, view, &told, ModSeq::new(0))?);
        }
        if returns.save {
            view.save(told.into_iter().collect());
        }
        let highest = self.highest.filter(|_| !self.found.is_empty());
        self.stage = Stage::Answering(Answer::new(context, view, self.by, returns, &self.found, highest));
        Ok(())
    }
}

/// The highest mod-sequence of these messages and `before`.
fn highest_of<A: Account>(account: &mut A, view: &View, uids: &[LocalUid], before: ModSeq) -> Result<ModSeq, Refusal> {
    let mut highest = before;
    for batch in uids.chunks(limits::IMAP_ROWS_BATCH) {
        let messages = account.messages(view.mailbox, batch, With::Columns)?;
        highest = messages.iter().map(|message| message.mod_seq).fold(highest, Ord::max);
    }
    Ok(highest)
}
