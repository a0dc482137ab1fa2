//! What both sides changed, and what came of it: listed until dismissed.

use rusqlite::{Row, params};

use super::{Error, Reader, Result, Txn};
use crate::types::{AccountId, ConflictId, MessageId, Timestamp};

/// A recorded conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub id: ConflictId,
    pub account: AccountId,
    pub at: Timestamp,
    pub what: NewConflict,
}

/// A conflict to be recorded. The texts are for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewConflict {
    /// `merge::ConflictKind` in its kebab-case name.
    pub kind: String,
    pub message: Option<MessageId>,
    /// The mailbox's name at that time.
    pub mailbox: String,
    pub here: String,
    pub upstream: String,
    pub result: String,
}

impl Conflict {
    pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: ConflictId::new(row.get("id")?),
            account: AccountId::new(row.get("account_id")?),
            at: Timestamp::from_unix_ms(row.get("at_ms")?),
            what: NewConflict {
                kind: row.get("kind")?,
                message: row.get::<_, Option<i64>>("message_id")?.map(MessageId::new),
                mailbox: row.get("mailbox")?,
                here: row.get("here")?,
                upstream: row.get("upstream")?,
                result: row.get("result")?,
            },
        })
    }
}

impl Reader<'_> {
    /// Those not dismissed, oldest first.
    pub fn conflicts(&self, account: AccountId) -> Result<Vec<Conflict>> {
        let mut select = self.conn().prepare_cached(
            "SELECT id, account_id, at_ms, kind, message_id, mailbox, here, upstream, result FROM conflict
             WHERE account_id = ?1 AND dismissed = 0 ORDER BY id",
        )?;
        Ok(select.query_map([account.get()], Conflict::from_row)?.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Records a conflict.
    pub fn record_conflict(&mut self, account: AccountId, what: &NewConflict) -> Result<ConflictId> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO conflict (account_id, at_ms, kind, message_id, mailbox, here, upstream, result)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        insert.execute(params![
            account.get(),
            self.now().unix_ms(),
            what.kind,
            what.message.map(MessageId::get),
            what.mailbox,
            what.here,
            what.upstream,
            what.result,
        ])?;
        self.touch(account);
        Ok(ConflictId::new(self.conn().last_insert_rowid()))
    }

    /// The user has seen it.
    pub fn dismiss_conflict(&mut self, conflict: ConflictId) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE conflict SET dismissed = 1 WHERE id = ?1")?;
        match update.execute([conflict.get()])? {
            0 => Err(Error::NoSuchRow("conflict")),
            _ => Ok(()),
        }
    }
}
