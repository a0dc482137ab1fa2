//! `syncctl search`: finds mail in the store, whether there is a connection or not.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::control::{failure, read};
use super::daemon::Agent;
use super::recovery::headline;
use crate::control::{Failure, report};
use crate::message::asked;
use crate::message::search::Query;
use crate::message::snippet::snippet;
use crate::serve::bring::Answers;
use crate::serve::search::{Elsewhere, matching};
use crate::store::{Mailbox, Message, Result, Store, With};
use crate::types::{Flag, InternalDate, LocalUid, MailboxName, SystemFlag, Timestamp, UidSet, limits};

/// Where to look, and for how much.
pub(super) struct Wanted {
    pub account: Option<String>,
    pub mailbox: Option<String>,
    pub limit: usize,
}

/// A mailbox that is looked through.
struct Place {
    account: String,
    mailbox: Mailbox,
    name: MailboxName,
}

/// The newest messages that match, and how many do.
pub(super) fn search(agent: &Agent, text: &str, wanted: &Wanted) -> std::result::Result<report::Found, Failure> {
    let store = &agent.common.store;
    let today = InternalDate::from(agent.common.clock.now()).day();
    let query = asked::query(text, today).map_err(|error| Failure::not_possible(error.to_string()))?;
    let places = places(agent, wanted)?;
    // The oldest one on top, to go when there are too many.
    let mut newest = BinaryHeap::new();
    let (mut total, answers) = (0, Answers::default());
    let mut elsewhere = Elsewhere { told: &answers, unsearched: 0 };
    for (number, place) in places.iter().enumerate() {
        for_each_match(store, place, &query, &mut elsewhere, |message| {
            total += 1;
            newest.push(Reverse((message.internal_date.unix_seconds(), Reverse(number), message.uid)));
            if newest.len() > wanted.limit {
                newest.pop();
            }
        })
        .map_err(failure)?;
    }
    let texts = asked::texts(&query);
    let newest = newest.into_sorted_vec().into_iter();
    let messages = newest.map(|Reverse((_, Reverse(number), uid))| told(store, &places[number], uid, &texts));
    let messages = messages.collect::<Result<Vec<_>>>().map_err(failure)?;
    Ok(report::Found {
        total,
        unsearched: elsewhere.unsearched as u64,
        messages: messages.into_iter().flatten().collect(),
    })
}

fn places(agent: &Agent, wanted: &Wanted) -> std::result::Result<Vec<Place>, Failure> {
    let mut accounts = Vec::new();
    agent.each(wanted.account.as_deref(), |running| accounts.push((running.config.name.clone(), running.id)))?;
    let mut places = Vec::new();
    for (account, id) in accounts {
        let mailboxes = read(&agent.common.store, |reader| reader.mailboxes(id))?;
        for mailbox in mailboxes.into_iter().filter(|mailbox| mailbox.selectable) {
            let Some(name) = mailbox.name.clone() else { continue };
            if wanted.mailbox.as_deref().is_none_or(|wanted| is_called(&name, wanted)) {
                places.push(Place { account: account.clone(), mailbox, name });
            }
        }
    }
    match &wanted.mailbox {
        Some(name) if places.is_empty() => {
            Err(Failure::not_found(format!("there is no mailbox {name:?}; `syncctl status` shows what there is")))
        }
        _ => Ok(places),
    }
}

/// INBOX has no case.
fn is_called(name: &MailboxName, wanted: &str) -> bool {
    MailboxName::parse(wanted).is_ok_and(|wanted| wanted == *name)
}

fn for_each_match(
    store: &Store,
    place: &Place,
    query: &Query,
    elsewhere: &mut Elsewhere<'_>,
    mut take: impl FnMut(Message),
) -> Result<()> {
    let uids = store.show(|reader| reader.open(place.mailbox.id))?.uids;
    for batch in uids.chunks(limits::IMAP_SEARCH_BATCH) {
        if let (Some(first), Some(last)) = (batch.first(), batch.last()) {
            let among = UidSet::range(*first, *last);
            matching(store, None, place.mailbox.id, &among, query, elsewhere)?.into_iter().for_each(&mut take);
        }
    }
    Ok(())
}

/// A message as it is told; `None` where it is gone meanwhile.
fn told(store: &Store, place: &Place, uid: LocalUid, texts: &[&str]) -> Result<Option<report::FoundMessage>> {
    let Some(message) = store.show(|reader| reader.messages(place.mailbox.id, &[uid], With::Summary))?.pop() else {
        return Ok(None);
    };
    let (mut from, mut subject, mut message_id) = Default::default();
    let mut words = String::new();
    if let Some(summary) = &message.summary {
        (from, subject) = headline(&summary.envelope);
        message_id = summary.envelope.message_id.as_deref().map(|id| String::from_utf8_lossy(id).into_owned());
        if let Some(content) = message.content {
            // A message is told even if its words cannot be read.
            words = snippet(summary, &mut store.source(content)?, texts).unwrap_or_default();
        }
    }
    Ok(Some(report::FoundMessage {
        account: place.account.clone(),
        mailbox: place.name.clone().into(),
        uid: uid.get(),
        date: Timestamp::from_unix_ms(message.internal_date.unix_seconds() * 1000).to_rfc3339(),
        from,
        subject,
        message_id,
        unread: !message.flags.contains(&Flag::System(SystemFlag::Seen)),
        size_bytes: message.size_bytes,
        snippet: words,
    }))
}
