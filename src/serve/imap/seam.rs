//! The engine's calls, one by one: what each asks of the store, and as whom.

use std::collections::BTreeMap;

use super::account::MailAccount;
use super::upload::MailUpload;
use crate::imap::server::backend::{
    Account, Append, Appended, Brought, Changed, Changes, Copied, Error, FlagChange, Mailbox, Message, Opened, Quota,
    Sizes, Status, Stored, Summed, With,
};
use crate::message::outline::Wanted;
use crate::message::search::Query;
use crate::message::{Keyed, KeysRead};
use crate::serve::bring::Outcome;
use crate::serve::labels;
use crate::serve::neighbours::Neighbours;
use crate::serve::search::{Elsewhere, inquired, matching_uids};
use crate::store;
use crate::types::{
    ContentId, Identifier, LocalUid, MailboxId, MailboxName, ModSeq, Right, Rights, RightsChange, SpecialUse, UidSet,
    limits,
};

impl Account for MailAccount {
    type Upload = MailUpload;

    fn list(&mut self) -> Result<Vec<Mailbox>, Error> {
        self.settle_labels()?;
        self.listed()
    }

    fn namespaces(&self) -> Option<[MailboxName; 2]> {
        self.neighbours.map(|_| Neighbours::namespaces())
    }

    fn rights(&mut self, name: &MailboxName) -> Result<Rights, Error> {
        self.rights_at(name)
    }

    fn acl(&mut self, name: &MailboxName) -> Result<Vec<(Identifier, Rights)>, Error> {
        self.acl_of(name)
    }

    fn set_rights(&mut self, name: &MailboxName, identifier: &Identifier, change: RightsChange) -> Result<(), Error> {
        self.change_rights(name, identifier, change)
    }

    fn subscriptions(&mut self) -> Result<Vec<MailboxName>, Error> {
        self.show(|reader| reader.subscriptions(self.viewer.account()))
    }

    fn set_subscribed(&mut self, name: &MailboxName, subscribed: bool) -> Result<(), Error> {
        let (account, name) = (self.viewer.account(), name.clone());
        self.write(move |txn| txn.set_subscribed(account, &name, subscribed))
    }

    fn create(&mut self, name: &MailboxName, special_use: Option<SpecialUse>) -> Result<MailboxId, Error> {
        let place = self.new_place(name, special_use)?;
        self.write(move |txn| txn.create_mailbox(place.account, &place.name, special_use))
    }

    fn delete(&mut self, name: &MailboxName) -> Result<(), Error> {
        let place = self.show(|reader| self.place(reader, name))?.ok_or(Error::NoSuchMailbox)?;
        self.write(move |txn| txn.delete_mailbox(place.account, &place.name))
    }

    fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Result<(), Error> {
        let (from, to) = self.places(from, to)?;
        self.write(move |txn| txn.rename_mailbox(from.account, &from.name, &to.name))
    }

    fn metadata(&mut self, of: Option<&MailboxName>) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let of = self.annotated(of)?;
        self.show(|reader| reader.annotations(of))
    }

    fn set_metadata(&mut self, of: Option<&MailboxName>, entries: Vec<(String, Option<Vec<u8>>)>) -> Result<(), Error> {
        let of = self.annotated(of)?;
        self.write(move |txn| txn.annotate(of, &entries))
    }

    fn quota_root(&mut self, of: &MailboxName) -> Result<Option<String>, Error> {
        self.quota_root_of(of)
    }

    fn quota(&mut self, root: &str) -> Result<Option<Quota>, Error> {
        self.quota_at(root)
    }

    fn status(&mut self, name: &MailboxName, summed: Summed) -> Result<Status, Error> {
        self.settle_labels()?;
        let mailbox = self.mailbox(name)?;
        let (status, sizes) = self.show(|reader| {
            let sizes = (summed == Summed::Sizes).then(|| reader.sizes(mailbox)).transpose()?;
            Ok((reader.status(mailbox)?, sizes))
        })?;
        Ok(Status {
            id: mailbox,
            messages: status.messages,
            recent: status.recent,
            unseen: status.unseen,
            deleted: status.deleted,
            sizes: sizes.map(|sizes| Sizes { all_bytes: sizes.all_bytes, deleted_bytes: sizes.deleted_bytes }),
            uid_next: status.uid_next,
            uid_validity: status.uid_validity,
            highest_mod_seq: status.highest_mod_seq,
        })
    }

    fn open(&mut self, name: &MailboxName, claim_recent: bool) -> Result<Opened, Error> {
        self.settle_labels()?;
        let mailbox = self.mailbox(name)?;
        let opened = self.show(|reader| reader.open(mailbox))?;
        self.attend(opened.mailbox.account);
        let recent_from = self.recent_from(&opened.mailbox, claim_recent)?;
        Ok(Opened {
            id: mailbox,
            uids: opened.uids,
            first_unseen: opened.first_unseen,
            uid_next: opened.mailbox.uid_next,
            uid_validity: opened.mailbox.uid_validity,
            highest_mod_seq: opened.mailbox.highest_mod_seq,
            recent_from,
            keywords: opened.keywords,
            read_only: opened.mailbox.read_only && !opened.rights.has_any(&Right::OF_FLAGS),
            rights: opened.rights,
        })
    }

    fn changes(&mut self, mailbox: MailboxId, since: ModSeq, claim_recent: bool) -> Result<Changes, Error> {
        self.settle_labels()?;
        let changes = self.show(|reader| reader.changes(mailbox, since))?;
        let recent_from = self.recent_from(&changes.mailbox, claim_recent)?;
        Ok(Changes {
            highest_mod_seq: changes.mailbox.highest_mod_seq,
            uid_next: changes.mailbox.uid_next,
            changed: changes.changed.into_iter().map(Changed::from).collect(),
            vanished: changes.vanished,
            recent_from,
            rights: changes.rights,
        })
    }

    fn flags(&mut self, mailbox: MailboxId, uids: &[LocalUid]) -> Result<Vec<Changed>, Error> {
        let flags = self.show(|reader| reader.flags(mailbox, uids))?;
        Ok(flags.into_iter().map(Changed::from).collect())
    }

    fn messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], with: With) -> Result<Vec<Message>, Error> {
        let with = match with {
            With::Columns => store::With::Columns,
            With::Summary => store::With::Summary,
        };
        let messages = self.show(|reader| reader.messages(mailbox, uids, with))?;
        Ok(messages.into_iter().map(Message::from).collect())
    }

    fn search(&mut self, mailbox: MailboxId, among: &UidSet<LocalUid>, query: &Query) -> Result<Vec<LocalUid>, Error> {
        let mut elsewhere = Elsewhere { told: &self.answers, unsearched: 0 };
        let found = matching_uids(&self.store, &self.viewer, mailbox, among, query, &mut elsewhere)?;
        self.unsearched += elsewhere.unsearched;
        Ok(found)
    }

    fn labels(&mut self, mailbox: MailboxId, uid: LocalUid) -> Result<Vec<MailboxName>, Error> {
        Ok(self.show(|reader| labels::labels(reader, mailbox, uid))?.into_iter().collect())
    }

    fn inquire(&mut self, mailbox: MailboxId, query: &Query) -> Result<bool, Error> {
        let keys = inquired(query);
        if keys.is_empty() || self.store.show(|reader| reader.outlined_in(mailbox))?.is_empty() {
            return Ok(false);
        }
        match self.errands.inquire(mailbox, keys) {
            None => Ok(true),
            Some(answers) => {
                self.answers = answers.unwrap_or_default();
                Ok(false)
            }
        }
    }

    fn take_unsearched(&mut self) -> usize {
        std::mem::take(&mut self.unsearched)
    }

    fn keyed(&mut self, mailbox: MailboxId, uids: &[LocalUid], read: KeysRead) -> Result<Vec<Keyed>, Error> {
        self.show(|reader| reader.keyed(mailbox, uids, read))
    }

    fn bring(&mut self, mailbox: MailboxId, uid: LocalUid, wanted: &Wanted) -> Result<Brought, Error> {
        let message = self.show(|reader| reader.messages(mailbox, &[uid], store::With::Columns))?.pop();
        let message = message.ok_or(Error::NoSuchMessage)?;
        if let Some(brought) = self.find(&message, wanted)? {
            self.errands.forget(message.id);
            return Ok(brought);
        }
        match self.errands.ask(message.id, wanted) {
            None => Ok(Brought::Coming),
            Some(Outcome::OverBudget) => Err(Error::OverBudget),
            Some(Outcome::Refused(_)) => Err(Error::Withheld),
            // Here, and gone again since.
            Some(Outcome::Offline | Outcome::Here) => Err(Error::Unavailable),
        }
    }

    fn read(&mut self, content: ContentId, offset: u64, max: usize) -> Result<Vec<u8>, Error> {
        Ok(self.store.read_content(content, offset, max)?)
    }

    fn store(
        &mut self,
        mailbox: MailboxId,
        uids: &[LocalUid],
        change: &FlagChange,
        unchanged_since: Option<ModSeq>,
    ) -> Result<Stored, Error> {
        let change = match change.clone() {
            FlagChange::Add(flags) => store::FlagChange::Add(flags),
            FlagChange::Remove(flags) => store::FlagChange::Remove(flags),
            FlagChange::Replace(flags) => store::FlagChange::Replace(flags),
        };
        let (uids, labels) = (uids.to_vec(), self.labels);
        let stored = self.write(move |txn| {
            let stored = txn.store_flags(mailbox, &uids, &change, unchanged_since)?;
            if let Some(labels) = labels {
                let changed: Vec<LocalUid> = stored.now.iter().map(|changed| changed.uid).collect();
                labels.share_flags(txn, mailbox, &changed, &change)?;
            }
            Ok(stored)
        })?;
        Ok(Stored {
            now: stored.now.into_iter().map(Changed::from).collect(),
            modified: stored.modified,
            taken: stored.taken,
        })
    }

    fn expunge(&mut self, mailbox: MailboxId, uids: Option<&UidSet<LocalUid>>) -> Result<Vec<LocalUid>, Error> {
        let uids = uids.cloned();
        self.write(move |txn| txn.expunge(mailbox, uids.as_ref()))
    }

    fn copy(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let (to, uids, labels) = (self.mailbox(to)?, uids.to_vec(), self.labels);
        let copied = self.write(move |txn| {
            let copied = match labels {
                Some(labels) => labels.transfer(txn, mailbox, &uids, to, false)?,
                None => txn.copy(mailbox, &uids, to)?,
            };
            txn.refuse_full(to).map(|()| copied)
        })?;
        Ok(Copied { target: to, uid_validity: copied.uid_validity, uids: copied.uids })
    }

    fn move_messages(&mut self, mailbox: MailboxId, uids: &[LocalUid], to: &MailboxName) -> Result<Copied, Error> {
        let (to, uids, labels) = (self.mailbox(to)?, uids.to_vec(), self.labels);
        let moved = self.write(move |txn| {
            let between_accounts = txn.reader().mailbox(mailbox)?.account != txn.reader().mailbox(to)?.account;
            let moved = match labels {
                Some(labels) => labels.transfer(txn, mailbox, &uids, to, true)?,
                None => txn.move_messages(mailbox, &uids, to)?,
            };
            if between_accounts { txn.refuse_full(to).map(|()| moved) } else { Ok(moved) }
        })?;
        Ok(Copied { target: to, uid_validity: moved.uid_validity, uids: moved.uids })
    }

    fn upload(&mut self, to: &MailboxName, size: u64) -> Result<MailUpload, Error> {
        let mailbox = self.mailbox(to)?;
        if size > limits::MESSAGE_MAX_BYTES {
            return Err(Error::TooBig { limit_bytes: limits::MESSAGE_MAX_BYTES });
        }
        let mailbox = self.show(|reader| reader.permitted(mailbox, &[Right::Insert]))?;
        match (mailbox.selectable, mailbox.read_only) {
            (false, _) => Err(Error::NotSelectable),
            (true, true) => Err(Error::ReadOnly),
            (true, false) => Ok(MailUpload(self.store.upload())),
        }
    }

    fn replace(
        &mut self,
        mailbox: MailboxId,
        uid: LocalUid,
        to: &MailboxName,
        message: Append<MailUpload>,
    ) -> Result<Appended, Error> {
        let (to, new) = (self.mailbox(to)?, self.new_message(message)?);
        let replaced = self.write(move |txn| {
            let replaced = txn.replace(mailbox, uid, to, &new)?;
            txn.refuse_full(to).map(|()| replaced)
        })?;
        Ok(Appended {
            target: to,
            uid_validity: replaced.uid_validity,
            uids: replaced.messages.into_iter().map(|(_, uid)| uid).collect(),
        })
    }

    fn append(&mut self, to: &MailboxName, messages: Vec<Append<MailUpload>>) -> Result<Appended, Error> {
        let mailbox = self.mailbox(to)?;
        let new = messages.into_iter().map(|message| self.new_message(message)).collect::<Result<Vec<_>, Error>>()?;
        let appended = self.write(move |txn| {
            let appended = txn.append(mailbox, &new)?;
            txn.refuse_full(mailbox).map(|()| appended)
        })?;
        Ok(Appended {
            target: mailbox,
            uid_validity: appended.uid_validity,
            uids: appended.messages.into_iter().map(|(_, uid)| uid).collect(),
        })
    }
}
