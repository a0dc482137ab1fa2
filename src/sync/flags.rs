//! The step that may be done twice: STORE.

use std::collections::BTreeSet;

use super::Result;
use super::pass::{Pass, Why, refusal};
use super::plan::{Item, uids};
use super::push::keeps;
use super::remote::Remote;
use super::send::Did;
use crate::store::{self, Part, Reader, Txn};
use crate::types::{EntryId, Flags, MailboxId, MessageId, RemoteUid, UidSet, limits};

impl<R: Remote> Pass<'_, R> {
    /// STORE. It may be done twice, so it needs no evidence. What is gone meanwhile waits for the pull, which finds it.
    pub(super) async fn store_flags(
        &mut self,
        mailbox: MailboxId,
        add: Flags,
        remove: Flags,
        items: Vec<Item>,
    ) -> Result<Did> {
        if self.select_source(mailbox).await?.is_err() {
            return Ok(Did::Nothing);
        }
        let all = uids(&items);
        self.try_entries(items.iter().flat_map(|item| item.settles.iter().copied()).collect())?;
        let answer = match remove.is_empty() {
            true => self.remote.add_flags(&all, &add).await,
            false => self.remote.remove_flags(&all, &remove).await,
        };
        match refusal(answer)? {
            Ok(there) => self.flags_stored(add, remove, items, &there),
            Err(refused) if items.len() == 1 => self.store_each_flag(add, remove, items, refused.into()).await,
            Err(_) => {
                let mut did = Did::Nothing;
                for item in items {
                    did = did.or(Box::pin(self.store_flags(mailbox, add.clone(), remove.clone(), vec![item])).await?);
                }
                Ok(did)
            }
        }
    }

    /// These entries, which may be done twice, are about to be sent.
    pub(super) fn try_entries(&self, entries: BTreeSet<EntryId>) -> Result<()> {
        if entries.is_empty() { Ok(()) } else { self.write(move |txn| txn.try_entries(&entries)) }
    }

    /// One flag of a message after the other, since all together were refused: what the server takes is stored, and only
    /// what it refuses is set aside.
    async fn store_each_flag(&mut self, add: Flags, remove: Flags, items: Vec<Item>, why: Why) -> Result<Did> {
        let (message, uids) = (items[0].message, uids(&items));
        let (mut refused, is_one) = (Flags::none(), add.iter().chain(remove.iter()).count() == 1);
        for (flag, adds) in add.iter().map(|flag| (flag, true)).chain(remove.iter().map(|flag| (flag, false))) {
            let one: Flags = std::iter::once(flag).collect();
            let answer = match adds {
                _ if is_one => Ok(UidSet::new()),
                true => self.remote.add_flags(&uids, &one).await,
                false => self.remote.remove_flags(&uids, &one).await,
            };
            match refusal(answer)? {
                // It is gone: the next pull tells where.
                Ok(there) if !is_one && !there.contains(items[0].uid) => return Ok(Did::Nothing),
                Ok(there) if !is_one => {
                    let (add, remove) = if adds { (one, Flags::none()) } else { (Flags::none(), one) };
                    let unsettled = items.iter().map(|item| Item { settles: Vec::new(), ..item.clone() }).collect();
                    self.flags_stored(add, remove, unsettled, &there)?;
                }
                _ => refused = refused.union(&one),
            }
        }
        let settled = items.clone();
        self.write(move |txn| settled.iter().try_for_each(|item| settle_done(txn, item)))?;
        if refused.is_empty() {
            return Ok(Did::Something);
        }
        let mut about = self.read(|reader| reader.parts_of(message))?;
        about.retain(|part| part.flags.as_ref().is_some_and(|flags| !is_apart(&flags.all(), &refused)));
        if !refused.difference(&asked_for(&about)).is_empty() {
            // The flags of a copy, which no entry of its own asks for.
            self.park_items(&items, why.clone())?;
        }
        let parked: Vec<EntryId> = about.iter().map(|part| part.entry).collect();
        if !parked.is_empty() {
            self.park(message, &parked, why)?;
        }
        Ok(Did::Something)
    }

    /// Records that flags were stored of those of the messages that are there.
    pub(super) fn flags_stored(
        &mut self,
        add: Flags,
        remove: Flags,
        mut items: Vec<Item>,
        there: &UidSet<RemoteUid>,
    ) -> Result<Did> {
        items.retain(|item| there.contains(item.uid));
        if items.is_empty() {
            return Ok(Did::Nothing);
        }
        self.report.flags_out += items.len();
        // Some at a time: whoever writes meanwhile comes in between.
        for some in items.chunks(limits::SETTLED_AT_ONCE_MAX) {
            let (some, add, remove) = (some.to_vec(), add.clone(), remove.clone());
            self.write(move |txn| {
                some.iter().try_for_each(|item| {
                    txn.flags_stored(item.message, &add, &remove)?;
                    settle_done(txn, item)
                })
            })?;
        }
        Ok(Did::Something)
    }
}

/// The message's entries are done, but for those that wait for a flag that upstream has not taken (yet): what one step was
/// refused another does not settle.
fn settle_done(txn: &mut Txn<'_>, item: &Item) -> store::Result<()> {
    let reader = txn.reader();
    let open = open_flags(&reader, item.message)?;
    if open.is_empty() {
        return txn.settle_parts(item.message, &item.settles);
    }
    let about = reader.parts_of(item.message)?;
    let asked = asked_for(&about);
    let is_done = |part: &&Part| match &part.flags {
        Some(flags) => is_apart(&flags.all(), &open),
        // It came with its flags: those that no entry of their own asks for.
        None => !part.brings || open.difference(&asked).is_empty(),
    };
    let is_meant = |part: &&Part| item.settles.contains(&part.entry);
    let done: Vec<EntryId> = about.iter().filter(is_meant).filter(is_done).map(|part| part.entry).collect();
    txn.settle_parts(item.message, &done)
}

/// The flags of the message that are still to be stored or taken off upstream.
fn open_flags(reader: &Reader<'_>, message: MessageId) -> store::Result<Flags> {
    let Some(facts) = reader.message_facts(message)? else { return Ok(Flags::none()) };
    let Some(binding) = facts.upstream else { return Ok(Flags::none()) };
    let (add, remove) = keeps(reader, binding.mailbox)?.changes(&binding.base, &facts.flags);
    Ok(add.union(&remove))
}

/// The flags that entries change.
fn asked_for(parts: &[Part]) -> Flags {
    let flags = parts.iter().filter_map(|part| part.flags.as_ref());
    flags.fold(Flags::none(), |asked, flags| asked.union(&flags.all()))
}

fn is_apart(one: &Flags, other: &Flags) -> bool {
    one.difference(other) == *one
}
