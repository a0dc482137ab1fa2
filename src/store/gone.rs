//! Messages that are in no mailbox any more: listed, restored, and purged in the end (invariant 2).

use rusqlite::{OptionalExtension, Row, params};

use super::messages::flags_from_row;
use super::{Appended, Error, Reader, Result, Txn};
use crate::journal::Op;
use crate::types::{AccountId, ContentId, Flags, InternalDate, LocalUid, MailboxId, MessageId, SystemFlag, Timestamp};

/// A message that went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub id: MessageId,
    pub account: AccountId,
    pub at: Timestamp,
    /// Name of the mailbox it was in.
    pub from: String,
    pub why: String,
    pub flags: Flags,
    pub internal_date: InternalDate,
    pub size_bytes: u64,
    /// `None`: its bytes were never here.
    pub content: Option<ContentId>,
}

const SELECT: &str = "SELECT id, account_id, gone_ms, gone_from, gone_why, f.system_flags, f.keywords, internal_s,
    internal_offset, size_bytes, content_id FROM message JOIN message_flags AS f ON f.message_id = message.id";

impl Gone {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: MessageId::new(row.get("id")?),
            account: AccountId::new(row.get("account_id")?),
            at: Timestamp::from_unix_ms(row.get("gone_ms")?),
            from: row.get::<_, Option<String>>("gone_from")?.unwrap_or_default(),
            why: row.get::<_, Option<String>>("gone_why")?.unwrap_or_default(),
            flags: flags_from_row(row)?,
            internal_date: InternalDate::new(row.get("internal_s")?, row.get("internal_offset")?),
            size_bytes: row.get::<_, i64>("size_bytes")?.unsigned_abs(),
            content: row.get::<_, Option<i64>>("content_id")?.map(ContentId::new),
        })
    }
}

impl Reader<'_> {
    /// What can be recovered, the last gone first.
    pub fn gone(&self, account: AccountId) -> Result<Vec<Gone>> {
        let mut select = self.conn().prepare_cached(&format!(
            "{SELECT} WHERE account_id = ?1 AND gone_ms IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM remote_arrival AS a WHERE a.message_id = message.id AND a.waits = 1)
             ORDER BY gone_ms DESC, id DESC"
        ))?;
        Ok(select.query_map([account.get()], Gone::from_row)?.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Puts the bytes of a gone message into a mailbox, as a new message. Not where they are already: it was put back
    /// before, or moved there, and nothing is ever doubled (invariant 3).
    pub fn restore(&mut self, message: MessageId, to: MailboxId) -> Result<Appended> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE id = ?1 AND gone_ms IS NOT NULL"))?;
        let gone = select.query_row([message.get()], Gone::from_row).optional()?.ok_or(Error::NoSuchMessage)?;
        let content = gone.content.ok_or(Error::NoContent)?;
        let mut held = self.conn().prepare_cached("SELECT 1 FROM message WHERE mailbox_id = ?1 AND content_id = ?2")?;
        if held.exists([to.get(), content.get()])? {
            return Err(Error::InPlace(message));
        }
        let target = self.writable(to)?;
        let mod_seq = self.next_mod_seq(to)?;
        let uid = self.take_uids(to, 1)?;
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO message (account_id, mailbox_id, uid, internal_s,
               internal_offset, size_bytes, content_id, saved_ms, object_id)
             SELECT ?2, ?3, ?4, internal_s, internal_offset, size_bytes, content_id, ?5, object_id
             FROM message WHERE id = ?1",
        )?;
        let account = target.account.get();
        insert.execute(params![message.get(), account, to.get(), uid.get(), self.now().unix_ms()])?;
        let restored = MessageId::new(self.conn().last_insert_rowid());
        let mut flags = gone.flags;
        flags.remove(&SystemFlag::Deleted.into());
        self.set_flags(restored, Some((to, uid)), &flags, mod_seq)?;
        self.count_in(target.account, 1, gone.size_bytes)?;
        self.journal(target.account, Op::Append { message: restored, mailbox: to })?;
        Ok(Appended { uid_validity: target.uid_validity, messages: vec![(restored, LocalUid::new(uid.get()))] })
    }

    /// Forgets messages that went before `before`, if upstream does not have them any more and nothing about them is
    /// still to be done; and what is here of mailboxes that
    /// were left out of the mirror before then. Returns how many.
    pub fn purge_gone(&mut self, before: Timestamp) -> Result<usize> {
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM message WHERE gone_ms < ?1
             AND NOT EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = message.id)
             AND NOT EXISTS (SELECT 1 FROM journal_message AS j WHERE j.message_id = message.id)",
        )?;
        Ok(delete.execute([before.unix_ms()])? + self.purge_hidden(before)?)
    }
}
