//! Changing the flags of messages.
//!
//! What the user changes is a journal entry until it is settled. With what others change upstream it is merged by the
//! message's [`FlagReplicas`], which are made of the journal when that is first seen, and kept from then on: what the user
//! changes after it is not beside it.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, params};

use super::flag_rows::{Marks, Of};
use super::journal::PartFlags;
use super::message_acts::check_keywords;
use super::rights::Standing;
use super::{Changed, Error, Origin, Result, Txn};
use crate::journal::Op;
use crate::merge::FlagReplicas;
use crate::types::{AccountId, Flags, LocalUid, MailboxId, MessageId, ModSeq, Right, Rights, SystemFlag};

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
        let found = self.eyes().flags(mailbox, uids)?;
        let is_user = self.origin() == Origin::LocalUser;
        let ids = match is_user || guest.is_some() {
            true => self.reader().ids_of(mailbox, &found.iter().map(|message| message.uid).collect())?,
            false => Vec::new(),
        };
        let mut ids = ids.into_iter();
        let is_merging = is_user && self.is_merging()?;
        stored.now.reserve(found.len());
        let mut marks = Marks::default();
        // Of many messages most have the same flags.
        let mut last: Option<(Flags, Delta, Flags)> = None;
        for message in found {
            let id = ids.next();
            if unchanged_since.is_some_and(|since| message.mod_seq > since) {
                stored.modified.push(message.uid);
                continue;
            }
            let is_same = |before: &Flags| *before == message.flags && before.has_keywords_of(&message.flags);
            let (_, delta, flags) = match last.take().filter(|(before, ..)| is_same(before)) {
                Some(same) => last.insert(same).clone(),
                None => {
                    let (add, remove) = change.delta(&message.flags);
                    let delta = (rights.allowed(&add), rights.allowed(&remove));
                    let flags = message.flags.difference(&delta.1).union(&delta.0);
                    last.insert((message.flags.clone(), delta, flags)).clone()
                }
            };
            let mut mod_seq = message.mod_seq;
            if flags != message.flags {
                check_keywords(&flags)?;
                mod_seq = match stored.taken {
                    Some(mod_seq) => mod_seq,
                    None => *stored.taken.insert(self.next_mod_seq(mailbox)?),
                };
                match guest.zip(id) {
                    Some((guest, id)) => self.set_flags_of_guest(guest, (id, mailbox), &message, &flags, mod_seq)?,
                    None => {
                        let of = if flags.has_keywords_of(&message.flags) { Of::SYSTEM } else { Of::ALL };
                        marks.add(message.uid, of, &flags);
                    }
                }
            }
            if let Some(id) = id.filter(|_| is_user && !(delta.0.is_empty() && delta.1.is_empty())) {
                if is_merging {
                    self.record_in_replicas(id, &delta)?;
                }
                said.entry(delta).or_default().push(id);
            }
            stored.now.push(Changed { flags, mod_seq, ..message });
        }
        if let Some(mod_seq) = stored.taken {
            self.mark(mailbox, &marks, mod_seq)?;
        }
        for ((add, remove), messages) in said {
            self.journal(account, Op::Flags { messages, add, remove })?;
        }
        Ok(stored)
    }

    /// What the user changed of a message's flags, and upstream does not have yet, is wanted of another as well.
    pub fn hand_on_flags(&mut self, message: MessageId, other: MessageId) -> Result<()> {
        for PartFlags { add, remove, .. } in self.reader().open_flags(message)? {
            let Some(other) = self.reader().message(other)? else { continue };
            let flags = other.flags.difference(&remove).union(&add);
            let mod_seq = self.next_mod_seq(other.mailbox)?;
            self.set_flags(other.id, Some((other.mailbox, other.uid)), &flags, mod_seq)?;
            let delta = (add, remove);
            self.record_in_replicas(other.id, &delta)?;
            let (add, remove) = delta;
            self.journal_for_user(other.account, Op::Flags { messages: vec![other.id], add, remove })?;
        }
        Ok(())
    }

    /// Writes the flags that a guest gives a message: `\Seen` is not the owner's.
    fn set_flags_of_guest(
        &mut self,
        guest: AccountId,
        (id, mailbox): (MessageId, MailboxId),
        message: &Changed,
        flags: &Flags,
        mod_seq: ModSeq,
    ) -> Result<()> {
        let seen = flags.has(SystemFlag::Seen);
        if seen != message.flags.has(SystemFlag::Seen) {
            self.set_guest_seen(guest, (id, mailbox), seen, mod_seq)?;
        }
        let others = |flags: &Flags| flags.system_bits() & !(SystemFlag::Seen as u8);
        let place = (mailbox, message.uid);
        if others(flags) == others(&message.flags) && flags.has_keywords_of(&message.flags) {
            return self.note_change(place, mod_seq);
        }
        self.set_flags_but_seen(place, flags, mod_seq)
    }

    /// The two replicas of a message's flags, if both sides changed some that are unsettled.
    pub(in crate::store) fn replicas(&self, message: MessageId) -> Result<Option<FlagReplicas>> {
        let mut select = self.conn().prepare_cached("SELECT replicas FROM flag_merge WHERE message_id = ?1")?;
        let bytes: Option<Vec<u8>> = select.query_row([message.get()], |row| row.get("replicas")).optional()?;
        let unreadable = |error| Error::Damaged(format!("flags of message {message}: {error}"));
        bytes.map(|bytes| FlagReplicas::from_bytes(&bytes).map_err(unreadable)).transpose()
    }

    /// Has any message some?
    fn is_merging(&self) -> Result<bool> {
        Ok(self.conn().prepare_cached("SELECT 1 AS one FROM flag_merge LIMIT 1")?.exists([])?)
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

    fn record_in_replicas(&self, message: MessageId, (add, remove): &Delta) -> Result<()> {
        if let Some(mut replicas) = self.replicas(message)? {
            replicas.set_local(add, remove);
            self.set_replicas(message, &replicas)?;
        }
        Ok(())
    }
}
