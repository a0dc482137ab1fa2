//! `syncctl search`: finds mail in the store, whether there is a connection or not. Of messages whose text is not here the
//! server is asked, where there is a connection; where there is none it is told how many they are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use tokio::sync::Notify;

use super::control::{failure, read};
use super::daemon::Agent;
use super::recovery::headline;
use crate::control::{Failure, report};
use crate::message::asked;
use crate::message::search::Query;
use crate::message::snippet::snippet;
use crate::serve::bring::{Answers, Bringer as _, Inquiry};
use crate::serve::search::{Elsewhere, inquired, matching};
use crate::store::{Mailbox, Message, Result, Store, Wake, With};
use crate::types::{AccountId, Flag, InternalDate, LocalUid, MailboxName, SystemFlag, Timestamp, UidSet, limits};

/// Where to look, and for how much.
pub(super) struct Wanted {
    pub account: Option<String>,
    pub mailbox: Option<String>,
    pub limit: usize,
}

/// A mailbox that is looked through.
struct Place {
    account: String,
    account_id: AccountId,
    mailbox: Mailbox,
    name: MailboxName,
    /// The text of some message in it is not here.
    is_partial: bool,
}

/// The newest messages that match, and how many do.
pub(super) async fn search(
    agent: &Arc<Agent>,
    text: String,
    wanted: Wanted,
) -> std::result::Result<report::Found, Failure> {
    let today = InternalDate::from(agent.common.clock.now()).day();
    let query = asked::query(&text, today).map_err(|error| Failure::wrong(error.to_string()))?;
    let limit = wanted.limit;
    let places = {
        let agent = Arc::clone(agent);
        tokio::task::spawn_blocking(move || places(&agent, &wanted)).await.map_err(Failure::internal)??
    };
    let answers = ask(agent, &places, &inquired(&query)).await;
    let agent = Arc::clone(agent);
    tokio::task::spawn_blocking(move || look_through(&agent, &query, &places, &answers, limit))
        .await
        .map_err(Failure::internal)?
}

/// What the servers say of the texts that are not here, place by place.
async fn ask(agent: &Agent, places: &[Place], keys: &[Query]) -> Vec<Answers> {
    let came = Arc::new(Notify::new());
    let notify = Arc::clone(&came);
    let wake: Wake = Arc::new(move || notify.notify_one());
    let tickets = places.iter().map(|place| {
        (place.is_partial && !keys.is_empty()).then(|| {
            let (inquiry, ticket) = Inquiry::new(place.mailbox.id, keys.to_vec(), Arc::clone(&wake));
            agent.common.wishes.inquire(place.account_id, inquiry);
            ticket
        })
    });
    let mut answers = Vec::with_capacity(places.len());
    for ticket in tickets.collect::<Vec<_>>() {
        let Some(ticket) = ticket else {
            answers.push(Answers::default());
            continue;
        };
        while ticket.outcome().is_none() {
            came.notified().await;
        }
        answers.push(ticket.outcome().cloned().flatten().unwrap_or_default());
    }
    answers
}

fn look_through(
    agent: &Agent,
    query: &Query,
    places: &[Place],
    answers: &[Answers],
    limit: usize,
) -> std::result::Result<report::Found, Failure> {
    let store = &agent.common.store;
    // The oldest one on top, to go when there are too many.
    let mut newest = BinaryHeap::new();
    let mut total = 0;
    let mut unsearched_in: Vec<report::Unsearched> = Vec::new();
    for (number, (place, told)) in places.iter().zip(answers).enumerate() {
        let mut elsewhere = Elsewhere { told, unsearched: 0 };
        for_each_match(store, place, query, &mut elsewhere, |message| {
            total += 1;
            newest.push(Reverse((message.internal_date.unix_seconds(), Reverse(number), message.uid)));
            if newest.len() > limit {
                newest.pop();
            }
        })
        .map_err(failure)?;
        let messages = elsewhere.unsearched as u64;
        match unsearched_in.last_mut().filter(|last| last.account == place.account) {
            Some(last) => last.messages += messages,
            None if messages > 0 => unsearched_in.push(unsearched(agent, place, messages)),
            None => {}
        }
    }
    let texts = asked::texts(query);
    let newest = newest.into_sorted_vec().into_iter();
    let messages = newest.map(|Reverse((_, Reverse(number), uid))| told(store, &places[number], uid, &texts));
    let messages = messages.collect::<Result<Vec<_>>>().map_err(failure)?;
    Ok(report::Found {
        total,
        unsearched: unsearched_in.iter().map(|unsearched| unsearched.messages).sum(),
        unsearched_in,
        messages: messages.into_iter().flatten().collect(),
    })
}

fn unsearched(agent: &Agent, place: &Place, messages: u64) -> report::Unsearched {
    let (mut state, mut error) = (report::State::Offline, None);
    // Nobody of that name any more: stopped meanwhile.
    let _ = agent.each(Some(&place.account), |running| {
        let live = running.live();
        (state, error) = (live.state, live.error);
    });
    report::Unsearched { account: place.account.clone(), messages, state, error }
}

fn places(agent: &Agent, wanted: &Wanted) -> std::result::Result<Vec<Place>, Failure> {
    let mut accounts = Vec::new();
    agent.each(wanted.account.as_deref(), |running| accounts.push((running.config.name.clone(), running.id)))?;
    let mut places = Vec::new();
    for (account, account_id) in accounts {
        let mailboxes = read(&agent.common.store, |reader| {
            let mailboxes = reader.mailboxes(account_id)?.into_iter().filter(|mailbox| mailbox.selectable);
            let partial = |mailbox: Mailbox| Ok((!reader.outlined_in(mailbox.id)?.is_empty(), mailbox));
            mailboxes.map(partial).collect::<Result<Vec<_>>>()
        })?;
        for (is_partial, mailbox) in mailboxes {
            let Some(name) = mailbox.name.clone() else { continue };
            if wanted.mailbox.as_deref().is_none_or(|wanted| is_called(&name, wanted)) {
                places.push(Place { account: account.clone(), account_id, mailbox, name, is_partial });
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
        at_server: message.content.is_none(),
        snippet: words,
    }))
}
