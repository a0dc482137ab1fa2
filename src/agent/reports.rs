//! From what the store holds to what syncctl shows.

use super::account::Live;
use crate::control::report;
use crate::journal::{Entry, Op, State};
use crate::store::{Conflict, Overview, Reader, Result, Store, Submission, SubmissionState, Verdict};
use crate::types::{AccountId, Flags, MailboxId, Timestamp};

/// An account at a glance.
pub fn account(store: &Store, id: AccountId, live: &Live) -> Result<report::Account> {
    let (overview, quarantined) = store.read(|reader| Ok((reader.overview(id)?, reader.quarantined(id)?)))?;
    let open = quarantined.into_iter().filter(|quarantine| quarantine.verdict == Verdict::Open);
    let blocked = open.map(|quarantine| report::Blocked {
        mailbox: quarantine.name.map(String::from).unwrap_or_default(),
        why: format!("{} messages vanished on the server at once", quarantine.vanished),
    });
    Ok(glance(overview, blocked.collect(), live))
}

fn glance(overview: Overview, blocked: Vec<report::Blocked>, live: &Live) -> report::Account {
    let state = match live.state {
        report::State::Online if !blocked.is_empty() => report::State::Blocked,
        state => state,
    };
    report::Account {
        name: overview.account.name,
        state,
        last_sync: overview.account.last_sync.map(Timestamp::to_rfc3339),
        last_error: live.error.clone().or(overview.account.last_error),
        mailboxes: overview
            .mailboxes
            .into_iter()
            .map(|mailbox| report::Mailbox {
                name: mailbox.name,
                messages: mailbox.messages.into(),
                unseen: mailbox.unseen.into(),
                uidvalidity: mailbox.uid_validity.get(),
                pending: mailbox.pending.into(),
            })
            .collect(),
        journal: report::JournalCounts {
            pending: overview.journal.pending.into(),
            in_flight: overview.journal.in_flight.into(),
            parked: overview.journal.parked.into(),
        },
        outbox: report::OutboxCounts {
            queued: overview.outbox.queued.into(),
            sending: overview.outbox.sending.into(),
            parked: overview.outbox.parked.into(),
            held: overview.outbox.held.into(),
        },
        conflicts: overview.conflicts.into(),
        blocked,
    }
}

/// A journal entry of the account called `account`.
pub fn entry(reader: &Reader<'_>, account: &str, entry: &Entry) -> report::Entry {
    let (state, why) = match &entry.state {
        State::Pending => ("pending", None),
        State::InFlight { .. } => ("in-flight", None),
        State::Parked { why } => ("parked", Some(why.clone())),
    };
    report::Entry {
        id: entry.id,
        account: account.to_owned(),
        created: entry.created.to_rfc3339(),
        state: state.to_owned(),
        attempts: entry.attempts,
        what: act(reader, &entry.op),
        open_messages: entry.open.len() as u64,
        why,
    }
}

/// An act of the user in words.
fn act(reader: &Reader<'_>, op: &Op) -> String {
    let place = |id: &MailboxId| mailbox(reader, *id);
    match op {
        Op::Flags { messages, add, remove } => {
            let changes = [("+", add), ("-", remove)].map(|(sign, flags)| signed(sign, flags));
            format!("flags {} on {}", changes.concat().join(" "), messages_text(messages.len()))
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

/// The mailbox's name now.
fn mailbox(reader: &Reader<'_>, id: MailboxId) -> String {
    let name = reader.mailbox(id).ok().and_then(|mailbox| mailbox.name);
    name.map_or_else(|| "a deleted mailbox".to_owned(), String::from)
}

/// A submission of the account called `account`.
pub fn submission(reader: &Reader<'_>, account: &str, submission: &Submission) -> Result<report::Submission> {
    let state = match (submission.state, submission.handed_over) {
        (SubmissionState::Settled, Some(_)) => "handed-over",
        (SubmissionState::Settled, None) => "failed",
        (state, _) => state.as_str(),
    };
    let recipients = submission.envelope.recipients.iter().zip(&submission.recipients);
    Ok(report::Submission {
        id: submission.id,
        account: account.to_owned(),
        created: submission.created.to_rfc3339(),
        state: state.to_owned(),
        filed: submission.filed,
        message_id: submission.message_id.clone(),
        from: submission.envelope.mail_from.clone(),
        recipients: recipients
            .map(|(recipient, status)| report::Recipient {
                address: recipient.address.clone(),
                state: status.state.as_str().to_owned(),
                reply: status.reply.as_ref().map(|reply| format!("{} {}", reply.code, reply.text)),
            })
            .collect(),
        size_bytes: reader.summary(submission.content)?.root.end,
        attempts: submission.attempts,
        next_attempt: (submission.state == SubmissionState::Queued).then(|| submission.next_attempt.to_rfc3339()),
        last_error: submission.last_error.clone(),
    })
}

/// A conflict of the account called `account`.
pub fn conflict(account: &str, conflict: Conflict) -> report::Conflict {
    report::Conflict {
        id: conflict.id,
        account: account.to_owned(),
        at: conflict.at.to_rfc3339(),
        kind: conflict.what.kind,
        mailbox: conflict.what.mailbox,
        here: conflict.what.here,
        upstream: conflict.what.upstream,
        result: conflict.what.result,
    }
}
