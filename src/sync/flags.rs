//! The step that may be done twice: STORE.

use std::collections::BTreeSet;

use super::Result;
use super::pass::{Pass, Why, refusal};
use super::plan::{Item, uids};
use super::remote::Remote;
use super::send::Did;
use crate::journal::Op;
use crate::store::{self, Reader};
use crate::types::{EntryId, Flags, MailboxId, MessageId, RemoteUid, UidSet};

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
        if !add.is_empty() {
            self.try_entries(items.iter().flat_map(|item| item.settles.iter().copied()).collect())?;
        }
        let answer = match remove.is_empty() {
            true => self.remote.add_flags(&all, &add).await,
            false => self.remote.remove_flags(&all, &remove).await,
        };
        match refusal(answer)? {
            Ok(there) => self.flags_stored(add, remove, items, &there),
            Err(refused) if items.len() == 1 => self.store_each_flag(add, remove, items, refused.into()).await,
            Err(_) => {
                for item in items {
                    Box::pin(self.store_flags(mailbox, add.clone(), remove.clone(), vec![item])).await?;
                }
                Ok(Did::Something)
            }
        }
    }

    /// Flags of these entries are about to be stored.
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
        if refused.is_empty() {
            self.write(move |txn| items.iter().try_for_each(|item| txn.settle_parts(item.message, &item.settles)))?;
            return Ok(Did::Something);
        }
        let (parked, done) = self.read(|reader| flag_entries(reader, message, &refused))?;
        self.write(move |txn| txn.settle_parts(message, &done))?;
        match parked.is_empty() {
            // The flags of a copy, which no entry of its own asks for.
            true => self.park_items(&items, why),
            false => self.park(message, &parked, why),
        }
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
        self.write(move |txn| {
            items.iter().try_for_each(|item| txn.flags_stored(item.message, &add, &remove, &item.settles))
        })?;
        Ok(Did::Something)
    }
}

/// The entries that change flags of the message: those about any of `flags`, and the others.
fn flag_entries(reader: &Reader<'_>, message: MessageId, flags: &Flags) -> store::Result<(Vec<EntryId>, Vec<EntryId>)> {
    let about = reader.entries_about(message)?.into_iter().filter_map(|entry| match entry.op {
        Op::Flags { add, remove, .. } => Some((entry.id, flags.iter().any(|flag| add.union(&remove).contains(&flag)))),
        _ => None,
    });
    let (is, others): (Vec<_>, Vec<_>) = about.partition(|(_, is)| *is);
    Ok((is.into_iter().map(|(id, _)| id).collect(), others.into_iter().map(|(id, _)| id).collect()))
}
