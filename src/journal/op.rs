//! What the user did, in terms of local ids, so that it means the same whatever happens to names and UIDs meanwhile.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::types::{Flags, MailboxId, MailboxName, MessageId};

/// One act of the user on the local store, to be replayed upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Op {
    /// Set `add` and unset `remove` on each message. Flags that were set already and were named all the same are in
    /// `add`: the user asserted them.
    Flags { messages: Vec<MessageId>, add: Flags, remove: Flags },
    /// Each message is now in `to`.
    Move { messages: Vec<MessageId>, from: MailboxId, to: MailboxId },
    /// New messages in `to` with the bytes of others: (source, copy).
    Copy { copies: Vec<(MessageId, MessageId)>, from: MailboxId, to: MailboxId },
    /// A new message. Its bytes, flags and date are the message's own.
    Append { message: MessageId, mailbox: MailboxId },
    /// The messages are gone from `from`, for good as far as the user is concerned.
    Expunge { messages: Vec<MessageId>, from: MailboxId },
    /// A new mailbox.
    CreateMailbox { mailbox: MailboxId, name: MailboxName },
    /// The mailbox, and those below it, got another name.
    RenameMailbox { mailbox: MailboxId, from: MailboxName, to: MailboxName },
    /// The mailbox is gone with the messages in it.
    DeleteMailbox { mailbox: MailboxId, name: MailboxName },
    /// The name is (or is no longer) on the list of subscriptions.
    Subscribe { name: MailboxName, subscribed: bool },
}

impl Op {
    /// Is it about mailboxes, or about one message after the other? The first are done in the order of the journal, and part
    /// what is before them from what is after.
    pub const fn is_barrier(&self) -> bool {
        match self {
            Self::CreateMailbox { .. }
            | Self::RenameMailbox { .. }
            | Self::DeleteMailbox { .. }
            | Self::Subscribe { .. } => true,
            Self::Flags { .. } | Self::Move { .. } | Self::Copy { .. } | Self::Append { .. } | Self::Expunge { .. } => {
                false
            }
        }
    }

    /// The messages the act is about; of a copy, the new ones.
    pub fn messages(&self) -> Vec<MessageId> {
        match self {
            Self::Flags { messages, .. } | Self::Move { messages, .. } | Self::Expunge { messages, .. } => {
                messages.clone()
            }
            Self::Copy { copies, .. } => copies.iter().map(|(_, copy)| *copy).collect(),
            Self::Append { message, .. } => vec![*message],
            Self::CreateMailbox { .. }
            | Self::RenameMailbox { .. }
            | Self::DeleteMailbox { .. }
            | Self::Subscribe { .. } => Vec::new(),
        }
    }

    /// The act in parts, each about at most so many messages.
    pub fn into_parts(self, max: usize) -> Vec<Self> {
        fn parts<T: Clone>(all: &[T], max: usize, part: impl Fn(Vec<T>) -> Op) -> Vec<Op> {
            all.chunks(max).map(|some| part(some.to_vec())).collect()
        }
        match self {
            Self::Flags { messages, add, remove } => {
                parts(&messages, max, |messages| Self::Flags { messages, add: add.clone(), remove: remove.clone() })
            }
            Self::Move { messages, from, to } => parts(&messages, max, |messages| Self::Move { messages, from, to }),
            Self::Copy { copies, from, to } => parts(&copies, max, |copies| Self::Copy { copies, from, to }),
            Self::Expunge { messages, from } => parts(&messages, max, |messages| Self::Expunge { messages, from }),
            Self::Append { .. }
            | Self::CreateMailbox { .. }
            | Self::RenameMailbox { .. }
            | Self::DeleteMailbox { .. }
            | Self::Subscribe { .. } => vec![self],
        }
    }

    /// The act's part for these messages alone.
    #[must_use]
    pub fn only(mut self, wanted: &BTreeSet<MessageId>) -> Self {
        match &mut self {
            Self::Flags { messages, .. } | Self::Move { messages, .. } | Self::Expunge { messages, .. } => {
                messages.retain(|message| wanted.contains(message));
            }
            Self::Copy { copies, .. } => copies.retain(|(_, copy)| wanted.contains(copy)),
            Self::Append { .. }
            | Self::CreateMailbox { .. }
            | Self::RenameMailbox { .. }
            | Self::DeleteMailbox { .. }
            | Self::Subscribe { .. } => {}
        }
        self
    }
}
