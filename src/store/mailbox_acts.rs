//! Making, deleting and renaming mailboxes; subscriptions.

use rusqlite::params;

use super::{Error, Mailbox, Origin, Result, Txn};
use crate::journal::Op;
use crate::types::{AccountId, MailboxId, MailboxName, Right, SpecialUse, limits};

impl Txn<'_> {
    /// Makes a mailbox and, unless upstream said so, the missing ones above it. A name that could not be selected can
    /// be from now on.
    pub fn create_mailbox(
        &mut self,
        account: AccountId,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId> {
        self.refuse_unless_permitted_above(account, name)?;
        let existing = self.reader().mailbox_named(account, name)?;
        if let Some(existing) = existing.as_ref().filter(|mailbox| mailbox.selectable) {
            return Err(self.is_there(existing)?);
        }
        self.refuse_unspeakable(account, name)?;
        self.refuse_too_deep(name.levels())?;
        self.create_parents(account, name)?;
        if let Some(hidden) = self.hidden_named(account, name)?.filter(|_| existing.is_none()) {
            // Upstream has it.
            self.show(hidden, name)?;
            self.designate(hidden, special_use)?;
            return Ok(hidden);
        }
        let mailbox = match existing {
            Some(mailbox) => {
                self.set_selectable(mailbox.id, true)?;
                self.designate(mailbox.id, special_use)?;
                mailbox.id
            }
            None => self.insert_mailbox(account, name, special_use)?,
        };
        if let Some(above) = self.nearest_above(account, name)? {
            self.inherit_rights(above.id, mailbox)?;
        }
        self.journal(account, Op::CreateMailbox { mailbox, name: name.clone() })?;
        Ok(mailbox)
    }

    /// Deletes a mailbox and its messages. One with mailboxes below it stays as a name that cannot be selected. Deleted
    /// by the user, its row stays without a name until upstream confirmed it, if upstream may know it.
    pub fn delete_mailbox(&mut self, account: AccountId, name: &MailboxName) -> Result<()> {
        if name.is_inbox() {
            return Err(Error::Cannot("INBOX cannot be deleted"));
        }
        let mailbox = self.reader().mailbox_named(account, name)?.ok_or(Error::NoSuchMailbox)?;
        self.eyes().admit(&mailbox, &[Right::DeleteMailbox])?;
        let has_children = !self.reader().mailboxes_below(account, name)?.is_empty();
        if has_children && !mailbox.selectable {
            return Err(Error::HasChildren);
        }
        self.drop_annotations(mailbox.id)?;
        self.drop_rights(mailbox.id)?;
        self.remove_all(&mailbox, "its mailbox was deleted")?;
        self.forget_waiting(mailbox.id)?;
        self.next_mod_seq(mailbox.id)?;
        let confirmed_later = self.origin() == Origin::LocalUser && self.may_be_known_upstream(&mailbox)?;
        if has_children {
            self.set_selectable(mailbox.id, false)?;
            let mut update = self.conn().prepare_cached("UPDATE mailbox SET special_use = '' WHERE id = ?1")?;
            update.execute([mailbox.id.get()])?;
        } else if confirmed_later {
            let mut update = self.conn().prepare_cached("UPDATE mailbox SET name = NULL WHERE id = ?1")?;
            update.execute([mailbox.id.get()])?;
        } else {
            self.drop_mailbox(mailbox.id)?;
        }
        if confirmed_later {
            self.journal(account, Op::DeleteMailbox { mailbox: mailbox.id, name: name.clone() })?;
        }
        Ok(())
    }

    /// Renames with everything below. Renaming INBOX moves its messages to a new mailbox and leaves INBOX empty
    /// (RFC 3501 section 6.3.5).
    pub fn rename_mailbox(&mut self, account: AccountId, from: &MailboxName, to: &MailboxName) -> Result<()> {
        let mailbox = self.reader().mailbox_named(account, from)?.ok_or(Error::NoSuchMailbox)?;
        self.eyes().admit(&mailbox, &[Right::DeleteMailbox])?;
        self.refuse_unless_permitted_above(account, to)?;
        if let Some(existing) = self.reader().mailbox_named(account, to)? {
            return Err(self.is_there(&existing)?);
        }
        if self.hidden_named(account, to)?.is_some() {
            return Err(Error::AlreadyExists);
        }
        if from.is_inbox() {
            let target = self.create_mailbox(account, to, None)?;
            self.copy_annotations(mailbox.id, target)?;
            self.move_all(&mailbox, target)?;
            return Ok(());
        }
        if to.is_below(from) {
            return Err(Error::Cannot("a mailbox cannot be put below itself"));
        }
        self.refuse_unspeakable(account, to)?;
        let below = self.reader().mailboxes_below(account, from)?;
        let deepest = below.iter().filter_map(|mailbox| Some(mailbox.name.as_ref()?.levels())).max();
        self.refuse_too_deep(to.levels() + deepest.unwrap_or(0).saturating_sub(from.levels()))?;
        self.create_parents(account, to)?;
        let mailbox = self.rename_tree(account, from, to)?;
        self.journal(account, Op::RenameMailbox { mailbox: mailbox.id, from: from.clone(), to: to.clone() })?;
        Ok(())
    }

    /// Puts a name on the list of subscriptions or takes it off; whether a mailbox has that name does not matter
    /// (RFC 3501 section 6.3.6).
    pub fn set_subscribed(&mut self, account: AccountId, name: &MailboxName, subscribed: bool) -> Result<()> {
        if subscribed && self.origin() != Origin::Upstream {
            self.refuse_too_many_subscriptions(account)?;
        }
        let sql = match subscribed {
            true => "INSERT INTO subscription (account_id, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            false => "DELETE FROM subscription WHERE account_id = ?1 AND name = ?2",
        };
        let changed = self.conn().prepare_cached(sql)?.execute(params![account.get(), name.as_str()])?;
        if changed > 0 {
            self.touch(account);
            self.journal(account, Op::Subscribe { name: name.clone(), subscribed })?;
        }
        Ok(())
    }

    /// What upstream has is taken as it is.
    fn refuse_too_many_subscriptions(&self, account: AccountId) -> Result<()> {
        let mut count = self.conn().prepare_cached("SELECT count(*) AS n FROM subscription WHERE account_id = ?1")?;
        match count.query_row([account.get()], |row| row.get::<_, u32>("n"))? as usize >= limits::SUBSCRIPTIONS_MAX {
            true => Err(Error::Limit("the account is subscribed to too many names")),
            false => Ok(()),
        }
    }

    /// Why a mailbox cannot have the name of that one. What may not be looked up is not said to be there (RFC 4314 section 6).
    fn is_there(&self, existing: &Mailbox) -> Result<Error> {
        let is_known = self.eyes().viewer_if_any().is_none() || self.eyes().rights(existing)?.has(Right::Lookup);
        Ok(if is_known { Error::AlreadyExists } else { Error::NoPermission })
    }

    /// A new row, with a UIDVALIDITY of its own.
    pub(in crate::store) fn insert_mailbox(
        &mut self,
        account: AccountId,
        name: &MailboxName,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId> {
        let mut count = self.conn().prepare_cached("SELECT count(*) AS n FROM mailbox WHERE account_id = ?1")?;
        if count.query_row([account.get()], |row| row.get::<_, u32>("n"))? as usize >= limits::MAILBOXES_MAX {
            return Err(Error::Limit("the account has too many mailboxes"));
        }
        let uid_validity = self.next_uid_validity(account)?;
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO mailbox (account_id, name, special_use, uid_validity) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let special_use = special_use.map_or("", SpecialUse::as_str);
        insert.execute(params![account.get(), name.as_str(), special_use, uid_validity.get()])?;
        self.touch(account);
        Ok(MailboxId::new(self.conn().last_insert_rowid()))
    }

    /// Removes the row of a mailbox whose messages are gone, and what is known of it upstream.
    pub(in crate::store) fn drop_mailbox(&mut self, mailbox: MailboxId) -> Result<()> {
        for sql in ["DELETE FROM remote_message WHERE mailbox_id = ?1", "DELETE FROM mailbox WHERE id = ?1"] {
            self.conn().prepare_cached(sql)?.execute([mailbox.get()])?;
        }
        Ok(())
    }

    /// A mailbox that is made of one that was there is for what it was asked for (RFC 6154 section 3).
    fn designate(&mut self, mailbox: MailboxId, special_use: Option<SpecialUse>) -> Result<()> {
        let Some(special_use) = special_use else { return Ok(()) };
        let mut update = self.conn().prepare_cached("UPDATE mailbox SET special_use = ?2 WHERE id = ?1")?;
        update.execute(params![mailbox.get(), special_use.as_str()])?;
        Ok(())
    }

    fn set_selectable(&mut self, mailbox: MailboxId, selectable: bool) -> Result<()> {
        self.next_mod_seq(mailbox)?;
        let mut update = self.conn().prepare_cached("UPDATE mailbox SET selectable = ?2 WHERE id = ?1")?;
        update.execute(params![mailbox.get(), selectable])?;
        Ok(())
    }

    /// Who makes a mailbox must have the right to make some below the nearest one above it (RFC 4314 section 4). At the top
    /// only the owner makes some.
    fn refuse_unless_permitted_above(&self, account: AccountId, name: &MailboxName) -> Result<()> {
        let permitted = match (self.nearest_above(account, name)?, self.eyes().viewer_if_any()) {
            (_, None) => true,
            (None, Some(actor)) => actor.account() == account,
            (Some(above), Some(_)) => self.eyes().rights(&above)?.has(Right::Create),
        };
        if permitted { Ok(()) } else { Err(Error::NoPermission) }
    }

    /// Upstream lists the mailboxes above on its own, where they exist.
    fn create_parents(&mut self, account: AccountId, name: &MailboxName) -> Result<()> {
        if self.origin() == Origin::Upstream {
            return Ok(());
        }
        match name.parent() {
            Some(parent) if self.reader().mailbox_named(account, &parent)?.is_none() => {
                self.create_mailbox(account, &parent, None).map(drop)
            }
            _ => Ok(()),
        }
    }

    /// What upstream has is taken as it is.
    fn refuse_too_deep(&self, levels: usize) -> Result<()> {
        match levels > limits::MAILBOX_LEVELS_MAX && self.origin() != Origin::Upstream {
            true => Err(Error::Limit("a mailbox cannot be that deep below others")),
            false => Ok(()),
        }
    }

    /// A component that holds upstream's delimiter would mean another mailbox there.
    fn refuse_unspeakable(&self, account: AccountId, name: &MailboxName) -> Result<()> {
        let delimiter = self.reader().account(account)?.delimiter;
        let unspeakable = delimiter.is_some_and(|delimiter| {
            delimiter != MailboxName::DELIMITER && name.components().any(|component| component.contains(delimiter))
        });
        match unspeakable && self.origin() == Origin::LocalUser {
            true => Err(Error::Cannot("the name holds the mail server's hierarchy delimiter")),
            false => Ok(()),
        }
    }

    /// Is it bound, or could an act in the journal make it known?
    fn may_be_known_upstream(&self, mailbox: &Mailbox) -> Result<bool> {
        let mut select = self.conn().prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM remote_mailbox WHERE mailbox_id = ?1)
                 OR EXISTS (SELECT 1 FROM journal WHERE account_id = ?2 AND kind <> 'subscribe') AS known",
        )?;
        Ok(select.query_row(params![mailbox.id.get(), mailbox.account.get()], |row| row.get("known"))?)
    }
}
