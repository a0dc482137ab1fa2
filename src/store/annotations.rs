//! Annotations of mailboxes and of accounts (RFC 5464): small values by name.

use std::collections::BTreeMap;

use rusqlite::params;

use super::{Reader, Result, Txn};
use crate::types::{AccountId, MailboxId};

/// What an annotation is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotated {
    Account(AccountId),
    Mailbox(MailboxId),
}

impl Annotated {
    /// The table and its key column.
    const fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Account(_) => ("account_annotation", "account_id"),
            Self::Mailbox(_) => ("mailbox_annotation", "mailbox_id"),
        }
    }

    const fn key(self) -> i64 {
        match self {
            Self::Account(account) => account.get(),
            Self::Mailbox(mailbox) => mailbox.get(),
        }
    }
}

impl Reader<'_> {
    /// Every annotation, by its name.
    pub fn annotations(&self, of: Annotated) -> Result<BTreeMap<String, Vec<u8>>> {
        let (table, key) = of.place();
        let mut select = self.conn().prepare_cached(&format!("SELECT entry, value FROM {table} WHERE {key} = ?1"))?;
        let rows = select.query_map([of.key()], |row| Ok((row.get("entry")?, row.get("value")?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Sets annotations; those without a value go.
    pub fn annotate(&mut self, of: Annotated, entries: &[(String, Option<Vec<u8>>)]) -> Result<()> {
        let account = match of {
            Annotated::Account(account) => account,
            Annotated::Mailbox(mailbox) => self.reader().mailbox(mailbox)?.account,
        };
        self.touch(account);
        let (table, key) = of.place();
        for (entry, value) in entries {
            match value {
                Some(value) => {
                    let mut insert = self.conn().prepare_cached(&format!(
                        "INSERT INTO {table} ({key}, entry, value) VALUES (?1, ?2, ?3)
                         ON CONFLICT DO UPDATE SET value = excluded.value"
                    ))?;
                    insert.execute(params![of.key(), entry, value])?;
                }
                None => {
                    let sql = format!("DELETE FROM {table} WHERE {key} = ?1 AND entry = ?2");
                    self.conn().prepare_cached(&sql)?.execute(params![of.key(), entry])?;
                }
            }
        }
        Ok(())
    }

    /// A mailbox made in place of another has its annotations (RFC 5464 section 4.1, on the rename of INBOX).
    pub(in crate::store) fn copy_annotations(&self, from: MailboxId, to: MailboxId) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO mailbox_annotation (mailbox_id, entry, value)
             SELECT ?2, entry, value FROM mailbox_annotation WHERE mailbox_id = ?1",
        )?;
        insert.execute(params![from.get(), to.get()])?;
        Ok(())
    }

    /// A mailbox that is deleted leaves none, even where its name stays (RFC 5464 section 4.1).
    pub(in crate::store) fn drop_annotations(&self, mailbox: MailboxId) -> Result<()> {
        let mut delete = self.conn().prepare_cached("DELETE FROM mailbox_annotation WHERE mailbox_id = ?1")?;
        delete.execute([mailbox.get()])?;
        Ok(())
    }
}
