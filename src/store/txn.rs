//! A write transaction. What it may do is spread over this folder, one file a family of acts, each an `impl Txn`.
//!
//! Rules: an act behaves by the transaction's [`Origin`]; by [`Origin::LocalUser`] it writes its journal entry in the
//! same transaction (invariant 1). Every change to a mailbox takes the next mod-sequence of that mailbox, and every
//! change to an account marks it, so that its watchers are woken after the commit.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::contents::Contents;
use super::{Error, Origin, Reader, Result, Viewer};
use crate::journal::Op;
use crate::types::mutant::mutant;
use crate::types::{AccountId, LocalUid, MailboxId, ModSeq, Timestamp, limits};

/// A write transaction, open.
pub struct Txn<'c> {
    conn: &'c Connection,
    contents: &'c Contents,
    origin: Origin,
    now: Timestamp,
    touched: BTreeSet<AccountId>,
    actor: Option<Viewer>,
}

impl<'c> Txn<'c> {
    pub(super) const fn new(conn: &'c Connection, contents: &'c Contents, origin: Origin, now: Timestamp) -> Self {
        Self { conn, contents, origin, now, touched: BTreeSet::new(), actor: None }
    }

    /// From here on only what this user may do is done; the rest is refused.
    pub fn act_for(&mut self, user: Viewer) {
        self.actor = Some(user);
    }

    /// As [`Self::reader`], with the eyes of the user who acts.
    pub(in crate::store) fn eyes(&self) -> Reader<'_> {
        match &self.actor {
            Some(actor) => self.reader().seen_by(actor),
            None => self.reader(),
        }
    }

    /// On whose behalf it writes.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// When it was asked for.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// What the transaction sees, its own changes included.
    pub const fn reader(&self) -> Reader<'c> {
        Reader::new(self.conn)
    }

    pub(in crate::store) const fn conn(&self) -> &'c Connection {
        self.conn
    }

    pub(in crate::store) const fn contents(&self) -> &'c Contents {
        self.contents
    }

    /// Wakes the watchers of the account after the commit.
    pub(in crate::store) fn touch(&mut self, account: AccountId) {
        self.touched.insert(account);
    }

    pub(super) fn into_touched(self) -> BTreeSet<AccountId> {
        self.touched
    }

    /// The mailbox's next mod-sequence, taken.
    pub(in crate::store) fn next_mod_seq(&mut self, mailbox: MailboxId) -> Result<ModSeq> {
        let mut statement = self.conn.prepare_cached(
            "UPDATE mailbox SET highest_mod_seq = highest_mod_seq + 1 WHERE id = ?1
             RETURNING account_id, highest_mod_seq",
        )?;
        let (account, mod_seq) = statement
            .query_row([mailbox.get()], |row| {
                Ok((row.get::<_, i64>("account_id")?, row.get::<_, i64>("highest_mod_seq")?))
            })
            .map_err(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Error::NoSuchMailbox,
                other => other.into(),
            })?;
        self.touch(AccountId::new(account));
        Ok(ModSeq::new(mod_seq.unsigned_abs()))
    }

    /// The first of `count` UIDs of the mailbox, all taken.
    pub(in crate::store) fn take_uids(&mut self, mailbox: MailboxId, count: usize) -> Result<LocalUid> {
        const FULL: Error = Error::Limit("the mailbox has given out every UID");
        let count = u32::try_from(count).map_err(|_| FULL)?;
        let mut select = self.conn.prepare_cached("SELECT uid_next FROM mailbox WHERE id = ?1")?;
        let mut first: u32 = select.query_row([mailbox.get()], |row| row.get("uid_next"))?;
        if mutant!(UidGivenAgain) {
            let mut select = self.conn.prepare_cached("SELECT max(uid) AS uid FROM message WHERE mailbox_id = ?1")?;
            let last: Option<u32> = select.query_row([mailbox.get()], |row| row.get("uid"))?;
            first = last.map_or(1, |last| last + 1);
            let mut forget = self.conn.prepare_cached("DELETE FROM expunged WHERE mailbox_id = ?1 AND uid >= ?2")?;
            forget.execute(params![mailbox.get(), first])?;
        }
        let next = first.checked_add(count).ok_or(FULL)?;
        self.conn
            .prepare_cached("UPDATE mailbox SET uid_next = ?2 WHERE id = ?1")?
            .execute(params![mailbox.get(), next])?;
        Ok(LocalUid::new(first))
    }

    /// Writes the act to the journal if the user did it, and a server is to hear of it.
    pub(in crate::store) fn journal(&mut self, account: AccountId, op: Op) -> Result<()> {
        let is_forgotten = mutant!(NotJournalled) && matches!(op, Op::Expunge { .. });
        if self.origin != Origin::LocalUser || is_forgotten || self.is_maildrop(account)? {
            return Ok(());
        }
        self.journal_for_user(account, op)
    }

    /// Writes what carries on what the user wants, whoever is at work.
    pub(in crate::store) fn journal_for_user(&mut self, account: AccountId, op: Op) -> Result<()> {
        for part in op.into_parts(limits::JOURNAL_ENTRY_MESSAGES_MAX) {
            self.journal_entry(account, &part)?;
        }
        self.touch(account);
        Ok(())
    }

    fn journal_entry(&self, account: AccountId, op: &Op) -> Result<()> {
        let mut insert = self
            .conn
            .prepare_cached("INSERT INTO journal (account_id, created_ms, kind, op) VALUES (?1, ?2, ?3, ?4)")?;
        insert.execute(params![
            account.get(),
            self.now.unix_ms(),
            super::journal::kind(op),
            serde_json::to_string(op)?
        ])?;
        let entry = self.conn.last_insert_rowid();
        let mut insert =
            self.conn.prepare_cached("INSERT INTO journal_message (message_id, entry_id) VALUES (?1, ?2)")?;
        for message in op.messages() {
            insert.execute([message.get(), entry])?;
        }
        Ok(())
    }
}
