//! ESEARCH: a search of several mailboxes (RFC 7377), one after the other, one list of UIDs in memory at a time.

use std::collections::BTreeSet;

use super::backend::{Account, Backend, Error, Mailbox};
use super::esearch::{Answer, Correlator, significant};
use super::filter::Filter;
use super::hunt::{Hunt, check_charset};
use super::query::{asks_mod_seq, names_numbers, names_of_view};
use super::reply::{Context, Done, Progress, Refusal, Reply, Task, User};
use super::search::check_returns;
use super::select::enable_condstore;
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::filter::MailboxFilter;
use crate::imap::syntax::search::{SearchKey, SearchReturns};
use crate::types::{MailboxName, UidValidity};

pub fn esearch<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let (filters, wanted) = args.esearch()?;
    let returns = wanted.returns.unwrap_or(SearchReturns::ALL);
    check_returns(context, Some(&returns))?;
    // Without a source the selected mailbox is the one (RFC 7377 section 2.2).
    let filters = filters.unwrap_or_else(|| vec![MailboxFilter::Selected]);
    if filters.contains(&MailboxFilter::SelectedDelayed) {
        return Err(Refusal::bad("Nothing is delayed in a search"));
    }
    let selected_only = filters.iter().all(|filter| *filter == MailboxFilter::Selected);
    if !selected_only && returns.save {
        return Err(Refusal::bad("Only a search of the selected mailbox alone can be saved"));
    }
    if !selected_only && names_of_view(&wanted.key) {
        return Err(Refusal::bad("Numbers and $ name messages of the selected mailbox alone"));
    }
    if filters.contains(&MailboxFilter::Selected) && user.selected.is_none() {
        return Err(Refusal::bad("Select a mailbox first"));
    }
    if wanted.charset.is_some() && context.enabled.utf8 {
        return Err(Refusal::bad("After ENABLE UTF8=ACCEPT a search names no charset"));
    }
    wanted.charset.as_deref().map_or(Ok(()), check_charset)?;
    if asks_mod_seq(&wanted.key) {
        enable_condstore(context, user.selected.as_ref());
    }
    let rest = meant(context, user, &filters)?.into_iter();
    let names_numbers = names_numbers(&wanted.key);
    Ok(Done::Run(Box::new(Searching { rest, key: wanted.key, names_numbers, returns, stage: Stage::Next })))
}

/// The mailboxes that are meant, each once, in the order of their names.
fn meant<A: Account>(
    context: &Context,
    user: &mut User<A>,
    filters: &[MailboxFilter],
) -> Result<Vec<MailboxName>, Refusal> {
    let selected = user.selected.as_ref().filter(|_| filters.contains(&MailboxFilter::Selected));
    let others: Vec<Filter> = filters.iter().filter_map(|filter| Filter::of(filter, context)).collect();
    let is_selected = |mailbox: &Mailbox| selected.is_some_and(|view| view.mailbox == mailbox.id);
    let mailboxes = user.account.list()?;
    // What may be read need not be listed (RFC 4314 section 4).
    let unlisted = selected.filter(|_| !mailboxes.iter().any(is_selected)).map(|view| view.name.clone());
    let listed = mailboxes
        .into_iter()
        .filter(|mailbox| is_selected(mailbox) || others.iter().any(|filter| filter.selects(mailbox)));
    let meant: BTreeSet<MailboxName> = listed.map(|mailbox| mailbox.name).chain(unlisted).collect();
    Ok(meant.into_iter().collect())
}

struct Searching {
    rest: std::vec::IntoIter<MailboxName>,
    key: SearchKey,
    names_numbers: bool,
    returns: SearchReturns,
    stage: Stage,
}

enum Stage {
    /// The next mailbox is to be opened.
    Next,
    Hunting {
        name: MailboxName,
        uid_validity: UidValidity,
        view: Box<View>,
        hunt: Hunt,
    },
    Answering(Answer),
}

impl<A: Account> Task<A> for Searching {
    fn progress(&self) -> Option<(usize, usize)> {
        match &self.stage {
            Stage::Hunting { hunt, .. } => Some(hunt.progress()),
            Stage::Next | Stage::Answering(_) => None,
        }
    }

    fn uses_numbers(&self) -> bool {
        self.names_numbers
    }

    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal> {
        match &mut self.stage {
            Stage::Next => {
                let Some(name) = self.rest.next() else { return Ok(Progress::Done(Reply::new("Searched"))) };
                self.open(context, user, name)?;
            }
            Stage::Hunting { name, uid_validity, view, hunt } => {
                let Some(found) = hunt.step(&mut user.account, view)? else { return Ok(hunt.pause()) };
                let told = significant(&self.returns, &found.uids);
                let highest = found.highest_of_told(&mut user.account, view, &told)?;
                if let Some(selected) = user.selected.as_mut().filter(|_| self.returns.save) {
                    selected.save(told.into_iter().collect());
                }
                // Nothing is told of a mailbox in which nothing was found.
                self.stage = match found.uids.is_empty() {
                    true => Stage::Next,
                    false => {
                        let correlator = Correlator::of_mailbox(context, name, *uid_validity);
                        let numbers = view.numbers_by(By::Uid, &found.uids);
                        Stage::Answering(Answer::extended(&correlator, By::Uid, &self.returns, numbers, highest))
                    }
                };
            }
            Stage::Answering(answer) => {
                if !answer.step(context) {
                    self.stage = Stage::Next;
                }
            }
        }
        Ok(Progress::More)
    }
}

impl Searching {
    /// Opens a mailbox without selecting it. One that went meanwhile is passed over. Numbers of messages are those of the
    /// selected mailbox as the client knows it.
    fn open<A: Account>(
        &mut self,
        context: &mut Context,
        user: &mut User<A>,
        name: MailboxName,
    ) -> Result<(), Refusal> {
        let opened = match user.account.open(&name, false) {
            Ok(opened) => opened,
            Err(Error::NoSuchMailbox | Error::NotSelectable | Error::NoPermission) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let uid_validity = opened.uid_validity;
        let view = Box::new(View::new(name.clone(), opened, true, false, context));
        let known = user.selected.as_ref().filter(|selected| selected.mailbox == view.mailbox);
        let hunt = Hunt::new(self.key.clone(), context, known.unwrap_or(&view))?;
        self.stage = Stage::Hunting { name, uid_validity, view, hunt };
        Ok(())
    }
}
