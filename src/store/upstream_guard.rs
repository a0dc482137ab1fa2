//! Mailboxes whose mail vanished upstream in a mass: the copy here stays until the user decides.

use rusqlite::{OptionalExtension, Row, params};

use super::{Reader, Result, Txn};
use crate::types::{AccountId, MailboxId, MailboxName, Timestamp};

/// A mailbox in quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    pub mailbox: MailboxId,
    pub name: Option<MailboxName>,
    pub since: Timestamp,
    /// How many messages vanished upstream.
    pub vanished: u32,
    pub verdict: Verdict,
}

/// What the user decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet: the account is blocked.
    Open,
    /// They may go here too.
    Confirmed,
    /// They are wanted back upstream.
    Rejected,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
        }
    }
}

const SELECT: &str = "SELECT q.mailbox_id, m.name, q.since_ms, q.vanished, q.verdict
    FROM quarantine AS q JOIN mailbox AS m ON m.id = q.mailbox_id";

impl Quarantine {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            mailbox: MailboxId::new(row.get("mailbox_id")?),
            name: row.get::<_, Option<String>>("name")?.and_then(|name| MailboxName::parse(&name).ok()),
            since: Timestamp::from_unix_ms(row.get("since_ms")?),
            vanished: row.get("vanished")?,
            verdict: match row.get_ref("verdict")?.as_str()? {
                "confirmed" => Verdict::Confirmed,
                "rejected" => Verdict::Rejected,
                _ => Verdict::Open,
            },
        })
    }
}

impl Reader<'_> {
    /// The account's mailboxes in quarantine, by name.
    pub fn quarantined(&self, account: AccountId) -> Result<Vec<Quarantine>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE m.account_id = ?1 ORDER BY m.name"))?;
        Ok(select.query_map([account.get()], Quarantine::from_row)?.collect::<rusqlite::Result<_>>()?)
    }

    /// Is the mailbox in quarantine?
    pub fn quarantine(&self, mailbox: MailboxId) -> Result<Option<Quarantine>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE q.mailbox_id = ?1"))?;
        Ok(select.query_row([mailbox.get()], Quarantine::from_row).optional()?)
    }
}

impl Txn<'_> {
    /// Puts the mailbox in quarantine, or brings the number up to date.
    pub fn set_quarantine(&mut self, account: AccountId, mailbox: MailboxId, vanished: u32) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO quarantine (mailbox_id, since_ms, vanished) VALUES (?1, ?2, ?3)
             ON CONFLICT (mailbox_id) DO UPDATE SET vanished = excluded.vanished",
        )?;
        insert.execute(params![mailbox.get(), self.now().unix_ms(), vanished])?;
        self.touch(account);
        Ok(())
    }

    /// The user decided.
    pub fn decide_quarantine(&mut self, account: AccountId, mailbox: MailboxId, verdict: Verdict) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE quarantine SET verdict = ?2 WHERE mailbox_id = ?1")?;
        if update.execute(params![mailbox.get(), verdict.as_str()])? == 0 {
            return Err(super::Error::NoSuchRow("mailbox in quarantine"));
        }
        self.touch(account);
        Ok(())
    }

    /// What vanished was accounted for, or is there again.
    pub fn lift_quarantine(&mut self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        let mut delete = self.conn().prepare_cached("DELETE FROM quarantine WHERE mailbox_id = ?1")?;
        if delete.execute([mailbox.get()])? > 0 {
            self.touch(account);
        }
        Ok(())
    }
}
