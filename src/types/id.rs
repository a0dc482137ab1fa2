//! Identifiers. Each is its own type: a local UID cannot be used where an upstream one is meant.

use serde::{Deserialize, Serialize};

macro_rules! row_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// The id of the row numbered `row`.
            pub const fn new(row: i64) -> Self {
                Self(row)
            }

            /// The row number.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

row_id! {
    /// An account of the agent, or a user of refserver.
    AccountId
}
row_id! {
    /// A mailbox, for life: a rename keeps it.
    MailboxId
}
row_id! {
    /// A message, for life: moves and UIDVALIDITY changes keep it. A copy is another message.
    MessageId
}
row_id! {
    /// A stored byte string; messages with equal bytes share it.
    ContentId
}
row_id! {
    /// What is known of a message whose bytes are not here; its local copies share it.
    OutlineId
}
row_id! {
    /// A journal entry. Greater is later.
    EntryId
}
row_id! {
    /// A message in the outbox.
    SubmissionId
}
row_id! {
    /// A recorded conflict.
    ConflictId
}
row_id! {
    /// A message taken from a maildrop.
    PoppedId
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $repr:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name($repr);

        impl $name {
            /// The identifier with this number.
            pub const fn new(number: $repr) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> $repr {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A UID as this program's own IMAP server shows it (RFC 3501 section 2.3.1.1).
    LocalUid, u32
}
number_id! {
    /// A UID as the upstream server shows it (RFC 3501 section 2.3.1.1).
    RemoteUid, u32
}
number_id! {
    /// UIDVALIDITY (RFC 3501 section 2.3.1.1).
    UidValidity, u32
}
number_id! {
    /// A mod-sequence: 63 bits, RFC 7162 section 3.1. Zero means "none".
    ModSeq, u64
}
