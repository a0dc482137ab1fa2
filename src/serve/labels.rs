//! Mailboxes as labels, as Gmail keeps them, for a server that is to be like it (`refserver --profile gmail`).
//!
//! A message is one thing (its bytes), in each mailbox at most once, and in the one for [`SpecialUse::All`] unless it is in
//! the Trash or in Junk, which hold it alone. Its flags are the same everywhere, but for `\Deleted`: an expunge takes one
//! label off. What comes by other ways than a session's is brought in line before a session looks.

use std::collections::{BTreeMap, BTreeSet};

use crate::store::{self, Copied, FlagChange, Message, Txn, With};
use crate::types::{AccountId, Flag, Flags, LocalUid, MailboxId, MailboxName, SpecialUse, SystemFlag, UidSet};

/// The rules of one account.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels {
    /// The name of the mailbox that has every message.
    all_mail: &'static str,
    /// The account's version when it was last brought in line.
    settled: u64,
}

/// What one account holds, by mailbox and by message.
struct Held {
    all: MailboxId,
    /// Trash and Junk.
    bins: Vec<MailboxId>,
    places: BTreeMap<String, Vec<(MailboxId, LocalUid)>>,
    /// A message that is in one mailbox several times: all but the first.
    doubles: BTreeMap<MailboxId, Vec<LocalUid>>,
}

impl Held {
    fn by(txn: &mut Txn<'_>, account: AccountId, all_mail: &str) -> store::Result<Self> {
        let mut mailboxes = txn.reader().mailboxes(account)?;
        let is_all = |mailbox: &store::Mailbox| mailbox.special_use == Some(SpecialUse::All);
        let all = match mailboxes.iter().find(|mailbox| is_all(mailbox)) {
            Some(mailbox) => mailbox.id,
            None => {
                let name = MailboxName::parse(all_mail).expect("it is a fine name");
                let made = txn.create_mailbox(account, &name, Some(SpecialUse::All))?;
                mailboxes = txn.reader().mailboxes(account)?;
                made
            }
        };
        let is_bin =
            |mailbox: &&store::Mailbox| matches!(mailbox.special_use, Some(SpecialUse::Trash | SpecialUse::Junk));
        let bins = mailboxes.iter().filter(is_bin).map(|mailbox| mailbox.id).collect();
        let mut held = Self { all, bins, places: BTreeMap::new(), doubles: BTreeMap::new() };
        for mailbox in mailboxes.iter().filter(|mailbox| mailbox.selectable) {
            for message in messages(txn, mailbox.id)? {
                let places = held.places.entry(message.object_id).or_default();
                match places.iter().any(|(other, _)| *other == mailbox.id) {
                    true => held.doubles.entry(mailbox.id).or_default().push(message.uid),
                    false => places.push((mailbox.id, message.uid)),
                }
            }
        }
        Ok(held)
    }

    fn uid_in(&self, object: &str, mailbox: MailboxId) -> Option<LocalUid> {
        let places = self.places.get(object)?;
        places.iter().find(|(place, _)| *place == mailbox).map(|(_, uid)| *uid)
    }
}

impl Labels {
    pub(super) const fn new(all_mail: &'static str) -> Self {
        Self { all_mail, settled: 0 }
    }

    pub(super) fn are_settled(self, reader: &store::Reader<'_>, account: AccountId) -> store::Result<bool> {
        Ok(version(reader, account)? == self.settled)
    }

    /// Brings in line what was done otherwise: everything is in All Mail, and nothing is anywhere twice.
    pub(super) fn settle(mut self, txn: &mut Txn<'_>, account: AccountId) -> store::Result<Self> {
        let held = Held::by(txn, account, self.all_mail)?;
        for (mailbox, uids) in &held.doubles {
            remove(txn, *mailbox, uids)?;
        }
        let mut lacking: BTreeMap<MailboxId, Vec<LocalUid>> = BTreeMap::new();
        for places in held.places.values() {
            let is_kept = places.iter().any(|(place, _)| *place == held.all || held.bins.contains(place));
            if let (false, Some((mailbox, uid))) = (is_kept, places.first()) {
                lacking.entry(*mailbox).or_default().push(*uid);
            }
        }
        for (mailbox, mut uids) in lacking {
            uids.sort_unstable();
            txn.copy(mailbox, &uids, held.all)?;
        }
        self.settled = version(&txn.reader(), account)?;
        Ok(self)
    }

    /// Sets the label of `to` on messages of `from`, and takes that of `from` off if they move. Out of All Mail nothing moves
    /// but into the Trash or Junk, which take all labels off.
    pub(super) fn transfer(
        self,
        txn: &mut Txn<'_>,
        from: MailboxId,
        uids: &[LocalUid],
        to: MailboxId,
        moves: bool,
    ) -> store::Result<Copied> {
        let account = txn.reader().mailbox(from)?.account;
        let held = Held::by(txn, account, self.all_mail)?;
        let sources = txn.reader().messages(from, uids, With::Columns)?;
        let is_there = |message: &&Message| held.uid_in(&message.object_id, to).is_some();
        let (known, new): (Vec<&Message>, Vec<&Message>) = sources.iter().partition(is_there);
        let new: Vec<LocalUid> = new.into_iter().map(|message| message.uid).collect();
        let mut copied = txn.copy(from, &new, to)?;
        copied
            .uids
            .extend(known.iter().filter_map(|message| Some((message.uid, held.uid_in(&message.object_id, to)?))));
        copied.uids.sort_unstable();
        let into_bin = held.bins.contains(&to);
        let mut leaves: BTreeMap<MailboxId, Vec<LocalUid>> = BTreeMap::new();
        for message in &sources {
            for (place, uid) in held.places.get(&message.object_id).into_iter().flatten() {
                let is_left = match *place == from {
                    _ if *place == to => false,
                    true => into_bin || held.bins.contains(&from) || (moves && from != held.all),
                    false => into_bin || held.bins.contains(place),
                };
                if is_left {
                    leaves.entry(*place).or_default().push(*uid);
                }
            }
        }
        for (mailbox, uids) in &leaves {
            remove(txn, *mailbox, uids)?;
        }
        Ok(copied)
    }

    /// What was changed on messages of `mailbox` is changed wherever else they are.
    pub(super) fn share_flags(
        self,
        txn: &mut Txn<'_>,
        mailbox: MailboxId,
        uids: &[LocalUid],
        change: &FlagChange,
    ) -> store::Result<()> {
        let account = txn.reader().mailbox(mailbox)?.account;
        let held = Held::by(txn, account, self.all_mail)?;
        let deleted: Flags = std::iter::once(Flag::from(SystemFlag::Deleted)).collect();
        for message in txn.reader().messages(mailbox, uids, With::Columns)? {
            let elsewhere = held.places.get(&message.object_id).into_iter().flatten();
            for (place, uid) in elsewhere.filter(|(place, _)| *place != mailbox).copied().collect::<Vec<_>>() {
                let change = match change {
                    FlagChange::Add(flags) => FlagChange::Add(flags.difference(&deleted)),
                    FlagChange::Remove(flags) => FlagChange::Remove(flags.difference(&deleted)),
                    FlagChange::Replace(flags) => {
                        let other = txn.reader().messages(place, &[uid], With::Columns)?.pop();
                        let keeps = other.is_some_and(|other| other.flags.has(SystemFlag::Deleted));
                        let shared = flags.difference(&deleted);
                        FlagChange::Replace(if keeps { shared.union(&deleted) } else { shared })
                    }
                };
                txn.store_flags(place, &[uid], &change, None)?;
            }
        }
        Ok(())
    }
}

/// A number that grows with every change of the account's mail.
fn version(reader: &store::Reader<'_>, account: AccountId) -> store::Result<u64> {
    let mailboxes = reader.mailboxes(account)?;
    Ok(mailboxes.iter().map(|mailbox| mailbox.highest_mod_seq.get() + 1).sum())
}

/// The names of the other mailboxes that hold each of these messages.
pub(super) fn labels(
    reader: &store::Reader<'_>,
    mailbox: MailboxId,
    uid: LocalUid,
) -> store::Result<BTreeSet<MailboxName>> {
    let Some(message) = reader.messages(mailbox, &[uid], With::Columns)?.pop() else { return Ok(BTreeSet::new()) };
    let mut names = BTreeSet::new();
    for other in reader.mailboxes(message.account)? {
        let is_label = other.id != mailbox && other.special_use != Some(SpecialUse::All);
        let Some(name) = other.name.filter(|_| is_label && other.selectable) else { continue };
        let everything = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        if reader
            .messages_in(other.id, &everything, With::Columns)?
            .iter()
            .any(|held| held.object_id == message.object_id)
        {
            names.insert(name);
        }
    }
    Ok(names)
}

fn messages(txn: &Txn<'_>, mailbox: MailboxId) -> store::Result<Vec<Message>> {
    let everything = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    txn.reader().messages_in(mailbox, &everything, With::Columns)
}

/// Takes the label of a mailbox off.
fn remove(txn: &mut Txn<'_>, mailbox: MailboxId, uids: &[LocalUid]) -> store::Result<()> {
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    let deleted = std::iter::once(Flag::from(SystemFlag::Deleted)).collect();
    txn.store_flags(mailbox, &uids, &FlagChange::Add(deleted), None)?;
    txn.expunge(mailbox, Some(&uids.into_iter().collect()))?;
    Ok(())
}
