//! The user's acts in words: journal entries as syncctl shows them, and what giving one up would do.

use std::collections::BTreeMap;

use super::recovery;
use crate::control::report;
use crate::journal::{Entry, Op, State};
use crate::store::{Reader, Without};
use crate::types::{Flags, MailboxId, MailboxName, limits};

/// The state of an entry that waits for its user.
pub(super) const PARKED: &str = "parked";

/// In place of the name of a mailbox that has none any more.
const DELETED: &str = "a deleted mailbox";

/// A journal entry of the account called `account`.
pub fn entry(reader: &Reader<'_>, account: &str, entry: &Entry) -> report::Entry {
    let (state, why) = match &entry.state {
        State::Pending => ("pending", None),
        State::InFlight { .. } => ("in-flight", None),
        State::Parked { why, retry: None, .. } => (PARKED, Some(why.clone())),
        State::Parked { why, retry: Some(at), .. } => {
            (PARKED, Some(format!("{why}; it is tried again by itself at {}", at.to_rfc3339())))
        }
    };
    let (mailbox, to_mailbox) = mailboxes(reader, entry);
    let messages = entry.op.messages();
    report::Entry {
        id: entry.id,
        account: account.to_owned(),
        created: entry.created.to_rfc3339(),
        state: state.to_owned(),
        attempts: entry.attempts,
        what: act(reader, entry),
        mailbox,
        to_mailbox,
        messages: messages.len() as u64,
        subject: match messages[..] {
            [one] => Some(recovery::headline_of(reader, one).unwrap_or_default().1),
            _ => None,
        },
        open_messages: entry.open.len() as u64,
        why,
        discarding: discarding(reader, entry),
        discarding_removes_mail: discarding_removes_mail(reader, entry),
    }
}

/// What giving the entry up does here, and what may come of it from the server.
fn discarding(reader: &Reader<'_>, entry: &Entry) -> String {
    let here = discarding_here(reader, entry);
    let may_be_done = entry.state == State::Pending && reader.is_tried(entry.id).unwrap_or(false);
    match &entry.op {
        Op::CreateMailbox { mailbox, .. } if count_in(reader, *mailbox) > 0 => here,
        Op::Flags { .. } | Op::CreateMailbox { .. } | Op::RenameMailbox { .. } | Op::Subscribe { .. }
            if may_be_done =>
        {
            format!(
                "{here}; it was sent to the server before, and where the server has done it, the next sync brings it back"
            )
        }
        _ => here,
    }
}

fn discarding_here(reader: &Reader<'_>, entry: &Entry) -> String {
    let place = |id: &MailboxId| mailbox(reader, *id);
    let open = messages_text(entry.open.len());
    match &entry.op {
        Op::Append { .. } | Op::Copy { .. } | Op::Move { .. } | Op::Expunge { .. } => {
            let places = places(without_it(reader, entry));
            match places.is_empty() {
                true => "there is nothing left of it to be done".to_owned(),
                false => {
                    let told = places.into_iter().map(|(becomes, count)| placed(reader, becomes, count));
                    told.collect::<Vec<_>>().join("; ")
                }
            }
        }
        Op::Flags { add, remove, .. } => {
            let names: Vec<String> = add.union(remove).names().map(str::to_owned).collect();
            let names = names.join(" ");
            format!(
                "{names} on {open} here is again what the server has, or another entry asks for; copies keep theirs"
            )
        }
        Op::CreateMailbox { mailbox, .. } if reader.mailbox(*mailbox).is_ok_and(|mailbox| mailbox.name.is_none()) => {
            "the mailbox was deleted here since, and nothing else becomes of it".to_owned()
        }
        Op::CreateMailbox { mailbox, .. } => match count_in(reader, *mailbox) {
            0 => format!("the mailbox {} is deleted here", place(mailbox)),
            count => {
                let (messages, them) = (messages_text(count), if count == 1 { "it" } else { "them" });
                format!(
                    "that is not possible while the mailbox {} holds {messages}: move or delete {them} first",
                    place(mailbox)
                )
            }
        },
        Op::RenameMailbox { mailbox, to, .. } if !is_named(reader, *mailbox, to) => {
            "the mailbox has another name by now, or is gone, and stays as it is".to_owned()
        }
        Op::RenameMailbox { mailbox, from, to } => {
            let staying = reader.staying(*mailbox, to).unwrap_or_default();
            let staying: Vec<String> = staying.into_iter().filter_map(|child| child.name).map(String::from).collect();
            renamed_back(from.as_str(), to.as_str(), &staying)
        }
        Op::DeleteMailbox { mailbox, .. } if reader.mailbox(*mailbox).is_ok_and(|mailbox| mailbox.name.is_some()) => {
            format!("the mailbox {}, which is here again already, stays", place(mailbox))
        }
        Op::DeleteMailbox { name, .. } => format!("the mailbox {name} comes back here with its messages"),
        Op::Subscribe { name, subscribed: true } => format!("{name} is not subscribed to any more"),
        Op::Subscribe { name, subscribed: false } => format!("{name} is subscribed to again"),
    }
}

/// `staying`: those below it that upstream has where they are.
fn renamed_back(from: &str, to: &str, staying: &[String]) -> String {
    let back = format!("the mailbox {to} is named {from} here again");
    match staying {
        [] => back,
        [one] => format!("{back}; {one} was made by that name on the server, and keeps it"),
        [one, more @ ..] => {
            format!("{back}; {one} and {} more were made by those names on the server, and keep them", more.len())
        }
    }
}

/// What becomes of each message of the entry when it is discarded.
fn without_it<'r>(reader: &'r Reader<'_>, entry: &'r Entry) -> impl Iterator<Item = Without> + 'r {
    entry.open.iter().map(|message| reader.without(entry, *message).unwrap_or(Without::Stays))
}

/// How many of them each time.
fn places(all: impl Iterator<Item = Without>) -> BTreeMap<Without, usize> {
    let mut places = BTreeMap::new();
    all.for_each(|becomes| *places.entry(becomes).or_default() += 1);
    places
}

fn placed(reader: &Reader<'_>, becomes: Without, count: usize) -> String {
    let (messages, s) = (messages_text(count), if count == 1 { "s" } else { "" });
    match becomes {
        Without::Stays if count == 1 => format!("{messages} stays as it is"),
        Without::Stays => format!("{messages} stay as they are"),
        Without::Goes(to) => format!("{messages} here return{s} to {}", mailbox(reader, to)),
        Without::Leaves(from) => removed(&messages, s, &mailbox(reader, from)),
    }
}

/// Has the mailbox that name?
fn is_named(reader: &Reader<'_>, mailbox: MailboxId, name: &MailboxName) -> bool {
    reader.mailbox(mailbox).is_ok_and(|mailbox| mailbox.name.as_ref() == Some(name))
}

fn removed(messages: &str, s: &str, from: &str) -> String {
    let days = limits::RECOVERY_MS / (24 * 3_600_000);
    format!(
        "{messages}, which the server does not have, leave{s} {from} here and can be put back for {days} days \
         (syncctl recover list)"
    )
}

/// What the server does not have goes with the entry that would have brought it there.
fn discarding_removes_mail(reader: &Reader<'_>, entry: &Entry) -> bool {
    let is_about_a_place = !entry.op.is_barrier() && !matches!(entry.op, Op::Flags { .. });
    is_about_a_place && without_it(reader, entry).any(|becomes| matches!(becomes, Without::Leaves(_)))
}

/// An act of the user in words.
fn act(reader: &Reader<'_>, entry: &Entry) -> String {
    let place = |id: &MailboxId| mailbox(reader, *id);
    match &entry.op {
        Op::Flags { messages, add, remove } => {
            let changes = [("+", add), ("-", remove)].map(|(sign, flags)| signed(sign, flags));
            let place = match &reader.entry_mailboxes(entry.id).unwrap_or_default()[..] {
                [] => DELETED.to_owned(),
                [one] => one.clone(),
                [one, ..] => format!("{one} and elsewhere"),
            };
            format!("flags {} on {} in {place}", changes.concat().join(" "), messages_text(messages.len()))
        }
        Op::Move { messages, from, to } => {
            format!("move {} from {} to {}", messages_text(messages.len()), place(from), place(to))
        }
        Op::Copy { copies, from, to } => {
            format!("copy {} from {} to {}", messages_text(copies.len()), place(from), place(to))
        }
        Op::Append { mailbox, .. } => format!("append 1 message to {}", place(mailbox)),
        Op::Expunge { messages, from } => format!("expunge {} from {}", messages_text(messages.len()), place(from)),
        Op::CreateMailbox { name, .. } => format!("create mailbox {name}"),
        Op::RenameMailbox { from, to, .. } => format!("rename mailbox {from} to {to}"),
        Op::DeleteMailbox { name, .. } => format!("delete mailbox {name}"),
        Op::Subscribe { name, subscribed: true } => format!("subscribe to {name}"),
        Op::Subscribe { name, subscribed: false } => format!("unsubscribe from {name}"),
    }
}

fn signed(sign: &str, flags: &Flags) -> Vec<String> {
    flags.iter().map(|flag| format!("{sign}{flag}")).collect()
}

fn messages_text(count: usize) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

/// The mailbox that an act is about, and the one that it leads to.
fn mailboxes(reader: &Reader<'_>, entry: &Entry) -> (Option<String>, Option<String>) {
    match &entry.op {
        Op::Flags { .. } => (reader.entry_mailboxes(entry.id).unwrap_or_default().into_iter().next(), None),
        Op::Move { from, to, .. } | Op::Copy { from, to, .. } => (name(reader, *from), name(reader, *to)),
        Op::Append { mailbox, .. } | Op::Expunge { from: mailbox, .. } => (name(reader, *mailbox), None),
        Op::RenameMailbox { from, to, .. } => (Some(from.to_string()), Some(to.to_string())),
        Op::CreateMailbox { name, .. } | Op::DeleteMailbox { name, .. } | Op::Subscribe { name, .. } => {
            (Some(name.to_string()), None)
        }
    }
}

fn count_in(reader: &Reader<'_>, mailbox: MailboxId) -> usize {
    reader.message_count(mailbox).map_or(0, |count| count as usize)
}

fn mailbox(reader: &Reader<'_>, id: MailboxId) -> String {
    name(reader, id).unwrap_or_else(|| DELETED.to_owned())
}

/// The mailbox's name now.
fn name(reader: &Reader<'_>, id: MailboxId) -> Option<String> {
    reader.mailbox(id).ok().and_then(|mailbox| mailbox.name).map(String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_its_name_when_a_renaming_is_discarded_is_told() {
        let names = ["C/new", "C/other", "C/third"].map(str::to_owned);
        for (staying, told) in [
            (&names[..0], "the mailbox C is named A here again"),
            (
                &names[..1],
                "the mailbox C is named A here again; C/new was made by that name on the server, and keeps it",
            ),
            (
                &names[..],
                "the mailbox C is named A here again; C/new and 2 more were made by those names on the server, and keep them",
            ),
        ] {
            assert_eq!(renamed_back("A", "C", staying), told);
        }
    }
}
