//! STATUS (RFC 3501 section 6.3.10; RFC 7162 section 3.1.7; RFC 8438, 8474; RFC 9051 section 6.3.11).

use super::backend::{Account, Backend, Status, Summed};
use super::config::Capability;
use super::reply::{Context, Done, Refusal, User};
use super::select::enable_condstore;
use super::table::Outcome;
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::ObjectId;
use crate::imap::syntax::mailbox::StatusItem;
use crate::imap::syntax::quote::write_mailbox;
use crate::types::{MailboxName, limits};

pub fn status<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let (mailbox, items) = args.status()?;
    check_items(context, user, &items)?;
    let name = context.mailbox_name(&mailbox)?;
    let status = user.account.status(&name, summed(&items))?;
    write_status(context, &name, &items, &status);
    Done::ok("Status told")
}

/// What must be summed up for these items.
pub fn summed(items: &[StatusItem]) -> Summed {
    match items.iter().any(|item| matches!(item, StatusItem::Size | StatusItem::DeletedStorage)) {
        true => Summed::Sizes,
        false => Summed::Nothing,
    }
}

/// Items whose capability is off are unknown; asking for HIGHESTMODSEQ enables CONDSTORE.
pub fn check_items<A>(context: &mut Context, user: &User<A>, items: &[StatusItem]) -> Result<(), Refusal> {
    let unknown = |item: &StatusItem| match item {
        StatusItem::HighestModSeq => !context.has(Capability::CondStore),
        StatusItem::Size => !context.has(Capability::StatusSize),
        StatusItem::Deleted => !context.has(Capability::Imap4Rev2) && !context.has(Capability::QuotaMessage),
        StatusItem::DeletedStorage => !context.has(Capability::QuotaStorage),
        StatusItem::AppendLimit => !context.has(Capability::AppendLimit),
        StatusItem::MailboxId => !context.has(Capability::ObjectId),
        _ => false,
    };
    if let Some(item) = items.iter().find(|item| unknown(item)) {
        return Err(Refusal::bad(format!("Unknown status item {}", item.as_str())));
    }
    if items.contains(&StatusItem::HighestModSeq) {
        enable_condstore(context, user.selected.as_ref());
    }
    Ok(())
}

/// `"STATUS" SP mailbox SP "(" [status-att-list] ")"`
pub fn write_status(context: &mut Context, name: &MailboxName, items: &[StatusItem], status: &Status) {
    context.out.extend_from_slice(b"* STATUS ");
    write_mailbox(&mut context.out, name, context.enabled.name_form());
    let sizes = status.sizes.unwrap_or_default();
    let values = items.iter().map(|item| {
        let value = match item {
            StatusItem::MailboxId => return format!("MAILBOXID ({})", ObjectId(status.id)),
            StatusItem::Messages => u64::from(status.messages),
            StatusItem::Recent => u64::from(status.recent),
            StatusItem::UidNext => u64::from(status.uid_next.get()),
            StatusItem::UidValidity => u64::from(status.uid_validity.get()),
            StatusItem::Unseen => u64::from(status.unseen),
            StatusItem::HighestModSeq => status.highest_mod_seq.get(),
            StatusItem::Size => sizes.all_bytes,
            StatusItem::AppendLimit => limits::MESSAGE_MAX_BYTES,
            StatusItem::DeletedStorage => sizes.deleted_bytes,
            StatusItem::Deleted => u64::from(status.deleted),
        };
        format!("{} {value}", item.as_str())
    });
    let values = values.collect::<Vec<_>>().join(" ");
    context.out.extend_from_slice(format!(" ({values})\r\n").as_bytes());
}
