//! The life of a journal entry: `Pending → InFlight{evidence} → done`, or `Parked{why, doubt}`.
//!
//! An entry that is done is no entry any more: its row goes in the transaction that records the outcome.

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
    Parked { why: String, doubt: Option<Evidence> },
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
    /// What to look for: (message, its bytes' hash, its size).
    pub messages: Vec<(MessageId, ContentHash, u64)>,
    /// The flags that the messages arrive with, in the same order: the base until upstream is looked at again.
    pub flags: Vec<Flags>,
    /// The entries that are done, for those messages, once the step is.
    pub settles: Vec<EntryId>,
}

/// The source of a COPY or MOVE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceSource {
    pub mailbox: MailboxId,
    pub uid_validity: UidValidity,
    pub uids: UidSet<RemoteUid>,
    /// Whether the messages leave the source (MOVE).
    pub moves: bool,
}
