//! THREADID (RFC 8474 section 5.2): by the first message of the conversation that a message's References or In-Reply-To names,
//! or by its own Message-ID. So it is the same in every mailbox, does not change with what comes later, and costs no more than
//! the keys that THREAD is answered from.
//!
//! The backend knows no threads: before it is asked, what a search says of them is turned into UIDs, batch by batch.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::backend::{Account, Message, With};
use super::reply::Refusal;
use crate::message::search::Query;
use crate::message::{Keyed, Keys, KeysRead};
use crate::types::{LocalUid, MailboxId};

/// `"THREADID" SP ( "(" objectid ")" / nil )`: nothing is said of a message that is not here.
pub fn write<A: Account>(message: &Message, mailbox: MailboxId, account: &mut A, text: &mut Vec<u8>) {
    let is_here = message.content.or(message.header).is_some();
    let keyed = is_here.then(|| account.keyed(mailbox, &[message.uid], KeysRead::All).ok()).flatten();
    match keyed.as_deref() {
        Some([Keyed { keys, .. }]) => {
            let id = root(keys).unwrap_or_else(|| of_none(&message.email_id));
            text.extend_from_slice(format!("THREADID ({id})").as_bytes());
        }
        _ => text.extend_from_slice(b"THREADID NIL"),
    }
}

fn root(keys: &Keys) -> Option<String> {
    keys.references.first().copied().or(keys.message_id).map(|root| format!("T{root:016x}"))
}

/// A message that belongs to no conversation.
fn of_none(email_id: &str) -> String {
    format!("T{email_id}")
}

/// Does the query ask about threads? Recursion is bounded by the parser.
pub fn asks(query: &Query) -> bool {
    match query {
        Query::And(all) => all.iter().any(asks),
        Query::Or(one, other) => asks(one) || asks(other),
        Query::Not(query) => asks(query),
        Query::ThreadId(_) => true,
        _ => false,
    }
}

/// The query, which asks about threads, for these messages alone.
pub fn resolved<A: Account>(
    query: &Query,
    account: &mut A,
    mailbox: MailboxId,
    batch: &[LocalUid],
) -> Result<Query, Refusal> {
    let keyed = account.keyed(mailbox, batch, KeysRead::All)?;
    let alone: Vec<LocalUid> = keyed.iter().filter(|one| root(&one.keys).is_none()).map(|one| one.uid).collect();
    let mut threads: BTreeSet<(String, LocalUid)> =
        keyed.iter().filter_map(|one| Some((root(&one.keys)?, one.uid))).collect();
    for message in account.messages(mailbox, &alone, With::Summary)? {
        if message.content.or(message.header).is_some() {
            threads.insert((of_none(&message.email_id), message.uid));
        }
    }
    Ok(with_uids(query, &threads))
}

fn with_uids(query: &Query, threads: &BTreeSet<(String, LocalUid)>) -> Query {
    match query {
        Query::And(all) => Query::And(all.iter().map(|query| with_uids(query, threads)).collect()),
        Query::Or(one, other) => Query::Or(Box::new(with_uids(one, threads)), Box::new(with_uids(other, threads))),
        Query::Not(query) => Query::Not(Box::new(with_uids(query, threads))),
        Query::ThreadId(wanted) => {
            let of_thread = threads.iter().filter(|(id, _)| id == wanted).map(|(_, uid)| *uid);
            Query::Uids(Arc::new(of_thread.collect()))
        }
        query => query.clone(),
    }
}
