//! How much an account may hold, and how much it does (RFC 9208). Only an authority has limits: what a mirror holds is for
//! its server to say.

use rusqlite::params;

use super::{Error, Reader, Result, Txn};
use crate::types::{AccountId, MailboxId};

/// An account's limits, where it has any, and what it uses of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    pub limit_bytes: Option<u64>,
    pub limit_messages: Option<u64>,
    pub used_bytes: u64,
    pub used_messages: u64,
}

impl Quota {
    /// Would that much more be too much?
    pub fn is_over(&self, more_bytes: u64, more_messages: u64) -> bool {
        let over =
            |limit: Option<u64>, used: u64, more: u64| limit.is_some_and(|limit| used.saturating_add(more) > limit);
        over(self.limit_bytes, self.used_bytes, more_bytes)
            || over(self.limit_messages, self.used_messages, more_messages)
    }
}

impl Reader<'_> {
    /// The account's limits and use.
    pub fn quota(&self, account: AccountId) -> Result<Quota> {
        let mut select = self.conn().prepare_cached(
            "SELECT quota_bytes, quota_messages, used_bytes, used_messages FROM account WHERE id = ?1",
        )?;
        Ok(select.query_row([account.get()], |row| {
            let limit = |column: &str| row.get::<_, Option<i64>>(column).map(|limit| limit.map(i64::unsigned_abs));
            Ok(Quota {
                limit_bytes: limit("quota_bytes")?,
                limit_messages: limit("quota_messages")?,
                used_bytes: row.get::<_, i64>("used_bytes")?.unsigned_abs(),
                used_messages: row.get::<_, i64>("used_messages")?.unsigned_abs(),
            })
        })?)
    }
}

impl Txn<'_> {
    /// Gives an account other limits.
    pub fn set_quota(&mut self, account: AccountId, bytes: Option<u64>, messages: Option<u64>) -> Result<()> {
        let mut update =
            self.conn().prepare_cached("UPDATE account SET quota_bytes = ?2, quota_messages = ?3 WHERE id = ?1")?;
        let signed = |limit: Option<u64>| limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        update.execute(params![account.get(), signed(bytes), signed(messages)])?;
        Ok(())
    }

    /// So many messages came into the account's mailboxes, of so many bytes. What goes the database counts itself.
    pub(in crate::store) fn count_in(&self, account: AccountId, messages: usize, bytes: u64) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE account SET used_bytes = used_bytes + ?2, used_messages = used_messages + ?3 WHERE id = ?1",
        )?;
        update.execute(params![account.get(), bytes.cast_signed(), messages as i64])?;
        Ok(())
    }

    /// Fails where the mailbox's owner now holds more than they may: what this transaction added goes with it. Whoever adds
    /// messages at a person's wish asks this behind the act.
    pub fn refuse_full(&self, mailbox: MailboxId) -> Result<()> {
        let owner = self.reader().mailbox(mailbox)?.account;
        match self.reader().quota(owner)?.is_over(0, 0) {
            true => Err(Error::OverQuota),
            false => Ok(()),
        }
    }
}
