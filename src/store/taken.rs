//! What was taken for whom lately.

use rusqlite::params;

use super::{Result, Txn};
use crate::types::{AccountId, ContentHash, Timestamp};

impl Txn<'_> {
    /// Notes that this was taken for the account; false if it was already, after `since`. What is older is forgotten.
    pub fn note_taken(&mut self, account: AccountId, key: &ContentHash, since: Timestamp) -> Result<bool> {
        self.conn().prepare_cached("DELETE FROM taken WHERE at_ms < ?1")?.execute([since.unix_ms()])?;
        let mut insert =
            self.conn().prepare_cached("INSERT OR IGNORE INTO taken (account_id, key, at_ms) VALUES (?1, ?2, ?3)")?;
        Ok(insert.execute(params![account.get(), key.as_bytes(), self.now().unix_ms()])? == 1)
    }

    /// Forgets that this was taken for the account: if it comes again it is another.
    pub fn forget_taken(&mut self, account: AccountId, key: &ContentHash) -> Result<()> {
        let mut delete = self.conn().prepare_cached("DELETE FROM taken WHERE account_id = ?1 AND key = ?2")?;
        delete.execute(params![account.get(), key.as_bytes()])?;
        Ok(())
    }
}
