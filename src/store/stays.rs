//! Why a message in the outbox stays as it is, whatever the user said of it: in words that go on from its number.

use super::outbox::{RecipientState, Submission, SubmissionState};
use crate::types::{SubmissionId, Timestamp};

/// Why, and what to do instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stays {
    #[error(
        "it is being sent at this moment, and nothing is changed: look in a moment what came of it, and ask again if it \
         still waits"
    )]
    BeingSent,
    #[error("it is being edited: close that editor first")]
    BeingEdited,
    #[error("it has gone out already")]
    Sent,
    #[error("it has gone out to some already, and was cancelled for the others")]
    SentToSome,
    #[error("it was cancelled")]
    Cancelled,
    #[error("message {0} goes in its place")]
    Replaced(SubmissionId),
    #[error(
        "nobody is left to send it to: its header names only those who have it, or none; `syncctl outbox cancel` gives up the rest"
    )]
    NobodyLeft,
    #[error("it was tried for everyone; `syncctl outbox requeue {0}` tries those again for whom it failed")]
    Failed(SubmissionId),
    #[error("it is held; `syncctl outbox release {0}` sends it")]
    Held(SubmissionId),
    #[error("it waits for its moment, {moment}; `syncctl outbox release {id}` sends it now", moment = .1.to_rfc3339(), id = .0)]
    Later(SubmissionId, Timestamp),
    #[error("it has not failed: it goes out by itself; `syncctl outbox flush` tries everything now that waits")]
    NotFailed,
}

impl Stays {
    /// Could the same word be done later?
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::BeingSent | Self::BeingEdited)
    }

    /// What keeps a message from being held, released, put off or cancelled.
    pub(super) fn of(submission: &Submission) -> Option<Self> {
        match submission.state {
            SubmissionState::Queued | SubmissionState::Held | SubmissionState::Parked => None,
            SubmissionState::Sending => Some(Self::BeingSent),
            SubmissionState::Settled => Some(Self::of_done(submission).unwrap_or(Self::Failed(submission.id))),
        }
    }

    /// What keeps another message from going in its place.
    pub(super) fn of_written(submission: &Submission) -> Option<Self> {
        match submission.state {
            SubmissionState::Queued | SubmissionState::Held | SubmissionState::Parked => None,
            SubmissionState::Sending => Some(Self::BeingSent),
            SubmissionState::Settled => Self::of_done(submission),
        }
    }

    /// What keeps it from being tried again.
    pub(super) fn of_untried(submission: &Submission, now: Timestamp) -> Option<Self> {
        let has_failed = !submission.places(RecipientState::Failed).is_empty();
        match submission.state {
            SubmissionState::Sending => Some(Self::BeingSent),
            SubmissionState::Held => Some(Self::Held(submission.id)),
            SubmissionState::Queued if submission.not_before > now => {
                Some(Self::Later(submission.id, submission.not_before))
            }
            SubmissionState::Queued if !has_failed && submission.last_error.is_none() => Some(Self::NotFailed),
            SubmissionState::Settled => Self::of_done(submission),
            SubmissionState::Queued | SubmissionState::Parked => None,
        }
    }

    /// What settled a message for good; none where someone failed.
    fn of_done(submission: &Submission) -> Option<Self> {
        match submission.replaced_by {
            Some(by) => Some(Self::Replaced(by)),
            None if !submission.places(RecipientState::Failed).is_empty() => None,
            None if submission.handed_over.is_none() => Some(Self::Cancelled),
            None if submission.places(RecipientState::Cancelled).is_empty() => Some(Self::Sent),
            None => Some(Self::SentToSome),
        }
    }
}
