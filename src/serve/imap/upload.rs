//! Message bytes that a client sends, and the store's words in the engine's.

use crate::imap::server::backend::{Changed, Error, Message, Upload};
use crate::store;

/// Message bytes on their way into the store.
pub struct MailUpload(pub(super) store::Upload);

impl Upload for MailUpload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.0.write(bytes)?)
    }
}

impl From<store::Changed> for Changed {
    fn from(changed: store::Changed) -> Self {
        Self { uid: changed.uid, flags: changed.flags, mod_seq: changed.mod_seq }
    }
}

impl From<store::Message> for Message {
    fn from(message: store::Message) -> Self {
        Self {
            uid: message.uid,
            flags: message.flags,
            mod_seq: message.mod_seq,
            internal_date: message.internal_date,
            saved: message.saved,
            size_bytes: message.size_bytes,
            told_bytes: message.told_bytes.unwrap_or(message.size_bytes),
            email_id: message.object_id,
            content: message.content,
            header: message.header,
            is_bare: message.is_bare,
            summary: message.summary,
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::NoSuchMailbox | store::Error::NoSuchAccount => Self::NoSuchMailbox,
            store::Error::NoSuchMessage => Self::NoSuchMessage,
            store::Error::AlreadyExists => Self::AlreadyExists,
            store::Error::NotSelectable => Self::NotSelectable,
            store::Error::HasChildren => Self::HasChildren,
            store::Error::ReadOnly => Self::ReadOnly,
            store::Error::NoPermission => Self::NoPermission,
            store::Error::Cannot(why) => Self::Cannot(why),
            store::Error::Limit(why) => Self::Limit(why),
            store::Error::TooBig { limit_bytes } => Self::TooBig { limit_bytes },
            store::Error::OverQuota => Self::OverQuota,
            store::Error::DiskFull { .. } => Self::DiskFull,
            store::Error::NoContent => Self::Unavailable,
            other => Self::Store(Box::new(other)),
        }
    }
}
