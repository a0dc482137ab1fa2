//! One message upstream in several mailboxes: here a message in each, known as the same by EMAILID or by the bytes.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::params;

use super::{Reader, Result, Txn};
use crate::types::{AccountId, ContentId, MailboxId, MessageId, RemoteUid};

/// Is `twin` the same message as `m`? Where an EMAILID is missing the bytes tell.
const IS_SAME: &str = "twin.account_id = m.account_id AND twin.id <> m.id
    AND (twin.email_id = m.email_id OR ((twin.email_id IS NULL OR m.email_id IS NULL) AND twin.content_id = m.content_id))";

impl Reader<'_> {
    /// The bytes of the messages that upstream gave an identity.
    pub fn contents_by_email_id(&self, account: AccountId) -> Result<BTreeMap<String, ContentId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT email_id, content_id FROM message
             WHERE account_id = ?1 AND email_id IS NOT NULL AND content_id IS NOT NULL",
        )?;
        let pair = |row: &rusqlite::Row<'_>| Ok((row.get("email_id")?, ContentId::new(row.get("content_id")?)));
        Ok(select.query_map([account.get()], pair)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Messages upstream in this mailbox of which it is not known by what identity.
    pub fn bound_without_email_id(&self, mailbox: MailboxId) -> Result<BTreeMap<RemoteUid, MessageId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT r.uid, r.message_id FROM remote_message AS r JOIN message AS m ON m.id = r.message_id
             WHERE r.mailbox_id = ?1 AND r.uid > 0 AND m.email_id IS NULL",
        )?;
        let pair =
            |row: &rusqlite::Row<'_>| Ok((RemoteUid::new(row.get("uid")?), MessageId::new(row.get("message_id")?)));
        Ok(select.query_map([mailbox.get()], pair)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Does upstream have the same message in this mailbox under another id of ours?
    pub fn is_in(&self, message: MessageId, mailbox: MailboxId) -> Result<bool> {
        let mut select = self.conn().prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM message AS m CROSS JOIN message AS twin ON {IS_SAME}
               CROSS JOIN remote_message AS r ON r.message_id = twin.id AND r.mailbox_id = ?2 WHERE m.id = ?1) AS found"
        ))?;
        Ok(select.query_row(params![message.get(), mailbox.get()], |row| row.get("found"))?)
    }

    /// Does upstream have the same message under another id of ours that is none of `gone`?
    pub fn is_held_elsewhere(&self, message: MessageId, gone: &BTreeSet<MessageId>) -> Result<bool> {
        Ok(self.twins(message, IS_SAME)?.iter().any(|twin| !gone.contains(twin)))
    }

    /// Other ids of ours under which upstream has the same message, by its EMAILID.
    pub fn twins_by_email_id(&self, message: MessageId) -> Result<Vec<MessageId>> {
        self.twins(message, "twin.account_id = m.account_id AND twin.id <> m.id AND twin.email_id = m.email_id")
    }

    fn twins(&self, message: MessageId, is_same: &str) -> Result<Vec<MessageId>> {
        let mut select = self.conn().prepare_cached(&format!(
            "SELECT twin.id FROM message AS m CROSS JOIN message AS twin ON {is_same}
             CROSS JOIN remote_message AS r ON r.message_id = twin.id WHERE m.id = ?1 ORDER BY twin.id"
        ))?;
        let twins = select.query_map([message.get()], |row| row.get("id").map(MessageId::new))?;
        Ok(twins.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Upstream knows the message by this identity.
    pub fn set_email_id(&mut self, message: MessageId, email_id: &str) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE message SET email_id = ?2 WHERE id = ?1")?;
        update.execute(params![message.get(), email_id])?;
        Ok(())
    }

    /// The message was put where upstream has it already, as another of ours: that one stays, and it goes.
    pub fn coincide(&mut self, message: MessageId) -> Result<()> {
        self.goes(message, "its mailbox has it already")?;
        self.unbind(message)?;
        self.settle_message(message)
    }
}
