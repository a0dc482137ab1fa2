//! What is known of one message wherever it stands: for `syncctl why` and `syncctl recover`, which look back.

use rusqlite::params;

use super::conflicts::Conflict;
use super::gone::Gone;
use super::messages::summary_from_bytes;
use super::{Reader, Result};
use crate::journal::Entry;
use crate::types::{AccountId, ContentId, EntryId, MessageId, SubmissionId};

impl Reader<'_> {
    /// Every message, in a mailbox or gone (not one that waits to be known), whose Message-ID is `message_id`. Reads the summary of every content.
    pub fn messages_with_message_id(&self, message_id: &[u8]) -> Result<Vec<MessageId>> {
        let mut messages = Vec::new();
        let mut select = self.conn().prepare_cached("SELECT id, summary FROM content")?;
        let mut bearers = self.conn().prepare_cached(
            "SELECT id FROM message WHERE content_id = ?1
             AND NOT EXISTS (SELECT 1 FROM remote_arrival AS a WHERE a.message_id = message.id AND a.waits = 1)",
        )?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref("summary")?.as_blob().map_err(rusqlite::Error::from)?;
            // Most are told from what is sought without being decoded.
            if !bytes.windows(message_id.len().max(1)).any(|window| window == message_id) {
                continue;
            }
            let found = summary_from_bytes(bytes)?.envelope.message_id.clone();
            if found.is_some_and(|found| found.trim_ascii() == message_id) {
                let ids = bearers.query_map([row.get::<_, i64>("id")?], |row| row.get("id").map(MessageId::new))?;
                messages.extend(ids.collect::<rusqlite::Result<Vec<_>>>()?);
            }
        }
        messages.sort();
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

    /// The entries in which something about the message is still to be done, oldest first.
    pub fn entries_about(&self, message: MessageId) -> Result<Vec<Entry>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT entry_id FROM journal_message WHERE message_id = ?1 ORDER BY entry_id")?;
        let ids = select.query_map([message.get()], |row| row.get("entry_id").map(EntryId::new))?;
        let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
        ids.into_iter().map(|id| self.entry(id)).collect()
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
