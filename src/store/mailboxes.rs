//! Mailboxes and subscriptions, as rows.

use rusqlite::{OptionalExtension, Row};

use super::{Error, Reader, Result};
use crate::types::{AccountId, LocalUid, MailboxId, MailboxName, ModSeq, SpecialUse, UidValidity};

/// A mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    pub id: MailboxId,
    pub account: AccountId,
    /// `None`: deleted here, the deletion not yet confirmed upstream.
    pub name: Option<MailboxName>,
    pub special_use: Option<SpecialUse>,
    pub selectable: bool,
    pub read_only: bool,
    pub subscribed: bool,
    pub uid_validity: UidValidity,
    pub uid_next: LocalUid,
    pub highest_mod_seq: ModSeq,
    /// Messages from this UID on were shown to no session yet.
    pub recent_from: LocalUid,
}

const SELECT: &str = "SELECT id, account_id, name, special_use, selectable, read_only, uid_validity, uid_next, highest_mod_seq,
    recent_from_uid,
    EXISTS (SELECT 1 FROM subscription AS s WHERE s.account_id = mailbox.account_id AND s.name = mailbox.name) AS subscribed
    FROM mailbox";

impl Mailbox {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: MailboxId::new(row.get("id")?),
            account: AccountId::new(row.get("account_id")?),
            name: row.get::<_, Option<String>>("name")?.and_then(|name| MailboxName::parse(&name).ok()),
            special_use: SpecialUse::parse(row.get_ref("special_use")?.as_str()?),
            selectable: row.get("selectable")?,
            read_only: row.get("read_only")?,
            subscribed: row.get("subscribed")?,
            uid_validity: UidValidity::new(row.get("uid_validity")?),
            uid_next: LocalUid::new(row.get("uid_next")?),
            highest_mod_seq: ModSeq::new(row.get::<_, i64>("highest_mod_seq")?.unsigned_abs()),
            recent_from: LocalUid::new(row.get("recent_from_uid")?),
        })
    }
}

impl Reader<'_> {
    /// Every mailbox that has a name, sorted by it.
    pub fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>> {
        let mut select = self
            .conn()
            .prepare_cached(&format!("{SELECT} WHERE account_id = ?1 AND name IS NOT NULL ORDER BY name"))?;
        Ok(select.query_map([account.get()], Mailbox::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The mailbox with that name.
    pub fn mailbox_named(&self, account: AccountId, name: &MailboxName) -> Result<Option<Mailbox>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE account_id = ?1 AND name = ?2"))?;
        Ok(select.query_row((account.get(), name.as_str()), Mailbox::from_row).optional()?)
    }

    /// The mailbox, even if it has no name any more.
    pub fn mailbox(&self, mailbox: MailboxId) -> Result<Mailbox> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        select.query_row([mailbox.get()], Mailbox::from_row).optional()?.ok_or(Error::NoSuchMailbox)
    }

    /// Is there such a mailbox, be it only until upstream has heard that it was deleted?
    pub fn has_mailbox(&self, mailbox: MailboxId) -> Result<bool> {
        let mut select = self.conn().prepare_cached("SELECT 1 AS one FROM mailbox WHERE id = ?1")?;
        Ok(select.exists([mailbox.get()])?)
    }

    /// Every subscribed name, sorted, whether or not such a mailbox exists.
    pub fn subscriptions(&self, account: AccountId) -> Result<Vec<MailboxName>> {
        let mut select =
            self.conn().prepare_cached("SELECT name FROM subscription WHERE account_id = ?1 ORDER BY name")?;
        let names = select.query_map([account.get()], |row| row.get::<_, String>("name"))?;
        let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(names.into_iter().filter_map(|name| MailboxName::parse(&name).ok()).collect())
    }

    /// The mailboxes below `name`, sorted.
    pub(in crate::store) fn mailboxes_below(&self, account: AccountId, name: &MailboxName) -> Result<Vec<Mailbox>> {
        // '0' is the character after '/': exactly the names that begin with `name/`.
        let mut select = self.conn().prepare_cached(&format!(
            "{SELECT} WHERE account_id = ?1 AND name > ?2 || '/' AND name < ?2 || '0' ORDER BY name"
        ))?;
        let rows = select.query_map((account.get(), name.as_str()), Mailbox::from_row)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}
