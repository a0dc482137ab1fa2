//! Has the outbox sent, over a [`Sender`]. No runtime, no clock: the time and the chance are arguments.
//!
//! Rules: that an attempt begins is durable before a byte goes out, its outcome before anything follows from it; a
//! failure's report and the note that it was reported are one transaction, as are the copy in Sent and its note. So a
//! crash at any point loses nothing and files nothing twice; only a message whose answer was lost goes out again, with
//! the Message-ID it had. One message that cannot be sent holds up no other.

use std::sync::{Mutex, PoisonError};

use futures_util::{StreamExt as _, stream};

use super::copy::copy;
use super::decide::{self, Next, Tried, Verdict};
use super::dsn::{self, Action, Report, Told};
use super::sender::{HandedOver, SendError, Sender};
use super::sent;
use super::wire::Wire;
use crate::store::{
    AttemptOutcome, Due, Error, NewMessage, Origin, RecipientState, RecipientStatus, Result, Store, StoredContent,
    Submission, SubmissionState, Txn,
};
use crate::types::mutant::mutant;
use crate::types::{
    AccountId, ByteSource, Flags, InternalDate, MailboxName, SubmissionId, SystemFlag, Timestamp, limits,
};

/// Sends the outbox of one account. There is at most one for an account.
pub struct Engine<S> {
    store: Store,
    account: AccountId,
    sender: S,
    settings: Settings,
    /// Outcomes that could not be recorded (a full disk): they must be before the message is tried again.
    unrecorded: Mutex<Vec<(SubmissionId, AttemptOutcome)>>,
}

/// What an engine is told at its beginning.
#[derive(Debug, Clone)]
pub struct Settings {
    /// On whose behalf reports and Sent copies are written.
    pub origin: Origin,
    /// Our name in reports.
    pub hostname: String,
    /// When the copy in Sent is made.
    pub sent_copy: SentCopy,
    /// Messages on their way at once. With one they go in their order; with more a slow server holds up no other's.
    pub attempts_at_once: usize,
}

/// When the copy in Sent is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentCopy {
    /// After a look whether the provider made one itself, once the mirror is of a later moment than the hand-over.
    AfterLooking,
    /// With the hand-over.
    AtOnce,
}

/// Where time and chance come from, and how long there is work to do.
#[derive(Clone, Copy)]
pub struct World<'w> {
    pub now: &'w (dyn Fn() -> Timestamp + Send + Sync),
    /// Any number, evenly spread.
    pub chance: &'w (dyn Fn() -> u32 + Send + Sync),
    /// May another attempt begin? Those under way are finished in any case.
    pub goes_on: &'w (dyn Fn() -> bool + Send + Sync),
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Submissions that a server took over for some recipient.
    pub sent: usize,
    /// Submissions that are tried again later, or parked.
    pub waiting: usize,
    /// Reports made.
    pub reported: usize,
    /// Copies made in Sent.
    pub filed: usize,
    /// The last attempt's error that no recipient is to blame for: no connection, login refused.
    pub trouble: Option<SendError>,
}

impl Progress {
    fn add(&mut self, more: Self) {
        self.sent += more.sent;
        self.waiting += more.waiting;
        self.reported += more.reported;
        self.filed += more.filed;
        self.trouble = more.trouble.or(self.trouble.take());
    }
}

/// Submissions looked up at once.
const DUE_AT_ONCE: usize = 100;

impl<S: Sender> Engine<S> {
    /// An engine for the account's outbox. What was being sent when the program last stopped is queued again.
    pub fn new(store: Store, account: AccountId, sender: S, settings: Settings, now: Timestamp) -> Result<Self> {
        store.write(settings.origin, now, move |txn| txn.requeue_interrupted(account))?;
        Ok(Self { store, account, sender, settings, unrecorded: Mutex::default() })
    }

    /// Sends everything that is due, reports what is to be told, and files copies where none need be looked for first.
    pub async fn run_due(&self, world: World<'_>) -> Result<Progress> {
        let mut progress = Progress::default();
        self.record_late((world.now)())?;
        let now = (world.now)();
        let attempts = self.due(now).take_while(|_| (world.goes_on)()).map(|due| async move {
            match due {
                Ok(submission) => self.attempt(submission, world).await,
                Err(error) => Err(error),
            }
        });
        let mut attempts = stream::iter(attempts).buffer_unordered(self.settings.attempts_at_once.max(1));
        let mut recorded = Ok(());
        while let Some(attempted) = attempts.next().await {
            match attempted {
                Ok(attempted) => progress.add(attempted),
                // The others under way go on: what a server took must be recorded.
                Err(error) => recorded = recorded.and(Err(error)),
            }
        }
        drop(attempts);
        let reported = self.report((world.now)(), &mut progress);
        let filed = match self.settings.sent_copy {
            SentCopy::AtOnce => self.file((world.now)(), (world.now)(), &mut progress),
            SentCopy::AfterLooking => Ok(()),
        };
        recorded.and(reported).and(filed)?;
        Ok(progress)
    }

    /// A complete look at the server that began at `since` is in the store: files the copies of what was handed over
    /// before, unless the server has them already.
    pub fn file_copies(&self, since: Timestamp, now: Timestamp) -> Result<Progress> {
        let mut progress = Progress::default();
        self.file(since, now, &mut progress)?;
        Ok(progress)
    }

    /// The world has changed (there is a connection again, the program started): everything queued is due.
    pub fn hasten(&self, now: Timestamp) -> Result<()> {
        let account = self.account;
        self.write(now, move |txn| txn.hasten_submissions(account))
    }

    /// Forgets what was made before `before` and is done in every way.
    pub fn forget(&self, before: Timestamp, now: Timestamp) -> Result<usize> {
        let account = self.account;
        self.write(now, move |txn| txn.forget_submissions(account, before))
    }

    /// Is there an outcome that could not be recorded yet? [`Self::run_due`] records it.
    pub fn has_unrecorded(&self) -> bool {
        !self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// When [`Self::run_due`] has something to do next.
    pub fn next_due(&self) -> Result<Option<Timestamp>> {
        self.store.read(|reader| reader.next_submission_due(self.account))
    }

    /// What is due, looked up a few at a time: a long queue is not listed anew by each look at it.
    fn due(&self, now: Timestamp) -> impl Iterator<Item = Result<SubmissionId>> {
        let (mut after, mut found, mut is_over) = (Due::FIRST, Vec::new().into_iter(), false);
        std::iter::from_fn(move || {
            if found.len() == 0 && !is_over {
                match self.store.read(|reader| reader.submissions_due(self.account, now, after, DUE_AT_ONCE)) {
                    Ok(more) => (is_over, found) = (more.is_empty(), more.into_iter()),
                    Err(error) => {
                        is_over = true;
                        return Some(Err(error));
                    }
                }
            }
            after = found.next()?;
            Some(Ok(after.id))
        })
    }

    async fn attempt(&self, id: SubmissionId, world: World<'_>) -> Result<Progress> {
        let mut progress = Progress::default();
        let begun = self.write((world.now)(), move |txn| txn.begin_attempt(id))?;
        let Some(submission) = begun else { return Ok(progress) };
        let places = submission.places(RecipientState::Waiting);
        let (result, farewell) = match self.send(&submission, &places).await {
            Ok(HandedOver { outcomes, farewell }) => (Ok(outcomes), farewell),
            Err(error) => (Err(error), Vec::new()),
        };
        let now = (world.now)();
        let Submission { attempts, next_attempt: due, first_deferred, .. } = submission;
        let tried = Tried { places: &places, attempts, due, first_deferred };
        let verdict = decide::after_attempt(tried, &result, now, (world.chance)());
        let taken = verdict.recipients.iter().filter(|ruling| ruling.state == RecipientState::Accepted).count();
        tracing::info!(
            submission = %id, message_id = submission.message_id, recipients = places.len(), taken,
            trouble = verdict.last_error.as_deref(), "tried to send"
        );
        progress.sent += usize::from(taken > 0);
        progress.waiting += usize::from(verdict.next != Next::Settled);
        if let Err(error) = result {
            progress.trouble = Some(error);
        }
        self.record(id, outcome_of(verdict, now), now)?;
        for farewell in farewell {
            farewell.await;
        }
        Ok(progress)
    }

    async fn send(&self, submission: &Submission, places: &[usize]) -> std::result::Result<HandedOver, SendError> {
        let content = submission.content;
        let source = self.store.source(content).map_err(|error| SendError::of_store(&error))?;
        let summary = self.store.read(|reader| reader.summary(content)).map_err(|error| SendError::of_store(&error))?;
        let mut wire =
            Wire::without_bcc(source, summary.root.body_start).map_err(|error| SendError::of_bytes(&error))?;
        self.sender.hand_over(&submission.envelope.part(places), &mut wire).await
    }

    /// Records an outcome, or keeps it until it can be.
    fn record(&self, id: SubmissionId, outcome: AttemptOutcome, now: Timestamp) -> Result<()> {
        let recorded = outcome.clone();
        if mutant!(AttemptForgotten) {
            let account = self.account;
            return self.write(now, move |txn| txn.requeue_interrupted(account).map(drop));
        }
        match self.write(now, move |txn| txn.end_attempt(id, &recorded)) {
            // Whoever removed it meanwhile wants nothing recorded.
            Ok(()) | Err(Error::NoSuchRow(_)) => Ok(()),
            Err(error) => {
                self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).push((id, outcome));
                Err(error)
            }
        }
    }

    fn record_late(&self, now: Timestamp) -> Result<()> {
        let late = std::mem::take(&mut *self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner));
        late.into_iter().map(|(id, outcome)| self.record(id, outcome, now)).fold(Ok(()), Result::and)
    }

    /// Puts a report into INBOX for each submission of which something is to be told.
    fn report(&self, now: Timestamp, progress: &mut Progress) -> Result<()> {
        let mut outcome = Ok(());
        let mut note = |id, reported| progress.reported += usize::from(go_on(&mut outcome, id, reported));
        for id in self.store.read(|reader| reader.submissions_untold(self.account))? {
            note(id, self.report_outcome(id, now));
        }
        let since = now.plus_ms(-limits::SUBMISSION_DELAY_WARNING_MS);
        for id in self.store.read(|reader| reader.submissions_delayed(self.account, since))? {
            note(id, self.report_delay(id, now));
        }
        outcome
    }

    fn report_outcome(&self, id: SubmissionId, now: Timestamp) -> Result<bool> {
        let Some(submission) = self.store.read(|reader| reader.submission(id))? else { return Ok(false) };
        let untold = |(place, it): (usize, &RecipientStatus)| match it.state {
            RecipientState::Failed if !it.told => Some((place, Action::Failed)),
            RecipientState::Accepted if !it.told && it.unreported => Some((place, taken(it))),
            _ => None,
        };
        let untold: Vec<_> = submission.recipients.iter().enumerate().filter_map(untold).collect();
        let report = self.report_of(&submission, &untold, now)?;
        let places: Vec<usize> = untold.into_iter().map(|(place, _)| place).collect();
        self.deliver(report, now, move |txn| txn.mark_told(id, &places))
    }

    fn report_delay(&self, id: SubmissionId, now: Timestamp) -> Result<bool> {
        let Some(submission) = self.store.read(|reader| reader.submission(id))? else { return Ok(false) };
        let waiting = submission.places(RecipientState::Waiting);
        let waiting: Vec<_> = waiting.into_iter().map(|place| (place, Action::Delayed)).collect();
        let report = self.report_of(&submission, &waiting, now)?;
        self.deliver(report, now, move |txn| txn.mark_delay_told(id))
    }

    /// The report in INBOX and the note that it was made, in one transaction; nothing where `note` says it was made.
    fn deliver(
        &self,
        report: Option<StoredContent>,
        now: Timestamp,
        note: impl FnOnce(&mut Txn<'_>) -> Result<bool> + Send + 'static,
    ) -> Result<bool> {
        let account = self.account;
        self.write(now, move |txn| {
            let reported = note(txn)?;
            if let Some(content) = report.filter(|_| reported) {
                let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?;
                let inbox = inbox.ok_or(Error::NoSuchMailbox)?;
                txn.append(inbox.id, &[new_message(content, Flags::none(), now)])?;
            }
            Ok(reported)
        })
    }

    /// The report of that to the sender, as far as they want to hear of it.
    fn report_of(
        &self,
        submission: &Submission,
        happened: &[(usize, Action)],
        now: Timestamp,
    ) -> Result<Option<StoredContent>> {
        let wanted =
            happened.iter().copied().filter(|(place, action)| dsn::wants(&submission.envelope, *place, *action));
        let told: Vec<Told<'_>> = wanted
            .map(|(place, action)| {
                let reply = submission.recipients[place].reply.as_ref();
                Told { place, action, reply: reply.filter(|_| action != Action::Delivered) }
            })
            .collect();
        if told.is_empty() {
            return Ok(None);
        }
        let unique = submission.id.to_string();
        let report = Report {
            reporting_mta: &self.settings.hostname,
            unique: &unique,
            envelope: &submission.envelope,
            message_id: &submission.message_id,
            arrived: submission.created,
            now,
            recipients: &told,
            is_delivered: true,
        };
        let summary = self.store.read(|reader| reader.summary(submission.content))?;
        dsn::store(&self.store, &report, || self.store.source(submission.content), &summary).map(Some)
    }

    /// Makes the copies in Sent of what was handed over before `before`.
    fn file(&self, before: Timestamp, now: Timestamp, progress: &mut Progress) -> Result<()> {
        let account = self.account;
        let (unfiled, look, patient) = self.store.read(|reader| {
            let ids = reader.submissions_unfiled(account, before)?;
            let unfiled = ids.into_iter().filter_map(|id| reader.submission(id).transpose());
            let unfiled: Vec<Submission> = unfiled.collect::<Result<_>>()?;
            let look = match self.settings.sent_copy {
                SentCopy::AfterLooking if !unfiled.is_empty() => sent::look(reader, account, &unfiled, now)?,
                SentCopy::AfterLooking | SentCopy::AtOnce => sent::Look::default(),
            };
            Ok((unfiled, look, reader.account(account)?.late_copies))
        })?;
        if look.came_late && !patient {
            tracing::info!("copies in Sent are made by others as well, and come late: ours wait for them from now on");
            self.write(now, move |txn| txn.set_late_copies(account, true))?;
        }
        let mut outcome = Ok(());
        for submission in unfiled {
            let id = submission.id;
            if let Some(copy) = look.copies.get(&id).copied() {
                self.write(now, move |txn| txn.mark_filed(id, copy))?;
                continue;
            }
            if patient || look.came_late {
                if submission.handed_over.is_some_and(|at| at.plus_ms(limits::SENT_COPY_PATIENCE_MS) > now) {
                    continue;
                }
                self.write(now, move |txn| txn.set_late_copies(account, false))?;
            }
            if mutant!(CopyNotFiled) {
                continue;
            }
            progress.filed += usize::from(go_on(&mut outcome, id, self.file_one(&submission, now)));
        }
        outcome
    }

    fn file_one(&self, submission: &Submission, now: Timestamp) -> Result<bool> {
        let (account, id, created) = (self.account, submission.id, submission.created);
        let content = self.again(submission)?;
        self.write(now, move |txn| {
            if txn.reader().submission(id)?.is_none_or(|submission| submission.filed) {
                return Ok(false);
            }
            let mailbox = sent::mailbox_to_file_in(txn, account)?;
            let seen = Flags::from_iter([SystemFlag::Seen.into()]);
            let appended = txn.append(mailbox, &[new_message(content, seen, created)])?;
            let (copy, _) = *appended.messages.first().ok_or(Error::NoSuchMessage)?;
            txn.mark_filed(id, copy)
        })
    }

    /// The submission's bytes as something a message can be made of; equal bytes are stored once.
    fn again(&self, submission: &Submission) -> Result<StoredContent> {
        let mut source = self.store.source(submission.content)?;
        let mut upload = self.store.upload();
        let size = source.size();
        copy(&mut source, size, |piece| upload.write(piece))?;
        upload.finish()
    }

    fn write<T, F>(&self, now: Timestamp, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T> + Send + 'static,
    {
        self.store.write(self.settings.origin, now, work)
    }
}

fn outcome_of(verdict: Verdict, now: Timestamp) -> AttemptOutcome {
    let (state, next_attempt) = match verdict.next {
        Next::Settled => (SubmissionState::Settled, now),
        Next::At(when) => (SubmissionState::Queued, when),
        Next::Parked => (SubmissionState::Parked, now),
    };
    AttemptOutcome {
        recipients: verdict.recipients,
        state,
        next_attempt,
        first_deferred: verdict.first_deferred,
        last_error: verdict.last_error,
        in_doubt: verdict.in_doubt,
    }
}

/// Whether it was done; what one submission fails at is told, and holds up no other.
fn go_on(outcome: &mut Result<()>, id: SubmissionId, done: Result<bool>) -> bool {
    done.unwrap_or_else(|error| {
        tracing::warn!(submission = %id, "cannot be reported or filed: {error}");
        let before = std::mem::replace(outcome, Ok(()));
        *outcome = before.and(Err(error));
        false
    })
}

fn new_message(content: StoredContent, flags: Flags, date: Timestamp) -> NewMessage {
    NewMessage { content, flags, internal_date: InternalDate::from(date), email_id: None }
}

/// A success that is ours to tell: a server said that it took the message, or else the word is our own, and it is in a
/// mailbox here.
fn taken(recipient: &RecipientStatus) -> Action {
    match recipient.reply.as_ref().and_then(|reply| reply.by.as_ref()) {
        Some(_) => Action::Relayed,
        None => Action::Delivered,
    }
}
