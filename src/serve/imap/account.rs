//! What one session of a user holds, and what each of its answers is made with.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::upload::MailUpload;
use crate::imap::server::backend::{Append, Brought, Error};
use crate::message::outline::Wanted;
use crate::serve::Clock;
use crate::serve::bring::{Answers, Errands};
use crate::serve::labels::Labels;
use crate::serve::neighbours::Neighbours;
use crate::serve::sessions::Seat;
use crate::store::{self, Annotated, Origin, Store, Txn, Viewer};
use crate::types::{AccountId, InternalDate, LocalUid, MailboxName};

/// One user's mail in the store.
pub struct MailAccount {
    pub(in crate::serve) store: Store,
    pub(super) origin: Origin,
    pub(super) clock: Clock,
    pub(in crate::serve) viewer: Viewer,
    pub(in crate::serve) neighbours: Option<Neighbours>,
    pub(super) labels: Option<Labels>,
    /// Messages that could not be searched, since that was last told.
    pub(super) unsearched: usize,
    pub(super) errands: Errands,
    /// What was told of texts that are not here, for the search under way.
    pub(super) answers: Answers,
    pub(super) wake: store::Wake,
    /// Of this user's account, and of those into which the session has looked.
    pub(super) watches: BTreeMap<AccountId, store::Watch>,
    pub(super) _seat: Seat,
}

impl MailAccount {
    /// Changes something in the user's name.
    pub(in crate::serve) fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
    {
        let viewer = self.viewer.clone();
        let in_name = move |txn: &mut Txn<'_>| {
            txn.act_for(viewer);
            work(txn)
        };
        self.store.write(self.origin, (self.clock)(), in_name).map_err(Error::from)
    }

    /// Brings in line what came by other ways than a session's, where mailboxes are labels.
    pub(super) fn settle_labels(&mut self) -> Result<(), Error> {
        let (Some(mut labels), account) = (self.labels, self.viewer.account()) else { return Ok(()) };
        if !self.show(|reader| labels.are_settled(reader, account))? {
            labels = self.write(move |txn| labels.settle(txn, account))?;
            self.labels = Some(labels);
        }
        Ok(())
    }

    /// The session is woken when something changes in that account.
    pub(in crate::serve) fn attend(&mut self, account: AccountId) {
        let (store, wake) = (&self.store, &self.wake);
        self.watches.entry(account).or_insert_with(|| store.watch(account, Arc::clone(wake)));
    }

    /// The UID from which messages are recent to this session. A mailbox whose messages were all shown costs no write;
    /// a claim lost in a power cut only makes them recent once more.
    pub(super) fn recent_from(&self, mailbox: &store::Mailbox, claim: bool) -> Result<LocalUid, Error> {
        if !claim || mailbox.recent_from >= mailbox.uid_next {
            return Ok(mailbox.recent_from);
        }
        let (id, up_to) = (mailbox.id, mailbox.uid_next);
        let claimed = self.store.write(Origin::Upstream, (self.clock)(), move |txn| txn.claim_recent(id, up_to));
        Ok(claimed_or_shown(claimed, mailbox.recent_from)?)
    }

    /// What is wanted, if it is here.
    pub(super) fn find(&self, message: &store::Message, wanted: &Wanted) -> Result<Option<Brought>, Error> {
        if message.content.is_some() {
            return Ok(Some(Brought::Whole));
        }
        let Wanted::Section { name, .. } = wanted else { return Ok(None) };
        let found = self.store.show(|reader| match reader.section(message.id, name)? {
            Some(all) => Ok(Some(all)),
            None => reader.section(message.id, &wanted.to_string()),
        })?;
        Ok(found.map(|(content, size_bytes)| Brought::Section { content, size_bytes }))
    }

    pub(super) fn annotated(&self, of: Option<&MailboxName>) -> Result<Annotated, Error> {
        match of {
            None => Ok(Annotated::Account(self.viewer.account())),
            Some(name) => self.mailbox(name).map(Annotated::Mailbox),
        }
    }

    pub(super) fn new_message(&self, append: Append<MailUpload>) -> Result<store::NewMessage, Error> {
        let internal_date = append.internal_date.unwrap_or_else(|| InternalDate::from((self.clock)()));
        let content = append.upload.0.finish()?;
        Ok(store::NewMessage { content, flags: append.flags, internal_date, email_id: None })
    }
}

/// Mail can be read on a full disk: what could not be claimed is recent to this session, and to the next one as well.
fn claimed_or_shown(claimed: store::Result<LocalUid>, unclaimed: LocalUid) -> store::Result<LocalUid> {
    match claimed {
        Err(store::Error::DiskFull { .. }) => Ok(unclaimed),
        claimed => claimed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_keeps_nobody_from_opening_a_mailbox() {
        let unclaimed = LocalUid::new(3);
        let shown = claimed_or_shown(Err(store::Error::DISK_FULL), unclaimed).expect("it is shown");
        assert_eq!(shown, unclaimed);
        let claimed = claimed_or_shown(Ok(LocalUid::new(7)), unclaimed).expect("it is claimed");
        assert_eq!(claimed, LocalUid::new(7));
        let gone = claimed_or_shown(Err(store::Error::NoSuchMailbox), unclaimed);
        assert!(matches!(gone, Err(store::Error::NoSuchMailbox)), "nothing else is passed over: {gone:?}");
    }
}
