//! An account at a glance, for `syncctl status`.

use rusqlite::params;

use super::{Account, Reader, Result};
use crate::types::{AccountId, LocalUid, MailboxId, UidValidity};

/// An account at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overview {
    pub account: Account,
    pub mailboxes: Vec<MailboxCounts>,
    pub journal: JournalCounts,
    pub outbox: OutboxCounts,
    pub conflicts: u32,
}

/// A mailbox at a glance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxCounts {
    pub id: MailboxId,
    pub name: String,
    pub messages: u32,
    pub unseen: u32,
    pub uid_validity: UidValidity,
    /// Messages in it about which something is still to be done upstream.
    pub pending: u32,
}

/// Journal entries by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalCounts {
    pub pending: u32,
    pub in_flight: u32,
    pub parked: u32,
}

/// Messages in the outbox by state; what is handed over is not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    pub queued: u32,
    pub sending: u32,
    pub held: u32,
    pub parked: u32,
}

impl Reader<'_> {
    /// The account at a glance.
    pub fn overview(&self, account: AccountId) -> Result<Overview> {
        Ok(Overview {
            account: self.account(account)?,
            mailboxes: self.mailbox_counts(account)?,
            journal: self.journal_counts(account)?,
            outbox: self.outbox_counts(account)?,
            conflicts: self.conflict_count(account)?,
        })
    }

    /// The account's journal entries by state.
    pub fn journal_counts(&self, account: AccountId) -> Result<JournalCounts> {
        Ok(JournalCounts {
            pending: self.count_by_state("journal", account, "pending")?,
            in_flight: self.count_by_state("journal", account, "in-flight")?,
            parked: self.count_by_state("journal", account, "parked")?,
        })
    }

    /// The account's submissions by state.
    pub fn outbox_counts(&self, account: AccountId) -> Result<OutboxCounts> {
        Ok(OutboxCounts {
            queued: self.count_by_state("submission", account, "queued")?,
            sending: self.count_by_state("submission", account, "sending")?,
            held: self.count_by_state("submission", account, "held")?,
            parked: self.count_by_state("submission", account, "parked")?,
        })
    }

    fn mailbox_counts(&self, account: AccountId) -> Result<Vec<MailboxCounts>> {
        let mut select = self.conn().prepare_cached(
            "SELECT b.id, b.name, b.uid_validity, coalesce(p.pending, 0) AS pending
             FROM mailbox AS b LEFT JOIN (
               SELECT m.mailbox_id, count(DISTINCT jm.message_id) AS pending
               FROM journal AS j JOIN journal_message AS jm ON jm.entry_id = j.id JOIN message AS m ON m.id = jm.message_id
               WHERE j.account_id = ?1 AND m.mailbox_id IS NOT NULL GROUP BY m.mailbox_id
             ) AS p ON p.mailbox_id = b.id
             WHERE b.account_id = ?1 AND b.name IS NOT NULL ORDER BY b.name",
        )?;
        let counts = select.query_map([account.get()], |row| {
            Ok(MailboxCounts {
                id: MailboxId::new(row.get("id")?),
                name: row.get("name")?,
                messages: 0,
                unseen: 0,
                uid_validity: UidValidity::new(row.get("uid_validity")?),
                pending: row.get("pending")?,
            })
        })?;
        let mut counts = counts.collect::<rusqlite::Result<Vec<_>>>()?;
        for of in &mut counts {
            let tally = self.tally(of.id, LocalUid::new(1))?;
            (of.messages, of.unseen) = (tally.messages, tally.unseen);
        }
        Ok(counts)
    }

    fn count_by_state(&self, table: &'static str, account: AccountId, state: &str) -> Result<u32> {
        let mut select = self
            .conn()
            .prepare_cached(&format!("SELECT count(*) AS n FROM {table} WHERE account_id = ?1 AND state = ?2"))?;
        Ok(select.query_row(params![account.get(), state], |row| row.get("n"))?)
    }

    fn conflict_count(&self, account: AccountId) -> Result<u32> {
        let mut select =
            self.conn().prepare_cached("SELECT count(*) AS n FROM conflict WHERE account_id = ?1 AND dismissed = 0")?;
        Ok(select.query_row([account.get()], |row| row.get("n"))?)
    }
}
