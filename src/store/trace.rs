//! What is known of one message wherever it stands: for `syncctl why` and `syncctl recover`, which look back.

use rusqlite::{Connection, params};

use super::conflicts::Conflict;
use super::gone::Gone;
use super::messages::summary_from_bytes;
use super::{Reader, Result};
use crate::message::Summary;
use crate::types::{AccountId, ContentId, MessageId, SubmissionId};

impl Reader<'_> {
    /// Every message, in a mailbox or gone (not one that waits to be known), whose Message-ID is `message_id`.
    pub fn messages_with_message_id(&self, message_id: &[u8]) -> Result<Vec<MessageId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT m.id, c.summary FROM content AS c JOIN message AS m
               ON m.content_id = c.id OR m.outline_id IN (SELECT o.id FROM outline AS o WHERE o.header_id = c.id)
             WHERE c.message_id_hash = ?1
             AND NOT EXISTS (SELECT 1 FROM remote_arrival AS a WHERE a.message_id = m.id AND a.waits = 1) ORDER BY m.id",
        )?;
        let mut rows = select.query([hash(message_id)])?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next()? {
            let summary = summary_from_bytes(row.get_ref("summary")?.as_blob().map_err(rusqlite::Error::from)?)?;
            // Another one may have the same hash.
            if message_id_of(&summary) == Some(message_id) {
                messages.push(row.get("id").map(MessageId::new)?);
            }
        }
        Ok(messages)
    }

    /// The account of a message, gone or not.
    pub fn account_of_message(&self, message: MessageId) -> Result<AccountId> {
        let mut select = self.conn().prepare_cached("SELECT account_id FROM message WHERE id = ?1")?;
        Ok(AccountId::new(select.query_row([message.get()], |row| row.get("account_id"))?))
    }

    /// The message, if it is in no mailbox any more.
    pub fn gone_message(&self, message: MessageId) -> Result<Option<Gone>> {
        let account = self.account_of_message(message)?;
        Ok(self.gone(account)?.into_iter().find(|gone| gone.id == message))
    }

    /// The names of the account's mailboxes in which there is a message with these bytes, sorted.
    pub fn mailboxes_holding(&self, account: AccountId, content: ContentId) -> Result<Vec<String>> {
        let mut select = self.conn().prepare_cached(
            "SELECT DISTINCT b.name FROM message AS m JOIN mailbox AS b ON b.id = m.mailbox_id
             WHERE m.content_id = ?2 AND m.account_id = ?1 AND b.name IS NOT NULL ORDER BY b.name",
        )?;
        let names = select.query_map(params![account.get(), content.get()], |row| row.get("name"))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    /// What was recorded about the message, dismissed or not, oldest first.
    pub fn conflicts_about(&self, message: MessageId) -> Result<Vec<Conflict>> {
        let mut select = self.conn().prepare_cached(
            "SELECT id, account_id, at_ms, kind, message_id, mailbox, here, upstream, result FROM conflict
             WHERE message_id = ?1 ORDER BY id",
        )?;
        Ok(select.query_map([message.get()], Conflict::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The submissions with that Message-ID, oldest first.
    pub fn submissions_with_message_id(&self, message_id: &str) -> Result<Vec<SubmissionId>> {
        let mut select = self.conn().prepare_cached("SELECT id FROM submission WHERE message_id = ?1 ORDER BY id")?;
        let ids = select.query_map([message_id], |row| row.get("id").map(SubmissionId::new))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }
}

/// What is in the column `message_id_hash` of a content.
pub(in crate::store) fn message_id_hash(summary: &Summary) -> i64 {
    message_id_of(summary).map_or(0, hash)
}

fn message_id_of(summary: &Summary) -> Option<&[u8]> {
    summary.envelope.message_id.as_deref().map(<[u8]>::trim_ascii)
}

fn hash(message_id: &[u8]) -> i64 {
    blake3::hash(message_id).as_bytes().first_chunk().copied().map_or(0, i64::from_le_bytes)
}

/// Fills the column where it was not known yet: in a store written before there was one.
pub(super) fn note_message_ids(hot: &mut Connection) -> Result<()> {
    let transaction = hot.transaction()?;
    {
        let mut select = transaction.prepare("SELECT id FROM content WHERE message_id_hash IS NULL ORDER BY id")?;
        let mut update = transaction.prepare("UPDATE content SET message_id_hash = ?2 WHERE id = ?1")?;
        let ids = select.query_map([], |row| row.get::<_, i64>("id"))?.collect::<rusqlite::Result<Vec<_>>>()?;
        for id in ids {
            // One that cannot be read is for the audit to tell; the store opens all the same.
            let summary = Reader::new(&transaction).summary(ContentId::new(id));
            update.execute(params![id, summary.map_or(0, |summary| message_id_hash(&summary))])?;
        }
    }
    Ok(transaction.commit()?)
}
