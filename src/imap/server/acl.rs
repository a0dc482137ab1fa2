//! SETACL, DELETEACL, GETACL, LISTRIGHTS, MYRIGHTS (RFC 4314). Who may do what is the backend's to keep and to ask: these
//! commands only show and change it.

use super::backend::{Account, Backend};
use super::reply::{Context, Done, User};
use super::table::Outcome;
use crate::imap::syntax::Parser;
use crate::imap::syntax::acl::Identified;
use crate::imap::syntax::quote::{write_astring, write_mailbox};
use crate::types::{MailboxName, Right, Rights, RightsChange};

pub fn set<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let (mailbox, identifier, change) = args.set_acl()?;
    let name = context.mailbox_name(&mailbox)?;
    user.account.set_rights(&name, &identifier, change)?;
    Done::ok("Rights set")
}

pub fn delete<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let (mailbox, Identified { identifier, .. }) = args.only_mailbox_and_identifier()?;
    let name = context.mailbox_name(&mailbox)?;
    user.account.set_rights(&name, &identifier, RightsChange::Replace(Rights::NONE))?;
    Done::ok("Rights deleted")
}

/// `acl-data = "ACL" SP mailbox *(SP identifier SP rights)`
pub fn get<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let name = context.mailbox_name(&args.only_mailbox()?)?;
    let entries = user.account.acl(&name)?;
    let words = entries.into_iter().flat_map(|(identifier, rights)| [identifier.to_string(), rights.to_string()]);
    write_line(context, "ACL", &name, words);
    Done::ok("Rights told")
}

/// `listrights-data = "LISTRIGHTS" SP mailbox SP identifier SP rights *(SP rights)`: what the identifier has in any case, then
/// what it can be given. No rights are tied to each other, so `c` and `d` stand by themselves (section 2.1.1).
pub fn list_rights<B: Backend>(
    context: &mut Context,
    user: &mut User<B::Account>,
    args: &mut Parser<'_>,
) -> Outcome<B> {
    let (mailbox, Identified { identifier, text }) = args.only_mailbox_and_identifier()?;
    let name = context.mailbox_name(&mailbox)?;
    let is_owner = user.account.acl(&name)?.first().is_some_and(|(owner, _)| *owner == identifier);
    let always: &[Right] = if is_owner { &[Right::Lookup, Right::Administer] } else { &[] };
    let others = Right::ALL.into_iter().filter(|right| !always.contains(right)).map(Right::letter);
    let others = others.chain(['c', 'd']).map(String::from);
    let always = always.iter().map(|right| right.letter()).collect::<String>();
    write_line(context, "LISTRIGHTS", &name, [text, always].into_iter().chain(others));
    Done::ok("Rights told")
}

pub fn my_rights<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let name = context.mailbox_name(&args.only_mailbox()?)?;
    let rights = user.account.rights(&name)?;
    write_my_rights(context, &name, rights);
    Done::ok("Rights told")
}

/// `myrights-data = "MYRIGHTS" SP mailbox SP rights`
pub fn write_my_rights(context: &mut Context, name: &MailboxName, rights: Rights) {
    write_line(context, "MYRIGHTS", name, [rights.to_string()]);
}

fn write_line(context: &mut Context, response: &str, name: &MailboxName, words: impl IntoIterator<Item = String>) {
    let mut line = format!("* {response} ").into_bytes();
    write_mailbox(&mut line, name, context.enabled.name_form());
    for word in words {
        line.push(b' ');
        write_astring(&mut line, word.as_bytes());
    }
    line.extend_from_slice(b"\r\n");
    context.out.extend_from_slice(&line);
}
