//! Taking an act of the user back before upstream heard of it: the local copy becomes again what upstream has.

use rusqlite::OptionalExtension;

use super::messages::flags_from_row;
use super::{Error, Mailbox, Message, Origin, Reader, Result, Txn};
use crate::journal::{Entry, Op, Place, State, flags_without, intent};
use crate::types::{EntryId, Flags, MailboxId, MailboxName, MessageId};

/// Where upstream has a message, and with which flags.
struct Base {
    mailbox: MailboxId,
    flags: Flags,
}

/// What becomes of a message when an entry about its place is discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Without {
    /// It stays where it is, or gone.
    Stays,
    Goes(MailboxId),
    /// Upstream does not have it, and is not to get it: it leaves the mailbox it is in.
    Leaves(MailboxId),
}

impl Reader<'_> {
    /// What becomes of the message when `entry` is discarded. What would have brought it upstream takes it along, whatever was
    /// done with it since; otherwise it is where the other entries want it, or, where none is about its place, where upstream
    /// has it.
    pub fn without(&self, entry: &Entry, id: MessageId) -> Result<Without> {
        let base = self.base(id)?;
        let others: Vec<Entry> = self.entries_about(id)?.into_iter().filter(|other| other.id != entry.id).collect();
        let left = intent(&others, id);
        let is_made_by_it = matches!(entry.op, Op::Append { .. } | Op::Copy { .. }) && base.is_none();
        let target = match left.as_ref().map(|net| (net.place, net.place_entries.is_empty())) {
            _ if is_made_by_it => None,
            Some((Place::Gone, _) | (Place::Unchanged, false)) => return Ok(Without::Stays),
            Some((Place::In(to), _)) => Some(to),
            Some((Place::Unchanged, true)) | None => base.map(|base| base.mailbox),
        };
        let here = self.message(id)?.map(|message| message.mailbox);
        Ok(match (target, here) {
            (None, Some(here)) => Without::Leaves(here),
            (Some(target), here) if here != Some(target) && self.mailbox(target)?.name.is_some() => {
                Without::Goes(target)
            }
            _ => Without::Stays,
        })
    }

    fn base(&self, message: MessageId) -> Result<Option<Base>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT mailbox_id, system_flags, keywords FROM remote_message WHERE message_id = ?1")?;
        let base = select.query_row([message.get()], |row| {
            Ok(Base { mailbox: MailboxId::new(row.get("mailbox_id")?), flags: flags_from_row(row)? })
        });
        Ok(base.optional()?)
    }

    /// The mailboxes that keep their names when the renaming of `mailbox` to `to` is discarded: they are below it here,
    /// but upstream they are (or are still to be made) by that name, not below the mailbox's old one.
    pub fn staying(&self, mailbox: MailboxId, to: &MailboxName) -> Result<Vec<Mailbox>> {
        let Some(above) = self.remote_mailbox(mailbox)? else { return Ok(Vec::new()) };
        let account = self.mailbox(mailbox)?.account;
        let Some(delimiter) = self.account(account)?.delimiter else { return Ok(Vec::new()) };
        let above = format!("{}{delimiter}", above.remote_name);
        let entries = self.folder_entries(account)?;
        let is_made = |child: &Mailbox| {
            entries.iter().any(|entry| match &entry.op {
                Op::CreateMailbox { mailbox, name } => *mailbox == child.id && name.is_below(to),
                _ => false,
            })
        };
        let mut staying = Vec::new();
        for child in self.mailboxes_below(account, to)? {
            let stays = match self.remote_mailbox(child.id)? {
                Some(remote) => !remote.remote_name.starts_with(&above),
                None => is_made(&child),
            };
            staying.extend(stays.then_some(child));
        }
        Ok(staying)
    }
}

impl Txn<'_> {
    /// Removes an entry from the journal and takes back what it stands for. Of a message about which other entries are open
    /// what they ask for stays. Write it by [`Origin::Upstream`]: taking an act back is none.
    pub fn discard(&mut self, entry: EntryId) -> Result<()> {
        if self.origin() != Origin::Upstream {
            return Err(Error::Cannot("an entry is discarded on behalf of upstream"));
        }
        let entry = self.reader().entry(entry)?;
        if self.is_being_sent(&entry)? {
            return Err(Error::Cannot("the entry is being sent; it is known soon what became of it"));
        }
        self.settle(entry.id, &entry.open)?;
        self.conn().prepare_cached("DELETE FROM journal WHERE id = ?1")?.execute([entry.id.get()])?;
        match &entry.op {
            Op::Flags { add, remove, .. } => {
                entry.open.iter().try_for_each(|message| self.take_back_flags(*message, add, remove))
            }
            Op::Move { .. } | Op::Copy { .. } | Op::Append { .. } | Op::Expunge { .. } => {
                entry.open.iter().try_for_each(|message| self.take_back(&entry, *message))
            }
            Op::CreateMailbox { mailbox, .. } => self.discard_creation(*mailbox),
            Op::DeleteMailbox { mailbox, name } => match self.restore_mailbox(*mailbox, name) {
                Ok(restored) => {
                    let messages = self.messages_upstream(restored.mailbox)?;
                    messages.into_iter().try_for_each(|message| self.take_back(&entry, message))
                }
                // It was deleted once more since, and is gone.
                Err(Error::NoSuchMailbox) => Ok(()),
                Err(error) => Err(error),
            },
            Op::RenameMailbox { mailbox, from, to } => self.discard_rename(*mailbox, from, to),
            Op::Subscribe { name, subscribed } => self.set_subscribed(entry.account, name, !subscribed),
        }
    }

    /// Is it on its way? A command may do several entries, of which one holds the evidence; what removes mail needs none.
    /// Other acts without evidence can be given up at any time: where they were done, the next pull brings it.
    fn is_being_sent(&self, entry: &Entry) -> Result<bool> {
        match (&entry.state, &entry.op) {
            (State::InFlight { .. }, _) => return Ok(true),
            (_, Op::Flags { .. }) => return Ok(false),
            (State::Pending, Op::Expunge { .. } | Op::DeleteMailbox { .. }) if self.reader().is_tried(entry.id)? => {
                return Ok(true);
            }
            _ => {}
        }
        let under_way = self.reader().in_flight(entry.account)?;
        let is_named = |(message, ..): &(MessageId, _, _)| entry.open.binary_search(message).is_ok();
        Ok(under_way.iter().any(|evidence| evidence.messages.iter().any(is_named)))
    }

    /// The mailbox has its old name again, or one like it; a name that it got since stays. Those below it follow, if they
    /// are below it upstream.
    fn discard_rename(&mut self, mailbox: MailboxId, from: &MailboxName, to: &MailboxName) -> Result<()> {
        let mailbox = match self.reader().mailbox(mailbox) {
            Ok(mailbox) if mailbox.name.as_ref() == Some(to) => mailbox,
            Ok(_) | Err(Error::NoSuchMailbox) => return Ok(()),
            Err(error) => return Err(error),
        };
        let name = self.free_name(mailbox.account, from)?;
        let staying = self.reader().staying(mailbox.id, to)?;
        self.rename_tree(mailbox.account, to, &name)?;
        staying
            .into_iter()
            .filter_map(|child| Some((child.id, child.name?)))
            .try_for_each(|(child, name)| self.name_mailbox(child, &name))
    }

    fn discard_creation(&mut self, mailbox: MailboxId) -> Result<()> {
        let mailbox = self.reader().mailbox(mailbox)?;
        match mailbox.name {
            Some(name) if self.reader().message_count(mailbox.id)? > 0 => Err(Error::HoldsMessages(name)),
            Some(name) => self.delete_mailbox(mailbox.account, &name),
            None => Ok(()),
        }
    }

    /// Makes the message again what upstream has, but for what the entries ask for that are still open about it; one that
    /// upstream does not have, and is not to get, goes, recoverable.
    fn take_back(&mut self, entry: &Entry, id: MessageId) -> Result<()> {
        match (self.reader().without(entry, id)?, self.reader().message(id)?) {
            (Without::Leaves(from), Some(message)) => {
                let mailbox = self.reader().mailbox(from)?;
                self.settle_message(id)?;
                self.take_out(&mailbox, &[message], "it was discarded from the journal")?;
                return Ok(());
            }
            (Without::Goes(to), Some(message)) => {
                let target = self.reader().mailbox(to)?;
                self.place(message.mailbox, std::slice::from_ref(&message), &target)?;
            }
            (Without::Goes(to), None) => self.bring_back(id, to)?,
            (Without::Leaves(_), None) | (Without::Stays, _) => {}
        }
        match self.reader().base(id)? {
            Some(base) if self.reader().entries_about(id)?.is_empty() => self.reset_flags(id, &base.flags),
            _ => Ok(()),
        }
    }

    /// Makes the flags that an entry set and unset what they are without it, wherever the message is by now.
    fn take_back_flags(&mut self, id: MessageId, add: &Flags, remove: &Flags) -> Result<()> {
        let Some(facts) = self.reader().message_facts(id)? else { return Ok(()) };
        let base = facts.upstream.as_ref().map(|upstream| &upstream.base);
        let others = self.reader().entries_about(id)?;
        let flags = flags_without(&facts.flags, base, (add, remove), &others);
        self.reset_flags(id, &flags)
    }

    /// The message has these flags again, wherever it is; what was merged is off.
    fn reset_flags(&mut self, id: MessageId, flags: &Flags) -> Result<()> {
        match self.reader().message(id)? {
            Some(Message { mailbox, uid, .. }) => {
                let mod_seq = self.next_mod_seq(mailbox)?;
                self.set_flags(id, Some((mailbox, uid)), flags, mod_seq)?;
            }
            None => self.set_apart(id, flags)?,
        }
        self.forget_replicas(id)
    }

    /// Puts a gone message into a mailbox again, under a new UID.
    pub(in crate::store) fn bring_back(&mut self, id: MessageId, to: MailboxId) -> Result<()> {
        let uid = self.take_uids(to, 1)?;
        self.put(id, to, uid)
    }

    fn messages_upstream(&self, mailbox: MailboxId) -> Result<Vec<MessageId>> {
        let mut select =
            self.conn().prepare_cached("SELECT message_id FROM remote_message WHERE mailbox_id = ?1 ORDER BY uid")?;
        let ids = select.query_map([mailbox.get()], |row| row.get("message_id").map(MessageId::new))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }
}
