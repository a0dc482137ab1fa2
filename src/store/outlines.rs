//! Messages of which not all bytes are here: their outlines, the sections of them that were fetched, and the bytes once they
//! come.
//!
//! Rules: what upstream gave stays until the whole message is here; a client that was told a size is told that size as long
//! as the message has its UID (RFC 3501 section 9, `msg-att-static`), though the bytes prove it wrong.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::messages::summary_from_bytes;
use super::{Error, Reader, Result, StoredContent, Txn};
use crate::message::Summary;
use crate::types::{
    AccountId, Bounds, ContentId, InternalDate, MailboxId, MessageId, OutlineId, RemoteUid, UidValidity,
};

/// What upstream told of a message beside its header.
#[derive(Debug, Clone)]
pub struct Outline {
    /// RFC822.SIZE.
    pub size_bytes: u64,
    pub summary: Arc<Summary>,
    /// It told nothing more than the header: what the summary says of parts is of no use.
    pub is_bare: bool,
}

/// A message whose bytes are to be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    pub message: MessageId,
    /// Where upstream has it.
    pub mailbox: MailboxId,
    pub uid: RemoteUid,
    pub size_bytes: u64,
    pub internal_date: InternalDate,
    /// The user wants it.
    pub pinned: bool,
}

/// How much is not here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AbsentCounts {
    pub messages: u64,
    pub bytes: u64,
    /// The smallest of them has so many.
    pub least_bytes: u64,
}

/// How often upstream is asked for bytes that it does not give, before the user asks for them.
pub(in crate::store) const ASKED_MAX: u32 = 5;

/// Messages above that size come after the smaller ones.
pub(in crate::store) const SMALL_MAX_BYTES: i64 = 256 * 1024;

const ABSENT: &str = "SELECT m.id, r.mailbox_id, r.uid, m.size_bytes, m.internal_s, m.internal_offset, m.pinned
     FROM remote_message AS r JOIN message AS m ON m.id = r.message_id";

impl Absent {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            message: MessageId::new(row.get("id")?),
            mailbox: MailboxId::new(row.get("mailbox_id")?),
            uid: RemoteUid::new(row.get("uid")?),
            size_bytes: row.get::<_, i64>("size_bytes")?.unsigned_abs(),
            internal_date: InternalDate::new(row.get("internal_s")?, row.get("internal_offset")?),
            pinned: row.get("pinned")?,
        })
    }
}

impl Reader<'_> {
    /// Messages that upstream has in the mailbox and whose bytes are to be fetched: those that the user wants, then those
    /// within `bounds`; small ones first, newer ones before older ones.
    pub fn absent(&self, mailbox: MailboxId, bounds: Option<&Bounds>, max: usize) -> Result<Vec<Absent>> {
        let (max_bytes, since_s) = bounds
            .map_or((-1, i64::MAX), |bounds| (i64::try_from(bounds.max_bytes).unwrap_or(i64::MAX), bounds.since_s));
        let mut select = self.conn().prepare_cached(&format!(
            "{ABSENT} WHERE r.mailbox_id = ?1 AND r.uid > 0 AND m.outline_id IS NOT NULL AND m.mailbox_id IS NOT NULL
             AND m.withheld < ?2 AND (m.pinned = 1 OR (m.size_bytes <= ?3 AND m.internal_s >= ?4))
             ORDER BY m.pinned DESC, m.size_bytes > ?5, m.internal_s DESC, r.uid DESC LIMIT ?6"
        ))?;
        let values = params![
            mailbox.get(),
            ASKED_MAX,
            max_bytes,
            since_s,
            SMALL_MAX_BYTES,
            i64::try_from(max).unwrap_or(i64::MAX)
        ];
        Ok(select.query_map(values, Absent::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Where upstream has the message, if its bytes are not here, or that of which it is a copy.
    pub fn absent_message(&self, message: MessageId) -> Result<Option<Absent>> {
        let mut select = self.conn().prepare_cached(&format!(
            "{ABSENT} WHERE r.uid > 0 AND m.outline_id = (SELECT outline_id FROM message WHERE id = ?1)
             ORDER BY m.id <> ?1, m.id LIMIT 1"
        ))?;
        Ok(select.query_row([message.get()], Absent::from_row).optional()?)
    }

    /// How much of the account is not here.
    pub fn absent_counts(&self, account: AccountId) -> Result<AbsentCounts> {
        let mut select = self.conn().prepare_cached(
            "SELECT count(*) AS messages, coalesce(sum(size_bytes), 0) AS bytes, coalesce(min(size_bytes), 0) AS least
             FROM message WHERE outline_id IS NOT NULL AND mailbox_id IS NOT NULL AND account_id = ?1",
        )?;
        Ok(select.query_row([account.get()], AbsentCounts::from_row)?)
    }

    /// How many messages of the account upstream was asked for so often in vain that it is asked no more by itself.
    pub fn withheld_count(&self, account: AccountId) -> Result<u64> {
        let mut select = self.conn().prepare_cached(
            "SELECT count(*) AS n FROM message
             WHERE outline_id IS NOT NULL AND mailbox_id IS NOT NULL AND withheld >= ?2 AND account_id = ?1",
        )?;
        Ok(select.query_row(params![account.get(), ASKED_MAX], |row| row.get::<_, i64>("n"))?.unsigned_abs())
    }

    /// Messages in the mailbox of which not all bytes are here, newer ones before older ones.
    pub fn outlined_in(&self, mailbox: MailboxId) -> Result<Vec<MessageId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT id FROM message WHERE mailbox_id = ?1 AND outline_id IS NOT NULL ORDER BY internal_s DESC, uid DESC",
        )?;
        let messages = select.query_map([mailbox.get()], |row| row.get("id").map(MessageId::new))?;
        Ok(messages.collect::<rusqlite::Result<_>>()?)
    }

    /// As [`Self::absent`], only how much.
    pub fn absent_within(&self, mailbox: MailboxId, bounds: Option<&Bounds>) -> Result<AbsentCounts> {
        let (max_bytes, since_s) = bounds
            .map_or((-1, i64::MAX), |bounds| (i64::try_from(bounds.max_bytes).unwrap_or(i64::MAX), bounds.since_s));
        let mut select = self.conn().prepare_cached(
            "SELECT count(*) AS messages, coalesce(sum(m.size_bytes), 0) AS bytes, coalesce(min(m.size_bytes), 0) AS least
             FROM remote_message AS r JOIN message AS m ON m.id = r.message_id
             WHERE r.mailbox_id = ?1 AND r.uid > 0 AND m.outline_id IS NOT NULL AND m.mailbox_id IS NOT NULL
             AND m.withheld < ?2 AND (m.pinned = 1 OR (m.size_bytes <= ?3 AND m.internal_s >= ?4))",
        )?;
        Ok(select.query_row(params![mailbox.get(), ASKED_MAX, max_bytes, since_s], AbsentCounts::from_row)?)
    }

    /// A section of a message that was fetched alone, and its size.
    pub fn section(&self, message: MessageId, name: &str) -> Result<Option<(ContentId, u64)>> {
        let mut select = self.conn().prepare_cached(
            "SELECT s.content_id, c.size_bytes FROM message AS m JOIN section AS s ON s.outline_id = m.outline_id
             JOIN content AS c ON c.id = s.content_id WHERE m.id = ?1 AND s.name = ?2",
        )?;
        let found = select.query_row(params![message.get(), name], |row| {
            Ok((ContentId::new(row.get("content_id")?), row.get::<_, i64>("size_bytes")?.unsigned_abs()))
        });
        Ok(found.optional()?)
    }

    /// The summary of a message, whether its bytes are here or not.
    pub fn summary_of(&self, message: MessageId) -> Result<Option<Arc<Summary>>> {
        let mut select = self.conn().prepare_cached(
            "SELECT coalesce(c.summary, o.summary) AS summary FROM message AS m
             LEFT JOIN content AS c ON c.id = m.content_id LEFT JOIN outline AS o ON o.id = m.outline_id WHERE m.id = ?1",
        )?;
        let bytes: Option<Vec<u8>> = select.query_row([message.get()], |row| row.get("summary")).optional()?.flatten();
        bytes.map(|bytes| summary_from_bytes(&bytes)).transpose()
    }
}

impl AbsentCounts {
    /// As much, and this.
    pub fn add(&mut self, more: Self) {
        self.least_bytes = match (self.messages, more.messages) {
            (0, _) => more.least_bytes,
            (_, 0) => self.least_bytes,
            _ => self.least_bytes.min(more.least_bytes),
        };
        self.messages += more.messages;
        self.bytes += more.bytes;
    }

    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let unsigned = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Self { messages: unsigned("messages")?, bytes: unsigned("bytes")?, least_bytes: unsigned("least")? })
    }
}

impl Txn<'_> {
    /// The bytes of the message that upstream has there. `false`: it has another there by now, or they are here already.
    pub fn fill(
        &mut self,
        mailbox: MailboxId,
        uid_validity: UidValidity,
        uid: RemoteUid,
        stored: &StoredContent,
    ) -> Result<bool> {
        let known = self.reader().remote_mailbox(mailbox)?;
        if known.is_none_or(|known| known.cursor.uid_validity != Some(uid_validity)) {
            return Ok(false);
        }
        match self.bound_at(mailbox, uid)? {
            Some(message) => self.refill(message, stored),
            None => Ok(false),
        }
    }

    /// The bytes of a message that has none here, and of its copies.
    pub(in crate::store) fn refill(&mut self, message: MessageId, stored: &StoredContent) -> Result<bool> {
        let Some(facts) = self.reader().message_facts(message)?.filter(|facts| facts.content.is_none()) else {
            return Ok(false);
        };
        let (content, size) = (self.link(stored)?, stored.size_bytes.cast_signed());
        let told = "told_bytes = coalesce(told_bytes, nullif(size_bytes, ?3))";
        match facts.outline {
            Some(outline) => {
                let mut update = self.conn().prepare_cached(&format!(
                    "UPDATE message SET content_id = ?2, {told}, size_bytes = ?3, outline_id = NULL, pinned = 0,
                       withheld = 0 WHERE outline_id = ?1"
                ))?;
                update.execute(params![outline.get(), content.get(), size])?;
            }
            None => {
                let mut update = self.conn().prepare_cached(&format!(
                    "UPDATE message SET content_id = ?2, {told}, size_bytes = ?3 WHERE id = ?1"
                ))?;
                update.execute(params![message.get(), content.get(), size])?;
            }
        }
        self.touch(self.reader().account_of_message(message)?);
        Ok(true)
    }

    /// What upstream told of a message of which nothing is here any more.
    pub(in crate::store) fn outline_anew(
        &mut self,
        message: MessageId,
        header: &StoredContent,
        outline: &Outline,
    ) -> Result<()> {
        let facts = self.reader().message_facts(message)?;
        if facts.is_some_and(|facts| facts.content.is_none() && facts.outline.is_none()) {
            let outline = self.insert_outline(header, outline)?;
            let mut update = self.conn().prepare_cached("UPDATE message SET outline_id = ?2 WHERE id = ?1")?;
            update.execute(params![message.get(), outline.get()])?;
        }
        Ok(())
    }

    pub(in crate::store) fn insert_outline(&self, header: &StoredContent, outline: &Outline) -> Result<OutlineId> {
        let header = self.link(header)?;
        let summary = postcard::to_stdvec(outline.summary.as_ref())
            .map_err(|error| Error::Damaged(format!("a summary that cannot be written: {error}")))?;
        let mut insert =
            self.conn().prepare_cached("INSERT INTO outline (header_id, summary, bare) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![header.get(), summary, outline.is_bare])?;
        Ok(OutlineId::new(self.conn().last_insert_rowid()))
    }

    /// A section of the message that upstream has there. `false`: as for [`Self::fill`].
    pub fn keep_section(
        &mut self,
        message: MessageId,
        uid_validity: UidValidity,
        name: &str,
        stored: &StoredContent,
    ) -> Result<bool> {
        let Some(facts) = self.reader().message_facts(message)? else { return Ok(false) };
        let (Some(outline), Some(binding)) = (facts.outline, facts.upstream) else { return Ok(false) };
        let known = self.reader().remote_mailbox(binding.mailbox)?;
        if known.is_none_or(|known| known.cursor.uid_validity != Some(uid_validity)) {
            return Ok(false);
        }
        let content = self.link(stored)?;
        let mut insert = self
            .conn()
            .prepare_cached("INSERT OR REPLACE INTO section (outline_id, name, content_id) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![outline.get(), name, content.get()])?;
        self.touch(self.reader().account_of_message(message)?);
        Ok(true)
    }

    /// The pieces of a message that did not make up the whole of it are of no use.
    pub fn drop_sections(&mut self, message: MessageId) -> Result<()> {
        let mut delete = self
            .conn()
            .prepare_cached("DELETE FROM section WHERE outline_id = (SELECT outline_id FROM message WHERE id = ?1)")?;
        delete.execute([message.get()])?;
        Ok(())
    }

    /// Upstream was asked for the bytes of the message and did not give them.
    pub fn withheld(&mut self, message: MessageId) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE message SET withheld = withheld + 1 WHERE id = ?1")?;
        update.execute([message.get()])?;
        Ok(())
    }

    /// The user wants the bytes of these messages. Returns how many of them are not here.
    pub fn pin(&mut self, messages: &[MessageId]) -> Result<u64> {
        let mut pinned = 0;
        let mut update = self
            .conn()
            .prepare_cached("UPDATE message SET pinned = 1, withheld = 0 WHERE id = ?1 AND outline_id IS NOT NULL")?;
        for message in messages {
            pinned += update.execute([message.get()])? as u64;
        }
        Ok(pinned)
    }
}

/// A content is missing or spoilt: what is known of messages by it is forgotten, and asked for again.
pub(super) fn forget_content(hot: &Connection, content: i64) -> Result<()> {
    for sql in [
        "DELETE FROM section WHERE content_id = ?1",
        "UPDATE message SET outline_id = NULL WHERE outline_id IN (SELECT id FROM outline WHERE header_id = ?1)",
    ] {
        hot.prepare_cached(sql)?.execute([content])?;
    }
    Ok(())
}
