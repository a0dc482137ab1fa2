//! The journal as the sync engine uses it: what is to be done, what is under way, what is done.
//!
//! An entry goes with the last of its messages; one without messages when it is settled as a whole.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, Row, params};

use super::{Error, Reader, Result, Txn};
use crate::journal::entry::retry_after_ms;
use crate::journal::{Entry, Evidence, Op, State};
use crate::types::{AccountId, EntryId, Flags, MessageId, Timestamp};

const SELECT: &str =
    "SELECT id, account_id, created_ms, op, state, coalesce(j.evidence, d.evidence) AS evidence, why, attempts,
     retry_ms
   FROM journal AS j LEFT JOIN journal_doubt AS d ON d.entry_id = j.id";

/// What one entry changes of a message's flags.
pub(in crate::store) struct OpenFlags {
    pub add: Flags,
    pub remove: Flags,
    /// It was sent upstream, and no answer came.
    pub is_tried: bool,
}

impl Reader<'_> {
    /// Every entry of the account, oldest first.
    pub fn entries(&self, account: AccountId) -> Result<Vec<Entry>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE account_id = ?1 ORDER BY id"))?;
        let mut rows = select.query([account.get()])?;
        let mut open = self.open_messages(account)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let id = EntryId::new(row.get("id")?);
            entries.push(entry_from_row(row, open.remove(&id).unwrap_or_default())?);
        }
        Ok(entries)
    }

    /// The entry.
    pub fn entry(&self, entry: EntryId) -> Result<Entry> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT message_id FROM journal_message WHERE entry_id = ?1 ORDER BY message_id")?;
        let open = select.query_map([entry.get()], |row| row.get("message_id").map(MessageId::new))?;
        let open = open.collect::<rusqlite::Result<Vec<_>>>()?;
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
        let mut rows = select.query([entry.get()])?;
        entry_from_row(rows.next()?.ok_or(Error::NoSuchEntry)?, open)
    }

    /// Is anything about the message still to be done upstream?
    pub fn is_pending(&self, message: MessageId) -> Result<bool> {
        let mut select = self.conn().prepare_cached("SELECT 1 AS one FROM journal_message WHERE message_id = ?1")?;
        Ok(select.exists([message.get()])?)
    }

    /// What the open entries change of the message's flags, oldest first.
    pub(in crate::store) fn open_flags(&self, message: MessageId) -> Result<Vec<OpenFlags>> {
        let mut select = self.conn().prepare_cached(
            "SELECT j.op, j.tried FROM journal_message AS jm JOIN journal AS j ON j.id = jm.entry_id
             WHERE jm.message_id = ?1 AND j.kind = 'flags' ORDER BY j.id",
        )?;
        let (mut rows, mut open) = (select.query([message.get()])?, Vec::new());
        while let Some(row) = rows.next()? {
            if let Op::Flags { add, remove, .. } = op_of(row)? {
                open.push(OpenFlags { add, remove, is_tried: row.get("tried")? });
            }
        }
        Ok(open)
    }

    /// The newest entry that still waits; numbers only grow, so a greater one than before is new work.
    pub fn newest_pending(&self, account: AccountId) -> Result<Option<EntryId>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT max(id) AS id FROM journal WHERE account_id = ?1 AND state = 'pending'")?;
        let id: Option<i64> = select.query_row([account.get()], |row| row.get("id"))?;
        Ok(id.map(EntryId::new))
    }

    /// When the first of the parked entries is to be tried again by itself.
    pub fn next_retry(&self, account: AccountId) -> Result<Option<Timestamp>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT min(retry_ms) AS next FROM journal WHERE account_id = ?1 AND state = 'parked'")?;
        let next: Option<i64> = select.query_row([account.get()], |row| row.get("next"))?;
        Ok(next.map(Timestamp::from_unix_ms))
    }

    fn open_messages(&self, account: AccountId) -> Result<BTreeMap<EntryId, Vec<MessageId>>> {
        let mut select = self.conn().prepare_cached(
            "SELECT jm.entry_id, jm.message_id FROM journal AS j JOIN journal_message AS jm ON jm.entry_id = j.id
             WHERE j.account_id = ?1 ORDER BY jm.entry_id, jm.message_id",
        )?;
        let mut open: BTreeMap<EntryId, Vec<MessageId>> = BTreeMap::new();
        let mut rows = select.query([account.get()])?;
        while let Some(row) = rows.next()? {
            let entry = EntryId::new(row.get("entry_id")?);
            open.entry(entry).or_default().push(MessageId::new(row.get("message_id")?));
        }
        Ok(open)
    }
}

impl Txn<'_> {
    /// The entries are about to be sent. With the evidence it can be found out later whether they were done.
    pub fn mark_in_flight(&mut self, entries: &[EntryId], evidence: &Evidence) -> Result<()> {
        let evidence = serde_json::to_string(evidence)?;
        for entry in entries {
            self.change_entry(
                *entry,
                "UPDATE journal SET state = 'in-flight', evidence = ?2, why = NULL WHERE id = ?1 RETURNING account_id",
                &evidence,
            )?;
        }
        Ok(())
    }

    /// The entries are about to be sent, and may be sent again.
    pub fn try_entries(&mut self, entries: &BTreeSet<EntryId>) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE journal SET tried = 1 WHERE id = ?1 AND tried = 0")?;
        entries.iter().try_for_each(|entry| Ok(update.execute([entry.get()]).map(drop)?))
    }

    /// What is still open of the entry is to be done (again). `failed` counts an attempt.
    pub fn reopen(&mut self, entry: EntryId, failed: bool) -> Result<()> {
        self.end_doubt(entry)?;
        self.change_entry(
            entry,
            "UPDATE journal SET state = 'pending', evidence = NULL, why = NULL, retry_ms = NULL,
               attempts = attempts + ?2 WHERE id = ?1
             RETURNING account_id",
            failed,
        )
    }

    /// Sets the entry aside: it cannot be done as it is.
    pub fn park(&mut self, entry: EntryId, why: &str) -> Result<()> {
        self.end_doubt(entry)?;
        self.change_entry(
            entry,
            "UPDATE journal SET state = 'parked', evidence = NULL, why = ?2, retry_ms = NULL WHERE id = ?1 RETURNING account_id",
            why,
        )
    }

    /// A parked entry is tried again by itself, later the oftener it was.
    pub fn retry_later(&mut self, entry: EntryId) -> Result<()> {
        let attempts = self.reader().entry(entry)?.attempts;
        let at = self.now().plus_ms(retry_after_ms(attempts));
        self.change_entry(entry, "UPDATE journal SET retry_ms = ?2 WHERE id = ?1 RETURNING account_id", at.unix_ms())
    }

    /// Parked entries whose time has come are to be done.
    pub fn retry_due(&mut self, account: AccountId) -> Result<()> {
        let mut update = self.conn().prepare_cached(
            "UPDATE journal SET state = 'pending', why = NULL, retry_ms = NULL, attempts = attempts + 1
             WHERE account_id = ?1 AND state = 'parked' AND retry_ms <= ?2",
        )?;
        update.execute(params![account.get(), self.now().unix_ms()])?;
        self.touch(account);
        Ok(())
    }

    /// The user wants a parked entry tried again. One in doubt is in flight again: first it is looked for.
    pub fn retry(&mut self, entry: EntryId) -> Result<()> {
        self.change_entry(
            entry,
            "UPDATE journal SET why = NULL, retry_ms = NULL, attempts = ?2,
               evidence = (SELECT evidence FROM journal_doubt WHERE entry_id = ?1),
               state = iif(EXISTS (SELECT 1 FROM journal_doubt WHERE entry_id = ?1), 'in-flight', 'pending')
             WHERE id = ?1 AND state = 'parked' RETURNING account_id",
            0,
        )?;
        self.end_doubt(entry)
    }

    pub(in crate::store) fn end_doubt(&self, entry: EntryId) -> Result<()> {
        let mut delete = self.conn().prepare_cached("DELETE FROM journal_doubt WHERE entry_id = ?1")?;
        delete.execute([entry.get()])?;
        Ok(())
    }

    /// The entry is done for these messages. Flags of a message about which no entry is left are settled.
    pub fn settle(&mut self, entry: EntryId, messages: &[MessageId]) -> Result<()> {
        let account = self.reader().entry_account(entry)?;
        let mut delete =
            self.conn().prepare_cached("DELETE FROM journal_message WHERE message_id = ?1 AND entry_id = ?2")?;
        let mut settle_flags = self.conn().prepare_cached(
            "DELETE FROM flag_merge WHERE message_id = ?1 AND NOT EXISTS (
               SELECT 1 FROM journal_message AS jm JOIN journal AS j ON j.id = jm.entry_id
               WHERE jm.message_id = ?1 AND j.kind = 'flags')",
        )?;
        for message in messages {
            delete.execute([message.get(), entry.get()])?;
            settle_flags.execute([message.get()])?;
        }
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM journal WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM journal_message WHERE entry_id = ?1)",
        )?;
        delete.execute([entry.get()])?;
        self.touch(account);
        Ok(())
    }

    /// The entry is done as a whole.
    pub fn settle_op(&mut self, entry: EntryId) -> Result<()> {
        let open = self.reader().entry(entry)?.open;
        self.settle(entry, &open)
    }

    /// The entry's act in other words: names changed.
    pub(in crate::store) fn rewrite_op(&mut self, entry: EntryId, op: &Op) -> Result<()> {
        let op = serde_json::to_string(op)?;
        self.change_entry(entry, "UPDATE journal SET op = ?2 WHERE id = ?1 RETURNING account_id", op)
    }

    fn change_entry(&mut self, entry: EntryId, sql: &str, value: impl rusqlite::ToSql) -> Result<()> {
        let mut update = self.conn().prepare_cached(sql)?;
        let account: Option<i64> =
            update.query_row(params![entry.get(), value], |row| row.get("account_id")).optional()?;
        self.touch(AccountId::new(account.ok_or(Error::NoSuchEntry)?));
        Ok(())
    }
}

impl Reader<'_> {
    fn entry_account(&self, entry: EntryId) -> Result<AccountId> {
        let mut select = self.conn().prepare_cached("SELECT account_id FROM journal WHERE id = ?1")?;
        let account: Option<i64> = select.query_row([entry.get()], |row| row.get("account_id")).optional()?;
        account.map(AccountId::new).ok_or(Error::NoSuchEntry)
    }
}

fn entry_from_row(row: &Row<'_>, open: Vec<MessageId>) -> Result<Entry> {
    let evidence: Option<String> = row.get("evidence")?;
    let evidence = evidence.as_deref().map(serde_json::from_str).transpose()?;
    let state = match (row.get_ref("state")?.as_str().map_err(rusqlite::Error::from)?, evidence) {
        ("in-flight", Some(evidence)) => State::InFlight { evidence },
        ("parked", doubt) => State::Parked {
            why: row.get::<_, Option<String>>("why")?.unwrap_or_default(),
            doubt,
            retry: row.get::<_, Option<i64>>("retry_ms")?.map(Timestamp::from_unix_ms),
        },
        _ => State::Pending,
    };
    Ok(Entry {
        id: EntryId::new(row.get("id")?),
        account: AccountId::new(row.get("account_id")?),
        created: Timestamp::from_unix_ms(row.get("created_ms")?),
        op: op_of(row)?,
        state,
        attempts: row.get("attempts")?,
        open,
    })
}

fn op_of(row: &Row<'_>) -> Result<Op> {
    Ok(serde_json::from_str(row.get_ref("op")?.as_str().map_err(rusqlite::Error::from)?)?)
}

/// What is in the column `kind`: the name that the op's JSON bears as well.
pub(in crate::store) const fn kind(op: &Op) -> &'static str {
    match op {
        Op::Flags { .. } => "flags",
        Op::Move { .. } => "move",
        Op::Copy { .. } => "copy",
        Op::Append { .. } => "append",
        Op::Expunge { .. } => "expunge",
        Op::CreateMailbox { .. } => "create-mailbox",
        Op::RenameMailbox { .. } => "rename-mailbox",
        Op::DeleteMailbox { .. } => "delete-mailbox",
        Op::Subscribe { .. } => "subscribe",
    }
}
