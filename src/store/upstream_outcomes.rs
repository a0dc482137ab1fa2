//! What came of what was sent: the new base and the entries that it settles, in one transaction.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension, params};

use super::{Error, Result, Txn};
use crate::journal::{Evidence, Op, State};
use crate::types::{AccountId, EntryId, Flags, MailboxId, MessageId, RemoteUid};

/// Of each entry some of its messages.
pub type Parts = BTreeMap<EntryId, BTreeSet<MessageId>>;

/// A message that reached its mailbox upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    pub message: MessageId,
    pub uid: RemoteUid,
    /// The flags with which it was sent.
    pub sent: Flags,
    /// The flags that it has there; others may have changed them already.
    pub shown: Flags,
    /// Whether the entries are done with that.
    pub is_finished: bool,
}

impl Txn<'_> {
    /// Messages were appended, copied or moved: upstream has them in `mailbox` now.
    pub fn landed(&mut self, mailbox: MailboxId, landed: &[Landed], settles: &[EntryId]) -> Result<()> {
        self.goes_ahead(mailbox)?;
        for message in landed {
            self.source_goes_ahead(message.message)?;
            // Where a message is one thing, it may have been there before (its labels are a set).
            let other = self.bound_at(mailbox, message.uid)?.filter(|other| *other != message.message);
            if other.is_some() {
                self.coincide(message.message)?;
                continue;
            }
            self.bind(message.message, mailbox, message.uid, &message.sent)?;
            self.observe_flags(message.message, &message.shown)?;
            self.unskip(mailbox, &std::iter::once(message.uid).collect())?;
            if message.is_finished {
                self.settle_parts(message.message, settles)?;
            }
        }
        Ok(())
    }

    /// The step whose evidence `carrier` holds is over; what it did not do is to be done again. Does nothing if all
    /// was done.
    pub fn not_in_flight(&mut self, carrier: EntryId) -> Result<()> {
        match self.reopen(carrier, false) {
            Err(Error::NoSuchEntry) => Ok(()),
            other => other,
        }
    }

    /// Upstream added and removed these flags. Of those, what no open entry names the user took back meanwhile: it is upstream's
    /// now.
    pub fn flags_stored(&mut self, message: MessageId, add: &Flags, remove: &Flags) -> Result<()> {
        let facts = self.reader().message_facts(message)?;
        let Some(binding) = facts.and_then(|facts| facts.upstream) else { return Ok(()) };
        let open = self.reader().open_flags(message)?;
        let named = open.iter().fold(Flags::none(), |named, open| named.union(&open.all()));
        let of_ours = |flags: &Flags| flags.difference(&flags.difference(&named));
        self.set_base(message, &binding.base.difference(&of_ours(remove)).union(&of_ours(add)))?;
        self.observe_flags(message, &binding.base.difference(remove).union(add))?;
        self.goes_ahead(binding.mailbox)
    }

    /// The message is about to be expunged, unless (`false`) the user took it back.
    pub fn begin_expunge(&mut self, message: MessageId, settles: &[EntryId]) -> Result<bool> {
        if self.reader().message(message)?.is_some() {
            return Ok(false);
        }
        self.try_entries(settles)?;
        Ok(true)
    }

    /// Upstream expunged the message at the user's wish. One that the user took back meanwhile is appended anew.
    pub fn expunged_upstream(&mut self, message: MessageId, settles: &[EntryId]) -> Result<()> {
        self.source_goes_ahead(message)?;
        self.unbind(message)?;
        self.settle_parts(message, settles)?;
        match self.reader().message(message)? {
            Some(here) if !self.reader().is_pending(message)? => {
                self.journal_for_user(here.account, Op::Append { message, mailbox: here.mailbox })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The message left the mailbox where upstream had it.
    fn source_goes_ahead(&mut self, message: MessageId) -> Result<()> {
        match self.reader().message_facts(message)?.and_then(|facts| facts.upstream) {
            Some(binding) => self.goes_ahead(binding.mailbox),
            None => Ok(()),
        }
    }

    /// The entries' parts for one message are done.
    pub fn settle_parts(&mut self, message: MessageId, entries: &[EntryId]) -> Result<()> {
        let about: BTreeSet<EntryId> = self.entries_about(message)?.into_iter().collect();
        for entry in entries.iter().filter(|entry| about.contains(entry)) {
            let account = self.reader().entry_account(*entry)?;
            self.end_part(*entry, message)?;
            self.end_if_done(*entry)?;
            self.touch(account);
        }
        self.forget_replicas(message)
    }

    /// Everything about the message is done.
    pub fn settle_message(&mut self, message: MessageId) -> Result<()> {
        let entries = self.entries_about(message)?;
        self.settle_parts(message, &entries)
    }

    /// The entries of which the message's part is not done.
    fn entries_about(&self, message: MessageId) -> Result<Vec<EntryId>> {
        let mut select = self.conn().prepare_cached("SELECT entry_id FROM journal_message WHERE message_id = ?1")?;
        let entries = select.query_map([message.get()], |row| row.get("entry_id").map(EntryId::new))?;
        Ok(entries.collect::<rusqlite::Result<Vec<_>>>()?)
    }

    /// Sets the entries' parts for these messages aside; the rest of each entry goes on. What `may_pass` is tried again by
    /// itself.
    pub fn park_parts(&mut self, parts: &Parts, why: &str, may_pass: bool) -> Result<()> {
        for (entry, messages) in parts {
            let open = match self.reader().entry(*entry) {
                Ok(entry) => entry.open,
                Err(Error::NoSuchEntry) => continue,
                Err(error) => return Err(error),
            };
            let meant: BTreeSet<MessageId> =
                open.iter().copied().filter(|message| messages.contains(message)).collect();
            if meant.is_empty() {
                continue;
            }
            let parked = self.park_of(*entry, open.len(), &meant, why)?;
            if may_pass {
                self.retry_later(parked)?;
            }
        }
        Ok(())
    }

    /// Nobody can see whether the step whose evidence `carrier` holds was done. Every entry that it was to do is set aside,
    /// each with the evidence about its own messages; what else an entry asks for goes on.
    pub fn park_in_doubt(&mut self, carrier: EntryId, evidence: &Evidence, why: &str) -> Result<()> {
        let mut parts: BTreeMap<EntryId, BTreeSet<MessageId>> = BTreeMap::new();
        for (message, ..) in &evidence.messages {
            if let Some(entry) = self.placing_entry(*message, carrier)? {
                parts.entry(entry).or_default().insert(*message);
            }
        }
        for (entry, messages) in parts {
            let mut own = evidence.clone();
            let is_own = evidence.messages.iter().map(|(message, ..)| messages.contains(message));
            let is_own: Vec<bool> = is_own.collect();
            let mut kept = is_own.iter().copied();
            own.messages.retain(|_| kept.next().unwrap_or(false));
            let mut kept = is_own.into_iter();
            own.flags.retain(|_| kept.next().unwrap_or(false));
            let open = self.reader().entry(entry)?.open.len();
            let parked = self.park_of(entry, open, &messages, why)?;
            own.settles.iter_mut().filter(|settles| **settles == entry).for_each(|settles| *settles = parked);
            let own = serde_json::to_string(&own)?;
            let mut insert =
                self.conn().prepare_cached("INSERT INTO journal_doubt (entry_id, evidence) VALUES (?1, ?2)")?;
            insert.execute(params![parked.get(), own])?;
        }
        // Where none of its own is left, the carrier has nothing to hold.
        match self.reader().entry(carrier).map(|entry| entry.state) {
            Ok(State::InFlight { .. }) => self.not_in_flight(carrier),
            Ok(_) | Err(Error::NoSuchEntry) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The entry that puts the message where it goes: `carrier` if it is that, else the oldest.
    fn placing_entry(&self, message: MessageId, carrier: EntryId) -> Result<Option<EntryId>> {
        let mut select = self.conn().prepare_cached(
            "SELECT j.id FROM journal_message AS jm JOIN journal AS j ON j.id = jm.entry_id
             WHERE jm.message_id = ?1 AND j.kind <> 'flags' ORDER BY j.id <> ?2, j.id LIMIT 1",
        )?;
        let entry = select.query_row([message.get(), carrier.get()], |row| row.get("id").map(EntryId::new));
        Ok(entry.optional()?)
    }

    /// Sets aside the entry's part for these of its open messages. Returns the entry that it is then.
    fn park_of(&mut self, entry: EntryId, open: usize, messages: &BTreeSet<MessageId>, why: &str) -> Result<EntryId> {
        if open > messages.len() {
            return self.park_part(entry, messages, why);
        }
        self.park(entry, why)?;
        Ok(entry)
    }

    /// Splits the messages' part off into an entry of its own, set aside. Returns that.
    fn park_part(&mut self, entry: EntryId, messages: &BTreeSet<MessageId>, why: &str) -> Result<EntryId> {
        let op = serde_json::to_string(&self.reader().entry(entry)?.op.only(messages))?;
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO journal (account_id, created_ms, kind, op, state, why, attempts)
             SELECT account_id, created_ms, kind, ?3, 'parked', ?2, attempts + 1 FROM journal WHERE id = ?1
             RETURNING id, account_id",
        )?;
        let (split, account): (i64, i64) =
            insert.query_row(params![entry.get(), why, op], |row| Ok((row.get("id")?, row.get("account_id")?)))?;
        let mut update = self
            .conn()
            .prepare_cached("UPDATE journal_message SET entry_id = ?3 WHERE entry_id = ?1 AND message_id = ?2")?;
        for message in messages {
            update.execute(params![entry.get(), message.get(), split])?;
        }
        self.touch(AccountId::new(account));
        Ok(EntryId::new(split))
    }
}
