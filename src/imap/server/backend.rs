//! The seam: what the engine asks of the one who keeps the mail. In the words of mail, not of IMAP syntax or of SQL.
//!
//! Every call is synchronous and complete when it returns; a change is durable when it returns `Ok`. Nothing is
//! cached by the session but its view of the selected mailbox (a list of UIDs), which it brings up to date with
//! [`Account::changes`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::config::{Capabilities, Capability};
use crate::message::outline::Wanted;
use crate::message::search::Query;
use crate::message::{Keyed, KeysRead, Summary};
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::types::{
    ContentId, Flags, Identifier, InternalDate, LocalUid, MailboxId, MailboxName, ModSeq, Rights, RightsChange,
    SpecialUse, Timestamp, UidSet, UidValidity,
};

/// Who knows the users.
pub trait Backend: Send + 'static {
    type Account: Account;

    /// What this backend can do; everything that needs nothing of it is among it.
    fn capabilities(&self) -> Capabilities {
        Capabilities::all().without(Capability::GmailLabels)
    }

    /// Are there users with tokens?
    fn offers_tokens(&self) -> bool {
        false
    }

    /// As [`Self::login`], with a token in place of the password.
    fn login_token(&mut self, _credentials: &Credentials) -> Result<Self::Account, LoginError> {
        Err(LoginError::Refused)
    }

    /// Are there SCRAM keys of the users?
    fn offers_scram(&self) -> bool {
        false
    }

    /// The keys of a user; of a name nobody has, keys that no password has.
    fn scram_keys(&mut self, _user: &str, hash: ScramHash) -> ScramKeys {
        ScramKeys::of_nobody(hash, b"nobody")
    }

    /// Opens the account of a user who proved by SCRAM who they are.
    fn login_proved(&mut self, _proved: &ScramProved) -> Result<Self::Account, LoginError> {
        Err(LoginError::Refused)
    }

    /// A login failed: how many did lately from where the session comes from, this one included; 0 where nobody counts.
    fn login_failed(&mut self, _now: Timestamp) -> u32 {
        0
    }

    /// Opens the account of a user who proved who they are. From then on the session is woken when anything in
    /// the account changes.
    fn login(&mut self, credentials: &Credentials) -> Result<Self::Account, LoginError>;
}

/// Why a login failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Wrong user or password; which of the two is not told (RFC 5530: AUTHENTICATIONFAILED).
    #[error("invalid user name or password")]
    Refused,
    /// May not act as the other user (RFC 5530: AUTHORIZATIONFAILED).
    #[error("not allowed to act as that user")]
    NotAuthorized,
    /// Each user has a number of them (RFC 5530: LIMIT).
    #[error("the user has too many sessions open")]
    TooMany,
    /// Not now (RFC 5530: UNAVAILABLE).
    #[error("the mail store is not available now")]
    Unavailable,
}

/// One user's mail.
pub trait Account: Send + 'static {
    type Upload: Upload;

    /// The namespaces of other users' mailboxes and of those that are nobody's, by the names that theirs begin with (RFC
    /// 2342); none where there are only the user's own.
    fn namespaces(&self) -> Option<[MailboxName; 2]> {
        None
    }
    /// Every mailbox that the user may look up, sorted by name, INBOX among them. Parents that exist only as part of a name
    /// are not listed.
    fn list(&mut self) -> Result<Vec<Mailbox>, Error>;
    /// Every subscribed name, sorted, whether or not such a mailbox exists (RFC 3501 section 6.3.9).
    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error>;
    fn set_subscribed(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error>;
    /// Makes a mailbox and the missing ones above it.
    fn create(&mut self, name: &MailboxName, special_use: Option<SpecialUse>) -> Result<MailboxId, Error>;
    /// Deletes a mailbox and its messages. One with mailboxes below it stays as a name that cannot be selected.
    fn delete(&mut self, name: &MailboxName) -> Result<(), Error>;
    /// Renames with everything below. Renaming INBOX moves its messages and leaves INBOX empty (RFC 3501 section 6.3.5).
    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error>;
    fn status(&mut self, name: &MailboxName, summed: Summed) -> Result<Status, Error>;

    /// Every annotation of a mailbox, or of the account, by its name in lower case (RFC 5464). Asked only where the
    /// backend has METADATA.
    fn metadata(&mut self, of: Option<&MailboxName>) -> Result<BTreeMap<String, Vec<u8>>, Error>;
    /// Sets annotations, all or none; those without a value go.
    fn set_metadata(&mut self, of: Option<&MailboxName>, entries: Vec<(String, Option<Vec<u8>>)>) -> Result<(), Error>;
    /// The quota root that a mailbox of that name belongs to (RFC 9208 section 3.2), whether there is one or not; `None`: to
    /// none that the user may know of. This one and the next are asked only where the backend has QUOTA.
    fn quota_root(&mut self, of: &MailboxName) -> Result<Option<String>, Error>;
    /// What a quota root allows, and what is used of it; `None`: there is no such root, or the user may not know of it.
    fn quota(&mut self, root: &str) -> Result<Option<Quota>, Error>;

    /// What the user may do with a mailbox (RFC 4314). What the user may not do, every call refuses with `NoPermission`, or
    /// with `NoSuchMailbox` where the user may not know of the mailbox. This one and the next two are asked only where the
    /// backend has ACL.
    fn rights(&mut self, _name: &MailboxName) -> Result<Rights, Error> {
        Ok(Rights::ALL)
    }
    /// The access control list, the owner's entry first.
    fn acl(&mut self, _name: &MailboxName) -> Result<Vec<(Identifier, Rights)>, Error> {
        Err(Error::NoPermission)
    }
    fn set_rights(&mut self, _: &MailboxName, _: &Identifier, _: RightsChange) -> Result<(), Error> {
        Err(Error::NoPermission)
    }

    /// Opens a mailbox. With `claim_recent` the messages that no session has seen yet are this session's recent ones.
    fn open(&mut self, name: &MailboxName, claim_recent: bool) -> Result<Opened, Error>;
    /// What changed in an open mailbox after `since`. Fails with `NoSuchMailbox` once it is deleted, with `NoPermission` once
    /// the user may not read it any more.
    fn changes(&mut self, mailbox: MailboxId, since: ModSeq, claim_recent: bool) -> Result<Changes, Error>;
    /// The flags alone of those of `uids` (ascending) that exist, ascending. Call it in batches: the answer is held in memory.
    fn flags(&mut self, mailbox: MailboxId, uids: &[LocalUid]) -> Result<Vec<Changed>, Error>;
    /// Those of `uids` (ascending) that exist, ascending. Call it in batches: the answer is held in memory.
    fn messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], with: With) -> Result<Vec<Message>, Error>;
    /// Which of the messages with UIDs in `among` match, ascending.
    fn search(&mut self, mailbox: MailboxId, among: &UidSet<LocalUid>, query: &Query) -> Result<Vec<LocalUid>, Error>;
    /// The other mailboxes that hold the message: its labels. Asked only where the backend has X-GM-EXT-1.
    fn labels(&mut self, _mailbox: MailboxId, _uid: LocalUid) -> Result<Vec<MailboxName>, Error> {
        Ok(Vec::new())
    }
    /// Has whoever knows asked about texts that are not here, before `search` is called for that mailbox and query: true while
    /// that is on its way; the session is woken then. Asked again and again until it is false.
    fn inquire(&mut self, _mailbox: MailboxId, _query: &Query) -> Result<bool, Error> {
        Ok(false)
    }
    /// How many messages the searches since the last call had to leave out: what was asked depends on a text that is not here.
    fn take_unsearched(&mut self) -> usize {
        0
    }
    /// The keys by which those of `uids` (ascending) that exist are sorted and threaded, ascending. Call it in batches: the
    /// answer is held in memory.
    fn keyed(&mut self, mailbox: MailboxId, uids: &[LocalUid], read: KeysRead) -> Result<Vec<Keyed>, Error>;
    /// Brings what is wanted of a message that is not all here: finds it, or asks for it and wakes the session once it is
    /// here, or cannot be had. Asked again and again until then.
    fn bring(&mut self, _mailbox: MailboxId, _uid: LocalUid, _wanted: &Wanted) -> Result<Brought, Error> {
        Err(Error::Unavailable)
    }
    /// At most `max` bytes of a message from `offset` on; empty only at the end.
    fn read(&mut self, content: ContentId, offset: u64, max: usize) -> Result<Vec<u8>, Error>;

    /// Changes flags. With `unchanged_since`, messages with a later mod-sequence are left alone and returned in
    /// `modified` (RFC 7162 section 3.1.3).
    fn store(
        &mut self,
        mailbox: MailboxId,
        uids: &[LocalUid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, Error>;
    /// Removes those messages with `\Deleted` for good: all, or those among `uids`. Returns what went, ascending.
    fn expunge(&mut self, mailbox: MailboxId, uids: Option<&UidSet<LocalUid>>) -> Result<Vec<LocalUid>, Error>;
    /// Copies all of them or none; flags and INTERNALDATE go along.
    fn copy(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error>;
    /// Moves all of them or none (RFC 6851 section 3.3).
    fn move_messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error>;

    /// Begins to take in a message of `size` bytes. Fails early where the mailbox does not exist (TRYCREATE) or
    /// the size is too large, before the client sends the bytes.
    fn upload(&mut self, to: &MailboxName, size: u64) -> Result<Self::Upload, Error>;
    /// Adds an uploaded message and removes that one of the open mailbox, both or neither (RFC 8508 section 3.4).
    fn replace(
        &mut self,
        mailbox: MailboxId,
        uid: LocalUid,
        to: &MailboxName,
        message: Append<Self::Upload>,
    ) -> Result<Appended, Error>;
    /// Adds the uploaded messages, all or none (RFC 3502), in order.
    fn append(&mut self, to: &MailboxName, messages: Vec<Append<Self::Upload>>) -> Result<Appended, Error>;
}

/// Message bytes on their way in. Dropped unfinished, nothing remains.
pub trait Upload: Send {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error>;
}

/// Why a request failed. The engine turns each into the NO and the response code of RFC 5530.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no such mailbox")]
    NoSuchMailbox,
    /// It went meanwhile (RFC 5530: EXPUNGEISSUED).
    #[error("the message no longer exists")]
    NoSuchMessage,
    #[error("the mailbox exists already")]
    AlreadyExists,
    #[error("the mailbox cannot be selected")]
    NotSelectable,
    /// It is only the name of those below (RFC 5530: HASCHILDREN).
    #[error("the mailbox has mailboxes below it")]
    HasChildren,
    #[error("the mailbox is read-only")]
    ReadOnly,
    /// The user does not have the right to (RFC 5530: NOPERM).
    #[error("that is not permitted")]
    NoPermission,
    /// Never possible, as the reason says (RFC 5530: CANNOT).
    #[error("{0}")]
    Cannot(&'static str),
    #[error("the message is larger than {limit_bytes} bytes")]
    TooBig { limit_bytes: u64 },
    /// The account would hold more than it may (RFC 9208 section 4.3.1: OVERQUOTA).
    #[error("over quota")]
    OverQuota,
    /// No quota of the user's is to blame, and it passes (RFC 5530: UNAVAILABLE).
    #[error("the disk is full; this is possible once there is space on it")]
    DiskFull,
    /// The message's bytes are not here and cannot be had now (RFC 5530: UNAVAILABLE).
    #[error("the message is not here, and cannot be fetched while there is no connection")]
    Unavailable,
    /// They are not here, and the server that has them does not give them (RFC 5530: UNAVAILABLE).
    #[error("the message is not here, and its server does not give it")]
    Withheld,
    /// They could be had, but the user has set a budget, and it is spent (RFC 5530: UNAVAILABLE).
    #[error("the budget of bytes to fetch today is spent")]
    OverBudget,
    /// A limit of this server (RFC 5530: LIMIT).
    #[error("{0}")]
    Limit(&'static str),
    /// The store failed; the cause is logged, the client is told SERVERBUG.
    #[error("the mail store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A mailbox as LIST shows it, to the user who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Stays when the mailbox is renamed.
    pub id: MailboxId,
    pub name: MailboxName,
    pub selectable: bool,
    pub special_use: Option<SpecialUse>,
    pub subscribed: bool,
    /// Grows with every change of its messages.
    pub highest_mod_seq: ModSeq,
}

/// What came of [`Account::bring`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    /// The section that was wanted.
    Section { content: ContentId, size_bytes: u64 },
    /// The message is all here now: it is to be read anew.
    Whole,
    /// It is on its way.
    Coming,
}

/// How many bytes the messages of a mailbox have (RFC 8438), and those of them with `\Deleted` (RFC 9208 section 4.1.3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    pub all_bytes: u64,
    pub deleted_bytes: u64,
}

/// Are the sizes of all messages to be summed up? That takes a look at each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summed {
    Sizes,
    Nothing,
}

/// STATUS (RFC 3501 section 6.3.10, RFC 8438, RFC 7162, RFC 8474).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub id: MailboxId,
    pub messages: u32,
    pub recent: u32,
    pub unseen: u32,
    pub deleted: u32,
    /// If they were asked for.
    pub sizes: Option<Sizes>,
    pub uid_next: LocalUid,
    pub uid_validity: UidValidity,
    pub highest_mod_seq: ModSeq,
}

/// What an account may hold, and what it does; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    pub storage_limit_bytes: Option<u64>,
    pub storage_bytes: u64,
    pub message_limit: Option<u64>,
    pub messages: u64,
}

/// A mailbox just opened. `uids` and `highest_mod_seq` are of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    pub id: MailboxId,
    /// All messages, ascending. Their places are the sequence numbers. As long as nothing comes or goes, all who have the
    /// mailbox open can share the list.
    pub uids: Arc<Vec<LocalUid>>,
    /// The first message without `\Seen`.
    pub first_unseen: Option<LocalUid>,
    pub uid_next: LocalUid,
    pub uid_validity: UidValidity,
    pub highest_mod_seq: ModSeq,
    /// Messages from this UID on are recent to this session.
    pub recent_from: LocalUid,
    /// Keywords in use.
    pub keywords: Flags,
    pub read_only: bool,
    /// What the user may do.
    pub rights: Rights,
}

/// What changed since a mod-sequence, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    pub highest_mod_seq: ModSeq,
    pub uid_next: LocalUid,
    /// New messages and messages with other flags, ascending.
    pub changed: Vec<Changed>,
    /// Messages that went, ascending. May name some that this session never saw.
    pub vanished: Vec<LocalUid>,
    /// New messages from this UID on are recent to this session.
    pub recent_from: LocalUid,
    /// What the user may do.
    pub rights: Rights,
}

/// A message with its flags now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub uid: LocalUid,
    pub flags: Flags,
    pub mod_seq: ModSeq,
}

/// What [`Account::messages`] should include beside the cheap columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum With {
    /// Flags, dates, sizes.
    Columns,
    /// The summary as well, for ENVELOPE, BODYSTRUCTURE and sections.
    Summary,
}

/// A message.
#[derive(Debug, Clone)]
pub struct Message {
    pub uid: LocalUid,
    pub flags: Flags,
    pub mod_seq: ModSeq,
    pub internal_date: InternalDate,
    /// When it came into its mailbox (RFC 8514 section 3).
    pub saved: Timestamp,
    pub size_bytes: u64,
    /// RFC822.SIZE: what clients were told, though the bytes should have proved it wrong since.
    pub told_bytes: u64,
    /// Never changes; a copy has the same, another content never (RFC 8474 section 5.1).
    pub email_id: String,
    /// `None` where the bytes are not here.
    pub content: Option<ContentId>,
    /// With [`With::Summary`], where the bytes are not here: those of the header, as far as the summary says.
    pub header: Option<ContentId>,
    /// With [`With::Summary`]: its parts are not known before its bytes are here.
    pub is_bare: bool,
    /// Present with [`With::Summary`], unless neither bytes nor summary are here.
    pub summary: Option<Arc<Summary>>,
}

/// STORE's three forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagChange {
    Add(Flags),
    Remove(Flags),
    Replace(Flags),
}

/// The outcome of [`Account::store`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Every message named and present, with its flags now, ascending.
    pub now: Vec<Changed>,
    /// Messages left alone because of `unchanged_since`, ascending.
    pub modified: Vec<LocalUid>,
    /// The mod-sequence of those that changed, if any did; the mailbox's highest was the one before.
    pub taken: Option<ModSeq>,
}

/// COPYUID (RFC 4315 section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    pub target: MailboxId,
    pub uid_validity: UidValidity,
    /// (source, target), ascending by source.
    pub uids: Vec<(LocalUid, LocalUid)>,
}

/// A message to append.
#[derive(Debug)]
pub struct Append<U> {
    pub upload: U,
    pub flags: Flags,
    /// `None`: now.
    pub internal_date: Option<InternalDate>,
}

/// APPENDUID (RFC 4315 section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub target: MailboxId,
    pub uid_validity: UidValidity,
    pub uids: Vec<LocalUid>,
}
