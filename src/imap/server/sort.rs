//! SORT (RFC 5256; its result options: RFC 5267 section 3).

use super::backend::{Account, Backend};
use super::config::Capability;
use super::esearch::{Answer, Correlator, significant};
use super::hunt::{Found, Hunt, Keying, check_charset};
use super::query::names_numbers;
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::search::{check_returns, forget_saved_where_refused};
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::search::SearchReturns;
use crate::message::KeysRead;
use crate::message::sort::{Criterion, Row, SortKey, sorted};
use crate::types::LocalUid;

pub fn sort<B: Backend>(
    context: &mut Context,
    _: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    by: By,
) -> Outcome<B> {
    let wanted = args.sort()?;
    check_returns(context, wanted.returns.as_ref())?;
    if wanted.returns.is_some() && !context.has(Capability::ESort) {
        return Err(Refusal::bad("Unknown result option"));
    }
    let is_display = |criterion: &Criterion| matches!(criterion.key, SortKey::DisplayFrom | SortKey::DisplayTo);
    if wanted.criteria.iter().any(is_display) && !context.has(Capability::SortDisplay) {
        return Err(Refusal::bad("Unknown sort key"));
    }
    forget_saved_where_refused(view, wanted.returns, check_charset(&wanted.charset))?;
    let names_numbers = names_numbers(&wanted.key);
    let hunt = Hunt::for_keys(wanted.key, context, view)?;
    let (criteria, returns) = (wanted.criteria, wanted.returns);
    Ok(Done::Run(Box::new(Sorting { by, criteria, returns, names_numbers, stage: Stage::Hunting(hunt) })))
}

struct Sorting {
    by: By,
    criteria: Vec<Criterion>,
    returns: Option<SearchReturns>,
    names_numbers: bool,
    stage: Stage,
}

enum Stage {
    Hunting(Hunt),
    Keying(Found, Keying<Row>),
    Answering(Answer),
}

impl<A: Account> Task<A> for Sorting {
    fn progress(&self) -> Option<(usize, usize)> {
        match &self.stage {
            Stage::Hunting(hunt) => Some(hunt.progress()),
            Stage::Keying(..) | Stage::Answering(_) => None,
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
                let is_text = self.criteria.iter().any(|criterion| criterion.key.is_text());
                let read = if is_text { KeysRead::All } else { KeysRead::SentDate };
                self.stage = Stage::Keying(found, Keying::new(read));
            }
            Stage::Keying(found, keying) => {
                let rows = keying.step(account, view, &found.uids, |keyed| Row::new(keyed, &self.criteria));
                if let Some(rows) = forget_saved_where_refused(view, self.returns, rows)? {
                    let order = sorted(rows, &self.criteria);
                    self.stage =
                        Stage::Answering(answer(context, account, view, (self.by, self.returns), found, &order)?);
                }
            }
            Stage::Answering(answer) => {
                if !answer.step(context) {
                    return Ok(Progress::Done(Reply::new("Sorted")));
                }
            }
        }
        Ok(Progress::More)
    }
}

fn answer<A: Account>(
    context: &Context,
    account: &mut A,
    view: &mut View,
    (by, returns): (By, Option<SearchReturns>),
    found: &Found,
    order: &[LocalUid],
) -> Result<Answer, Refusal> {
    let numbers = view.numbers_by(by, order);
    let Some(returns) = returns else {
        return Ok(Answer::plain("SORT", numbers, found.highest));
    };
    let told = significant(&returns, order);
    let highest = found.highest_of_told(account, view, &told)?;
    if returns.save {
        view.save(told.into_iter().collect());
    }
    Ok(Answer::extended(&Correlator::of(context), by, &returns, numbers, highest))
}
