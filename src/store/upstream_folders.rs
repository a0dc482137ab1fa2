//! What becomes of a mailbox when what the user did to it and what happened upstream meet: it goes, is back, is made
//! anew, makes way, or turns out to be the same as another.
//!
//! Rules: a mailbox that has a name here keeps its messages; an entry of the journal follows the mailbox it is about,
//! whatever that is called meanwhile; nothing here waits for a name to become free.

use rusqlite::params;

use super::upstream_matching::names_given;
use super::{Cursor, Error, Mailbox, Reader, Result, Txn};
use crate::journal::{Entry, Op, State};
use crate::types::{AccountId, EntryId, MailboxId, MailboxName};

/// Where a mailbox that was deleted here is again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Another one if the user has made one of its name since: it is that one now.
    pub mailbox: MailboxId,
    pub name: MailboxName,
}

impl Reader<'_> {
    /// Is an open entry to make the mailbox?
    pub fn is_to_be_made(&self, account: AccountId, mailbox: MailboxId) -> Result<bool> {
        let makes = |entry: &Entry| matches!(entry.op, Op::CreateMailbox { mailbox: id, .. } if id == mailbox);
        Ok(self.folder_entries(account)?.iter().any(makes))
    }

    /// Did the user give the mailbox another name, or one above it, which upstream does not know yet?
    pub fn is_renamed_here(&self, account: AccountId, mailbox: MailboxId) -> Result<bool> {
        self.is_given_a_name(mailbox, &self.folder_entries(account)?)
    }

    /// The same, and upstream has not refused it.
    pub fn is_to_be_renamed(&self, account: AccountId, mailbox: MailboxId) -> Result<bool> {
        let mut entries = self.folder_entries(account)?;
        entries.retain(|entry| !matches!(entry.state, State::Parked { .. }));
        self.is_given_a_name(mailbox, &entries)
    }

    fn is_given_a_name(&self, mailbox: MailboxId, entries: &[Entry]) -> Result<bool> {
        let local = self.mailbox(mailbox)?;
        Ok(local.name.is_some() && !names_given(mailbox, local.name.as_ref(), entries).is_empty())
    }
}

impl Txn<'_> {
    /// Upstream has the mailbox no more, and its messages are accounted for: it goes, unless something of the user's
    /// is still in it; then it will be made upstream again. Returns whether it went.
    pub fn forget_mailbox(&mut self, mailbox: MailboxId) -> Result<bool> {
        let local = self.reader().mailbox(mailbox)?;
        self.unlink_mailbox(mailbox)?;
        self.touch(local.account);
        let holds_mail = match local.name {
            Some(_) => self.reader().message_count(mailbox)? > 0,
            None => false,
        };
        if holds_mail || local.name.as_ref().is_some_and(MailboxName::is_inbox) {
            return Ok(false);
        }
        self.settle_mailbox_entries(local.account, mailbox)?;
        self.drop_mailbox(mailbox)?;
        Ok(true)
    }

    /// Mailboxes that stayed for what was in them when upstream had them no more ([`Txn::forget_mailbox`]), and are empty by
    /// now: they go. One that an entry is to make stays.
    pub(in crate::store) fn forget_emptied(&mut self, account: AccountId, entries: &[Entry]) -> Result<()> {
        let mut select = self.conn().prepare_cached(
            "SELECT id FROM mailbox WHERE account_id = ?1 AND name IS NOT NULL
             AND NOT EXISTS (SELECT 1 FROM remote_mailbox WHERE mailbox_id = mailbox.id)",
        )?;
        let rows = select.query_map([account.get()], |row| Ok(MailboxId::new(row.get(0)?)))?;
        let here_only: Vec<MailboxId> = rows.collect::<rusqlite::Result<_>>()?;
        drop(select);
        for mailbox in here_only {
            let is_about = |entry: &Entry| match &entry.op {
                Op::CreateMailbox { mailbox: id, .. }
                | Op::RenameMailbox { mailbox: id, .. }
                | Op::DeleteMailbox { mailbox: id, .. } => *id == mailbox,
                _ => false,
            };
            let name = self.reader().mailbox(mailbox)?.name;
            let Some(name) = name.filter(|name| !name.is_inbox() && !entries.iter().any(is_about)) else { continue };
            let is_empty = self.reader().message_count(mailbox)? == 0;
            if is_empty && self.reader().mailboxes_below(account, &name)?.is_empty() {
                self.drop_mailbox(mailbox)?;
                self.touch(account);
            }
        }
        Ok(())
    }

    /// Upstream has the mailbox no more, but the user renamed it: it is made there anew, with the messages in it. The
    /// rename stays in the journal for those below it, and so do moves of what upstream has elsewhere. By
    /// [`super::Origin::LocalUser`].
    pub fn make_anew(&mut self, mailbox: MailboxId) -> Result<()> {
        let local = self.reader().mailbox(mailbox)?;
        let Some(name) = local.name else { return Ok(()) };
        self.unlink_mailbox(mailbox)?;
        self.journal(local.account, Op::CreateMailbox { mailbox, name })?;
        for message in self.reader().messages_in(mailbox, &super::message_acts::everything(), super::With::Columns)? {
            let bound = self.reader().message_facts(message.id)?.and_then(|facts| facts.upstream);
            if bound.is_none_or(|bound| bound.mailbox == mailbox || bound.uid.is_none()) {
                self.append_anew(message.id)?;
            }
        }
        Ok(())
    }

    /// The user's deletion of the mailbox was confirmed upstream. Messages still shown in it go with it, unless the user
    /// has made it again since.
    pub fn mailbox_deleted(&mut self, mailbox: MailboxId) -> Result<()> {
        let local = self.reader().mailbox(mailbox)?;
        self.touch(local.account);
        let Some(name) = &local.name else { return self.drop_mailbox(mailbox) };
        if self.reader().is_to_be_made(local.account, mailbox)? {
            return self.unlink_mailbox(mailbox);
        }
        self.remove_all(&local, "its mailbox was deleted")?;
        if self.reader().mailboxes_below(local.account, name)?.is_empty() {
            return self.drop_mailbox(mailbox);
        }
        self.conn().prepare_cached("DELETE FROM remote_message WHERE mailbox_id = ?1")?.execute([mailbox.get()])?;
        let mut update = self.conn().prepare_cached("UPDATE mailbox SET selectable = 0 WHERE id = ?1")?;
        update.execute([mailbox.get()])?;
        self.set_cursor(mailbox, &Cursor::start(None))
    }

    /// A mailbox deleted here is back, with the messages that went with it: under its name, as the mailbox of that name
    /// that the user has made since, or, where upstream has another mailbox of that name, under another one.
    pub fn restore_mailbox(&mut self, mailbox: MailboxId, name: &MailboxName) -> Result<Restored> {
        let local = self.reader().mailbox(mailbox)?;
        let account = local.account;
        self.look_anew(mailbox)?;
        let name = match local.name {
            Some(name) => name,
            None => match self.reader().mailbox_named(account, name)? {
                Some(namesake) if self.reader().remote_mailbox(namesake.id)?.is_none() => {
                    self.merge_mailbox(mailbox, namesake.id)?;
                    return Ok(Restored { mailbox: namesake.id, name: name.clone() });
                }
                Some(namesake) if self.reader().is_renamed_here(account, namesake.id)? => {
                    self.make_way(account, name)?;
                    name.clone()
                }
                Some(_) | None => self.free_name(account, name)?,
            },
        };
        let mut update = self.conn().prepare_cached("UPDATE mailbox SET name = ?2, selectable = 1 WHERE id = ?1")?;
        update.execute(params![mailbox.get(), name.as_str()])?;
        self.bring_all_back(mailbox)?;
        self.touch(account);
        Ok(Restored { mailbox, name })
    }

    /// What came in and waited was dropped when the mailbox was deleted here ([`Txn::forget_waiting`]), and its cursor may be
    /// past it: all of it is looked at.
    fn look_anew(&mut self, mailbox: MailboxId) -> Result<()> {
        let Some(known) = self.reader().remote_mailbox(mailbox)? else { return Ok(()) };
        self.set_cursor(mailbox, &Cursor::start(known.cursor.uid_validity))
    }

    /// Both are one: `from`, which upstream has, and `into`, which it has not. The second has the messages of both, and
    /// what is known of the first.
    pub fn merge_mailbox(&mut self, from: MailboxId, into: MailboxId) -> Result<()> {
        let source = self.reader().mailbox(from)?;
        self.move_all(&source, into)?;
        // Rows are moved to another parent, one table after the other.
        self.conn().pragma_update(None, "defer_foreign_keys", true)?;
        for table in ["remote_mailbox", "remote_message", "remote_skipped"] {
            let sql = format!("UPDATE {table} SET mailbox_id = ?2 WHERE mailbox_id = ?1");
            self.conn().prepare_cached(&sql)?.execute(params![from.get(), into.get()])?;
        }
        self.bring_all_back(into)?;
        self.settle_mailbox_entries(source.account, from)?;
        self.settle_creations(source.account, into)?;
        self.drop_mailbox(from)?;
        self.touch(source.account);
        Ok(())
    }

    /// Gives the mailbox called `name`, which the user renamed so, the first free name like it, so that another can have
    /// `name`. What is in the journal about it, and about those below it, follows. Returns the new name.
    pub(in crate::store) fn make_way(&mut self, account: AccountId, name: &MailboxName) -> Result<MailboxName> {
        let entries = self.reader().folder_entries(account)?;
        let gives = |entry: &&Entry| match &entry.op {
            Op::RenameMailbox { to, .. } => name == to || name.is_below(to),
            _ => false,
        };
        let entry = entries.iter().rev().find(gives).ok_or(Error::NoSuchEntry)?;
        let Op::RenameMailbox { to, .. } = &entry.op else { return Err(Error::NoSuchEntry) };
        let new = self.numbered_name(account, to)?;
        self.rename_tree(account, to, &new)?;
        for later in entries.iter().filter(|later| later.id >= entry.id) {
            self.rename_in_entry(later, to, &new, later.id > entry.id)?;
        }
        if matches!(entry.state, State::Parked { .. }) {
            self.reopen(entry.id, false)?;
        }
        Ok(name.rebased(to, &new).unwrap_or(new))
    }

    /// `name`, or the first like it that no mailbox has.
    pub(in crate::store) fn free_name(&self, account: AccountId, name: &MailboxName) -> Result<MailboxName> {
        self.first_free(
            account,
            (1..).map(|nth| match nth {
                1 => name.to_string(),
                2 => format!("{name} (upstream)"),
                nth => format!("{name} (upstream {})", nth - 1),
            }),
        )
    }

    /// The user's deletions of the mailbox are off.
    pub(in crate::store) fn settle_deletions(&mut self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        self.settle_ops(account, |op| matches!(op, Op::DeleteMailbox { mailbox: id, .. } if *id == mailbox))
    }

    pub(in crate::store) fn name_mailbox(&mut self, mailbox: MailboxId, name: &MailboxName) -> Result<()> {
        let mut update = self.conn().prepare_cached("UPDATE mailbox SET name = ?2 WHERE id = ?1")?;
        update.execute(params![mailbox.get(), name.as_str()])?;
        Ok(())
    }

    fn numbered_name(&self, account: AccountId, name: &MailboxName) -> Result<MailboxName> {
        self.first_free(account, (2..).map(|nth| format!("{name} ({nth})")))
    }

    fn first_free(&self, account: AccountId, names: impl Iterator<Item = String>) -> Result<MailboxName> {
        for text in names {
            let Ok(candidate) = MailboxName::parse(&text) else { break };
            if self.reader().mailbox_named(account, &candidate)?.is_none() {
                return Ok(candidate);
            }
        }
        Err(Error::AlreadyExists)
    }

    /// `from` is called `to`, in an entry about it or about a mailbox below it. `is_later`: the entry was made when it was
    /// called so already.
    fn rename_in_entry(&mut self, entry: &Entry, from: &MailboxName, to: &MailboxName, is_later: bool) -> Result<()> {
        let renamed = |name: &MailboxName| name.rebased(from, to).unwrap_or_else(|| name.clone());
        let op = match &entry.op {
            Op::RenameMailbox { mailbox, from: before, to: after } => Op::RenameMailbox {
                mailbox: *mailbox,
                from: if is_later { renamed(before) } else { before.clone() },
                to: if is_later { after.clone() } else { renamed(after) },
            },
            Op::CreateMailbox { mailbox, name } => Op::CreateMailbox { mailbox: *mailbox, name: renamed(name) },
            Op::DeleteMailbox { mailbox, name } => Op::DeleteMailbox { mailbox: *mailbox, name: renamed(name) },
            Op::Subscribe { name, subscribed } => Op::Subscribe { name: renamed(name), subscribed: *subscribed },
            Op::Flags { .. } | Op::Move { .. } | Op::Copy { .. } | Op::Append { .. } | Op::Expunge { .. } => {
                return Ok(());
            }
        };
        self.rewrite_op(entry.id, &op)
    }

    fn bring_all_back(&mut self, mailbox: MailboxId) -> Result<()> {
        for bound in self.reader().bound(mailbox)? {
            if !bound.is_here && !self.reader().is_pending(bound.message)? {
                self.bring_back(bound.message, mailbox)?;
            }
        }
        Ok(())
    }

    /// Upstream does not have the mailbox.
    fn unlink_mailbox(&mut self, mailbox: MailboxId) -> Result<()> {
        for sql in
            ["DELETE FROM remote_message WHERE mailbox_id = ?1", "DELETE FROM remote_mailbox WHERE mailbox_id = ?1"]
        {
            self.conn().prepare_cached(sql)?.execute([mailbox.get()])?;
        }
        Ok(())
    }

    /// Entries about a mailbox that is no more have nothing to do.
    fn settle_mailbox_entries(&mut self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        self.settle_ops(account, |op| match op {
            Op::CreateMailbox { mailbox: id, .. }
            | Op::RenameMailbox { mailbox: id, .. }
            | Op::DeleteMailbox { mailbox: id, .. } => *id == mailbox,
            _ => false,
        })
    }

    fn settle_creations(&mut self, account: AccountId, mailbox: MailboxId) -> Result<()> {
        self.settle_ops(account, |op| matches!(op, Op::CreateMailbox { mailbox: id, .. } if *id == mailbox))
    }

    fn settle_ops(&mut self, account: AccountId, is_done: impl Fn(&Op) -> bool) -> Result<()> {
        let entries: Vec<EntryId> = self
            .reader()
            .folder_entries(account)?
            .iter()
            .filter(|entry| is_done(&entry.op))
            .map(|entry| entry.id)
            .collect();
        entries.into_iter().try_for_each(|entry| self.settle_op(entry))
    }

    /// Renames a mailbox and those below it, here alone.
    pub(in crate::store) fn rename_tree(
        &mut self,
        account: AccountId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<Mailbox> {
        let mailbox = self.reader().mailbox_named(account, from)?.ok_or(Error::NoSuchMailbox)?;
        let mut renamed = vec![(mailbox.id, to.clone())];
        for child in self.reader().mailboxes_below(account, from)? {
            let name = child.name.as_ref().and_then(|name| name.rebased(from, to));
            let name = name.ok_or(Error::Cannot("the name of a mailbox below would be too long"))?;
            if self.reader().mailbox_named(account, &name)?.is_some() {
                return Err(Error::AlreadyExists);
            }
            renamed.push((child.id, name));
        }
        for (id, name) in &renamed {
            self.name_mailbox(*id, name)?;
        }
        self.touch(account);
        Ok(mailbox)
    }
}
