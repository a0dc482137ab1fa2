//! The step that must hit nothing else: EXPUNGE, as the end of a deletion or of a move by copying.

use std::collections::BTreeSet;

use super::Result;
use super::pass::{Pass, Refusal, refusal};
use super::plan::{Item, uids};
use super::remote::Remote;
use super::send::Did;
use crate::types::mutant::mutant;
use crate::types::{EntryId, Flag, Flags, MailboxId, RemoteUid, SystemFlag, UidSet};

impl<R: Remote> Pass<'_, R> {
    /// Expunges messages that the user expunged here.
    pub(super) async fn expunge(&mut self, from: MailboxId, mut items: Vec<Item>) -> Result<Did> {
        if self.select_source(from).await?.is_err() {
            return Ok(Did::Nothing);
        }
        items = self.begin_expunge(items)?;
        if items.is_empty() {
            return Ok(Did::Nothing);
        }
        let did = self.expunge_selected(from, &items).await?;
        self.end_expunge(&items)?;
        Ok(did)
    }

    /// Those that the user has not taken back since it was planned; from here on they are not taken back before it is answered.
    fn begin_expunge(&self, items: Vec<Item>) -> Result<Vec<Item>> {
        self.write(move |txn| {
            let mut begun = Vec::with_capacity(items.len());
            for item in items {
                if txn.begin_expunge(item.message, &item.settles)? {
                    begun.push(item);
                }
            }
            Ok(begun)
        })
    }

    /// It is answered.
    pub(super) fn end_expunge(&self, items: &[Item]) -> Result<()> {
        let entries: BTreeSet<EntryId> = items.iter().flat_map(|item| item.settles.iter().copied()).collect();
        if entries.is_empty() { Ok(()) } else { self.write(move |txn| txn.end_try(&entries)) }
    }

    async fn expunge_selected(&mut self, from: MailboxId, items: &[Item]) -> Result<Did> {
        let all = uids(items);
        if let Err(refused) = self.expunge_upstream(from, &all).await? {
            return self.park_items(items, refused);
        }
        // Some servers answer OK and leave messages (QUIRKS.md row 41).
        let told = self.remote.take_vanished();
        let untold: UidSet<RemoteUid> = all.iter().filter(|uid| !told.contains(*uid)).collect();
        let left = match untold.is_empty() {
            true => UidSet::new(),
            false => self.remote.present(&untold).await?,
        };
        let done: Vec<Item> = items.iter().filter(|item| !left.contains(item.uid)).cloned().collect();
        self.report.expunged += done.len();
        if done.is_empty() {
            return self.park_items(items, "the server said that it expunged it, but it is still there");
        }
        self.write(move |txn| done.iter().try_for_each(|item| txn.expunged_upstream(item.message, &item.settles)))?;
        Ok(Did::Something)
    }

    /// Expunges these messages of the selected mailbox and no other.
    pub(super) async fn expunge_upstream(
        &mut self,
        mailbox: MailboxId,
        uids: &UidSet<RemoteUid>,
    ) -> Result<std::result::Result<(), Refusal>> {
        let uid_plus = self.remote.facts().uid_plus;
        if !uid_plus && !mutant!(OthersExpunged) && !self.only_ours_are_deleted(mailbox, uids).await? {
            return self.others_are_marked(mailbox).map(Err);
        }
        let deleted: Flags = std::iter::once(Flag::from(SystemFlag::Deleted)).collect();
        if let Err(refused) = refusal(self.remote.add_flags(uids, &deleted).await)? {
            return Ok(Err(refused));
        }
        if uid_plus {
            return refusal(self.remote.expunge(uids).await);
        }
        match mutant!(OthersExpunged) || self.only_ours_are_deleted(mailbox, uids).await? {
            true => refusal(self.remote.expunge_all_deleted().await),
            false => self.others_are_marked(mailbox).map(Err),
        }
    }
}
