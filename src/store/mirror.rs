//! Mailboxes that the configuration leaves out of the mirror, once they are in it.
//!
//! Rules: nothing is deleted upstream. A mailbox goes out of sight as it is, with its messages, its UIDs and its cursor, and
//! comes back as it was, so that nothing is fetched again; after `recovery-days` what is here of it is dropped. One about
//! which something is still to be done upstream stays until that is done. Only a change of the choice hides anything: a
//! mailbox that the user makes here is mirrored whatever its name. INBOX is never hidden (RFC 3501 section 5.1).

use rusqlite::{OptionalExtension, params};

use super::{Mailbox, Result, Txn};
use crate::journal::Op;
use crate::types::{AccountId, MailboxId, MailboxName, Timestamp};

/// What a choice of mailboxes changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Out of sight now.
    pub hidden: Vec<MailboxName>,
    /// In sight again.
    pub shown: Vec<MailboxName>,
    /// Still in sight, until what waits in them is done upstream.
    pub held: Vec<MailboxName>,
}

impl Txn<'_> {
    /// Does `choice` differ from what was carried out last? The first one, also that of a store made before choices were
    /// noted, differs from none.
    pub(in crate::store) fn is_new_choice(&self, account: AccountId, choice: &str) -> Result<bool> {
        let mut select = self.conn().prepare_cached("SELECT mirror FROM account WHERE id = ?1")?;
        let last: String = select.query_row([account.get()], |row| row.get("mirror"))?;
        Ok(!last.is_empty() && last != choice)
    }

    /// It was carried out.
    pub(in crate::store) fn set_choice(&mut self, account: AccountId, choice: &str) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE account SET mirror = ?2 WHERE id = ?1 AND mirror <> ?2")?;
        update.execute(params![account.get(), choice])?;
        Ok(())
    }

    /// Hides a mailbox that is not to be mirrored, unless something about it is still to be done.
    pub(in crate::store) fn leave_out(&mut self, mailbox: MailboxId, mirrored: &mut Mirrored) -> Result<()> {
        let local = self.reader().mailbox(mailbox)?;
        let Some(name) = local.name.clone().filter(|name| !name.is_inbox()) else { return Ok(()) };
        if self.has_work(&local)? {
            mirrored.held.push(name);
            return Ok(());
        }
        self.next_mod_seq(mailbox)?;
        self.lift_quarantine(local.account, mailbox)?;
        self.set_subscribed(local.account, &name, false)?;
        let mut update = self
            .conn()
            .prepare_cached("UPDATE mailbox SET hidden_name = name, hidden_ms = ?2, name = NULL WHERE id = ?1")?;
        update.execute(params![mailbox.get(), self.now().unix_ms()])?;
        mirrored.hidden.push(name);
        Ok(())
    }

    /// Shows a hidden mailbox again; does nothing about one that is in sight, or that the user deleted.
    pub(in crate::store) fn take_up_again(
        &mut self,
        mailbox: MailboxId,
        name: &MailboxName,
        mirrored: &mut Mirrored,
    ) -> Result<()> {
        if !self.is_hidden(mailbox)? {
            return Ok(());
        }
        let local = self.reader().mailbox(mailbox)?;
        let name = self.free_name(local.account, name)?;
        self.show(mailbox, &name)?;
        mirrored.shown.push(name);
        Ok(())
    }

    /// Is it left out of the mirror?
    pub(in crate::store) fn is_hidden(&self, mailbox: MailboxId) -> Result<bool> {
        let mut select =
            self.conn().prepare_cached("SELECT 1 AS one FROM mailbox WHERE id = ?1 AND hidden_name IS NOT NULL")?;
        Ok(select.exists([mailbox.get()])?)
    }

    /// The mailbox of that name that is left out of the mirror.
    pub(in crate::store) fn hidden_named(&self, account: AccountId, name: &MailboxName) -> Result<Option<MailboxId>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT id FROM mailbox WHERE account_id = ?1 AND hidden_name = ?2 ORDER BY id LIMIT 1")?;
        let found = select.query_row(params![account.get(), name.as_str()], |row| row.get("id")).optional()?;
        Ok(found.map(MailboxId::new))
    }

    /// Gives a hidden mailbox a name, by which it is in sight.
    pub(in crate::store) fn show(&mut self, mailbox: MailboxId, name: &MailboxName) -> Result<()> {
        let mut update = self
            .conn()
            .prepare_cached("UPDATE mailbox SET name = ?2, hidden_name = NULL, hidden_ms = NULL WHERE id = ?1")?;
        update.execute(params![mailbox.get(), name.as_str()])?;
        self.next_mod_seq(mailbox)?;
        Ok(())
    }

    /// Forgets what is here of mailboxes that were hidden before `before`. Returns how many messages that were.
    pub(in crate::store) fn purge_hidden(&mut self, before: Timestamp) -> Result<usize> {
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM message WHERE mailbox_id IN (SELECT id FROM mailbox WHERE hidden_ms < ?1)
             AND NOT EXISTS (SELECT 1 FROM journal_message AS j WHERE j.message_id = message.id)",
        )?;
        let messages = delete.execute([before.unix_ms()])?;
        for sql in [
            "DELETE FROM remote_message WHERE mailbox_id IN (SELECT b.id FROM mailbox AS b WHERE b.hidden_ms < ?1
               AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.mailbox_id = b.id))",
            "DELETE FROM mailbox WHERE hidden_ms < ?1
               AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.mailbox_id = mailbox.id)",
        ] {
            self.conn().prepare_cached(sql)?.execute([before.unix_ms()])?;
        }
        Ok(messages)
    }

    /// Is anything about the mailbox, or about a message that is in it on either side, still to be done upstream?
    fn has_work(&self, mailbox: &Mailbox) -> Result<bool> {
        let mut select = self.conn().prepare_cached(
            "SELECT 1 AS one FROM journal_message AS j JOIN message AS m ON m.id = j.message_id
             LEFT JOIN remote_message AS r ON r.message_id = m.id WHERE m.mailbox_id = ?1 OR r.mailbox_id = ?1",
        )?;
        if select.exists([mailbox.id.get()])? {
            return Ok(true);
        }
        let entries = self.reader().folder_entries(mailbox.account)?;
        Ok(entries.iter().any(|entry| match &entry.op {
            Op::CreateMailbox { mailbox: id, .. } | Op::DeleteMailbox { mailbox: id, .. } => *id == mailbox.id,
            Op::RenameMailbox { to, .. } => mailbox.name.as_ref().is_some_and(|name| name == to || name.is_below(to)),
            Op::Subscribe { name, .. } => mailbox.name.as_ref() == Some(name),
            Op::Flags { .. } | Op::Move { .. } | Op::Copy { .. } | Op::Append { .. } | Op::Expunge { .. } => false,
        }))
    }
}
