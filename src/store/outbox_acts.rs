//! What happens to submissions: taken, tried, settled, filed; held, released, cancelled by the user.

use rusqlite::{OptionalExtension, params};

use super::outbox::{RecipientState, Submission, SubmissionState};
use super::stays::Stays;
use super::{Error, Result, StoredContent, Txn};
use crate::outbox::sender::{Envelope, Reply};
use crate::types::{AccountId, MessageId, SubmissionId, Timestamp};

/// A message to send.
#[derive(Debug, Clone)]
pub struct NewSubmission {
    pub account: AccountId,
    pub content: StoredContent,
    pub envelope: Envelope,
    /// The Message-ID header.
    pub message_id: String,
    /// A copy belongs in Sent once it is handed over.
    pub file: bool,
    /// Not to be sent earlier (to be taken back within a while, or sent on a day to come).
    pub not_before: Option<Timestamp>,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptOutcome {
    pub recipients: Vec<RecipientOutcome>,
    /// `Queued`, `Settled` or `Parked`.
    pub state: SubmissionState,
    pub next_attempt: Timestamp,
    pub first_deferred: Option<Timestamp>,
    pub last_error: Option<String>,
    /// The answer to the message was lost.
    pub in_doubt: bool,
}

/// One recipient's part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// In the envelope.
    pub place: usize,
    pub state: RecipientState,
    /// What the server said.
    pub reply: Option<Reply>,
    /// It accepted and will not report success.
    pub unreported: bool,
}

const NO_SUBMISSION: Error = Error::NoSuchRow("message in the outbox");

impl Txn<'_> {
    /// Takes a message: from the commit on it is ours to deliver. Due at once, unless it is wanted later.
    pub fn enqueue(&mut self, new: &NewSubmission) -> Result<SubmissionId> {
        let content = self.link(&new.content)?;
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO submission (account_id, created_ms, content_id, envelope, message_id, state, filed,
               next_attempt_ms, not_before_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, max(?2, ?7), ?7)",
        )?;
        let envelope = serde_json::to_string(&new.envelope)?;
        let (account, now) = (new.account.get(), self.now().unix_ms());
        let not_before = new.not_before.map_or(0, Timestamp::unix_ms);
        insert.execute(params![account, now, content.get(), envelope, new.message_id, !new.file, not_before])?;
        let submission = SubmissionId::new(self.conn().last_insert_rowid());
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO submission_recipient (submission_id, place, state) VALUES (?1, ?2, 'waiting')",
        )?;
        for place in 0..new.envelope.recipients.len() {
            insert.execute(params![submission.get(), place as i64])?;
        }
        self.touch(new.account);
        Ok(submission)
    }

    /// An attempt begins: the submission is `Sending` once this is committed. `None`: it is not queued and due any more.
    pub fn begin_attempt(&mut self, submission: SubmissionId) -> Result<Option<Submission>> {
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET state = 'sending', attempts = attempts + 1
             WHERE id = ?1 AND state = 'queued' AND next_attempt_ms <= ?2 AND edited_until_ms <= ?2",
        )?;
        if update.execute([submission.get(), self.now().unix_ms()])? == 0 {
            return Ok(None);
        }
        let found = self.submission_now(submission)?;
        self.touch(found.account);
        Ok(Some(found))
    }

    /// The attempt's outcome, all of it at once.
    pub fn end_attempt(&mut self, submission: SubmissionId, outcome: &AttemptOutcome) -> Result<()> {
        let accepted = outcome.recipients.iter().any(|recipient| recipient.state == RecipientState::Accepted);
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET state = ?2, next_attempt_ms = ?3, first_deferred_ms = ?4, last_error = ?5,
               handed_over_ms = iif(?6, coalesce(handed_over_ms, ?7), handed_over_ms), in_doubt = max(in_doubt, ?8)
             WHERE id = ?1 AND state = 'sending' RETURNING account_id",
        )?;
        let account: Option<i64> = update
            .query_row(
                params![
                    submission.get(),
                    outcome.state.as_str(),
                    outcome.next_attempt.unix_ms(),
                    outcome.first_deferred.map(Timestamp::unix_ms),
                    outcome.last_error,
                    accepted,
                    self.now().unix_ms(),
                    outcome.in_doubt,
                ],
                |row| row.get("account_id"),
            )
            .optional()?;
        let account = AccountId::new(account.ok_or(NO_SUBMISSION)?);
        let mut update = self.conn().prepare_cached(
            "UPDATE submission_recipient SET state = ?3, reply = ?4, unreported = ?5
             WHERE submission_id = ?1 AND place = ?2",
        )?;
        for RecipientOutcome { place, state, reply, unreported } in &outcome.recipients {
            let reply = reply.as_ref().map(serde_json::to_string).transpose()?;
            update.execute(params![submission.get(), *place as i64, state.as_str(), reply, unreported])?;
        }
        self.touch(account);
        Ok(())
    }

    /// After a crash: what was being sent is queued again. Its server may or may not have taken it over; it goes out
    /// again with the same Message-ID.
    pub fn requeue_interrupted(&mut self, account: AccountId) -> Result<usize> {
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET state = 'queued', next_attempt_ms = ?2, in_doubt = 1
             WHERE account_id = ?1 AND state = 'sending'",
        )?;
        Ok(update.execute([account.get(), self.now().unix_ms()])?)
    }

    /// Everything queued and not wanted later is due now, and its back-off begins anew: there is a connection again, the
    /// program started, or the user asked.
    pub fn hasten_submissions(&mut self, account: AccountId) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET next_attempt_ms = min(next_attempt_ms, max(?2, not_before_ms)), attempts = 0
             WHERE account_id = ?1 AND state = 'queued' AND (next_attempt_ms > ?2 OR attempts > 0)",
        )?;
        if update.execute([account.get(), self.now().unix_ms()])? > 0 {
            self.touch(account);
        }
        Ok(())
    }

    /// What became of these recipients is reported. False if that was known already.
    pub fn mark_told(&mut self, submission: SubmissionId, places: &[usize]) -> Result<bool> {
        let mut update = self.conn().prepare_cached(
            "UPDATE submission_recipient SET told = 1
             WHERE submission_id = ?1 AND place = ?2 AND state <> 'waiting' AND told = 0",
        )?;
        let mut marked = 0;
        for place in places {
            marked += update.execute(params![submission.get(), *place as i64])?;
        }
        Ok(marked > 0)
    }

    /// That the submission takes its time is reported. False if that was known already.
    pub fn mark_delay_told(&mut self, submission: SubmissionId) -> Result<bool> {
        let mut update =
            self.conn().prepare_cached("UPDATE submission SET delay_told = 1 WHERE id = ?1 AND delay_told = 0")?;
        Ok(update.execute([submission.get()])? == 1)
    }

    /// A copy is in Sent, this one. False if the submission has one already, or is gone.
    pub fn mark_filed(&mut self, submission: SubmissionId, copy: MessageId) -> Result<bool> {
        let mut update =
            self.conn().prepare_cached("UPDATE submission SET filed = 1, copy_id = ?2 WHERE id = ?1 AND filed = 0")?;
        Ok(update.execute([submission.get(), copy.get()])? == 1)
    }

    /// Copies that others make in Sent were seen to come late, or were waited for in vain.
    pub fn set_late_copies(&mut self, account: AccountId, late: bool) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE account SET late_copies = ?2 WHERE id = ?1")?;
        update.execute(params![account.get(), late])?;
        Ok(())
    }

    /// The user keeps it back.
    pub fn hold_submission(&mut self, submission: SubmissionId) -> Result<()> {
        let found = self.submission_still_here(submission)?;
        self.set_submission_state(submission, SubmissionState::Held)?;
        self.touch(found.account);
        Ok(())
    }

    /// The user lets it go: due at once, were it even wanted later.
    pub fn release_submission(&mut self, submission: SubmissionId) -> Result<()> {
        let found = self.submission_still_here(submission)?;
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET state = 'queued', not_before_ms = 0, next_attempt_ms = ?2, attempts = 0 WHERE id = ?1",
        )?;
        update.execute([submission.get(), self.now().unix_ms()])?;
        self.touch(found.account);
        Ok(())
    }

    /// The user wants it tried anew with those recipients that failed: due at once, for another five days.
    pub fn requeue_submission(&mut self, submission: SubmissionId) -> Result<()> {
        let found = self.submission_now(submission)?;
        if let Some(stays) = Stays::of_untried(&found, self.now()) {
            return Err(stays.into());
        }
        let mut update = self.conn().prepare_cached(
            "UPDATE submission_recipient SET state = 'waiting', reply = NULL, told = 0
             WHERE submission_id = ?1 AND state = 'failed'",
        )?;
        update.execute([submission.get()])?;
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET state = 'queued', not_before_ms = 0, next_attempt_ms = ?2, attempts = 0,
               first_deferred_ms = NULL, delay_told = 0 WHERE id = ?1",
        )?;
        update.execute([submission.get(), self.now().unix_ms()])?;
        self.touch(found.account);
        Ok(())
    }

    /// The user wants it sent then.
    pub fn schedule_submission(&mut self, submission: SubmissionId, at: Timestamp) -> Result<()> {
        let found = self.submission_still_here(submission)?;
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET state = 'queued', not_before_ms = ?2, next_attempt_ms = max(?2, ?3), attempts = 0
             WHERE id = ?1",
        )?;
        update.execute([submission.get(), at.unix_ms(), self.now().unix_ms()])?;
        self.touch(found.account);
        Ok(())
    }

    /// The user takes it back: it is forgotten, and what it went in the place of. One that went out to some of its
    /// recipients already, or may have, is not sent to the others, and stays to tell of it.
    pub fn cancel_submission(&mut self, submission: SubmissionId) -> Result<()> {
        let found = self.submission_still_here(submission)?;
        if found.handed_over.is_none() && !found.in_doubt {
            let mut delete = self.conn().prepare_cached(
                "WITH RECURSIVE taken_back (id) AS (
                   VALUES (?1)
                   UNION
                   SELECT s.id FROM submission AS s JOIN taken_back AS t ON s.replaced_by = t.id
                   WHERE s.in_doubt = 0 AND NOT EXISTS (SELECT 1 FROM submission_recipient AS r
                                     WHERE r.submission_id = s.id AND r.state <> 'cancelled'))
                 DELETE FROM submission WHERE id IN (SELECT id FROM taken_back)",
            )?;
            delete.execute([submission.get()])?;
        } else {
            self.settle_rest(submission)?;
        }
        self.touch(found.account);
        Ok(())
    }

    /// It is not sent to those who wait for it; why they did does not matter any more.
    pub(super) fn settle_rest(&mut self, submission: SubmissionId) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE submission_recipient SET state = 'cancelled', reply = NULL
             WHERE submission_id = ?1 AND state = 'waiting'",
        )?;
        update.execute([submission.get()])?;
        let mut update = self.conn().prepare_cached(
            "UPDATE submission SET state = 'settled', last_error = NULL, edited_until_ms = 0 WHERE id = ?1",
        )?;
        update.execute([submission.get()])?;
        Ok(())
    }

    /// Forgets submissions that are done in every way and were made before `before`.
    pub fn forget_submissions(&mut self, account: AccountId, before: Timestamp) -> Result<usize> {
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM submission AS s WHERE account_id = ?1 AND created_ms < ?2 AND state = 'settled'
             AND (filed = 1 OR handed_over_ms IS NULL)
             AND NOT EXISTS (SELECT 1 FROM submission_recipient AS r
                             WHERE r.submission_id = s.id AND r.told = 0
                               AND (r.state = 'failed' OR r.state = 'accepted' AND r.unreported = 1))",
        )?;
        Ok(delete.execute([account.get(), before.unix_ms()])?)
    }

    fn set_submission_state(&mut self, submission: SubmissionId, state: SubmissionState) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE submission SET state = ?2 WHERE id = ?1")?;
        update.execute(params![submission.get(), state.as_str()])?;
        Ok(())
    }

    pub(super) fn submission_now(&self, submission: SubmissionId) -> Result<Submission> {
        self.reader().submission(submission)?.ok_or(NO_SUBMISSION)
    }

    /// The same, if it is still with us to be held, released or cancelled.
    fn submission_still_here(&self, submission: SubmissionId) -> Result<Submission> {
        let found = self.submission_now(submission)?;
        Stays::of(&found).map_or(Ok(found), |stays| Err(stays.into()))
    }
}
