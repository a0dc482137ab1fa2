//! Annotations of mailboxes and of accounts (RFC 5464): small values by name.

use std::collections::BTreeMap;

use rusqlite::params;

use super::rights::Standing;
use super::{Error, Reader, Result, Txn};
use crate::types::{AccountId, MailboxId, Right};

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

/// Where the annotations of a mailbox are that are each guest's own.
const OF_GUESTS: &str = "guest_annotation";

/// What is each user's own (RFC 5464 section 3.3).
fn is_private(entry: &str) -> bool {
    entry.starts_with("/private/")
}

impl Reader<'_> {
    /// Every annotation that the viewer may see, by its name.
    pub fn annotations(&self, of: Annotated) -> Result<BTreeMap<String, Vec<u8>>> {
        let (table, key) = of.place();
        let mut annotations = self.annotations_in(&format!("{table} WHERE {key} = {}", of.key()))?;
        if let Annotated::Mailbox(mailbox) = of
            && let Some(guest) = self.guest_who_annotates(mailbox)?.guest
        {
            annotations.retain(|entry, _| !is_private(entry));
            let own = format!("{OF_GUESTS} WHERE {key} = {mailbox} AND account_id = {guest}");
            annotations.append(&mut self.annotations_in(&own)?);
        }
        Ok(annotations)
    }

    fn annotations_in(&self, place: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let mut select = self.conn().prepare_cached(&format!("SELECT entry, value FROM {place}"))?;
        let rows = select.query_map([], |row| Ok((row.get("entry")?, row.get("value")?)))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// "Users can only set and retrieve private or shared mailbox annotations on a mailbox on which they have the "l" right and
    /// any one of the "r", "s", "w", "i", or "p" rights" (RFC 5464 section 3.3).
    fn guest_who_annotates(&self, mailbox: MailboxId) -> Result<Standing> {
        let standing = self.admit(&self.mailbox(mailbox)?, &[])?;
        let any = [Right::Read, Right::Seen, Right::Write, Right::Insert, Right::Post];
        match (standing.rights.has(Right::Lookup), standing.rights.has_any(&any)) {
            (true, true) => Ok(standing),
            (true, false) => Err(Error::NoPermission),
            (false, _) => Err(Error::NoSuchMailbox),
        }
    }
}

impl Txn<'_> {
    /// Sets annotations; those without a value go. What others see of a mailbox changes who may write to it.
    pub fn annotate(&mut self, of: Annotated, entries: &[(String, Option<Vec<u8>>)]) -> Result<()> {
        let (account, standing) = match of {
            Annotated::Account(account) => (account, None),
            Annotated::Mailbox(mailbox) => {
                let standing = self.eyes().guest_who_annotates(mailbox)?;
                (self.reader().mailbox(mailbox)?.account, Some(standing))
            }
        };
        let may_share = standing.is_none_or(|standing| standing.rights.has(Right::Write));
        let guest = standing.and_then(|standing| standing.guest);
        self.touch(account);
        if let Annotated::Mailbox(mailbox) = of {
            // Of a mailbox with QRESYNC (RFC 7162 section 3.2).
            self.next_mod_seq(mailbox)?;
        }
        for (entry, value) in entries {
            let (table, key) = of.place();
            let guest = guest.filter(|_| is_private(entry));
            let (table, more) = match guest {
                Some(guest) => (OF_GUESTS, format!("AND account_id = {guest}")),
                None if may_share || is_private(entry) => (table, String::new()),
                None => return Err(Error::NoPermission),
            };
            let place = params![of.key(), entry];
            let delete = format!("DELETE FROM {table} WHERE {key} = ?1 AND entry = ?2 {more}");
            self.conn().prepare_cached(&delete)?.execute(place)?;
            let Some(value) = value else { continue };
            let (column, account) = match guest {
                Some(guest) => (", account_id", format!(", {guest}")),
                None => ("", String::new()),
            };
            let insert = format!("INSERT INTO {table} ({key}, entry, value{column}) VALUES (?1, ?2, ?3{account})");
            self.conn().prepare_cached(&insert)?.execute(params![of.key(), entry, value])?;
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
        for table in ["mailbox_annotation", "guest_annotation"] {
            let sql = format!("DELETE FROM {table} WHERE mailbox_id = ?1");
            self.conn().prepare_cached(&sql)?.execute([mailbox.get()])?;
        }
        Ok(())
    }
}
