//! Messages that upstream names and does not give, or that are left to themselves: they are not mirrored.
//!
//! The next syncs ask for each again; when they asked in vain, more and more seldom, and never not at all: what the server
//! cannot give today it may give tomorrow (UNAVAILABLE, RFC 5530 section 3).

use rusqlite::params;

use super::{Reader, Result, Txn};
use crate::types::{AccountId, MailboxId, RemoteUid, Timestamp, UidSet};

/// How often in a row each sync asks.
const ATTEMPTS_AT_ONCE: u32 = 5;

/// Then it is left alone for so long, and twice as long each time.
const WAIT_FIRST_MS: i64 = 5 * 60_000;

/// The longest wait: a message that can be had again is here within the working day.
const WAIT_MAX_MS: i64 = 6 * 3_600_000;

/// A message that the server named, and did not give when it was asked several times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotGiven {
    /// Its mailbox, as the server spells it.
    pub mailbox: String,
    pub uid: RemoteUid,
    pub why: String,
    /// Not asked for again before.
    pub again: Timestamp,
}

impl Reader<'_> {
    /// UIDs upstream that are not mirrored, with the time before which they are not asked for again.
    pub fn skipped(&self, mailbox: MailboxId) -> Result<Vec<(RemoteUid, Timestamp)>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT uid, again_ms FROM remote_skipped WHERE mailbox_id = ?1 ORDER BY uid")?;
        let rows = select.query_map([mailbox.get()], |row| {
            Ok((RemoteUid::new(row.get("uid")?), Timestamp::from_unix_ms(row.get("again_ms")?)))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// What the account's server lists, and did not give when it was asked several times.
    pub fn not_given(&self, account: AccountId) -> Result<Vec<NotGiven>> {
        let mut select = self.conn().prepare_cached(
            "SELECT b.name, s.uid, s.why, s.again_ms FROM remote_skipped AS s
             JOIN remote_mailbox AS b ON b.mailbox_id = s.mailbox_id
             WHERE b.account_id = ?1 AND s.again_ms > 0 ORDER BY b.name, s.uid",
        )?;
        let rows = select.query_map([account.get()], |row| {
            Ok(NotGiven {
                mailbox: row.get("name")?,
                uid: RemoteUid::new(row.get("uid")?),
                why: row.get("why")?,
                again: Timestamp::from_unix_ms(row.get("again_ms")?),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Upstream named the message but gave no bytes, or it is left to itself: it is not mirrored. Returns whether the next sync
    /// asks for it again.
    pub fn skip(&mut self, mailbox: MailboxId, uid: RemoteUid, why: &str) -> Result<bool> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO remote_skipped (mailbox_id, uid, attempts, why) VALUES (?1, ?2, 1, ?3)
             ON CONFLICT (mailbox_id, uid) DO UPDATE SET attempts = attempts + 1, why = excluded.why RETURNING attempts",
        )?;
        let attempts: u32 = insert.query_row(params![mailbox.get(), uid.get(), why], |row| row.get("attempts"))?;
        let wait_ms = wait_ms(attempts);
        if let Some(wait_ms) = wait_ms {
            let mut update = self
                .conn()
                .prepare_cached("UPDATE remote_skipped SET again_ms = ?3 WHERE mailbox_id = ?1 AND uid = ?2")?;
            update.execute(params![mailbox.get(), uid.get(), self.now().plus_ms(wait_ms).unix_ms()])?;
        }
        Ok(wait_ms.is_none())
    }

    /// The user asks: whatever the server did not give is asked for by the next sync.
    pub fn ask_again(&mut self, account: AccountId) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE remote_skipped SET again_ms = 1 WHERE again_ms > 1
               AND mailbox_id IN (SELECT mailbox_id FROM remote_mailbox WHERE account_id = ?1)",
        )?;
        update.execute([account.get()])?;
        let mut update = self.conn().prepare_cached(
            "UPDATE message SET withheld = 0 WHERE outline_id IS NOT NULL AND withheld > 0 AND account_id = ?1",
        )?;
        update.execute([account.get()])?;
        Ok(())
    }

    /// The messages with these UIDs are mirrored now, or upstream has them no more.
    pub fn unskip(&mut self, mailbox: MailboxId, uids: &UidSet<RemoteUid>) -> Result<()> {
        let mut delete =
            self.conn().prepare_cached("DELETE FROM remote_skipped WHERE mailbox_id = ?1 AND uid BETWEEN ?2 AND ?3")?;
        for (first, last) in uids.ranges() {
            delete.execute(params![mailbox.get(), first, last])?;
        }
        Ok(())
    }
}

/// How long a message that was not given so many times is left alone, in milliseconds; `None`: until the next sync.
fn wait_ms(attempts: u32) -> Option<i64> {
    let late = attempts.checked_sub(ATTEMPTS_AT_ONCE)?;
    Some((WAIT_FIRST_MS << late.min(16)).min(WAIT_MAX_MS))
}
