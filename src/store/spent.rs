//! How many bytes of bodies were fetched by day, and whether the line is metered.

use rusqlite::{OptionalExtension, params};

use super::{Reader, Result, Txn};
use crate::types::{AccountId, Timestamp};

/// Bytes fetched on one day (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    pub bytes: u64,
    /// For which a mail client or the user asked.
    pub on_demand_bytes: u64,
}

/// Days that are remembered.
const DAYS_KEPT: i64 = 62;

fn day(at: Timestamp) -> i64 {
    at.unix_seconds().div_euclid(86_400)
}

impl Reader<'_> {
    /// What was fetched on the day of `at`.
    pub fn spent(&self, account: AccountId, at: Timestamp) -> Result<Spent> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT bytes, on_demand_bytes FROM spent WHERE account_id = ?1 AND day = ?2")?;
        let spent = select.query_row(params![account.get(), day(at)], |row| {
            let unsigned = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(Spent { bytes: unsigned("bytes")?, on_demand_bytes: unsigned("on_demand_bytes")? })
        });
        Ok(spent.optional()?.unwrap_or_default())
    }

    /// What the user said of the line; `None`: nothing, the configuration counts.
    pub fn metered(&self, account: AccountId) -> Result<Option<bool>> {
        let mut select = self.conn().prepare_cached("SELECT metered FROM account WHERE id = ?1")?;
        Ok(select.query_row([account.get()], |row| row.get("metered"))?)
    }
}

impl Txn<'_> {
    /// So many bytes were fetched now.
    pub fn spend(&mut self, account: AccountId, bytes: u64, on_demand: bool) -> Result<()> {
        let (today, bytes) = (day(self.now()), bytes.cast_signed());
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO spent (account_id, day, bytes, on_demand_bytes) VALUES (?1, ?2, ?3, ?3 * ?4)
             ON CONFLICT (account_id, day) DO UPDATE SET bytes = bytes + excluded.bytes,
               on_demand_bytes = on_demand_bytes + excluded.on_demand_bytes",
        )?;
        insert.execute(params![account.get(), today, bytes, on_demand])?;
        let mut delete = self.conn().prepare_cached("DELETE FROM spent WHERE account_id = ?1 AND day < ?2")?;
        delete.execute(params![account.get(), today - DAYS_KEPT])?;
        Ok(())
    }

    /// The user says whether the line is metered; `None`: as the configuration says.
    pub fn set_metered(&mut self, account: AccountId, metered: Option<bool>) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE account SET metered = ?2 WHERE id = ?1")?;
        update.execute(params![account.get(), metered])?;
        Ok(())
    }
}
