//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 sections 6.3.3 to 6.3.7; RFC 6154 section 3).

use unicode_normalization::is_nfc;

use super::backend::{Account, Backend, Error};
use super::config::Capability;
use super::reply::{Context, Done, Refusal, Reply, User};
use super::table::Outcome;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::{MailboxArgument, NameForm, Parser};
use crate::types::{MailboxName, ModSeq};

pub fn create<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let (mailbox, uses) = args.create(context.has(Capability::CreateSpecialUse))?;
    let name = new_name(context, mailbox)?;
    if name.is_inbox() {
        return Err(Refusal::no(Code::AlreadyExists, "INBOX exists already"));
    }
    let special_use = match uses.as_slice() {
        [] => None,
        [Some(only)] => Some(*only),
        [None] => return Err(Refusal::no(Code::UseAttr, "No such special use is known")),
        _ => return Err(Refusal::no(Code::UseAttr, "A mailbox can have one special use")),
    };
    let id = user.account.create(&name, special_use)?;
    user.did_itself(Some(&name));
    let code = context.has(Capability::ObjectId).then_some(Code::MailboxId(id));
    Ok(Done::Reply(Reply { code, text: "Created".into() }))
}

/// A delimiter at the end only says that the client will make mailboxes below (RFC 3501 section 6.3.3).
fn new_name(context: &Context, MailboxArgument(mut wire): MailboxArgument) -> Result<MailboxName, Refusal> {
    if wire.last().copied().map(char::from) == Some(MailboxName::DELIMITER) {
        wire.pop();
    }
    let name = context.mailbox_name(&MailboxArgument(wire))?;
    // "If a client attempts to create a UTF-8 mailbox name that is not a valid Net-Unicode name, the server MUST reject the
    // creation" or give it another name (RFC 9051 section 6.3.4), which the client would not find.
    if context.enabled.name_form() == NameForm::Utf8 && !is_nfc(name.as_str()) {
        return Err(Refusal::no(Code::Cannot, "A mailbox name is in Unicode's form NFC"));
    }
    // They "MUST NOT contain ... a line separator (U+2028), or a paragraph separator (U+2029)" (RFC 6855 section 3).
    if name.as_str().contains(['\u{2028}', '\u{2029}']) {
        return Err(Refusal::no(Code::Cannot, "A mailbox name is one line"));
    }
    // Programs that keep mailboxes as folders on disk take these for the way out of theirs: mbsync then refuses the whole
    // account.
    if name.components().any(|component| matches!(component, "." | "..")) {
        return Err(Refusal::no(Code::Cannot, "No part of a mailbox name can be \".\" or \"..\""));
    }
    Ok(name)
}

pub fn delete<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let name = context.mailbox_name(&args.only_mailbox()?)?;
    if name.is_inbox() {
        return Err(Refusal::no(Code::Cannot, "INBOX cannot be deleted"));
    }
    user.account.delete(&name)?;
    user.did_itself(Some(&name));
    // A client that deletes what it has selected has nothing selected any more.
    let deleted = user.selected.as_ref().is_some_and(|view| {
        let changes = user.account.changes(view.mailbox, ModSeq::new(i64::MAX as u64), false);
        matches!(changes, Err(Error::NoSuchMailbox | Error::NotSelectable))
    });
    if deleted {
        user.selected = None;
    }
    Done::ok("Deleted")
}

pub fn rename<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let (from, to) = args.rename()?;
    let (from, to) = (context.mailbox_name(&from)?, new_name(context, to)?);
    if to.is_below(&from) && !from.is_inbox() {
        return Err(Refusal::no(Code::Cannot, "A mailbox cannot go below itself"));
    }
    user.account.rename(&from, &to)?;
    user.did_itself(Some(&from));
    user.did_itself(Some(&to));
    Done::ok("Renamed")
}

pub fn subscribe<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    set_subscribed(context, user, args, true)?;
    Done::ok("Subscribed")
}

pub fn unsubscribe<B: Backend>(
    context: &mut Context,
    user: &mut User<B::Account>,
    args: &mut Parser<'_>,
) -> Outcome<B> {
    set_subscribed(context, user, args, false)?;
    Done::ok("Unsubscribed")
}

fn set_subscribed<A: Account>(
    context: &Context,
    user: &mut User<A>,
    args: &mut Parser<'_>,
    subscribed: bool,
) -> Result<(), Refusal> {
    let name = context.mailbox_name(&args.only_mailbox()?)?;
    user.account.set_subscribed(&name, subscribed)?;
    user.did_itself(Some(&name));
    Ok(())
}
