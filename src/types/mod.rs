//! The words every other room speaks: ids, flags, names, sets, dates, secrets, limits.
//!
//! Rules: nothing here does input or output, reads a clock or an environment; a value that exists is valid
//! (fields are private, construction parses); the two UID spaces are two types.

pub mod bodies;
pub mod content;
pub mod conversation;
pub mod date;
pub mod encoded_words;
pub mod flags;
pub mod folder_filter;
pub mod id;
pub mod limits;
pub mod mailbox;
pub mod maildrop;
pub mod mutant;
pub mod quirks;
pub mod quota;
pub mod rights;
pub mod secret;
pub mod stream;
pub mod uid_set;
pub mod unstuffing;

pub use bodies::{Bodies, BodyPolicy, Bounds};
pub use content::ContentHash;
pub use conversation::{ChannelBinding, Conversation, Event, Step, TlsFacts};
pub use date::{InternalDate, Timestamp};
pub use encoded_words::encoded_words;
pub use flags::{Flag, Flags, Keyword, SystemFlag};
pub use folder_filter::{FolderFilter, Glob};
pub use id::{
    AccountId, ConflictId, ContentId, EntryId, LocalUid, MailboxId, MessageId, ModSeq, OutlineId, PoppedId, RemoteUid,
    SubmissionId, UidValidity,
};
pub use mailbox::{MailboxName, SpecialUse};
pub use maildrop::Keep;
pub use quirks::Quirks;
pub use quota::QuotaUse;
pub use rights::{Given, Identifier, Right, Rights, RightsChange};
pub use secret::{Secret, SecretKind};
pub use stream::ByteSource;
pub use uid_set::{Uid, UidSet};
pub use unstuffing::Unstuffing;
