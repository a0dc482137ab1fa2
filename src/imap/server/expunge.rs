//! CHECK, CLOSE, UNSELECT, EXPUNGE, UID EXPUNGE (RFC 3501 sections 6.4.1 to 6.4.3; RFC 3691; RFC 4315).
//!
//! What EXPUNGE removed is told as everything else is, by bringing the view up to date at the command's end.

use super::backend::{Account, Backend, Error};
use super::config::Capability;
use super::reply::{Context, Done, Refusal, Reply, User};
use super::table::Outcome;
use super::view::{By, View};
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;

/// Every change is durable when it is answered: there is nothing to check.
pub fn check<B: Backend>(
    _: &mut Context,
    _: &mut B::Account,
    _: &mut View,
    args: &mut Parser<'_>,
    _: By,
) -> Outcome<B> {
    args.end()?;
    Done::ok("Checked")
}

/// Removes the messages with `\Deleted` without telling which, unless the mailbox is read-only.
pub fn close<B: Backend>(_: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    let (account, view) = user.selected()?;
    if !view.read_only {
        match account.expunge(view.mailbox, None) {
            // "If the server is unable to expunge the mailbox because the user doesn't have the "e" right, the server MUST ignore
            // the expunge request" (RFC 4314 section 4).
            Ok(_) | Err(Error::NoPermission) => {}
            // Deleted meanwhile: there is nothing to expunge.
            Err(Error::NoSuchMailbox | Error::NotSelectable) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // No HIGHESTMODSEQ: the client did not learn what went (RFC 7162 section 3.2.8).
    user.selected = None;
    Done::ok("Closed")
}

pub fn unselect<B: Backend>(_: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    user.selected()?;
    user.selected = None;
    Done::ok("Unselected")
}

pub fn expunge<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    _: By,
) -> Outcome<B> {
    args.end()?;
    refuse_read_only(view)?;
    account.expunge(view.mailbox, None)?;
    expunged::<B>(context, view)
}

pub fn uid_expunge<B: Backend>(
    context: &mut Context,
    account: &mut B::Account,
    view: &mut View,
    args: &mut Parser<'_>,
    _: By,
) -> Outcome<B> {
    let set = args.only_set()?;
    refuse_read_only(view)?;
    account.expunge(view.mailbox, Some(&*view.uids_of_uids(&set)))?;
    expunged::<B>(context, view)
}

fn expunged<B: Backend>(context: &Context, view: &View) -> Outcome<B> {
    Ok(Done::Reply(Reply { code: mod_seq_after(context, view), text: "Expunged".into() }))
}

/// The code of the tagged OK, where the client knows of mod-sequences (RFC 7162 section 3.2.7): where the view stands, which the
/// command's end brings up to date.
pub fn mod_seq_after(context: &Context, view: &View) -> Option<Code> {
    let is_known = context.enabled.condstore && context.has(Capability::CondStore);
    is_known.then(|| Code::HighestModSeq(view.mod_seq()))
}

/// EXAMINE selects for reading only (RFC 3501 section 6.3.2); and some mailboxes cannot be changed at all (RFC 5530: NOPERM).
pub fn refuse_read_only(view: &View) -> Result<(), Refusal> {
    match view.read_only {
        true if view.is_fixed => Err(Refusal::no(Code::NoPerm, "The mailbox can only be read")),
        true => Err(Refusal::no(Code::ReadOnly, "The mailbox is selected for reading only")),
        false => Ok(()),
    }
}
