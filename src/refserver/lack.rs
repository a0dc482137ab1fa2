//! Why a mailbox takes no more (RFC 9208), and what is said of it: there may be room later, or there never is for a message
//! that is larger than all that its owner may hold.

use crate::outbox::sender::{Outcome, Reply};
use crate::smtp::reply::Refusal;
use crate::store::Quota;

/// What a mailbox lacks for a message. Of several the least counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// The sender tries again, and its owner makes room.
    Now,
    /// No room that is made is enough.
    Ever,
}

impl Lack {
    /// For a message of that size.
    pub fn of(quota: &Quota, bytes: u64) -> Option<Self> {
        match quota.is_over(bytes, 1) {
            true if quota.limit_bytes.is_some_and(|limit| bytes > limit) => Some(Self::Ever),
            true => Some(Self::Now),
            false => None,
        }
    }

    /// To the client (RFC 3463 section 3.3: X.2.2 mailbox full, X.2.3 message length exceeds administrative limit).
    pub fn refusal(self) -> Refusal {
        match self {
            Self::Now => Refusal::temporary(452, "4.2.2", self.words()),
            Self::Ever => Refusal::permanent(552, "5.2.3", self.words()),
        }
    }

    /// Of a recipient of a message that waited in the queue.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Now => Outcome::Deferred(Reply::own(452, "4.2.2", self.words())),
            Self::Ever => Outcome::Failed(self.reply()),
        }
    }

    /// Where nobody tries again.
    pub fn reply(self) -> Reply {
        let status = match self {
            Self::Now => "5.2.2",
            Self::Ever => "5.2.3",
        };
        Reply::own(552, status, self.words())
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Now => "The mailbox is full",
            Self::Ever => "The message is larger than all that the mailbox may hold",
        }
    }
}
