//! SEARCH (RFC 3501 section 6.4.4; MODSEQ: RFC 7162 section 3.1.5), and `$`, what a search saved (RFC 5182).

use super::backend::{Account, Backend};
use super::config::Capability;
use super::esearch::{Answer, Correlator, significant};
use super::hunt::{Found, Hunt, check_charset};
use super::query::names_numbers;
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::search::SearchReturns;
use crate::types::UidSet;

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
    let checked = wanted.charset.as_deref().map_or(Ok(()), check_charset);
    forget_saved_where_refused(view, returns, checked)?;
    let names_numbers = names_numbers(&wanted.key);
    let hunt = Hunt::new(wanted.key, context, view)?;
    Ok(Done::Run(Box::new(Searching { by, returns, names_numbers, stage: Stage::Hunting(hunt) })))
}

/// Options whose capability is off are unknown.
pub fn check_returns(context: &Context, returns: Option<&SearchReturns>) -> Result<(), Refusal> {
    let Some(returns) = returns else { return Ok(()) };
    let offered = context.has(Capability::ESearch)
        && (!returns.save || context.has(Capability::SearchRes))
        && (returns.partial.is_none() || context.has(Capability::Partial));
    if offered { Ok(()) } else { Err(Refusal::bad("Unknown result option")) }
}

/// "A SEARCH command with the SAVE result option that caused the server to return the NO tagged response sets the value
/// of the search result variable to the empty sequence" (RFC 5182 section 2.1).
pub fn forget_saved_where_refused<T>(
    view: &mut View,
    returns: Option<SearchReturns>,
    result: Result<T, Refusal>,
) -> Result<T, Refusal> {
    if result.is_err() && returns.is_some_and(|returns| returns.save) {
        view.save(UidSet::new());
    }
    result
}

struct Searching {
    by: By,
    returns: Option<SearchReturns>,
    names_numbers: bool,
    stage: Stage,
}

enum Stage {
    Hunting(Hunt),
    Answering(Answer),
}

impl<A: Account> Task<A> for Searching {
    fn progress(&self) -> Option<(usize, usize)> {
        match &self.stage {
            Stage::Hunting(hunt) => Some(hunt.progress()),
            Stage::Answering(_) => None,
        }
    }

    fn uses_numbers(&self) -> bool {
        self.names_numbers
    }

    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        let (account, view) = user.selected()?;
        match &mut self.stage {
            Stage::Hunting(hunt) => {
                let found = forget_saved_where_refused(view, self.returns, hunt.step(account, view))?;
                let Some(found) = found else { return Ok(hunt.pause()) };
                self.stage = Stage::Answering(self.answer(context, account, view, found)?);
                Ok(Progress::More)
            }
            Stage::Answering(answer) => Ok(match answer.step(context) {
                true => Progress::More,
                false => Progress::Done(Reply::new("Searched")),
            }),
        }
    }
}

impl Searching {
    fn answer<A: Account>(
        &self,
        context: &Context,
        account: &mut A,
        view: &mut View,
        found: Found,
    ) -> Result<Answer, Refusal> {
        let Some(returns) = &self.returns else {
            return Ok(Answer::plain("SEARCH", view.numbers_by(self.by, &found.uids), found.highest));
        };
        let told = significant(returns, &found.uids);
        let highest = found.highest_of_told(account, view, &told)?;
        if returns.save {
            view.save(told.into_iter().collect());
        }
        let numbers = view.numbers_by(self.by, &found.uids);
        Ok(Answer::extended(&Correlator::of(context), self.by, returns, numbers, highest))
    }
}
