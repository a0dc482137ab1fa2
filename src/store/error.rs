//! Why the store could not do what was asked, told by whose fault it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::stays::Stays;
use crate::types::{MailboxName, MessageId};

/// The answer of every call to the store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed. Nothing of a failed transaction remains; the store itself stays usable.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("no such account")]
    NoSuchAccount,
    #[error("no such mailbox")]
    NoSuchMailbox,
    #[error("no such message")]
    NoSuchMessage,
    #[error("there is no journal entry with that number")]
    NoSuchEntry,
    /// Of the outbox, of the conflicts.
    #[error("there is no {0} with that number")]
    NoSuchRow(&'static str),
    #[error("the mailbox exists already")]
    AlreadyExists,
    #[error("the mailbox cannot be selected")]
    NotSelectable,
    #[error("the mailbox has mailboxes below it")]
    HasChildren,
    #[error("the mailbox is read-only")]
    ReadOnly,
    /// The user does not have the right to (RFC 4314).
    #[error("that is not permitted")]
    NoPermission,
    /// What is to be put back is there.
    #[error("the bytes of message {0} are in that mailbox already; nothing is done")]
    InPlace(MessageId),
    /// It is not deleted with what is in it.
    #[error("the mailbox {0} holds messages: move or delete them first")]
    HoldsMessages(MailboxName),
    /// Never possible, as the reason says.
    #[error("{0}")]
    Cannot(&'static str),
    /// Mail taken by POP3 and a mirror of an IMAP server are not made out of each other.
    #[error("the account {name:?} {was} up to now; give the one with {now} another name")]
    OtherKind { name: String, was: &'static str, now: &'static str },
    /// Possible in a moment, as the reason says.
    #[error("{0}")]
    NotNow(&'static str),
    /// A message in the outbox is not what the user's word was for.
    #[error(transparent)]
    Stays(#[from] Stays),
    /// A limit of this program.
    #[error("{0}")]
    Limit(&'static str),
    #[error("the message is larger than {limit_bytes} bytes")]
    TooBig { limit_bytes: u64 },
    /// The account would hold more than it may (RFC 9208).
    #[error("over quota")]
    OverQuota,
    /// The bytes of the message are not here.
    #[error("the bytes of the message are not here")]
    NoContent,
    /// The disk (or the store's size limit) is full. Nothing was changed; free some space and do it again.
    #[error("the disk{} is full: free some space there", OfFolder(folder.as_deref()))]
    DiskFull { folder: Option<Arc<Path>> },
    /// Another process has the store open.
    #[error("{} is in use by {holder}", path.display())]
    InUse { path: PathBuf, holder: String },
    /// The store was written by a later version of this program. It was not touched.
    #[error(
        "{} is of version {version}, this program knows versions up to {known}: use a newer program, or another --data",
        path.display()
    )]
    Newer { path: PathBuf, version: i64, known: i64 },
    /// What is to be the data folder is no folder, or cannot be made.
    #[error("{} cannot be the data folder: {cause}; say --data DIR for another place", path.display())]
    Folder { path: PathBuf, cause: Arc<std::io::Error> },
    /// A file of the store cannot be opened, made or locked.
    #[error("cannot use {}: {cause}", path.display())]
    Io { path: PathBuf, cause: Arc<std::io::Error> },
    /// A file of the store is no database of SQLite, or cannot be opened as one.
    #[error("cannot open {} as a database: {cause}", path.display())]
    Open { path: PathBuf, cause: Arc<rusqlite::Error> },
    /// A file of the open store was removed, or moved away.
    #[error("{} is there no more: it was removed or moved away while it was in use", path.display())]
    Gone { path: PathBuf },
    /// What is stored cannot be what this program stored.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    #[error("database error: {0}")]
    Database(Arc<rusqlite::Error>),
    /// The transaction's own code panicked; it was rolled back. A bug.
    #[error("internal error in a transaction: {0}")]
    Panicked(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    /// A full disk, as one who does not know the folder says it.
    pub const DISK_FULL: Self = Self::DiskFull { folder: None };

    /// The same, told of the store in `folder`.
    pub(super) fn of_store_in(self, folder: &Path) -> Self {
        match self {
            Self::DiskFull { folder: None } => Self::DiskFull { folder: Some(folder.into()) },
            other => other,
        }
    }

    /// Could the same call succeed later, without anyone changing the request?
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::NotNow(_) | Self::DiskFull { .. } | Self::InUse { .. } | Self::Io { .. } | Self::Gone { .. } => true,
            Self::Stays(stays) => stays.is_temporary(),
            _ => false,
        }
    }

    /// Is it a file of the store that is not what it was (and not a passing trouble, nor a matter of rights)?
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged(_) => true,
            Self::Open { cause, .. } | Self::Database(cause) => {
                matches!(cause.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            _ => false,
        }
    }

    /// An error of the file system at `path`.
    pub(super) fn io(path: impl Into<PathBuf>, cause: std::io::Error) -> Self {
        let path = path.into();
        match cause.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::DISK_FULL,
            _ => Self::Io { path, cause: Arc::new(cause) },
        }
    }

    /// The bytes of a message cannot be read, as a source of them says.
    pub fn unreadable(error: std::io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(|error| Self::io("the bytes of a message", error))
    }

    /// An error at opening the database at `path`.
    pub(super) fn open(path: &Path, error: Self) -> Self {
        match error {
            Self::Database(cause) => Self::Open { path: path.to_owned(), cause },
            other => other,
        }
    }
}

/// ` of` a folder, where that is known.
struct OfFolder<'f>(Option<&'f Path>);

impl std::fmt::Display for OfFolder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |folder| write!(f, " of {}", folder.display()))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DISK_FULL,
            _ => Self::Database(Arc::new(error)),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(format!("unreadable JSON: {error}"))
    }
}
