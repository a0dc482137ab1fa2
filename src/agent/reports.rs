//! From what the store holds to what syncctl shows.

use std::collections::BTreeSet;

use super::account::Live;
use super::recovery;
use crate::control::bodies::{Amount, Bodies, StoppedBy, Today};
use crate::control::{outgoing, report};
use crate::store::{
    AbsentCounts, Conflict, NotGiven, Overview, Postponed, Reader, RecipientState, Result, Store, Submission,
    SubmissionState, Verdict,
};
use crate::sync::stock::Waiting;
use crate::types::{AccountId, MessageId, QuotaUse, Timestamp, limits};

/// An account at a glance.
pub fn account(store: &Store, id: AccountId, live: &Live, waiting: &Waiting) -> Result<report::Account> {
    let (overview, quarantined, (popped, mirrored), quota) = store.read(|reader| {
        let not_given = (reader.postponed(id)?, reader.not_given(id)?);
        Ok((reader.overview(id)?, reader.quarantined(id)?, not_given, reader.upstream_quota(id)?))
    })?;
    let open = quarantined.into_iter().filter(|quarantine| quarantine.verdict == Verdict::Open);
    let blocked = open.map(|quarantine| report::Blocked {
        mailbox: quarantine.name.map(String::from).unwrap_or_default(),
        why: format!("{} messages vanished on the server at once", quarantine.vanished),
    });
    let popped = popped.into_iter().map(|Postponed { unique_id, why, until }| report::NotGiven {
        unique_id,
        why,
        again: until.to_rfc3339(),
    });
    let mirrored = mirrored.into_iter().map(|NotGiven { mailbox, uid, why, again }| report::NotGiven {
        unique_id: format!("UID {uid} of {mailbox}"),
        why,
        again: again.to_rfc3339(),
    });
    let not_given = popped.chain(mirrored);
    let quota = quota.into_iter().map(|QuotaUse { root, resource, used, limit }| report::Quota {
        root,
        resource: resource.to_ascii_lowercase(),
        used,
        limit,
    });
    let glance = glance(overview, blocked.collect(), live);
    Ok(report::Account { bodies: bodies(waiting), not_given: not_given.collect(), quota: quota.collect(), ..glance })
}

fn bodies(waiting: &Waiting) -> Bodies {
    let amount = |counts: AbsentCounts| Amount { messages: counts.messages, bytes: counts.bytes };
    let stopped_by = match () {
        () if waiting.is_over_budget() => Some(StoppedBy::Budget),
        () if waiting.wanted.messages > waiting.due.messages => Some(StoppedBy::Metered),
        () => None,
    };
    Bodies {
        absent: amount(waiting.absent),
        wanted: amount(waiting.wanted),
        withheld: waiting.withheld,
        today: Today { fetched_bytes: waiting.spent.bytes, on_demand_bytes: waiting.spent.on_demand_bytes },
        budget_bytes: waiting.budget_bytes,
        budget_left_bytes: waiting.left_bytes(),
        metered: waiting.metered,
        stopped_by,
    }
}

/// Accounts in the store that are not among `configured`, of which something waits.
pub fn unconfigured<'a>(store: &Store, configured: impl Iterator<Item = &'a str>) -> Result<Vec<report::Unconfigured>> {
    let configured: BTreeSet<&str> = configured.collect();
    store.read(|reader| {
        let mut waiting = Vec::new();
        for account in reader.accounts()?.into_iter().filter(|account| !configured.contains(account.name.as_str())) {
            let (journal, outbox) = (reader.journal_counts(account.id)?, reader.outbox_counts(account.id)?);
            let changes = u64::from(journal.pending + journal.in_flight + journal.parked);
            let messages = u64::from(outbox.queued + outbox.sending + outbox.held + outbox.parked);
            if changes + messages > 0 {
                waiting.push(report::Unconfigured { name: account.name, changes, messages });
            }
        }
        Ok(waiting)
    })
}

/// What is still to be done for an account.
pub fn left(reader: &Reader<'_>, id: AccountId, now: Timestamp) -> Result<report::Left> {
    let (journal, outbox) = (reader.journal_counts(id)?, reader.outbox_counts(id)?);
    let is_open = |quarantine: &&crate::store::Quarantine| quarantine.verdict == Verdict::Open;
    Ok(report::Left {
        journal_waiting: u64::from(journal.pending) + u64::from(journal.in_flight),
        journal_parked: journal.parked.into(),
        outbox_waiting: u64::from(outbox.queued) + u64::from(outbox.sending),
        outbox_parked: outbox.parked.into(),
        not_filed: reader.submissions_unfiled(id, now)?.len() as u64,
        blocked: reader.quarantined(id)?.iter().filter(is_open).count() as u64,
        outbox_held: outbox.held.into(),
        not_given: (reader.postponed(id)?.len() + reader.not_given(id)?.len()) as u64,
    })
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
        bodies: Bodies::default(),
        not_given: Vec::new(),
        quota: Vec::new(),
    }
}

/// A submission of the account called `account`, as it is now.
pub fn submission(
    reader: &Reader<'_>,
    account: &str,
    submission: &Submission,
    now: Timestamp,
) -> Result<outgoing::Submission> {
    let has = |state| !submission.places(state).is_empty();
    let is_edited = submission.edited_until > now;
    // Else it is let go then, unless its editor is heard of.
    let is_open = submission.edited_until > now.plus_ms(limits::EDITOR_GRACE_MS);
    let state = match submission.state {
        SubmissionState::Settled if submission.replaced_by.is_some() => "replaced",
        SubmissionState::Settled if submission.handed_over.is_some() => "handed-over",
        SubmissionState::Settled if has(RecipientState::Failed) => "failed",
        SubmissionState::Settled => "cancelled",
        _ if is_edited => "being-edited",
        state => state.as_str(),
    };
    let recipients = submission.envelope.recipients.iter().zip(&submission.recipients);
    let summary = reader.summary(submission.content)?;
    Ok(outgoing::Submission {
        id: submission.id,
        account: account.to_owned(),
        created: submission.created.to_rfc3339(),
        state: state.to_owned(),
        filed: submission.filed,
        message_id: submission.message_id.clone(),
        subject: recovery::headline(&summary.envelope).1,
        from: submission.envelope.mail_from.clone(),
        recipients: recipients
            .map(|(recipient, status)| outgoing::Recipient {
                address: recipient.address.clone(),
                state: status.state.as_str().to_owned(),
                reply: status.reply.as_ref().map(|reply| format!("{} {}", reply.code, reply.text)),
            })
            .collect(),
        size_bytes: summary.root.end,
        attempts: submission.attempts,
        next_attempt: (submission.state == SubmissionState::Queued && !is_open)
            .then(|| submission.next_attempt.max(submission.edited_until).to_rfc3339()),
        last_error: submission.last_error.clone(),
        in_doubt: submission.in_doubt && (has(RecipientState::Waiting) || has(RecipientState::Cancelled)),
        replaced_by: submission.replaced_by,
    })
}

/// A conflict of the account called `account`.
pub fn conflict(reader: &Reader<'_>, account: &str, conflict: Conflict) -> Result<report::Conflict> {
    let message = conflict.what.message.map(|id| headline(reader, id)).transpose()?;
    Ok(report::Conflict {
        id: conflict.id,
        account: account.to_owned(),
        at: conflict.at.to_rfc3339(),
        kind: conflict.what.kind,
        mailbox: conflict.what.mailbox,
        message: message.flatten(),
        here: conflict.what.here,
        upstream: conflict.what.upstream,
        result: conflict.what.result,
    })
}

fn headline(reader: &Reader<'_>, id: MessageId) -> Result<Option<report::Headline>> {
    if reader.message_facts(id)?.is_none() {
        return Ok(None);
    }
    let summary = reader.summary_of(id)?;
    let (from, subject) = summary.as_ref().map_or_else(Default::default, |it| recovery::headline(&it.envelope));
    let message_id = summary.and_then(|summary| summary.envelope.message_id.clone());
    let mailbox = match reader.message(id)? {
        Some(message) => reader.mailbox(message.mailbox)?.name.map(String::from),
        None => None,
    };
    let message_id = message_id.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok(Some(report::Headline { subject, from, message_id, mailbox }))
}
