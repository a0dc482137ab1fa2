//! NOTIFY (RFC 5465): what the client wants to be told of without asking.
//!
//! Nothing is queued: at every hint that something changed, the account is looked at anew ([`super::look`]) and compared
//! with what the client knows, so that a client that does not read costs nothing. What happens in the selected mailbox is
//! told as ever, by [`super::telling`], only more or less of it.

use std::collections::BTreeSet;

use super::backend::Backend;
use super::config::Capability;
use super::fetch_item::check_items;
use super::filter::Filter;
use super::look::{Known, Looking};
use super::reply::{Context, Done, Refusal, User};
use super::select::enable_condstore;
use super::table::Outcome;
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::fetch::FetchItem;
use crate::imap::syntax::filter::MailboxFilter;
use crate::imap::syntax::notify::{Events, Notify as Wanted};
use crate::types::{LocalUid, MailboxName};

/// What a client that gave the command wants to be told, and what it knows.
#[derive(Debug, Default)]
pub struct Notify {
    pub selected: SelectedEvents,
    pub groups: Vec<(Filter, Events)>,
    pub known: Known,
    /// Mailboxes that this client itself made, deleted, renamed, subscribed to or annotated since the account was looked
    /// at: "The server SHOULD omit notifying the client if the event is caused by this client" (section 5).
    pub own: BTreeSet<Option<MailboxName>>,
    /// Messages that came into the selected mailbox and are still to be fetched for the client.
    pub arrived: Vec<LocalUid>,
}

/// Events of the selected mailbox. Those that are not wanted are not told there, not even at the end of a command.
#[derive(Debug, Default, Clone)]
pub struct SelectedEvents {
    /// MessageNew and MessageExpunge.
    pub messages: bool,
    pub flags: bool,
    /// EXPUNGE waits for a command that allows it.
    pub delayed: bool,
    pub fetch: Vec<FetchItem>,
}

impl Notify {
    /// The events of a mailbox: several groups may name it (section 6).
    pub fn events_of(&self, name: &MailboxName, is_subscribed: bool) -> Events {
        let mut all = Events::default();
        for (_, events) in self.groups.iter().filter(|(filter, _)| filter.names(name, is_subscribed)) {
            all.message_new |= events.message_new;
            all.flag_change |= events.flag_change;
            all.mailbox_name |= events.mailbox_name;
            all.subscription_change |= events.subscription_change;
            all.mailbox_metadata_change |= events.mailbox_metadata_change;
        }
        all
    }

    /// Is the server's metadata watched? Mailboxes have no part in that, whichever the group names.
    pub fn watches_server_metadata(&self) -> bool {
        self.groups.iter().any(|(_, events)| events.server_metadata_change)
    }
}

impl<A> User<A> {
    /// This client did something to a mailbox, or to the server (`None`), of which it need not be told. The look that follows at
    /// once forgets it, whether anything is different now or not: what others do later is told.
    pub fn did_itself(&mut self, name: Option<&MailboxName>) {
        if let Some(notify) = &mut self.notify {
            notify.own.insert(name.cloned());
        }
    }
}

pub fn notify<B: Backend>(context: &mut Context, user: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    let (status, groups) = match args.notify()? {
        Wanted::None => {
            user.notify = Some(Notify::default());
            return Done::ok("Nothing is told");
        }
        Wanted::Set { status, groups } => (status, groups),
    };
    let mut wish = Notify::default();
    let mut selected = 0;
    for group in groups {
        check(context, &group.filter, &group.events)?;
        match Filter::of(&group.filter, context) {
            Some(filter) => wish.groups.push((filter, group.events)),
            None => {
                selected += 1;
                let Events { message_new: messages, flag_change: flags, fetch, .. } = group.events;
                wish.selected =
                    SelectedEvents { messages, flags, fetch, delayed: group.filter == MailboxFilter::SelectedDelayed };
            }
        }
    }
    if selected > 1 {
        return Err(Refusal::bad("The selected mailbox is specified twice"));
    }
    if wish.selected.fetch.contains(&FetchItem::ModSeq) {
        enable_condstore(context, user.selected.as_ref());
    }
    Ok(Done::Run(Box::new(Looking::first::<B::Account>(&mut user.account, wish, status)?)))
}

fn check(context: &Context, filter: &MailboxFilter, events: &Events) -> Result<(), Refusal> {
    let metadata = events.mailbox_metadata_change || events.server_metadata_change;
    if events.other || (metadata && !context.has(Capability::Metadata)) {
        let code = Code::BadEvent { metadata: context.has(Capability::Metadata) };
        return Err(Refusal::no(code, "Not all of these events are told"));
    }
    // "MessageNew and MessageExpunge MUST always be specified together. If FlagChange is specified, then MessageNew and
    // MessageExpunge MUST be specified as well" (section 8).
    if events.message_new != events.message_expunge || (events.flag_change && !events.message_new) {
        return Err(Refusal::bad("MessageNew and MessageExpunge go together, and FlagChange with them"));
    }
    let is_selected = matches!(filter, MailboxFilter::Selected | MailboxFilter::SelectedDelayed);
    let of_mailboxes = events.mailbox_name || events.subscription_change || metadata;
    match is_selected {
        true if of_mailboxes => Err(Refusal::bad("Only events of messages are told of the selected mailbox")),
        false if !events.fetch.is_empty() => Err(Refusal::bad("Only of the selected mailbox messages are fetched")),
        _ if *filter == MailboxFilter::SubtreeOne(Vec::new()) => Err(Refusal::bad("No mailbox")),
        _ => check_items(context, &events.fetch),
    }
}
