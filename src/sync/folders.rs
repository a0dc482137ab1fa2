//! The user's acts on mailboxes and subscriptions, done upstream. What is so already is done: a mailbox that exists was
//! created, one that does not was deleted.

use std::collections::BTreeSet;

use super::Result;
use super::pass::{Pass, Refusal, Why, refusal};
use super::recover::Entered;
use super::remote::{Listed, RefusalCode, Remote, RemoteName, Selected};
use super::send::Did;
use crate::journal::Op;
use crate::merge::ConflictKind;
use crate::merge::policy::{self, FolderDecision, FolderHere, FolderThere};
use crate::store::{self, Mailbox, RemoteMailbox, Restored, Txn, bound_uids};
use crate::types::{EntryId, MailboxId, MailboxName, RemoteUid};

impl<R: Remote> Pass<'_, R> {
    pub(super) async fn change_folder(&mut self, entry: EntryId, op: Op) -> Result<Did> {
        if !matches!(op, Op::DeleteMailbox { .. }) {
            self.try_entries(BTreeSet::from([entry]))?;
        }
        let done = match op {
            Op::CreateMailbox { mailbox, name } => self.create(entry, mailbox, &name).await?,
            Op::RenameMailbox { mailbox, from, to } => self.rename(entry, mailbox, &from, &to).await?,
            Op::DeleteMailbox { mailbox, name } => return self.delete(entry, mailbox, &name).await,
            Op::Subscribe { name, subscribed } => self.subscribe(&name, subscribed).await?,
            Op::Flags { .. } | Op::Move { .. } | Op::Copy { .. } | Op::Append { .. } | Op::Expunge { .. } => {
                unreachable!("an act on messages is no barrier")
            }
        };
        match done {
            Ok(()) => {
                self.report.folders += 1;
                self.write(move |txn| is_open(txn, entry)?.then(|| txn.settle_op(entry)).transpose())?;
                Ok(Did::Something)
            }
            Err(refused) => self.park_folder(entry, refused),
        }
    }

    /// Makes the mailbox upstream, or finds it there, and records its name.
    pub(super) async fn create_upstream(
        &mut self,
        mailbox: MailboxId,
        name: &MailboxName,
    ) -> Result<std::result::Result<RemoteName, Refusal>> {
        let remote_name = match refusal(self.name_upstream_or_refusal(name))? {
            Ok(remote_name) => remote_name,
            Err(refused) => return Ok(Err(refused)),
        };
        let special_use = self.local_mailbox(mailbox)?.and_then(|local| local.special_use);
        let special_use = special_use.filter(|_| self.remote.facts().special_use);
        if let Err(refused) = refusal(self.remote.create(&remote_name, special_use).await)?
            && refused.code != Some(RefusalCode::AlreadyExists)
            && self.look_up(&remote_name).await?.is_none()
        {
            return Ok(Err(refused));
        }
        let (account, stored) = (self.account, remote_name.0.clone());
        let known = self.read(|reader| reader.remote_mailboxes(account))?;
        match known.into_iter().find(|known| known.remote_name == stored && known.mailbox != mailbox) {
            // Where the user took it back meanwhile, the next listing shows it.
            None => self.write(move |txn| match txn.reader().has_mailbox(mailbox)? {
                true => txn.link_mailbox(account, mailbox, &stored),
                false => Ok(()),
            })?,
            Some(holder) if self.read(|reader| reader.is_renamed_here(account, holder.mailbox))? => {
                let text = format!("{name} is still the name on the server of a mailbox that was renamed here");
                return Ok(Err(Refusal { code: None, text }));
            }
            // It was deleted here, but is there still; or it had to be shown under another name.
            Some(holder) => {
                let told = name.clone();
                self.report.conflicts += 1;
                self.write(move |txn| {
                    if !txn.reader().has_mailbox(mailbox)? || !txn.reader().has_mailbox(holder.mailbox)? {
                        return Ok(());
                    }
                    txn.merge_mailbox(holder.mailbox, mailbox)?;
                    txn.tell(account, ConflictKind::FolderMadeAgain, None, told.as_str())
                })?;
            }
        }
        Ok(Ok(remote_name))
    }

    /// Is an open entry to make the mailbox?
    pub(super) fn is_to_be_created(&self, mailbox: MailboxId) -> Result<bool> {
        self.read(|reader| reader.is_to_be_made(self.account, mailbox))
    }

    async fn create(
        &mut self,
        entry: EntryId,
        mailbox: MailboxId,
        name: &MailboxName,
    ) -> Result<std::result::Result<(), Refusal>> {
        let is_known = self.remote_mailbox(mailbox)?.is_some();
        let Some(local) = self.local_mailbox(mailbox)?.filter(|_| !is_known) else { return Ok(Ok(())) };
        let name = self.name_after(entry, local, name)?;
        Ok(self.create_upstream(mailbox, &name).await?.map(drop))
    }

    async fn rename(
        &mut self,
        entry: EntryId,
        mailbox: MailboxId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<std::result::Result<(), Refusal>> {
        let Some(local) = self.local_mailbox(mailbox)? else { return Ok(Ok(())) };
        let to = self.name_after(entry, local, to)?;
        if let Some(known) = self.remote_mailbox(mailbox)? {
            return self.rename_upstream(known.remote_name, &to).await;
        }
        // It is made upstream under its last name; those below it that are there still bear its old name.
        for below in self.read(|reader| reader.remote_mailboxes(self.account))? {
            let name = below.name.filter(|name| name.is_below(&to));
            let old = name.as_ref().and_then(|name| name.rebased(&to, from));
            let (Some(name), Some(old)) = (name, old) else { continue };
            // One that went along with another is where it should be.
            let Some(known) = self.remote_mailbox(below.mailbox)? else { continue };
            if self.name_upstream(&old)?.0 == known.remote_name
                && let Err(refused) = self.rename_upstream(known.remote_name, &name).await?
            {
                return Ok(Err(refused));
            }
        }
        Ok(Ok(()))
    }

    async fn rename_upstream(&mut self, old: String, to: &MailboxName) -> Result<std::result::Result<(), Refusal>> {
        let new = match refusal(self.name_upstream_or_refusal(to))? {
            Ok(new) => new,
            Err(refused) => return Ok(Err(refused)),
        };
        let old = RemoteName(old);
        if old == new {
            return Ok(Ok(()));
        }
        self.selected = None;
        if let Err(refused) = refusal(self.remote.rename(&old, &new).await)? {
            // The answer to an earlier try may have been lost.
            let is_done = self.look_up(&new).await?.is_some() && self.look_up(&old).await?.is_none();
            if !is_done {
                return Ok(Err(refused));
            }
        }
        let account = self.account;
        self.write(move |txn| {
            let delimiter = txn.reader().account(account)?.delimiter;
            txn.renamed_upstream(account, &old.0, &new.0, delimiter)
        })?;
        Ok(Ok(()))
    }

    /// Deletes a mailbox upstream, if it holds no mail that was never here. What someone else puts into it in the moment
    /// between that look and DELETE goes with it, as with any program: IMAP knows no deletion of what is empty alone.
    async fn delete(&mut self, entry: EntryId, mailbox: MailboxId, name: &MailboxName) -> Result<Did> {
        let Some(known) = self.remote_mailbox(mailbox)? else { return self.deleted(entry, mailbox, None) };
        let remote_name = RemoteName(known.remote_name.clone());
        match self.enter(&remote_name).await? {
            Entered::In(selected) => {
                if self.holds_unknown(&known, &selected).await? {
                    self.restore(entry, mailbox, name)?;
                    return Ok(Did::Something);
                }
                if self.holds_what_is_elsewhere(mailbox)? {
                    return self.park_folder(entry, "messages in it are still to be moved out of it".to_owned());
                }
                if self.holds_what_is_needed(mailbox)? {
                    return self.park_folder(entry, "messages in it are still to be copied out of it".to_owned());
                }
            }
            Entered::NameOnly => {}
            Entered::Gone => return self.deleted(entry, mailbox, Some(remote_name)),
            Entered::Refused(refused) => {
                let why = format!("it cannot be seen whether new mail came into it: {}", refused.text);
                return self.park_folder(entry, why);
            }
        }
        self.try_entries(BTreeSet::from([entry]))?;
        match refusal(self.remote.delete(&remote_name).await)? {
            Ok(()) => self.deleted(entry, mailbox, Some(remote_name)),
            Err(_) if self.look_up(&remote_name).await?.is_none() => self.deleted(entry, mailbox, Some(remote_name)),
            Err(refused) => self.park_folder(entry, refused),
        }
    }

    /// Has the mailbox, which is selected, mail upstream that was never here?
    pub(super) async fn holds_unknown(&mut self, known: &RemoteMailbox, selected: &Selected) -> Result<bool> {
        self.cursor_for(known, selected).await?;
        let upstream = self.remote.uids().await?;
        // What the server names and does not give was never here either.
        let ours = bound_uids(&self.read(|reader| reader.bound(known.mailbox))?);
        Ok(upstream.iter().any(|uid: RemoteUid| !ours.contains(uid)))
    }

    /// The mailbox is upstream no more; `was` is its name there, if it was there. One whose deletion the user took back
    /// meanwhile is made there anew.
    fn deleted(&mut self, entry: EntryId, mailbox: MailboxId, was: Option<RemoteName>) -> Result<Did> {
        self.report.folders += usize::from(was.is_some());
        let was_open = self.write(move |txn| {
            let is_open = is_open(txn, entry)?;
            if is_open {
                txn.settle_op(entry)?;
                if txn.reader().has_mailbox(mailbox)? {
                    txn.mailbox_deleted(mailbox)?;
                }
            }
            Ok(is_open)
        })?;
        if let Some(RemoteName(was)) = was.filter(|_| !was_open) {
            let account = self.account;
            self.write_durably(move |txn| {
                let known = txn.reader().remote_mailboxes(account)?;
                known.iter().filter(|known| known.remote_name == was).try_for_each(|known| txn.make_anew(known.mailbox))
            })?;
        }
        Ok(Did::Something)
    }

    /// New mail came into the mailbox upstream: it stays, and is back here. The deletion is off if the user has made the
    /// mailbox again since, else it is parked. `None`: the user took it back meanwhile.
    pub(super) fn restore(
        &mut self,
        entry: EntryId,
        mailbox: MailboxId,
        name: &MailboxName,
    ) -> Result<Option<Restored>> {
        let (decision, conflict) = policy::folder(FolderHere::Deleted, FolderThere::NewMail);
        debug_assert_eq!(decision, FolderDecision::Restored);
        let (account, name) = (self.account, name.clone());
        let restored = self.write(move |txn| {
            if !is_open(txn, entry)? {
                return Ok(None);
            }
            let was_made_again = txn.reader().is_to_be_made(account, mailbox)?;
            let restored = txn.restore_mailbox(mailbox, &name)?;
            if let Some(kind) = conflict {
                txn.tell(account, kind, None, restored.name.as_str())?;
            }
            if restored.mailbox != mailbox {
                return Ok(Some((restored, false)));
            }
            match was_made_again {
                true => txn.settle_op(entry)?,
                false => txn.park(entry, "new mail came into it on the server; retry to delete it all the same")?,
            }
            Ok(Some((restored, !was_made_again)))
        })?;
        let Some((restored, is_parked)) = restored else { return Ok(None) };
        self.report.conflicts += usize::from(conflict.is_some());
        self.report.parked += usize::from(is_parked);
        Ok(Some(restored))
    }

    /// Does upstream still have messages in it that the user put elsewhere?
    fn holds_what_is_elsewhere(&self, mailbox: MailboxId) -> Result<bool> {
        self.read(|reader| {
            for bound in reader.bound(mailbox)?.iter().filter(|bound| bound.is_here) {
                let facts = reader.message_facts(bound.message)?;
                if facts.is_some_and(|facts| facts.place.is_some_and(|place| place != mailbox)) {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// Does upstream have messages in it of which the bytes are not here, and of which copies are still to be made?
    fn holds_what_is_needed(&self, mailbox: MailboxId) -> Result<bool> {
        self.read(|reader| {
            for bound in reader.bound(mailbox)? {
                let facts = reader.message_facts(bound.message)?;
                if facts.is_some_and(|facts| facts.content.is_none()) && reader.is_to_be_copied(bound.message)? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    async fn subscribe(&mut self, name: &MailboxName, subscribed: bool) -> Result<std::result::Result<(), Refusal>> {
        let mailbox = self.read(|reader| reader.mailbox_named(self.account, name))?;
        let known = match mailbox {
            Some(mailbox) => self.remote_mailbox(mailbox.id)?,
            None => None,
        };
        let remote_name = match known {
            Some(known) => RemoteName(known.remote_name),
            None => match refusal(self.name_upstream_or_refusal(name))? {
                Ok(remote_name) => remote_name,
                Err(refused) => return Ok(Err(refused)),
            },
        };
        match refusal(self.remote.set_subscribed(&remote_name, subscribed).await)? {
            Err(refused) if subscribed => Ok(Err(refused)),
            // What does not exist is not subscribed to.
            Ok(()) | Err(_) => Ok(Ok(())),
        }
    }

    /// The name that a mailbox is to have upstream once `entry`, which gave it `name`, is done: the one it has here, for it
    /// may have got that by an entry that was done with while this one was parked; unless one that is still to be done
    /// gave it that.
    fn name_after(&self, entry: EntryId, mailbox: Mailbox, name: &MailboxName) -> Result<MailboxName> {
        let Some(now) = mailbox.name else { return Ok(name.clone()) };
        let entries = self.read(|reader| reader.folder_entries(self.account))?;
        let is_renamed_later = entries.iter().filter(|later| later.id > entry).any(|later| match &later.op {
            Op::RenameMailbox { to, .. } => now == *to || now.is_below(to),
            _ => false,
        });
        Ok(if is_renamed_later { name.clone() } else { now })
    }

    /// The mailbox as the server lists it, if it does.
    pub(super) async fn look_up(&mut self, name: &RemoteName) -> Result<Option<Listed>> {
        // Asking may leave the selected mailbox.
        self.selected = None;
        Ok(self.remote.list().await?.into_iter().find(|listed| listed.name == *name))
    }

    fn name_upstream_or_refusal(
        &self,
        name: &MailboxName,
    ) -> std::result::Result<RemoteName, super::remote::RemoteError> {
        match self.name_upstream(name) {
            Ok(name) => Ok(name),
            Err(super::Error::Remote(error)) => Err(error),
            Err(super::Error::Store(error)) => Err(super::remote::RemoteError::Local(error.to_string())),
        }
    }

    fn park_folder(&mut self, entry: EntryId, why: impl Into<Why>) -> Result<Did> {
        let why = why.into();
        self.report.parked += 1;
        self.write(move |txn| {
            if !is_open(txn, entry)? {
                return Ok(());
            }
            txn.park(entry, &why.text)?;
            if why.may_pass { txn.retry_later(entry) } else { Ok(()) }
        })?;
        Ok(Did::Something)
    }
}

/// Is the entry still to be done? The user may have taken it back while the server was asked.
fn is_open(txn: &Txn<'_>, entry: EntryId) -> store::Result<bool> {
    match txn.reader().entry(entry) {
        Ok(_) => Ok(true),
        Err(store::Error::NoSuchEntry) => Ok(false),
        Err(error) => Err(error),
    }
}
