//! What upstream allows the user: what may be done with a mailbox (RFC 4314), and how much may be kept (RFC 9208).
//!
//! Rights that upstream does not give are not given here either: they stand in the mailbox's access control list under the
//! name of the account, so that what would be refused there is refused here before it is journalled.

use rusqlite::{OptionalExtension, params};

use super::{Cursor, Reader, Result, Txn};
use crate::types::{AccountId, Identifier, MailboxId, ModSeq, QuotaUse, Right, Rights};

impl Reader<'_> {
    /// How much may be kept upstream, and is, as last told; sorted.
    pub fn upstream_quota(&self, account: AccountId) -> Result<Vec<QuotaUse>> {
        let mut select = self.conn().prepare_cached(
            "SELECT root, resource, used, maximum FROM upstream_quota WHERE account_id = ?1 ORDER BY root, resource",
        )?;
        let rows = select.query_map([account.get()], |row| {
            Ok(QuotaUse {
                root: row.get("root")?,
                resource: row.get("resource")?,
                used: row.get::<_, i64>("used")?.cast_unsigned(),
                limit: row.get::<_, i64>("maximum")?.cast_unsigned(),
            })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

impl Txn<'_> {
    /// Upstream told how much may be kept there, and is.
    pub fn take_quota(&mut self, account: AccountId, told: &[QuotaUse]) -> Result<()> {
        let mut told = told.to_vec();
        told.sort_by(|a, b| (&a.root, &a.resource).cmp(&(&b.root, &b.resource)));
        told.dedup_by(|a, b| (&a.root, &a.resource) == (&b.root, &b.resource));
        if self.reader().upstream_quota(account)? == told {
            return Ok(());
        }
        self.conn().prepare_cached("DELETE FROM upstream_quota WHERE account_id = ?1")?.execute([account.get()])?;
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO upstream_quota (account_id, root, resource, used, maximum) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        for QuotaUse { root, resource, used, limit } in &told {
            insert.execute(params![account.get(), root, resource, used.cast_signed(), limit.cast_signed()])?;
        }
        self.touch(account);
        Ok(())
    }

    /// Upstream told what the user may do with a mailbox. `None`: it does not tell (any more).
    pub(in crate::store) fn take_rights(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        told: Option<Rights>,
    ) -> Result<()> {
        // These two mean nothing here.
        let rights = told.unwrap_or(Rights::ALL).union(Rights::of(&[Right::Post, Right::Administer]));
        let rights = Some(rights).filter(|rights| *rights != Rights::ALL);
        if self.rights_told(mailbox)? != rights
            && let Some(identifier) = Identifier::parse(&self.reader().account(account)?.name)
        {
            self.put_rights(mailbox, &identifier, rights)?;
            // With the rights change the flags that can be kept, which only a look into the mailbox tells.
            if let Some(known) = self.reader().remote_mailbox(mailbox)? {
                self.set_cursor(mailbox, &Cursor { highest_mod_seq: ModSeq::new(0), ..known.cursor })?;
            }
            self.touch(account);
        }
        Ok(())
    }

    /// What the user may do with a mailbox, as upstream told; `None`: everything, or it does not tell.
    pub(in crate::store) fn rights_told(&self, mailbox: MailboxId) -> Result<Option<Rights>> {
        let account = self.reader().mailbox(mailbox)?.account;
        let Some(identifier) = Identifier::parse(&self.reader().account(account)?.name) else { return Ok(None) };
        let mut select =
            self.conn().prepare_cached("SELECT rights FROM mailbox_acl WHERE mailbox_id = ?1 AND identifier = ?2")?;
        let told: Option<u16> =
            select.query_row(params![mailbox.get(), identifier.as_str()], |row| row.get("rights")).optional()?;
        Ok(told.map(Rights::from_bits))
    }
}
