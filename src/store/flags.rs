//! Changing the flags of messages.
//!
//! What the user changes is kept in two ways until it is settled: as a journal entry, and, for a message that upstream
//! has, in its [`FlagReplicas`], by which it is merged with what others change there.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::journal::OpenFlags;
use super::message_acts::check_keywords;
use super::messages::flags_from_row;
use super::rights::Standing;
use super::{Changed, Error, Origin, Result, Txn};
use crate::journal::Op;
use crate::merge::FlagReplicas;
use crate::types::{
    AccountId, Flag, Flags, Keyword, LocalUid, MailboxId, MessageId, ModSeq, Right, Rights, SystemFlag,
};

/// STORE's three forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlagChange {
    Add(Flags),
    Remove(Flags),
    Replace(Flags),
}

/// What came of [`Txn::store_flags`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// Every message named and present, with its flags now, ascending; without those in `modified`.
    pub now: Vec<Changed>,
    /// Messages left alone because of `unchanged_since`, ascending.
    pub modified: Vec<LocalUid>,
    /// The mod-sequence of those that changed, if any did; the mailbox's highest was the one before.
    pub taken: Option<ModSeq>,
}

/// What a change means for one message: (flags it sets, flags it unsets).
type Delta = (Flags, Flags);

impl FlagChange {
    /// The flags it names.
    const fn named(&self) -> &Flags {
        match self {
            Self::Add(flags) | Self::Remove(flags) | Self::Replace(flags) => flags,
        }
    }

    /// "STORE operation SHOULD NOT fail if the user has rights to modify at least one flag specified" (RFC 4314 section 4).
    fn is_permitted(&self, rights: Rights) -> bool {
        rights.has_any(&Right::OF_FLAGS) && (self.named().is_empty() || !rights.allowed(self.named()).is_empty())
    }

    /// Flags named in an addition count as set by the user even where they are set already: an assertion, which a
    /// removal elsewhere does not take away. What a replacement leaves as it is was not said by anyone.
    fn delta(&self, before: &Flags) -> Delta {
        match self {
            Self::Add(flags) => (flags.clone(), Flags::none()),
            Self::Remove(flags) => (Flags::none(), flags.difference(&flags.difference(before))),
            Self::Replace(flags) => (flags.difference(before), before.difference(flags)),
        }
    }

    /// The system flags that are the same on every message afterwards.
    fn mask(&self, rights: Rights) -> u8 {
        match self {
            Self::Add(flags) | Self::Remove(flags) => rights.allowed(flags).system_bits(),
            Self::Replace(_) => rights.allowed(&SystemFlag::ALL.into_iter().map(Flag::from).collect()).system_bits(),
        }
    }
}

impl Txn<'_> {
    /// Changes flags of the messages in `uids` that exist. With `unchanged_since`, messages with a later mod-sequence
    /// are left alone (RFC 7162 section 3.1.3). A message whose flags do not change keeps its mod-sequence.
    pub fn store_flags(
        &mut self,
        mailbox: MailboxId,
        uids: &[LocalUid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored> {
        let target = match self.writable(mailbox) {
            // It may keep some flags all the same.
            Err(Error::ReadOnly) => self.reader().mailbox(mailbox)?,
            target => target?,
        };
        let Standing { rights, guest } = self.eyes().admit(&target, &[Right::Read])?;
        let rights = rights.difference(self.reader().withheld_by_upstream(&target)?);
        if target.read_only && !rights.has_any(&Right::OF_FLAGS) {
            return Err(Error::ReadOnly);
        }
        if !change.is_permitted(rights) {
            return Err(Error::NoPermission);
        }
        let account = target.account;
        let mut stored = Stored::default();
        let mut said: BTreeMap<Delta, Vec<MessageId>> = BTreeMap::new();
        for message in self.eyes().flags(mailbox, uids)? {
            if unchanged_since.is_some_and(|since| message.mod_seq > since) {
                stored.modified.push(message.uid);
                continue;
            }
            let (add, remove) = change.delta(&message.flags);
            let delta = (rights.allowed(&add), rights.allowed(&remove));
            let flags = message.flags.difference(&delta.1).union(&delta.0);
            let mut mod_seq = message.mod_seq;
            if flags != message.flags {
                check_keywords(&flags)?;
                mod_seq = match stored.taken {
                    Some(mod_seq) => mod_seq,
                    None => *stored.taken.insert(self.next_mod_seq(mailbox)?),
                };
                if let Some(guest) = guest {
                    self.set_flags_of_guest(guest, mailbox, &message, &flags, mod_seq)?;
                }
            }
            if self.origin() == Origin::LocalUser && !(delta.0.is_empty() && delta.1.is_empty()) {
                self.record_in_replicas(message.id, &message.flags, &delta)?;
                said.entry(delta).or_default().push(message.id);
            }
            stored.now.push(Changed { flags, mod_seq, ..message });
        }
        if let Some(mod_seq) = stored.taken.filter(|_| guest.is_none()) {
            self.set_flags_in_runs(mailbox, &stored.now, change.mask(rights), mod_seq)?;
        }
        for ((add, remove), messages) in said {
            self.journal(account, &Op::Flags { messages, add, remove })?;
        }
        Ok(stored)
    }

    /// What the user changed of a message's flags, and upstream does not have yet, is wanted of another as well.
    pub fn hand_on_flags(&mut self, message: MessageId, other: MessageId) -> Result<()> {
        for OpenFlags { add, remove, .. } in self.reader().open_flags(message)? {
            let Some(other) = self.reader().message(other)? else { continue };
            let flags = other.flags.difference(&remove).union(&add);
            let mod_seq = self.next_mod_seq(other.mailbox)?;
            self.set_flags(other.id, Some((other.mailbox, other.uid)), &flags, mod_seq)?;
            let delta = (add, remove);
            self.record_in_replicas(other.id, &other.flags, &delta)?;
            let (add, remove) = delta;
            self.journal_for_user(other.account, &Op::Flags { messages: vec![other.id], add, remove })?;
        }
        Ok(())
    }

    /// Writes the flags that messages have now, those with that mod-sequence: one statement for all in a row whose keywords are
    /// alike, since a row alone costs as much as several at once.
    fn set_flags_in_runs(&mut self, mailbox: MailboxId, now: &[Changed], mask: u8, mod_seq: ModSeq) -> Result<()> {
        for run in now.chunk_by(|one, next| next.id.get() == one.id.get() + 1 && has_keywords_of(next, one)) {
            if let [first, ..] = run
                && let [.., last] = run
            {
                self.change_flags((first.id, last.id), (mask, &first.flags), mod_seq)?;
            }
            for changed in run.iter().filter(|changed| changed.mod_seq == mod_seq) {
                self.note_change(Some((mailbox, changed.uid)), mod_seq)?;
            }
        }
        Ok(())
    }

    /// Writes the flags that a guest gives a message: `\Seen` is not the owner's.
    fn set_flags_of_guest(
        &mut self,
        guest: AccountId,
        mailbox: MailboxId,
        message: &Changed,
        flags: &Flags,
        mod_seq: ModSeq,
    ) -> Result<()> {
        let seen = flags.has(SystemFlag::Seen);
        if seen != message.flags.has(SystemFlag::Seen) {
            self.set_guest_seen(guest, (message.id, mailbox), seen, mod_seq)?;
        }
        self.change_flags((message.id, message.id), (!(SystemFlag::Seen as u8), flags), mod_seq)?;
        self.note_change(Some((mailbox, message.uid)), mod_seq)
    }

    /// The two replicas of a message's flags, while anything about them is unsettled.
    pub(in crate::store) fn replicas(&self, message: MessageId) -> Result<Option<FlagReplicas>> {
        let mut select = self.conn().prepare_cached("SELECT replicas FROM flag_merge WHERE message_id = ?1")?;
        let bytes: Option<Vec<u8>> = select.query_row([message.get()], |row| row.get("replicas")).optional()?;
        let unreadable = |error| Error::Damaged(format!("flags of message {message}: {error}"));
        bytes.map(|bytes| FlagReplicas::from_bytes(&bytes).map_err(unreadable)).transpose()
    }

    /// Stores them.
    pub(in crate::store) fn set_replicas(&self, message: MessageId, replicas: &FlagReplicas) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO flag_merge (message_id, replicas) VALUES (?1, ?2)
             ON CONFLICT (message_id) DO UPDATE SET replicas = excluded.replicas",
        )?;
        insert.execute(params![message.get(), replicas.to_bytes()])?;
        Ok(())
    }

    /// Of a message that upstream does not have yet nobody else can change the flags: they go along with it.
    fn record_in_replicas(&self, message: MessageId, flags: &Flags, (add, remove): &Delta) -> Result<()> {
        let replicas = match self.replicas(message)? {
            Some(replicas) => Some(replicas),
            None => self.seed_replicas(message, flags)?,
        };
        if let Some(mut replicas) = replicas {
            replicas.set_local(add, remove);
            self.set_replicas(message, &replicas)?;
        }
        Ok(())
    }

    fn seed_replicas(&self, message: MessageId, flags: &Flags) -> Result<Option<FlagReplicas>> {
        let mut select = self.conn().prepare_cached(
            "SELECT r.system_flags, r.keywords, s.generation FROM remote_message AS r, store_info AS s
             WHERE r.message_id = ?1",
        )?;
        let base = select
            .query_row([message.get()], |row| Ok((flags_from_row(row)?, row.get::<_, i64>("generation")?)))
            .optional()?;
        Ok(base.map(|(base, generation)| FlagReplicas::new(&base, flags, generation)))
    }
}

/// To the letter: keywords are equal in any case, and each message keeps its own.
fn has_keywords_of(one: &Changed, other: &Changed) -> bool {
    one.flags.keywords().map(Keyword::as_str).eq(other.flags.keywords().map(Keyword::as_str))
}
