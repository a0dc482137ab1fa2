//! The life of a journal entry: `Pending → InFlight{evidence} → done`, or `Parked{why, doubt}`.
//!
//! An entry that is done is no entry any more: its row goes in the transaction that records the outcome.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Op;
use crate::types::{
    AccountId, ContentHash, EntryId, Flags, MailboxId, MessageId, RemoteUid, Timestamp, UidSet, UidValidity,
};

/// A journal entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: EntryId,
    pub account: AccountId,
    pub created: Timestamp,
    pub op: Op,
    pub state: State,
    /// How often it was tried and failed.
    pub attempts: u32,
    /// Of the op's messages, those whose part is not done yet; ascending.
    pub open: Vec<MessageId>,
}

/// Where an entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// To be done.
    Pending,
    /// Sent, or about to be; the answer is not recorded. After a crash or a cut the evidence tells what happened.
    InFlight { evidence: Evidence },
    /// Set aside: it cannot be done as it is. Shown to the user, who retries or discards it. In doubt, nobody could see
    /// whether it was done: it is looked for again by the evidence, and until it is seen nothing is done with its messages.
    /// What may pass by itself is tried again at `retry`.
    Parked { why: String, doubt: Option<Evidence>, retry: Option<Timestamp> },
}

/// How long what was refused for a reason that may pass waits before it is tried again: after so many tries in vain, in
/// milliseconds. A lock is gone in minutes; whoever has to make room on the server does so in days.
pub fn retry_after_ms(attempts: u32) -> i64 {
    const FIRST_MS: i64 = 5 * 60_000;
    const MAX_MS: i64 = 24 * 60 * 60_000;
    3_i64.saturating_pow(attempts).saturating_mul(FIRST_MS).min(MAX_MS)
}

/// What is known before a step that must not be done twice (APPEND, COPY, MOVE): enough to find out afterwards, by
/// looking, whether the server did it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Where the messages go.
    pub target: MailboxId,
    /// UIDVALIDITY of the target when the step was sent.
    pub target_uid_validity: UidValidity,
    /// UIDNEXT of the target then: whatever the step made has this UID or a greater one.
    pub target_uid_next: RemoteUid,
    /// Where they come from, for COPY and MOVE.
    pub source: Option<EvidenceSource>,
    /// What to look for: (message, its bytes' hash where they are here, its size).
    pub messages: Vec<(MessageId, Option<ContentHash>, u64)>,
    /// The flags that the messages arrive with, in the same order: the base until upstream is looked at again.
    pub flags: Vec<Flags>,
    /// The entries that are done, for those messages, once the step is.
    pub settles: Vec<EntryId>,
    /// Messages of which no entry is done with the step: their flags are stored next.
    #[serde(default)]
    pub unfinished: BTreeSet<MessageId>,
}

impl Evidence {
    /// Can both be looked for with one look? Messages that were appended to one mailbox.
    pub fn is_beside(&self, other: &Self) -> bool {
        let whither = |evidence: &Self| (evidence.target, evidence.target_uid_validity);
        self.source.is_none() && other.source.is_none() && whither(self) == whither(other)
    }

    /// It is known what became of the message.
    pub fn forget(&mut self, message: MessageId) {
        if let Some(place) = self.messages.iter().position(|(sent, ..)| *sent == message) {
            self.messages.remove(place);
            self.flags.remove(place);
        }
    }
}

/// The source of a COPY or MOVE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSource {
    pub mailbox: MailboxId,
    pub uid_validity: UidValidity,
    pub uids: UidSet<RemoteUid>,
    /// Whether the messages leave the source.
    pub moves: bool,
    /// They do so by MOVE: what is in the source still was not moved, whatever is in the target. Else by a copy, which leaves them
    /// there until they are expunged.
    #[serde(default)]
    pub by_move: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_minutes_to_a_day() {
        let minutes = [0, 1, 2, 3, 5, 6, u32::MAX].map(|attempts| retry_after_ms(attempts) / 60_000);
        assert_eq!(minutes, [5, 15, 45, 135, 1215, 1440, 1440]);
    }
}
