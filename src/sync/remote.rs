//! The seam to an upstream account, in the words of mail: no socket, no tag, no literal.
//!
//! Failure is never an empty answer: a call returns `Ok` only after the server confirmed the whole of it
//! (invariant 7). After a [`RemoteError`] whose [`RemoteError::connection_lost`] is true the value is of no more use.
//! The calls on messages act on the mailbox last selected. UIDs only; sequence numbers never cross this seam.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use super::tour::{Guide, Stop};
use crate::message::Part;
use crate::message::search::Query;
use crate::types::{
    ByteSource, Flags, InternalDate, ModSeq, QuotaUse, RemoteUid, Rights, SpecialUse, UidSet, UidValidity,
};

/// A mailbox name exactly as the server spells it (modified UTF-7 left as it is). Opaque here: `upstream` makes and
/// reads the spelling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RemoteName(pub String);

/// What a server can do, after login, quirks already taken off.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub uid_plus: bool,
    pub r#move: bool,
    pub cond_store: bool,
    pub qresync: bool,
    pub idle: bool,
    /// NOTIFY (RFC 5465).
    pub notify: bool,
    pub special_use: bool,
    pub object_id: bool,
    /// A message is one thing, which several mailboxes may hold, each at most once.
    pub labels: bool,
    /// UNSELECT (RFC 3691).
    pub unselect: bool,
    /// It can describe messages without giving them: [`Remote::outline`] and [`Remote::excerpts`].
    pub outlines: bool,
    /// APPENDLIMIT (RFC 7889).
    pub append_limit_bytes: Option<u64>,
}

/// A mailbox that the server lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub name: RemoteName,
    /// `None`: NIL, a flat name.
    pub delimiter: Option<char>,
    /// The name decoded and split at the delimiter.
    pub components: Vec<String>,
    pub selectable: bool,
    pub special_use: Option<SpecialUse>,
    pub subscribed: bool,
    /// Where the server tells it with the list (RFC 5819).
    pub status: Option<Status>,
    /// What the user may do with it (RFC 4314); `None`: not told.
    pub rights: Option<Rights>,
}

/// STATUS of a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    pub messages: u32,
    /// `None`: not told (Courier, QUIRKS.md row 22).
    pub uid_next: Option<RemoteUid>,
    pub uid_validity: UidValidity,
    pub highest_mod_seq: Option<ModSeq>,
}

/// What the store knew of a mailbox when it was last covered, for a quick resynchronisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    pub uid_validity: UidValidity,
    pub highest_mod_seq: ModSeq,
}

/// A mailbox just selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    pub uid_validity: UidValidity,
    /// `None`: not told, and STATUS did not tell it either.
    pub uid_next: Option<RemoteUid>,
    pub exists: u32,
    /// `None`: no mod-sequences (NOMODSEQ, or no CONDSTORE).
    pub highest_mod_seq: Option<ModSeq>,
    pub read_only: bool,
    /// Flags that can be stored for good.
    pub permanent_flags: Flags,
    /// Whether any keyword can be stored (`\*`).
    pub any_keyword: bool,
    /// With `Known` given and QRESYNC: what changed since. `None`: the caller must scan.
    pub since: Option<Resync>,
}

/// The answer to QRESYNC (RFC 7162 section 3.2.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resync {
    pub vanished: UidSet<RemoteUid>,
    pub changed: Vec<Scanned>,
}

/// One message in a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    pub uid: RemoteUid,
    pub flags: Flags,
    pub mod_seq: Option<ModSeq>,
}

/// What is told of a message beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    pub uid: RemoteUid,
    pub flags: Flags,
    pub mod_seq: Option<ModSeq>,
    pub internal_date: Option<InternalDate>,
    /// EMAILID (RFC 8474) or X-GM-MSGID.
    pub email_id: Option<String>,
    /// The bytes were the header alone, and this is what the server says of the rest.
    pub outline: Option<Described>,
}

/// What a server says of a message that it did not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// RFC822.SIZE.
    pub size_bytes: u64,
    /// BODYSTRUCTURE; of each part's range only the length is told.
    pub structure: Box<Part>,
}

/// A section of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    pub uids: UidSet<RemoteUid>,
    /// As between the brackets of FETCH ("" is all of the message).
    pub section: String,
    /// Only this of it.
    pub piece: Option<Piece>,
}

/// A piece of a section: its first byte, and how many.
pub type Piece = (u64, u64);

/// Facts by which a message is known again without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprinted {
    pub uid: RemoteUid,
    pub size_bytes: u64,
    pub internal_date: Option<InternalDate>,
    /// The raw values, unfolded, by upper-case name: MESSAGE-ID, DATE, FROM, SUBJECT.
    pub fields: BTreeMap<String, Vec<u8>>,
    pub email_id: Option<String>,
    /// `\Deleted`: of equal messages one that is to be expunged is matched last.
    pub is_deleted: bool,
}

/// Where the bytes of fetched messages go. Calls for one message: `begin`, `write` as often as needed, `end`; or
/// `absent`. A message begun and not ended (a cut) leaves nothing.
pub trait MessageSink: Send {
    /// A message of `size_bytes` follows. Which one it is may be known only at its end; one that was begun before and not
    /// ended is none.
    fn begin(&mut self, size_bytes: u64) -> std::io::Result<()>;
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;
    fn end(&mut self, message: Fetched) -> std::io::Result<()>;
    /// The server named the message but gave no bytes (NIL) or no flags, or did not describe it where that was asked for.
    fn absent(&mut self, uid: RemoteUid) -> std::io::Result<()>;
}

/// A message to append.
pub struct Outgoing<'a> {
    pub flags: Flags,
    pub internal_date: InternalDate,
    pub bytes: &'a mut dyn ByteSource,
}

/// COPYUID: where each source UID went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyUid {
    pub uid_validity: Option<UidValidity>,
    pub uids: BTreeMap<RemoteUid, RemoteUid>,
}

/// APPENDUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendUid {
    pub uid_validity: UidValidity,
    pub uid: RemoteUid,
}

/// Hears what came of messages that are appended, each by its place: APPENDUID where the server gives it.
pub type AppendsTold<'a> = dyn FnMut(usize, Result<Option<AppendUid>, RemoteError>) + Send + 'a;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The server told of a change in the selected mailbox.
    Changed,
    /// The server told how many messages are in the selected mailbox by now: some may have come.
    Arrived,
    /// The interrupt became ready.
    Interrupted,
    /// It is time to look again.
    TimedOut,
}

/// What a server told by itself of a mailbox. What it did not tell is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// `None`: of the list of mailboxes.
    pub name: Option<RemoteName>,
    pub messages: Option<u32>,
    pub uid_next: Option<RemoteUid>,
    pub highest_mod_seq: Option<ModSeq>,
}

impl News {
    /// Something happened in the mailbox.
    pub fn somehow(name: &RemoteName) -> Self {
        Self { name: Some(name.clone()), ..Self::default() }
    }

    /// How a mailbox is that was just selected.
    pub fn of(name: &RemoteName, selected: &Selected) -> Self {
        let Selected { exists, uid_next, highest_mod_seq, .. } = *selected;
        Self { name: Some(name.clone()), messages: Some(exists), uid_next, highest_mod_seq }
    }
}

/// A future that ends a wait.
pub type Interrupt<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// An upstream account with one connection, logged in.
pub trait Remote: Send {
    fn facts(&self) -> &Facts;

    /// Every mailbox, from one complete answer.
    fn list(&mut self) -> impl Future<Output = Result<Vec<Listed>, RemoteError>> + Send;
    /// How much may be kept and is, as told along with the last list (RFC 9208); `None`: not told.
    fn take_quota(&mut self) -> Option<Vec<QuotaUse>> {
        None
    }
    /// STATUS of each, in order; a mailbox that the server refuses gives its own error.
    fn status(
        &mut self,
        names: &[RemoteName],
    ) -> impl Future<Output = Result<Vec<Result<Status, RemoteError>>, RemoteError>> + Send;
    /// The name on this server of the mailbox with these components; fails where a component holds the delimiter.
    fn name_for(&self, components: &[&str], delimiter: Option<char>) -> Result<RemoteName, RemoteError>;
    /// `name` with the leading `from` replaced by `to`, as RENAME does to the mailboxes below.
    fn create(
        &mut self,
        name: &RemoteName,
        special_use: Option<SpecialUse>,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;
    fn rename(&mut self, from: &RemoteName, to: &RemoteName) -> impl Future<Output = Result<(), RemoteError>> + Send;
    /// No mailbox is selected then: servers refuse to delete one that is.
    fn delete(&mut self, name: &RemoteName) -> impl Future<Output = Result<(), RemoteError>> + Send;
    fn set_subscribed(
        &mut self,
        name: &RemoteName,
        subscribed: bool,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Selects a mailbox for reading and writing.
    fn select(
        &mut self,
        name: &RemoteName,
        known: Option<Known>,
    ) -> impl Future<Output = Result<Selected, RemoteError>> + Send;
    /// All UIDs in the mailbox (UID SEARCH ALL).
    fn uids(&mut self) -> impl Future<Output = Result<UidSet<RemoteUid>, RemoteError>> + Send;
    /// Messages that hold a text: `key` is a `Text` or a `Body` (UID SEARCH).
    fn find(&mut self, _key: &Query) -> impl Future<Output = Result<UidSet<RemoteUid>, RemoteError>> + Send {
        std::future::ready(Err(RemoteError::Impossible("this server finds no texts".to_owned())))
    }
    /// Those of `uids` that are in the mailbox (UID SEARCH UID).
    fn present(
        &mut self,
        uids: &UidSet<RemoteUid>,
    ) -> impl Future<Output = Result<UidSet<RemoteUid>, RemoteError>> + Send;
    /// UIDs with `\Deleted` (UID SEARCH DELETED).
    fn deleted_uids(&mut self) -> impl Future<Output = Result<UidSet<RemoteUid>, RemoteError>> + Send;
    /// Flags of the messages in `uids` that exist; only those changed after `changed_since` where given.
    fn scan(
        &mut self,
        uids: &UidSet<RemoteUid>,
        changed_since: Option<ModSeq>,
    ) -> impl Future<Output = Result<Vec<Scanned>, RemoteError>> + Send;
    /// Facts to know messages by.
    fn fingerprints(
        &mut self,
        uids: &UidSet<RemoteUid>,
    ) -> impl Future<Output = Result<Vec<Fingerprinted>, RemoteError>> + Send;
    /// The bytes of the messages in `uids` that exist, never setting `\Seen`. In the server's order.
    fn fetch(
        &mut self,
        uids: &UidSet<RemoteUid>,
        sink: &mut dyn MessageSink,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;
    /// What is told of the messages in `uids` that exist, beside their bytes.
    fn identify(&mut self, uids: &UidSet<RemoteUid>) -> impl Future<Output = Result<Vec<Fetched>, RemoteError>> + Send;
    /// As [`Self::fetch`], but the bytes are the header's, and the server describes the rest. Only with `outlines`.
    fn outline(
        &mut self,
        _uids: &UidSet<RemoteUid>,
        _sink: &mut dyn MessageSink,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send {
        std::future::ready(Err(RemoteError::Impossible("this server describes no messages".to_owned())))
    }
    /// As [`Self::fetch`], but the bytes are those of the excerpts, in whatever order; no message may be in two of them. Only
    /// with `outlines`.
    fn excerpts(
        &mut self,
        _wanted: &[Excerpt],
        _sink: &mut dyn MessageSink,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send {
        std::future::ready(Err(RemoteError::Impossible("this server gives no parts of messages".to_owned())))
    }
    /// UIDs seen to vanish on this connection since last asked, whatever command was running.
    fn take_vanished(&mut self) -> UidSet<RemoteUid>;

    /// Those of `uids` that are there and have the flags now: to a STORE of messages that are not a server says OK as well
    /// (RFC 3501 section 6.4.8).
    fn add_flags(
        &mut self,
        uids: &UidSet<RemoteUid>,
        flags: &Flags,
    ) -> impl Future<Output = Result<UidSet<RemoteUid>, RemoteError>> + Send;
    /// Those of `uids` that are there and have the flags no more.
    fn remove_flags(
        &mut self,
        uids: &UidSet<RemoteUid>,
        flags: &Flags,
    ) -> impl Future<Output = Result<UidSet<RemoteUid>, RemoteError>> + Send;
    /// UID EXPUNGE. Only with `uid_plus`.
    fn expunge(&mut self, uids: &UidSet<RemoteUid>) -> impl Future<Output = Result<(), RemoteError>> + Send;
    /// EXPUNGE: whatever has `\Deleted`. Only where every such message is meant.
    fn expunge_all_deleted(&mut self) -> impl Future<Output = Result<(), RemoteError>> + Send;
    /// COPYUID where the server gives it.
    fn copy(
        &mut self,
        uids: &UidSet<RemoteUid>,
        to: &RemoteName,
    ) -> impl Future<Output = Result<Option<CopyUid>, RemoteError>> + Send;
    /// Only with `move`.
    fn move_messages(
        &mut self,
        uids: &UidSet<RemoteUid>,
        to: &RemoteName,
    ) -> impl Future<Output = Result<Option<CopyUid>, RemoteError>> + Send;
    /// Appends messages, in this order. What was told of one stays true if the call fails then; of one of which nothing was
    /// told it is not known whether it is there. After `Ok` all was told.
    fn append(
        &mut self,
        to: &RemoteName,
        messages: Vec<Outgoing<'_>>,
        told: &mut AppendsTold<'_>,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Goes round these mailboxes, as [`super::tour`] says. No mailbox counts as selected after it. `then_lists`: if all goes
    /// well, what comes next is `list`, whose answer may be asked for along with the rest.
    fn tour(
        &mut self,
        stops: &[Stop],
        guide: &mut dyn Guide,
        then_lists: bool,
    ) -> impl Future<Output = Result<(), RemoteError>> + Send;

    /// Waits for a change in the selected mailbox (IDLE; NOOP now and then without it), at most `max_ms`.
    fn wait(
        &mut self,
        max_ms: u64,
        interrupt: Interrupt<'_>,
    ) -> impl Future<Output = Result<Woken, RemoteError>> + Send;
    /// Says goodbye, without waiting long.
    fn logout(&mut self) -> impl Future<Output = ()> + Send;
}

/// Opens connections to one account.
pub trait Connect: Send + Sync {
    type Remote: Remote;
    fn connect(&self) -> impl Future<Output = Result<Self::Remote, RemoteError>> + Send;
}

/// Why a call to the server failed, told by what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// There never was a connection; `place` is host and port.
    #[error("cannot reach {place}: {cause}")]
    Unreachable { place: String, cause: String },
    /// The connection broke: what was running may or may not have happened.
    #[error("connection to {host} lost: {cause}")]
    Lost { host: String, cause: String },
    /// The certificate or the TLS handshake is bad: never retried in plain text.
    #[error("no secure connection to {host}: {cause}")]
    Insecure { host: String, cause: String },
    /// The server refused the login.
    #[error("{host} refused the login: {text}")]
    LoginRefused { host: String, text: String },
    /// A tagged NO: this one request was refused.
    #[error("the server refused {request}: {text}")]
    Refused { request: &'static str, code: Option<RefusalCode>, text: String },
    /// A tagged BAD, or bytes that are no IMAP.
    #[error("the server does not follow the protocol in answer to {request}: {text}")]
    Protocol { request: &'static str, text: String },
    /// The server asks to wait (THROTTLED, LIMIT, "Suggested Backoff", UNAVAILABLE).
    #[error("the server asks to wait: {text}")]
    Wait { retry_after_ms: Option<u64>, text: String },
    /// Our own disk or store failed while bytes were on the way.
    #[error("cannot store what the server sent: {0}")]
    Local(String),
    /// It cannot be asked of this server, whatever happens.
    #[error("{0}")]
    Impossible(String),
}

/// Response codes that decide what happens to an operation (RFC 5530, RFC 3501 section 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    TryCreate,
    NonExistent,
    AlreadyExists,
    OverQuota,
    TooBig,
    NoPerm,
    Cannot,
    ReadOnly,
    InUse,
    /// More than the server can keep: of keywords, of messages in a mailbox.
    Limit,
    /// A part of the server that the request needs is down.
    Unavailable,
    ExpungeIssued,
    Other,
}

impl RemoteError {
    /// Is the connection of no more use?
    pub const fn connection_lost(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Lost { .. }
                | Self::Insecure { .. }
                | Self::LoginRefused { .. }
                | Self::Protocol { .. }
                | Self::Local(_)
        )
    }
}
