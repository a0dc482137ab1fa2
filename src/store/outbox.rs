//! The outbox as rows: submissions and what became of each recipient.

use rusqlite::{OptionalExtension, Row, params};

use super::{Error, Reader, Result};
use crate::outbox::sender::{Envelope, Reply};
use crate::types::{AccountId, ContentId, MessageId, SubmissionId, Timestamp};

/// A message on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    pub id: SubmissionId,
    pub account: AccountId,
    pub created: Timestamp,
    pub content: ContentId,
    pub envelope: Envelope,
    /// The Message-ID header, frozen when the message was taken.
    pub message_id: String,
    pub state: SubmissionState,
    /// When a server first took it over for some recipient.
    pub handed_over: Option<Timestamp>,
    /// A copy is in Sent, or none is wanted.
    pub filed: bool,
    /// That copy.
    pub copy: Option<MessageId>,
    /// The user wants it sent no earlier.
    pub not_before: Timestamp,
    /// That it takes its time was reported.
    pub delay_told: bool,
    /// Attempts since it last began anew (see `hasten_submissions`).
    pub attempts: u32,
    pub next_attempt: Timestamp,
    /// When a server first said "not now".
    pub first_deferred: Option<Timestamp>,
    pub last_error: Option<String>,
    /// The answer to the message was lost once: those who wait for it may have it.
    pub in_doubt: bool,
    /// It lies in an editor, and does not go out before; the past where it does not.
    pub edited_until: Timestamp,
    /// What goes in its place.
    pub replaced_by: Option<SubmissionId>,
    /// As many as the envelope has recipients, in their order.
    pub recipients: Vec<RecipientStatus>,
}

/// A submission that is to be tried, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    pub since: Timestamp,
    pub id: SubmissionId,
}

impl Due {
    /// Before all others.
    pub const FIRST: Self = Self { since: START, id: SubmissionId::new(0) };
}

const START: Timestamp = Timestamp::from_unix_ms(0);

/// Where a submission stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmissionState {
    /// Some recipient waits; it goes out when it is due.
    Queued,
    /// An attempt has begun and its outcome is not recorded.
    Sending,
    /// Each recipient was accepted, failed or was cancelled: nothing is left to send.
    Settled,
    /// Waits for the user to release it.
    Held,
    /// It cannot be sent as it is; waits for the user.
    Parked,
}

impl SubmissionState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Sending, Self::Settled, Self::Held, Self::Parked];

    /// Its name, as stored and as shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Settled => "settled",
            Self::Held => "held",
            Self::Parked => "parked",
        }
    }
}

/// What became of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientStatus {
    pub state: RecipientState,
    /// What a server said last.
    pub reply: Option<Reply>,
    /// Its failure (or its success, if that was ours to report) was reported, or no report is wanted.
    pub told: bool,
    /// Accepted by a server that will not report success.
    pub unreported: bool,
}

/// Where a recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecipientState {
    Waiting,
    Accepted,
    Failed,
    /// It is not sent there any more: the user took it back, or another message goes in its place.
    Cancelled,
}

impl RecipientState {
    /// Its name, as stored and as shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Submission {
    /// The places of the recipients in that state.
    pub fn places(&self, state: RecipientState) -> Vec<usize> {
        let in_state = self.recipients.iter().enumerate().filter(|(_, recipient)| recipient.state == state);
        in_state.map(|(place, _)| place).collect()
    }

    fn from_row(row: &Row<'_>) -> Result<Self> {
        let state = row.get_ref("state")?.as_str().map_err(rusqlite::Error::from)?;
        let known = SubmissionState::ALL.into_iter().find(|known| known.as_str() == state);
        let time = |column| row.get::<_, Option<i64>>(column).map(|ms| ms.map(Timestamp::from_unix_ms));
        Ok(Self {
            id: SubmissionId::new(row.get("id")?),
            account: AccountId::new(row.get("account_id")?),
            created: Timestamp::from_unix_ms(row.get("created_ms")?),
            content: ContentId::new(row.get("content_id")?),
            envelope: serde_json::from_str(row.get_ref("envelope")?.as_str().map_err(rusqlite::Error::from)?)?,
            message_id: row.get("message_id")?,
            state: known.ok_or_else(|| Error::Damaged(format!("a submission is {state:?}")))?,
            handed_over: time("handed_over_ms")?,
            filed: row.get("filed")?,
            copy: row.get::<_, Option<i64>>("copy_id")?.map(MessageId::new),
            not_before: Timestamp::from_unix_ms(row.get("not_before_ms")?),
            delay_told: row.get("delay_told")?,
            attempts: row.get("attempts")?,
            next_attempt: Timestamp::from_unix_ms(row.get("next_attempt_ms")?),
            first_deferred: time("first_deferred_ms")?,
            last_error: row.get("last_error")?,
            in_doubt: row.get("in_doubt")?,
            edited_until: Timestamp::from_unix_ms(row.get("edited_until_ms")?),
            replaced_by: row.get::<_, Option<i64>>("replaced_by")?.map(SubmissionId::new),
            recipients: Vec::new(),
        })
    }
}

const SELECT: &str =
    "SELECT id, account_id, created_ms, content_id, envelope, message_id, state, handed_over_ms, filed,
    copy_id, not_before_ms, delay_told, attempts, next_attempt_ms, first_deferred_ms, last_error, in_doubt,
    edited_until_ms, replaced_by FROM submission";

impl Reader<'_> {
    /// The submission.
    pub fn submission(&self, submission: SubmissionId) -> Result<Option<Submission>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let found =
            select.query_row([submission.get()], |row| Ok(Submission::from_row(row))).optional()?.transpose()?;
        let Some(mut found) = found else { return Ok(None) };
        found.recipients = self.recipients(submission)?;
        Ok(Some(found))
    }

    /// Every submission of the account, oldest first.
    pub fn submissions(&self, account: AccountId) -> Result<Vec<Submission>> {
        self.submissions_behind(Some(account), false, SubmissionId::new(0), usize::MAX)
    }

    /// At most `max` submissions with numbers above `after`, oldest first: of the account, or of any; all, or those that are
    /// not settled.
    pub fn submissions_behind(
        &self,
        account: Option<AccountId>,
        waiting: bool,
        after: SubmissionId,
        max: usize,
    ) -> Result<Vec<Submission>> {
        let mut select = self.conn().prepare_cached(
            "SELECT id FROM submission
             WHERE id > ?1 AND (?2 IS NULL OR account_id = ?2) AND (NOT ?3 OR state <> 'settled') ORDER BY id LIMIT ?4",
        )?;
        let (account, max) = (account.map(AccountId::get), i64::try_from(max).unwrap_or(i64::MAX));
        let values = params![after.get(), account, waiting, max];
        let ids = select.query_map(values, |row| row.get("id").map(SubmissionId::new))?;
        let ids: Vec<SubmissionId> = ids.collect::<rusqlite::Result<_>>()?;
        ids.into_iter().filter_map(|id| self.submission(id).transpose()).collect()
    }

    /// At most `max` submissions to be tried now, those that are due for longest first: what comes behind `after`.
    pub fn submissions_due(&self, account: AccountId, now: Timestamp, after: Due, max: usize) -> Result<Vec<Due>> {
        let mut select = self.conn().prepare_cached(
            "SELECT id, next_attempt_ms FROM submission
             WHERE account_id = ?1 AND state = 'queued' AND next_attempt_ms <= ?2 AND (next_attempt_ms, id) > (?3, ?4)
               AND edited_until_ms <= ?2
             ORDER BY next_attempt_ms, id LIMIT ?5",
        )?;
        let (since, id, max) = (after.since.unix_ms(), after.id.get(), i64::try_from(max).unwrap_or(i64::MAX));
        let due = select.query_map([account.get(), now.unix_ms(), since, id, max], |row| {
            let since = Timestamp::from_unix_ms(row.get("next_attempt_ms")?);
            Ok(Due { since, id: SubmissionId::new(row.get("id")?) })
        })?;
        Ok(due.collect::<rusqlite::Result<_>>()?)
    }

    /// The submissions with failures, or with successes that are ours to report, that were not reported, oldest first.
    pub fn submissions_untold(&self, account: AccountId) -> Result<Vec<SubmissionId>> {
        let untold = "account_id = ?1 AND ?2 = ?2 AND id IN
            (SELECT submission_id FROM submission_recipient
             WHERE told = 0 AND (state = 'failed' OR state = 'accepted' AND unreported = 1))";
        self.submission_ids(untold, account, START)
    }

    /// The submissions that a server has been putting off since before `since`, and of which that was not reported.
    pub fn submissions_delayed(&self, account: AccountId, since: Timestamp) -> Result<Vec<SubmissionId>> {
        let delayed = "account_id = ?1 AND state = 'queued' AND delay_told = 0 AND first_deferred_ms <= ?2";
        self.submission_ids(delayed, account, since)
    }

    /// The submissions handed over from `since` on of which a copy is in Sent, oldest first.
    pub fn submissions_filed(&self, account: AccountId, since: Timestamp) -> Result<Vec<SubmissionId>> {
        self.submission_ids("account_id = ?1 AND copy_id IS NOT NULL AND handed_over_ms >= ?2", account, since)
    }

    /// The submissions handed over up to `now` of which no copy is in Sent, oldest first.
    pub fn submissions_unfiled(&self, account: AccountId, now: Timestamp) -> Result<Vec<SubmissionId>> {
        self.submission_ids("account_id = ?1 AND filed = 0 AND handed_over_ms <= ?2", account, now)
    }

    /// When the next submission is due; the past where one is already.
    pub fn next_submission_due(&self, account: AccountId) -> Result<Option<Timestamp>> {
        // Two questions, each of which an index answers, however long the queue is.
        let mut select = self.conn().prepare_cached(
            "SELECT (SELECT min(next_attempt_ms) FROM submission
                     WHERE account_id = ?1 AND state = 'queued' AND edited_until_ms = 0) AS due,
                    (SELECT min(max(next_attempt_ms, edited_until_ms)) FROM submission INDEXED BY submission_edited
                     WHERE account_id = ?1 AND state = 'queued' AND edited_until_ms > 0) AS edited",
        )?;
        let moments: [Option<i64>; 2] =
            select.query_row([account.get()], |row| Ok([row.get("due")?, row.get("edited")?]))?;
        Ok(moments.into_iter().flatten().min().map(Timestamp::from_unix_ms))
    }

    fn submission_ids(&self, which: &str, account: AccountId, now: Timestamp) -> Result<Vec<SubmissionId>> {
        let mut select = self.conn().prepare_cached(&format!("SELECT id FROM submission WHERE {which} ORDER BY id"))?;
        let ids = select.query_map([account.get(), now.unix_ms()], |row| row.get("id").map(SubmissionId::new))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    fn recipients(&self, submission: SubmissionId) -> Result<Vec<RecipientStatus>> {
        let mut select = self.conn().prepare_cached(
            "SELECT state, reply, told, unreported FROM submission_recipient WHERE submission_id = ?1 ORDER BY place",
        )?;
        let mut rows = select.query([submission.get()])?;
        let mut recipients = Vec::new();
        while let Some(row) = rows.next()? {
            let state = match row.get_ref("state")?.as_str().map_err(rusqlite::Error::from)? {
                "waiting" => RecipientState::Waiting,
                "accepted" => RecipientState::Accepted,
                "failed" => RecipientState::Failed,
                "cancelled" => RecipientState::Cancelled,
                other => return Err(Error::Damaged(format!("a recipient is {other:?}"))),
            };
            let reply: Option<String> = row.get("reply")?;
            let reply = reply.as_deref().map(serde_json::from_str).transpose()?;
            recipients.push(RecipientStatus {
                state,
                reply,
                told: row.get("told")?,
                unreported: row.get("unreported")?,
            });
        }
        Ok(recipients)
    }
}
