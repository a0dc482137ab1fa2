//! The journal as the sync engine uses it: what is to be done, what is under way, what is done.
//!
//! An entry goes with the last of its messages; one without messages when it is settled as a whole. What is read here is as
//! much as is asked for: a long journal costs nobody who does not want all of it.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, Row, params};
use serde::Deserialize;

use super::{Error, Reader, Result, Txn};
use crate::journal::entry::retry_after_ms;
use crate::journal::{Entry, Evidence, Op, State};
use crate::types::{AccountId, EntryId, Flags, MailboxId, MessageId, Timestamp};

const SELECT: &str =
    "SELECT j.id, j.account_id, j.created_ms, j.op, j.state, coalesce(j.evidence, d.evidence) AS evidence, j.why, j.attempts,
     j.retry_ms, (SELECT group_concat(message_id, ' ') FROM
       (SELECT message_id FROM journal_message WHERE entry_id = j.id ORDER BY message_id)) AS open
   FROM journal AS j LEFT JOIN journal_doubt AS d ON d.entry_id = j.id";

/// As the index `journal_folders` has it.
const IS_ABOUT_A_MAILBOX: &str = "kind IN ('create-mailbox', 'rename-mailbox', 'delete-mailbox', 'subscribe')";

/// An entry of which a message's part is not done, as far as it is about the message's flags.
pub struct Part {
    pub entry: EntryId,
    /// It brings the message upstream, with the flags that it has.
    pub brings: bool,
    /// What it changes of the flags.
    pub flags: Option<PartFlags>,
}

/// What an entry changes of flags: its act, but for the messages, which may be hundreds.
#[derive(Deserialize)]
pub struct PartFlags {
    pub add: Flags,
    pub remove: Flags,
    /// It was sent upstream, and no answer came.
    #[serde(skip)]
    pub is_tried: bool,
}

impl PartFlags {
    /// All that it changes.
    pub fn all(&self) -> Flags {
        self.add.union(&self.remove)
    }
}

impl Reader<'_> {
    /// Every entry of the account, oldest first.
    pub fn entries(&self, account: AccountId) -> Result<Vec<Entry>> {
        self.entries_where("j.account_id = ?1", [account.get()])
    }

    /// Those that are acts on mailboxes and subscriptions, oldest first.
    pub fn folder_entries(&self, account: AccountId) -> Result<Vec<Entry>> {
        self.entries_where(&format!("j.account_id = ?1 AND j.{IS_ABOUT_A_MAILBOX}"), [account.get()])
    }

    /// Those of which the message's part is not done, oldest first.
    pub fn entries_about(&self, message: MessageId) -> Result<Vec<Entry>> {
        self.entries_where("j.id IN (SELECT entry_id FROM journal_message WHERE message_id = ?1)", [message.get()])
    }

    /// The same, of those that are under way or set aside.
    pub fn set_aside_about(&self, message: MessageId) -> Result<Vec<Entry>> {
        self.entries_where(
            "j.id IN (SELECT entry_id FROM journal_message WHERE message_id = ?1) AND j.state <> 'pending'",
            [message.get()],
        )
    }

    /// The oldest entries to be done after that one: an act on a mailbox, or up to `max` acts on messages before the next such.
    pub fn next_entries(&self, account: AccountId, after: EntryId, max: usize) -> Result<Vec<Entry>> {
        let mut select = self.conn().prepare_cached(&format!(
            "{SELECT} WHERE j.account_id = ?1 AND j.id > ?2 AND j.state = 'pending' ORDER BY j.id LIMIT ?3"
        ))?;
        let mut rows = select.query(params![account.get(), after.get(), i64::try_from(max).unwrap_or(i64::MAX)])?;
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(row) = rows.next()? {
            let entry = entry_from_row(row)?;
            if entry.op.is_barrier() && !entries.is_empty() {
                break;
            }
            let is_alone = entry.op.is_barrier();
            entries.push(entry);
            if is_alone {
                break;
            }
        }
        Ok(entries)
    }

    /// The first act on a mailbox to be done after that one.
    pub fn next_barrier(&self, account: AccountId, after: EntryId) -> Result<Option<EntryId>> {
        let mut select = self.conn().prepare_cached(&format!(
            "SELECT min(id) AS id FROM journal WHERE account_id = ?1 AND id > ?2 AND state = 'pending' AND {IS_ABOUT_A_MAILBOX}"
        ))?;
        let id: Option<i64> = select.query_row(params![account.get(), after.get()], |row| row.get("id"))?;
        Ok(id.map(EntryId::new))
    }

    /// The last act to be done that puts the message somewhere.
    pub fn last_placing(&self, message: MessageId) -> Result<Option<EntryId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT max(j.id) AS id FROM journal_message AS jm JOIN journal AS j ON j.id = jm.entry_id
             WHERE jm.message_id = ?1 AND j.state = 'pending' AND j.kind <> 'flags'",
        )?;
        let id: Option<i64> = select.query_row([message.get()], |row| row.get("id"))?;
        Ok(id.map(EntryId::new))
    }

    /// What was sent and of which it is not known whether it was done, oldest first.
    pub fn unresolved(&self, account: AccountId) -> Result<Vec<(EntryId, Evidence)>> {
        let set_aside = self.entries_where("j.account_id = ?1 AND j.state <> 'pending'", [account.get()])?.into_iter();
        let evidence = set_aside.filter_map(|entry| match entry.state {
            State::InFlight { evidence } | State::Parked { doubt: Some(evidence), .. } => Some((entry.id, evidence)),
            State::Pending | State::Parked { doubt: None, .. } => None,
        });
        Ok(evidence.collect())
    }

    /// The evidence of what is on its way.
    pub(in crate::store) fn in_flight(&self, account: AccountId) -> Result<Vec<Evidence>> {
        // The second condition is what the index has.
        let mut select = self.conn().prepare_cached(
            "SELECT evidence FROM journal WHERE account_id = ?1 AND state = 'in-flight' AND state <> 'pending'",
        )?;
        let (mut rows, mut evidence) = (select.query([account.get()])?, Vec::new());
        while let Some(row) = rows.next()? {
            evidence.push(serde_json::from_str(row.get_ref("evidence")?.as_str().map_err(rusqlite::Error::from)?)?);
        }
        Ok(evidence)
    }

    /// Was it sent, without an answer so far? Flags: was it ever sent?
    pub fn is_tried(&self, entry: EntryId) -> Result<bool> {
        let mut select = self.conn().prepare_cached("SELECT 1 AS one FROM journal WHERE id = ?1 AND tried <> 0")?;
        Ok(select.exists([entry.get()])?)
    }

    /// When something was sent last of which it is not known whether it is done.
    pub fn last_try(&self, account: AccountId) -> Result<Option<Timestamp>> {
        let mut select = self.conn().prepare_cached(
            "SELECT max(tried) AS last FROM journal WHERE account_id = ?1 AND state <> 'parked' AND tried <> 0",
        )?;
        let last: Option<i64> = select.query_row([account.get()], |row| row.get("last"))?;
        Ok(last.map(Timestamp::from_unix_ms))
    }

    /// Is an open entry to append a message to the mailbox?
    pub fn is_appended_to(&self, account: AccountId, mailbox: MailboxId) -> Result<bool> {
        let mut select = self.conn().prepare_cached(
            "SELECT 1 AS one FROM journal WHERE account_id = ?1 AND kind = 'append' AND op ->> '$.mailbox' = ?2",
        )?;
        Ok(select.exists([account.get(), mailbox.get()])?)
    }

    /// The entry.
    pub fn entry(&self, entry: EntryId) -> Result<Entry> {
        self.entries_where("j.id = ?1", [entry.get()])?.pop().ok_or(Error::NoSuchEntry)
    }

    fn entries_where(&self, condition: &str, value: [i64; 1]) -> Result<Vec<Entry>> {
        let mut select = self.conn().prepare_cached(&format!("{SELECT} WHERE {condition} ORDER BY j.id"))?;
        let mut rows = select.query(value)?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(entry_from_row(row)?);
        }
        Ok(entries)
    }

    /// The mailboxes in which the entry's open messages are, or were last here, or, of those that were in none here, in which
    /// upstream has them; the first message's first, and two at most.
    pub fn entry_mailboxes(&self, entry: EntryId) -> Result<Vec<String>> {
        let mut select = self.conn().prepare_cached(
            "SELECT coalesce(here.name, m.gone_from, there.name) AS place
             FROM journal_message AS jm JOIN message AS m ON m.id = jm.message_id
               LEFT JOIN mailbox AS here ON here.id = m.mailbox_id
               LEFT JOIN remote_message AS r ON r.message_id = m.id LEFT JOIN mailbox AS there ON there.id = r.mailbox_id
             WHERE jm.entry_id = ?1 AND place IS NOT NULL GROUP BY place ORDER BY min(jm.message_id) LIMIT 2",
        )?;
        let names = select.query_map([entry.get()], |row| row.get("place"))?;
        Ok(names.collect::<rusqlite::Result<_>>()?)
    }

    /// Is anything about the message still to be done upstream?
    pub fn is_pending(&self, message: MessageId) -> Result<bool> {
        let mut select = self.conn().prepare_cached("SELECT 1 AS one FROM journal_message WHERE message_id = ?1")?;
        Ok(select.exists([message.get()])?)
    }

    /// Is an open entry to put the message somewhere, or to take it away?
    pub(in crate::store) fn is_to_be_placed(&self, message: MessageId) -> Result<bool> {
        let mut select = self.conn().prepare_cached(
            "SELECT 1 AS one FROM journal_message AS jm JOIN journal AS j ON j.id = jm.entry_id
             WHERE jm.message_id = ?1 AND j.kind <> 'flags'",
        )?;
        Ok(select.exists([message.get()])?)
    }

    /// The entries of which the message's part is not done, oldest first. A mailbox may have been flagged hundreds of times, so
    /// that no more is read of each than this.
    pub fn parts_of(&self, message: MessageId) -> Result<Vec<Part>> {
        let mut select = self.conn().prepare_cached(
            "SELECT j.id, j.kind, j.tried, j.op FROM journal_message AS jm JOIN journal AS j ON j.id = jm.entry_id
             WHERE jm.message_id = ?1 ORDER BY j.id",
        )?;
        let (mut rows, mut parts) = (select.query([message.get()])?, Vec::new());
        while let Some(row) = rows.next()? {
            let text = |place| row.get_ref(place)?.as_str().map_err(rusqlite::Error::from);
            let (kind, op): (&str, &str) = (text(1)?, text(3)?);
            let flags = match kind {
                FLAGS => Some(PartFlags { is_tried: row.get(2)?, ..serde_json::from_str(op)? }),
                _ => None,
            };
            parts.push(Part { entry: EntryId::new(row.get(0)?), brings: [APPEND, COPY].contains(&kind), flags });
        }
        Ok(parts)
    }

    /// What the open entries change of the message's flags, oldest first.
    pub(in crate::store) fn open_flags(&self, message: MessageId) -> Result<Vec<PartFlags>> {
        Ok(self.parts_of(message)?.into_iter().filter_map(|part| part.flags).collect())
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
        // The second condition is what the index has.
        let mut select = self.conn().prepare_cached(
            "SELECT min(retry_ms) AS next FROM journal WHERE account_id = ?1 AND state = 'parked' AND state <> 'pending'",
        )?;
        let next: Option<i64> = select.query_row([account.get()], |row| row.get("next"))?;
        Ok(next.map(Timestamp::from_unix_ms))
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
        self.try_entries(entries)
    }

    /// The same of one that does others as well. [`Error::NoSuchEntry`]: the user took some of it back.
    pub fn mark_together_in_flight(&mut self, carrier: EntryId, evidence: &Evidence) -> Result<()> {
        for (message, ..) in &evidence.messages {
            if !self.reader().is_to_be_placed(*message)? {
                return Err(Error::NoSuchEntry);
            }
        }
        self.mark_in_flight(&[carrier], evidence)
    }

    /// The entries are about to be sent, and may be sent again. The column holds when, in Unix milliseconds: 0, not (any more); 1,
    /// by a version that noted no time.
    pub fn try_entries<'a>(&mut self, entries: impl IntoIterator<Item = &'a EntryId>) -> Result<()> {
        let now_ms = self.now().unix_ms();
        let mut update = self.conn().prepare_cached("UPDATE journal SET tried = ?2 WHERE id = ?1")?;
        entries.into_iter().try_for_each(|entry| Ok(update.execute([entry.get(), now_ms]).map(drop)?))
    }

    /// What was tried of the acts on places is answered.
    pub fn end_try(&mut self, entries: &BTreeSet<EntryId>) -> Result<()> {
        let mut update = self
            .conn()
            .prepare_cached("UPDATE journal SET tried = 0 WHERE id = ?1 AND tried <> 0 AND kind <> 'flags'")?;
        entries.iter().try_for_each(|entry| Ok(update.execute([entry.get()]).map(drop)?))
    }

    /// What is still open of the entry is to be done (again). `failed` counts an attempt.
    pub fn reopen(&mut self, entry: EntryId, failed: bool) -> Result<()> {
        self.end_doubt(entry)?;
        self.change_entry(
            entry,
            "UPDATE journal SET state = 'pending', evidence = NULL, why = NULL, retry_ms = NULL,
               attempts = attempts + ?2, tried = iif(kind = 'flags', tried, 0) WHERE id = ?1
             RETURNING account_id",
            failed,
        )
    }

    /// Sets the entry aside: it cannot be done as it is.
    pub fn park(&mut self, entry: EntryId, why: &str) -> Result<()> {
        self.end_doubt(entry)?;
        self.change_entry(
            entry,
            "UPDATE journal SET state = 'parked', evidence = NULL, why = ?2, retry_ms = NULL, tried = iif(kind = 'flags', tried, 0)
             WHERE id = ?1
             RETURNING account_id",
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
             WHERE account_id = ?1 AND state = 'parked' AND state <> 'pending' AND retry_ms <= ?2",
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
        let mut settle_flags = self.conn().prepare_cached(
            "DELETE FROM flag_merge WHERE message_id = ?1 AND NOT EXISTS (
               SELECT 1 FROM journal_message AS jm JOIN journal AS j ON j.id = jm.entry_id
               WHERE jm.message_id = ?1 AND j.kind = 'flags')",
        )?;
        let account = self.reader().entry_account(entry)?;
        for message in messages {
            self.end_part(entry, *message)?;
            settle_flags.execute([message.get()])?;
        }
        self.end_if_done(entry)?;
        self.touch(account);
        Ok(())
    }

    pub(in crate::store) fn end_part(&self, entry: EntryId, message: MessageId) -> Result<()> {
        let mut delete =
            self.conn().prepare_cached("DELETE FROM journal_message WHERE message_id = ?1 AND entry_id = ?2")?;
        delete.execute([message.get(), entry.get()])?;
        Ok(())
    }

    pub(in crate::store) fn end_if_done(&self, entry: EntryId) -> Result<()> {
        let mut delete = self.conn().prepare_cached(
            "DELETE FROM journal WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM journal_message WHERE entry_id = ?1)",
        )?;
        delete.execute([entry.get()])?;
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
    pub(in crate::store) fn entry_account(&self, entry: EntryId) -> Result<AccountId> {
        let mut select = self.conn().prepare_cached("SELECT account_id FROM journal WHERE id = ?1")?;
        let account: Option<i64> = select.query_row([entry.get()], |row| row.get("account_id")).optional()?;
        account.map(AccountId::new).ok_or(Error::NoSuchEntry)
    }
}

fn entry_from_row(row: &Row<'_>) -> Result<Entry> {
    let open: Option<String> = row.get("open")?;
    let open =
        open.iter().flat_map(|open| open.split(' ')).filter_map(|id| id.parse().ok()).map(MessageId::new).collect();
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

const FLAGS: &str = "flags";
const COPY: &str = "copy";
const APPEND: &str = "append";

/// What is in the column `kind`: the name that the op's JSON bears as well.
pub(in crate::store) const fn kind(op: &Op) -> &'static str {
    match op {
        Op::Flags { .. } => FLAGS,
        Op::Move { .. } => "move",
        Op::Copy { .. } => COPY,
        Op::Append { .. } => APPEND,
        Op::Expunge { .. } => "expunge",
        Op::CreateMailbox { .. } => "create-mailbox",
        Op::RenameMailbox { .. } => "rename-mailbox",
        Op::DeleteMailbox { .. } => "delete-mailbox",
        Op::Subscribe { .. } => "subscribe",
    }
}
