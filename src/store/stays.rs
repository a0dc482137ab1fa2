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
    #[error("it has gone out already")]
    Sent,
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
        matches!(self, Self::BeingSent)
    }

    /// What keeps a message from being held, released, put off or cancelled.
    pub(super) fn of(submission: &Submission) -> Option<Self> {
        match submission.state {
            SubmissionState::Queued | SubmissionState::Held | SubmissionState::Parked => None,
            SubmissionState::Sending => Some(Self::BeingSent),
            SubmissionState::Settled => Some(match submission.places(RecipientState::Failed).is_empty() {
                true => Self::Sent,
                false => Self::Failed(submission.id),
            }),
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
            SubmissionState::Settled if !has_failed => Some(Self::Sent),
            SubmissionState::Queued | SubmissionState::Settled | SubmissionState::Parked => None,
        }
    }
}
