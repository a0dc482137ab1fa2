//! The list of mailboxes upstream, taken in: those made, renamed and subscribed to there.
//!
//! A mailbox bears here the name that upstream gives it, as far as the user has not renamed it, or one above it, since.
//! Two mailboxes never share a name: of two that upstream lists, the second is shown under another one; one that the user
//! renamed to a name that upstream has meanwhile makes way.

use rusqlite::params;

use super::upstream_matching::{Matching, is_named_by_entries, name_here, names_given};
use super::{Cursor, Error, Mirrored, Result, Txn};
use crate::journal::{Entry, Op};
use crate::merge::ConflictKind;
use crate::merge::policy::{self, FolderDecision, FolderHere, FolderThere};
use crate::types::{AccountId, MailboxId, MailboxName, RemoteUid, Rights, SpecialUse, UidValidity};

/// A mailbox in a complete answer to LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedMailbox {
    pub remote_name: String,
    /// The name to show here.
    pub name: MailboxName,
    pub special_use: Option<SpecialUse>,
    pub selectable: bool,
    pub subscribed: bool,
    /// To be mirrored. One that is not gets no mailbox here.
    pub is_wanted: bool,
    pub uid_validity: Option<UidValidity>,
    pub uid_next: Option<RemoteUid>,
    /// What the user may do with it there; `None`: not told, and so what is refused is seen when it is tried.
    pub rights: Option<Rights>,
}

/// What came of [`Txn::take_listing`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The mailbox of each that was listed, in order; `None` for one that is not mirrored.
    pub mailboxes: Vec<Option<MailboxId>>,
    /// Mailboxes that upstream has no more.
    pub gone: Vec<MailboxId>,
    pub conflicts: usize,
    pub mirrored: Mirrored,
}

impl Txn<'_> {
    /// Takes in a complete answer to LIST: mailboxes made, renamed and subscribed to upstream. Those that are gone are
    /// only told: their messages are accounted for first. `choice` is which are to be mirrored, in words: only once it has
    /// changed are mailboxes left out that are here already.
    pub fn take_listing(&mut self, account: AccountId, listed: &[ListedMailbox], choice: &str) -> Result<Listing> {
        let mut matching = Matching::new(self.reader().remote_mailboxes(account)?, listed);
        let mut entries: Vec<Entry> = self.reader().folder_entries(account)?;
        let is_new_choice = self.is_new_choice(account, choice)?;
        let mut mirrored = Mirrored::default();
        let mut conflicts = 0;
        for (mailbox, at) in matching.renamed_by_us(listed, &entries) {
            matching.link(mailbox, at);
            self.rename_remote_row(mailbox, &listed[at].remote_name)?;
        }
        for (mailbox, at) in matching.renamed_upstream(listed) {
            if self.reader().mailbox_named(account, &listed[at].name)?.is_none() {
                matching.link(mailbox, at);
                conflicts += usize::from(self.follow_rename(account, mailbox, &listed[at], &entries)?);
                entries = self.reader().folder_entries(account)?;
            }
        }
        for (at, listed) in listed.iter().enumerate() {
            if !matching.is_linked(at) && self.make_way_for(account, &listed.name, &matching, &entries)? {
                conflicts += 1;
                entries = self.reader().folder_entries(account)?;
            }
            if listed.is_wanted && !matching.is_linked(at) {
                let (mailbox, is_conflict) = self.adopt(account, listed, &matching, &entries)?;
                matching.link(mailbox, at);
                conflicts += usize::from(is_conflict);
            }
            if let Some(mailbox) = matching.mailboxes[at] {
                match listed.is_wanted {
                    true => self.take_up_again(mailbox, &name_here(&listed.name, &entries), &mut mirrored)?,
                    false if is_new_choice => self.leave_out(mailbox, &mut mirrored)?,
                    false => {}
                }
                self.take_name(account, mailbox, &name_here(&listed.name, &entries), &entries)?;
                self.take_attributes(account, mailbox, listed, &entries)?;
            }
        }
        if mirrored.held.is_empty() {
            self.set_choice(account, choice)?;
        }
        self.forget_emptied(account, &self.reader().folder_entries(account)?)?;
        let gone = matching.missing();
        Ok(Listing { mailboxes: matching.mailboxes, gone, conflicts, mirrored })
    }

    /// Upstream gave the mailbox another name. Its UIDs are looked at anew: that it is the same is only likely.
    fn follow_rename(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        listed: &ListedMailbox,
        entries: &[Entry],
    ) -> Result<bool> {
        if self.is_hidden(mailbox)? {
            self.rename_remote_row(mailbox, &listed.remote_name)?;
            self.set_cursor(mailbox, &Cursor::start(None))?;
            return Ok(false);
        }
        let local = self.reader().mailbox(mailbox)?;
        let is_renamed = |entry: &&Entry| matches!(&entry.op, Op::RenameMailbox { mailbox: id, .. } if *id == mailbox);
        let renames: Vec<&Entry> = entries.iter().filter(is_renamed).collect();
        let here = match (&local.name, renames.is_empty()) {
            (None, _) => FolderHere::Deleted,
            (Some(_), true) => FolderHere::Nothing,
            (Some(_), false) => FolderHere::Renamed,
        };
        let (decision, conflict) = policy::folder(here, FolderThere::Renamed);
        if local.name.is_some() && decision == FolderDecision::UpstreamsName {
            self.name_mailbox(mailbox, &listed.name)?;
            for entry in renames {
                self.settle_op(entry.id)?;
            }
        }
        if decision == FolderDecision::Restored {
            self.restore_mailbox(mailbox, &listed.name)?;
            self.settle_deletions(account, mailbox)?;
        }
        self.rename_remote_row(mailbox, &listed.remote_name)?;
        self.set_cursor(mailbox, &Cursor::start(None))?;
        if let Some(kind) = conflict {
            self.tell(account, kind, None, listed.name.as_str())?;
        }
        self.touch(account);
        Ok(conflict.is_some())
    }

    /// Upstream has a new mailbox by a name that the user gave another one, by an act that is still to be done.
    fn make_way_for(
        &mut self,
        account: AccountId,
        there: &MailboxName,
        matching: &Matching,
        entries: &[Entry],
    ) -> Result<bool> {
        let name = name_here(there, entries);
        let Some(namesake) = self.reader().mailbox_named(account, &name)? else { return Ok(false) };
        let is_upstream = self.reader().remote_mailbox(namesake.id)?.is_some() && !matching.is_missing(namesake.id);
        if !is_upstream || names_given(namesake.id, Some(&name), entries).is_empty() {
            return Ok(false);
        }
        let (decision, conflict) = policy::folder(FolderHere::Renamed, FolderThere::Namesake);
        debug_assert_eq!(decision, FolderDecision::MakesWay);
        let name = self.make_way(account, &name)?;
        if let Some(kind) = conflict {
            self.tell(account, kind, None, name.as_str())?;
        }
        Ok(true)
    }

    /// A mailbox that upstream lists and that is bound to none here: the one that an entry is to make under its name
    /// (the answer to an earlier try may have been lost), the one of its name, or a new one.
    fn adopt(
        &mut self,
        account: AccountId,
        listed: &ListedMailbox,
        matching: &Matching,
        entries: &[Entry],
    ) -> Result<(MailboxId, bool)> {
        for entry in entries {
            if let Op::CreateMailbox { mailbox, name } = &entry.op
                && *name == listed.name
                && self.is_here_only(*mailbox)?
            {
                self.link_mailbox(account, *mailbox, &listed.remote_name)?;
                return Ok((*mailbox, false));
            }
        }
        let name = name_here(&listed.name, entries);
        let (mailbox, is_conflict) = match self.reader().mailbox_named(account, &name)? {
            // Upstream spells its name in another way: another delimiter, another encoding.
            Some(namesake) if matching.is_missing(namesake.id) => (namesake.id, false),
            Some(namesake) if self.reader().remote_mailbox(namesake.id)?.is_none() => (namesake.id, false),
            Some(_) => {
                let name = self.free_name(account, &name)?;
                self.tell(account, ConflictKind::NameTaken, None, name.as_str())?;
                (self.insert_mailbox(account, &name, listed.special_use)?, true)
            }
            None => (self.insert_mailbox(account, &name, listed.special_use)?, false),
        };
        self.link_mailbox(account, mailbox, &listed.remote_name)?;
        Ok((mailbox, is_conflict))
    }

    /// Is there such a mailbox, and is it not upstream?
    fn is_here_only(&self, mailbox: MailboxId) -> Result<bool> {
        match self.reader().mailbox(mailbox) {
            Ok(_) => Ok(self.reader().remote_mailbox(mailbox)?.is_none()),
            Err(Error::NoSuchMailbox) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A mailbox that had to be shown under another name gets its own once that is free, and nobody means otherwise.
    fn take_name(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        name: &MailboxName,
        entries: &[Entry],
    ) -> Result<()> {
        let Some(shown) = self.reader().mailbox(mailbox)?.name.filter(|shown| shown != name) else { return Ok(()) };
        let is_free = self.reader().mailbox_named(account, name)?.is_none();
        if is_free && !shown.is_inbox() && !is_named_by_entries(mailbox, &shown, entries) {
            self.name_mailbox(mailbox, name)?;
            self.touch(account);
        }
        Ok(())
    }

    fn take_attributes(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        listed: &ListedMailbox,
        entries: &[Entry],
    ) -> Result<()> {
        let local = self.reader().mailbox(mailbox)?;
        let Some(name) = &local.name else { return Ok(()) };
        let is_about = |entry: &Entry| match &entry.op {
            Op::CreateMailbox { mailbox: id, .. } | Op::DeleteMailbox { mailbox: id, .. } => *id == mailbox,
            _ => false,
        };
        self.take_rights(account, mailbox, listed.rights)?;
        let special_use = listed.special_use.or(local.special_use);
        let selectable = if entries.iter().any(is_about) { local.selectable } else { listed.selectable };
        if (special_use, selectable) != (local.special_use, local.selectable) {
            let mut update =
                self.conn().prepare_cached("UPDATE mailbox SET special_use = ?2, selectable = ?3 WHERE id = ?1")?;
            update.execute(params![mailbox.get(), special_use.map_or("", SpecialUse::as_str), selectable])?;
            self.touch(account);
        }
        let is_unsettled =
            entries.iter().any(|entry| matches!(&entry.op, Op::Subscribe { name: about, .. } if about == name));
        if !is_unsettled && local.subscribed != listed.subscribed {
            self.set_subscribed(account, name, listed.subscribed)?;
        }
        Ok(())
    }
}
