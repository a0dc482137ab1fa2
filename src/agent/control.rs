//! Answers syncctl.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use tokio::sync::watch;

use super::daemon::Agent;
use super::numbered::Numbered;
use super::{acts, editing, pinning, recovery, reports, search, settled, verify, why};
use crate::control::outgoing::{self, Flushed};
use crate::control::outgoing::{Source, Submission};
use crate::control::report::{self, ClientConfig, ClientUser, Entry, Status, Synced};
use crate::control::{Failure, Handler, Request};
use crate::journal::State;
use crate::store::{self, Due, Origin, Reader, Store, Txn, Verdict};
use crate::types::{AccountId, ByteSource, ConflictId, EntryId, SubmissionId, Timestamp, limits};

/// Of the form of `syncctl status --json`.
const STATUS_VERSION: u32 = 1;

/// The agent as syncctl sees it.
pub struct Control(pub Arc<Agent>);

impl Handler for Control {
    async fn call(&self, request: Request) -> Result<Value, Failure> {
        match request {
            Request::Sync { account, wait } => json(&self.sync(account.as_deref(), wait).await?),
            Request::OutboxFlush { account } => json(&self.flush(account.as_deref()).await?),
            Request::Verify { account, store_only } => {
                json(&verify::run(&self.0, account.as_deref(), store_only).await?)
            }
            Request::Fetch { wanted, account } => json(&pinning::fetch(&self.0, wanted, account.as_deref()).await?),
            Request::Search { query, account, mailbox, limit } => {
                let wanted = search::Wanted { account, mailbox, limit: limit as usize };
                json(&search::search(&self.0, query, wanted).await?)
            }
            request => {
                // Everything else is quick, but waits for the disk.
                let (agent, numbered) = (Arc::clone(&self.0), Numbered::of(&request));
                let answer = tokio::task::spawn_blocking(move || answer(&agent, request));
                let answer = answer.await.unwrap_or_else(|panicked| Err(Failure::internal(panicked)));
                answer.map_err(|failure| match numbered {
                    Some(numbered) => numbered.told(failure),
                    None => failure,
                })
            }
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.common.changes.subscribe()
    }
}

impl Control {
    /// Mail that waits for its next attempt is tried now.
    async fn flush(&self, account: Option<&str>) -> Result<Flushed, Failure> {
        let mut ids = Vec::new();
        let mut paused = Vec::new();
        self.0.each(account, |running| match running.live().state {
            report::State::Paused => paused.push(running.config.name.clone()),
            _ => ids.push(running.id),
        })?;
        let agent = Arc::clone(&self.0);
        let hastened = tokio::task::spawn_blocking(move || {
            write(&agent, move |txn| {
                let now = txn.now();
                ids.iter().try_fold(0, |tried, id| {
                    txn.hasten_submissions(*id)?;
                    Ok(tried + txn.reader().submissions_due(*id, now, Due::FIRST, usize::MAX)?.len() as u64)
                })
            })
        });
        let tried = hastened.await.map_err(Failure::internal)??;
        Ok(Flushed { tried, paused })
    }

    async fn sync(&self, account: Option<&str>, wait: bool) -> Result<Synced, Failure> {
        self.flush(account).await?;
        let (mut to_wait_for, mut begun) = (Vec::new(), Vec::new());
        self.0.each(account, |running| {
            let name = running.config.name.clone();
            // One that is paused does nothing, and says at once what waits.
            if wait || running.live().state == report::State::Paused {
                to_wait_for.push(name);
            } else {
                running.nudge();
                begun.push(name);
            }
        })?;
        let waiting = to_wait_for.iter().map(|name| settled::wait(&self.0, name));
        let mut accounts = futures_util::future::try_join_all(waiting).await?;
        if wait && account.is_none() {
            accounts.extend(unconfigured(&self.0)?.iter().map(report::Unconfigured::not_synced));
        }
        Ok(Synced { begun, accounts })
    }
}

fn answer(agent: &Agent, request: Request) -> Result<Value, Failure> {
    let store = &agent.common.store;
    match request {
        Request::Status | Request::Follow => json(&status(agent)?),
        // Answered where it can be waited for.
        Request::Sync { .. }
        | Request::OutboxFlush { .. }
        | Request::Verify { .. }
        | Request::Fetch { .. }
        | Request::Search { .. } => Err(Failure::internal("it is not asked for here")),
        Request::SetOnline { account, online } => {
            let (ids, names) = known(agent, account.as_deref())?;
            write(agent, move |txn| ids.iter().try_for_each(|id| txn.set_paused(*id, !online)))?;
            agent.each(account.as_deref(), |running| running.set_paused(!online))?;
            json(&names)
        }
        Request::SetMetered { account, metered } => {
            let (ids, names) = known(agent, account.as_deref())?;
            write(agent, move |txn| ids.iter().try_for_each(|id| txn.set_metered(*id, metered)))?;
            agent.common.changes.send_modify(|count| *count += 1);
            agent.each(account.as_deref(), |running| running.nudge())?;
            json(&names)
        }
        Request::JournalList { account } => json(&listed_of_any(agent, account.as_deref(), |reader, name, id| {
            let entries = reader.entries(id)?;
            Ok(entries.iter().map(|entry| acts::entry(reader, name, entry)).collect())
        })?),
        Request::JournalShow { id } => json(&entry(agent, id)?),
        Request::JournalRetry { id } => retry(agent, id),
        Request::JournalDiscard { id } => {
            let (now, discarded) = (agent.common.clock.now(), entry(agent, id)?);
            store.write(Origin::Upstream, now, move |txn| txn.discard(id)).map_err(failure)?;
            // What is said to be gone must not come back with a power cut, and be done upstream after all.
            store.settle().map_err(failure)?;
            agent.each(None, |running| running.nudge())?;
            json(&discarded)
        }
        Request::OutboxList { account, waiting, after } => {
            let now = agent.common.clock.now();
            let (behind, max) = after.map_or((SubmissionId::new(0), usize::MAX), |after| (after, limits::OUTBOX_PAGE));
            let page = |reader: &Reader<'_>, name: &str, id| {
                let submissions = reader.submissions_behind(Some(id), waiting, behind, max)?;
                submissions.iter().map(|submission| reports::submission(reader, name, submission, now)).collect()
            };
            let mut submissions = listed_of_any(agent, account.as_deref(), page)?;
            if after.is_some() {
                submissions.sort_by_key(|submission| submission.id);
                submissions.truncate(max);
            }
            strand(agent, &mut submissions)?;
            json(&submissions)
        }
        Request::OutboxShow { id } => json(&submission(agent, id)?),
        Request::OutboxHold { id } => steer(agent, id, move |txn| txn.hold_submission(id)),
        Request::OutboxRelease { id } => steer(agent, id, move |txn| txn.release_submission(id)),
        Request::OutboxCancel { id } => {
            let before = submission(agent, id)?;
            write(agent, move |txn| txn.cancel_submission(id))?;
            match submission(agent, id) {
                // It is forgotten with that.
                Err(failure) if failure.code == Failure::NOT_FOUND => json(&before.cancelled()),
                now => json(&now?),
            }
        }
        Request::OutboxRequeue { id } => steer(agent, id, move |txn| txn.requeue_submission(id)),
        Request::OutboxSchedule { id, at } => {
            let moment = Timestamp::parse_rfc3339(&at)
                .ok_or_else(|| Failure::wrong(format!("{at:?} is no moment of RFC 3339")))?;
            if moment > agent.common.clock.now().plus_ms(limits::HOLD_MAX_MS) {
                return Err(Failure::wrong(format!(
                    "{at} is further away than a message waits here: a year and a day"
                )));
            }
            steer(agent, id, move |txn| txn.schedule_submission(id, moment))
        }
        Request::OutboxSource { id } => json(&source(store, id)?),
        Request::OutboxEdit { id } => steer(agent, id, move |txn| txn.open_in_editor(id)),
        Request::OutboxEditEnd { id } => steer(agent, id, move |txn| txn.close_editor(id)),
        Request::OutboxReplace { id, base64, to, author } => {
            let replaced = editing::replace(agent, id, editing::Written { base64, to, author })?;
            let store::Replaced { by, have_it, may_have_it } = replaced;
            json(&outgoing::Replaced { by: submission(agent, by)?, have_it, may_have_it })
        }
        Request::Conflicts { account } => json(&conflicts(agent, account.as_deref())?),
        Request::DismissConflicts { id } => dismiss(agent, id),
        Request::Gone { account } => json(&listed(agent, account.as_deref(), recovery::list)?),
        Request::Restore { ids, to } => json(&recovery::restore(agent, ids, to)?),
        Request::Why { message_id } => {
            json(&read(store, |reader| why::life(reader, &message_id, agent.common.clock.now()))?)
        }
        Request::Guard { account, mailbox, confirm } => guard(agent, &account, mailbox.as_deref(), confirm),
        Request::ClientConfig => json(&client_config(agent)),
    }
}

/// One account or all of them: their ids and their names.
fn known(agent: &Agent, account: Option<&str>) -> Result<(Vec<AccountId>, Vec<String>), Failure> {
    let (mut ids, mut names) = (Vec::new(), Vec::new());
    agent.each(account, |running| {
        ids.push(running.id);
        names.push(running.config.name.clone());
    })?;
    Ok((ids, names))
}

fn status(agent: &Agent) -> Result<Status, Failure> {
    let now = agent.common.clock.now();
    let mut known = Vec::new();
    agent.each(None, |running| {
        known.push((running.id, running.live(), running.waiting()));
    })?;
    let unconfigured = unconfigured(agent)?;
    let mut accounts = Vec::new();
    for (id, live, waiting) in known {
        let waiting = waiting(now).map_err(failure)?;
        accounts.push(reports::account(&agent.common.store, id, &live, &waiting).map_err(failure)?);
    }
    Ok(Status { version: STATUS_VERSION, accounts, unconfigured })
}

fn unconfigured(agent: &Agent) -> Result<Vec<report::Unconfigured>, Failure> {
    let names = known(agent, None)?.1;
    reports::unconfigured(&agent.common.store, names.iter().map(String::as_str)).map_err(failure)
}

fn entry(agent: &Agent, id: EntryId) -> Result<Entry, Failure> {
    read(&agent.common.store, |reader| {
        let entry = reader.entry(id)?;
        let name = reader.account(entry.account)?.name;
        Ok(acts::entry(reader, &name, &entry))
    })
}

fn submission(agent: &Agent, id: SubmissionId) -> Result<Submission, Failure> {
    let mut submission = read(&agent.common.store, |reader| {
        let submission = reader.submission(id)?.ok_or(store::Error::NoSuchRow("message in the outbox"))?;
        let name = reader.account(submission.account)?.name;
        reports::submission(reader, &name, &submission, agent.common.clock.now())
    })?;
    strand(agent, std::slice::from_mut(&mut submission))?;
    Ok(submission)
}

/// Tells of those whose account is not in the configuration.
fn strand(agent: &Agent, submissions: &mut [Submission]) -> Result<(), Failure> {
    let configured = known(agent, None)?.1;
    submissions.iter_mut().filter(|one| !configured.contains(&one.account)).for_each(Submission::strand);
    Ok(())
}

/// Changes a message in the outbox, and tells what it is then.
fn steer(
    agent: &Agent,
    id: SubmissionId,
    change: impl FnOnce(&mut Txn<'_>) -> store::Result<()> + Send + 'static,
) -> Result<Value, Failure> {
    write(agent, change)?;
    json(&submission(agent, id)?)
}

/// What `list` gives for one account or for all.
fn listed<T>(
    agent: &Agent,
    account: Option<&str>,
    list: impl Fn(&Reader<'_>, &str, AccountId) -> store::Result<Vec<T>>,
) -> Result<Vec<T>, Failure> {
    let (ids, names) = known(agent, account)?;
    let all = read(&agent.common.store, |reader| {
        names.iter().zip(ids).map(|(name, id)| list(reader, name, id)).collect::<store::Result<Vec<_>>>()
    })?;
    Ok(all.into_iter().flatten().collect())
}

/// As [`listed`], of accounts that the configuration does not name (any more) as well, these last.
fn listed_of_any<T>(
    agent: &Agent,
    account: Option<&str>,
    list: impl Fn(&Reader<'_>, &str, AccountId) -> store::Result<Vec<T>>,
) -> Result<Vec<T>, Failure> {
    let configured = known(agent, None)?.0;
    let is_wanted = |one: &store::Account| account.is_none_or(|name| one.name == name);
    let others = read(&agent.common.store, |reader| {
        let others = reader.accounts()?.into_iter().filter(|one| is_wanted(one) && !configured.contains(&one.id));
        others.map(|one| list(reader, &one.name, one.id)).collect::<store::Result<Vec<_>>>()
    })?;
    let mut all = match account {
        Some(_) if !others.is_empty() => Vec::new(),
        account => listed(agent, account, list)?,
    };
    all.extend(others.into_iter().flatten());
    Ok(all)
}

fn retry(agent: &Agent, id: Option<EntryId>) -> Result<Value, Failure> {
    let ids = match id {
        Some(id) if entry(agent, id)?.state != acts::PARKED => {
            return Err(Failure::not_possible("it is not parked: it is tried again by itself"));
        }
        Some(id) => vec![id],
        None => listed(agent, None, |reader, _, account| {
            let entries = reader.entries(account)?.into_iter();
            Ok(entries.filter(|entry| matches!(entry.state, State::Parked { .. })).map(|entry| entry.id).collect())
        })?,
    };
    let retried = ids.clone();
    write(agent, move |txn| ids.iter().try_for_each(|id| txn.retry(*id)))?;
    agent.each(None, |running| running.nudge())?;
    json(&retried)
}

/// The oldest first, whichever account it is in.
fn conflicts(agent: &Agent, account: Option<&str>) -> Result<Vec<report::Conflict>, Failure> {
    let mut all: Vec<report::Conflict> = listed(agent, account, |reader, name, id| {
        let conflicts = reader.conflicts(id)?.into_iter();
        conflicts.map(|conflict| reports::conflict(reader, name, conflict)).collect()
    })?;
    all.sort_by_key(|conflict| conflict.id);
    Ok(all)
}

fn dismiss(agent: &Agent, id: Option<ConflictId>) -> Result<Value, Failure> {
    let ids = match id {
        Some(id) => vec![id],
        None => listed(agent, None, |reader, _, account| {
            Ok(reader.conflicts(account)?.into_iter().map(|conflict| conflict.id).collect())
        })?,
    };
    let dismissed = ids.clone();
    write(agent, move |txn| ids.iter().try_for_each(|id| txn.dismiss_conflict(*id)))?;
    json(&dismissed)
}

fn guard(agent: &Agent, account: &str, mailbox: Option<&str>, confirm: bool) -> Result<Value, Failure> {
    let mut ids = Vec::new();
    agent.each(Some(account), |running| ids.push(running.id))?;
    let (mut held_back, mut names) = (Vec::new(), Vec::new());
    for id in ids {
        let quarantined = read(&agent.common.store, |reader| reader.quarantined(id))?;
        let wanted = |name: Option<&str>| mailbox.is_none() || name == mailbox;
        let mine = quarantined.into_iter().filter(|one| wanted(one.name.as_ref().map(|name| name.as_str())));
        for one in mine {
            held_back.push((id, one.mailbox));
            names.extend(one.name.map(String::from));
        }
    }
    if held_back.is_empty() {
        return Err(Failure::not_found(format!("nothing is held back in {}", mailbox.unwrap_or(account))));
    }
    let verdict = if confirm { Verdict::Confirmed } else { Verdict::Rejected };
    write(agent, move |txn| {
        held_back.iter().try_for_each(|(id, mailbox)| txn.decide_quarantine(*id, *mailbox, verdict))
    })?;
    agent.each(Some(account), |running| running.nudge())?;
    json(&names)
}

/// The bytes of a message in the outbox, if they fit an answer.
fn source(store: &Store, id: SubmissionId) -> Result<Source, Failure> {
    let content = read(store, |reader| {
        let submission = reader.submission(id)?.ok_or(store::Error::NoSuchRow("message in the outbox"))?;
        Ok(submission.content)
    })?;
    let size = store.source(content).map_err(failure)?.size();
    match usize::try_from(size).ok().filter(|size| *size <= limits::CONTROL_ANSWER_MAX_BYTES / 2) {
        Some(size) => {
            let bytes = store.read_content(content, 0, size).map_err(failure)?;
            Ok(Source { base64: BASE64.encode(bytes) })
        }
        None => Err(Failure::not_possible(format!("a message of {size} bytes is too large to be shown"))),
    }
}

fn client_config(agent: &Agent) -> ClientConfig {
    let mut users = Vec::new();
    // All accounts: none can be unknown.
    let _ = agent.each(None, |running| {
        users.push(ClientUser { user: running.config.name.clone(), address: running.config.address.clone() });
    });
    let served = agent.served();
    ClientConfig {
        imap: served.imap.to_string(),
        smtp: served.smtp.to_string(),
        pop3: served.pop3.map(|address| address.to_string()),
        imaps: served.imaps.map(|address| address.to_string()),
        smtps: served.smtps.map(|address| address.to_string()),
        pop3s: served.pop3s.map(|address| address.to_string()),
        security: if served.has_tls { "starttls" } else { "none" }.to_owned(),
        certificate_authority: served.authority.map(|path| path.display().to_string()),
        users,
        password: agent.users.password().expose().to_owned(),
    }
}

pub(super) fn read<T>(store: &Store, work: impl FnOnce(&Reader<'_>) -> store::Result<T>) -> Result<T, Failure> {
    store.read(work).map_err(failure)
}

/// Writes on the user's behalf.
pub(super) fn write<T: Send + 'static>(
    agent: &Agent,
    work: impl FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    agent.common.store.write(Origin::LocalUser, agent.common.clock.now(), work).map_err(failure)
}

pub(super) fn failure(error: store::Error) -> Failure {
    match error {
        store::Error::NoSuchAccount
        | store::Error::NoSuchMailbox
        | store::Error::NoSuchMessage
        | store::Error::NoSuchEntry
        | store::Error::NoSuchRow(_) => Failure::not_found(error),
        store::Error::Cannot(_)
        | store::Error::HoldsMessages(_)
        | store::Error::OtherKind { .. }
        | store::Error::AlreadyExists
        | store::Error::Limit(_)
        | store::Error::ReadOnly
        | store::Error::NotSelectable
        | store::Error::NoContent
        | store::Error::InPlace(_) => Failure::not_possible(error),
        error if error.is_temporary() => Failure::not_now(error),
        store::Error::Stays(_) => Failure::not_possible(error),
        error => Failure::internal(error),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_a_matter_of_now() {
        for (error, code) in [
            (store::Error::DISK_FULL, Failure::NOT_NOW),
            (store::Error::NoSuchMessage, Failure::NOT_FOUND),
            (store::Error::Cannot("x"), Failure::NOT_POSSIBLE),
            (store::Error::Damaged("x".to_owned()), Failure::INTERNAL),
        ] {
            assert_eq!(failure(error.clone()).code, code, "{error}");
        }
    }
}
