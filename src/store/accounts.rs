//! Accounts of the agent, users of refserver.

use rusqlite::{OptionalExtension, Row, params};

use super::{Error, Reader, Result, Txn};
use crate::types::{AccountId, MailboxName, Timestamp, UidValidity};

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    /// Upstream's hierarchy delimiter; `None` while unknown, or where names are flat.
    pub delimiter: Option<char>,
    pub last_sync: Option<Timestamp>,
    pub last_error: Option<String>,
    /// The user wants no connection to its servers.
    pub paused: bool,
    /// Copies that others make in Sent come late.
    pub late_copies: bool,
    /// Its mail is taken from a POP3 maildrop: what is done here is done nowhere else.
    pub maildrop: bool,
}

const COLUMNS: &str = "id, name, delimiter, last_sync_ms, last_error, paused, late_copies, maildrop";

impl Account {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: AccountId::new(row.get("id")?),
            name: row.get("name")?,
            delimiter: row.get::<_, String>("delimiter")?.chars().next(),
            last_sync: row.get::<_, Option<i64>>("last_sync_ms")?.map(Timestamp::from_unix_ms),
            last_error: row.get("last_error")?,
            paused: row.get("paused")?,
            late_copies: row.get("late_copies")?,
            maildrop: row.get("maildrop")?,
        })
    }
}

impl Reader<'_> {
    /// Every account, by name.
    pub fn accounts(&self) -> Result<Vec<Account>> {
        let mut select = self.conn().prepare_cached(&format!("SELECT {COLUMNS} FROM account ORDER BY name"))?;
        Ok(select.query_map([], Account::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// The account with that name.
    pub fn account_named(&self, name: &str) -> Result<Option<Account>> {
        let mut select = self.conn().prepare_cached(&format!("SELECT {COLUMNS} FROM account WHERE name = ?1"))?;
        Ok(select.query_row([name], Account::from_row).optional()?)
    }

    /// The account.
    pub fn account(&self, account: AccountId) -> Result<Account> {
        let mut select = self.conn().prepare_cached(&format!("SELECT {COLUMNS} FROM account WHERE id = ?1"))?;
        select.query_row([account.get()], Account::from_row).optional()?.ok_or(Error::NoSuchAccount)
    }
}

impl Txn<'_> {
    /// The account with that name; made, with its INBOX, if there is none. INBOX is not journalled: every server has it.
    pub fn ensure_account(&mut self, name: &str) -> Result<AccountId> {
        if let Some(account) = self.reader().account_named(name)? {
            if account.maildrop {
                self.become_mirror(account.id)?;
            }
            return Ok(account.id);
        }
        self.conn().prepare_cached("INSERT INTO account (name) VALUES (?1)")?.execute([name])?;
        let account = AccountId::new(self.conn().last_insert_rowid());
        self.insert_mailbox(account, &MailboxName::inbox(), None)?;
        Ok(account)
    }

    /// Upstream's hierarchy delimiter became known.
    pub fn set_delimiter(&mut self, account: AccountId, delimiter: Option<char>) -> Result<()> {
        let text = delimiter.map(String::from).unwrap_or_default();
        let mut update = self.conn().prepare_cached("UPDATE account SET delimiter = ?2 WHERE id = ?1")?;
        update.execute(params![account.get(), text])?;
        Ok(())
    }

    /// A sync ended now: completely, or with `error`.
    pub fn set_sync_outcome(&mut self, account: AccountId, error: Option<&str>) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE account SET last_error = ?2, last_sync_ms = iif(?2 IS NULL, ?3, last_sync_ms) WHERE id = ?1",
        )?;
        update.execute(params![account.get(), error, self.now().unix_ms()])?;
        Ok(())
    }

    /// The user wants (or wants no more) to be offline.
    pub fn set_paused(&mut self, account: AccountId, paused: bool) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE account SET paused = ?2 WHERE id = ?1")?;
        update.execute(params![account.get(), paused])?;
        Ok(())
    }

    /// A local UIDVALIDITY that the account never had before: the time in seconds where that is later, so that a store
    /// made anew does not repeat those of a lost one (RFC 3501 section 2.3.1.1).
    pub(in crate::store) fn next_uid_validity(&mut self, account: AccountId) -> Result<UidValidity> {
        let seconds = u32::try_from(self.now().unix_seconds()).unwrap_or(1).max(1);
        let mut update = self.conn().prepare_cached(
            "UPDATE account SET last_uid_validity = max(last_uid_validity + 1, ?2) WHERE id = ?1
             RETURNING last_uid_validity",
        )?;
        let value: Option<u32> =
            update.query_row(params![account.get(), seconds], |row| row.get("last_uid_validity")).optional()?;
        Ok(UidValidity::new(value.ok_or(Error::NoSuchAccount)?))
    }
}
