//! Who may do what with a mailbox (RFC 4314), and what others than its owner see of it.
//!
//! Rules: as long as nothing else is said, the owner may do everything and nobody else anything; the owner can always look
//! the mailbox up and administer it. What is granted to a user's name and to everyone is added up; what is taken from
//! either is taken. Who may not look a mailbox up cannot tell it from one that does not exist (section 6). A reader or
//! transaction without a viewer is the house itself (delivery, sync, the owner by POP3), which is not asked.
//! `\Seen` is each viewer's own: a message has its owner's, `guest_seen` the others'.

use std::sync::Arc;

use rusqlite::params;

use super::{Error, Mailbox, Reader, Result, Txn};
use crate::types::{
    AccountId, Flag, Flags, Given, Identifier, MailboxId, MailboxName, MessageId, ModSeq, Right, Rights, RightsChange,
    SystemFlag, limits,
};

/// The user on whose behalf the store is looked at, or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer {
    account: AccountId,
    /// As an [`Identifier`] would have it.
    name: Arc<str>,
}

impl Viewer {
    /// Whose mailboxes are the viewer's own.
    pub const fn account(&self) -> AccountId {
        self.account
    }
}

/// What a viewer may do with a mailbox.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct Standing {
    pub rights: Rights,
    /// Somebody else's mailbox.
    pub guest: Option<AccountId>,
}

impl Standing {
    const OF_THE_HOUSE: Self = Self { rights: Rights::ALL, guest: None };

    /// Of flags that a new message is to have, those that it may have; and whether a guest has seen it, which is no flag of
    /// the message.
    pub fn kept(&self, flags: &Flags) -> (Flags, Option<AccountId>) {
        let mut flags = self.rights.allowed(flags);
        let seen_by = self.guest.filter(|_| flags.remove(&SystemFlag::Seen.into()));
        (flags, seen_by)
    }
}

impl Reader<'_> {
    /// The user of an account.
    pub fn viewer(&self, account: AccountId) -> Result<Viewer> {
        Ok(Viewer { account, name: self.account(account)?.name.to_lowercase().into() })
    }

    /// The mailbox, if the viewer has these rights.
    pub fn permitted(&self, mailbox: MailboxId, needs: &[Right]) -> Result<Mailbox> {
        let mailbox = self.mailbox(mailbox)?;
        self.admit(&mailbox, needs)?;
        Ok(mailbox)
    }

    /// What the viewer may do with a mailbox.
    pub fn rights(&self, mailbox: &Mailbox) -> Result<Rights> {
        Ok(self.standing(mailbox)?.rights)
    }

    /// Every entry of a mailbox's access control list, the owner's first, be it written down or not.
    pub fn acl(&self, mailbox: &Mailbox) -> Result<Vec<(Identifier, Rights)>> {
        let mut entries = self.acl_entries(mailbox.id)?;
        let name = self.account(mailbox.account)?.name;
        let own = entries.iter().position(|(identifier, _)| identifier.as_str() == name);
        let rights = own.map_or(Rights::ALL, |place| entries.remove(place).1.union(owners()));
        entries.splice(0..0, Identifier::parse(&name).map(|owner| (owner, rights)));
        Ok(entries)
    }

    /// Mailboxes of others that the viewer may look up, in any order.
    pub fn shared_with(&self, viewer: &Viewer) -> Result<Vec<Mailbox>> {
        let mut select = self.conn().prepare_cached(
            "SELECT DISTINCT a.mailbox_id FROM mailbox_acl AS a JOIN mailbox AS b ON b.id = a.mailbox_id
             WHERE a.identifier IN (?1, ?2, ?3) AND b.account_id <> ?4 AND b.name IS NOT NULL",
        )?;
        let [anyone, authenticated] = Identifier::EVERYONE;
        let ids = select.query_map(params![&*viewer.name, anyone, authenticated, viewer.account.get()], |row| {
            row.get("mailbox_id").map(MailboxId::new)
        })?;
        let reader = self.seen_by(viewer);
        let mut shared = Vec::new();
        for id in ids.collect::<rusqlite::Result<Vec<_>>>()? {
            let mailbox = self.mailbox(id)?;
            if reader.rights(&mailbox)?.has(Right::Lookup) {
                shared.push(mailbox);
            }
        }
        Ok(shared)
    }

    /// What the viewer may do with a mailbox, which must be all of that.
    pub(in crate::store) fn admit(&self, mailbox: &Mailbox, needs: &[Right]) -> Result<Standing> {
        let standing = self.standing(mailbox)?;
        // Who does something that takes reading it, and may read it, has it open.
        let is_open = needs.contains(&Right::Read) && standing.rights.has(Right::Read);
        match needs.iter().all(|right| standing.rights.has(*right)) {
            true => Ok(standing),
            false if is_open || standing.rights.has(Right::Lookup) => Err(Error::NoPermission),
            false => Err(Error::NoSuchMailbox),
        }
    }

    /// The viewer, if it is a guest in that mailbox; who may not read it is refused.
    pub(in crate::store) fn guest_who_reads(&self, mailbox: MailboxId) -> Result<Option<AccountId>> {
        match self.viewer_if_any() {
            None => Ok(None),
            Some(_) => Ok(self.admit(&self.mailbox(mailbox)?, &[Right::Read])?.guest),
        }
    }

    fn standing(&self, mailbox: &Mailbox) -> Result<Standing> {
        let Some(viewer) = self.viewer_if_any() else { return Ok(Standing::OF_THE_HOUSE) };
        let is_owner = viewer.account == mailbox.account;
        let (mut granted, mut taken) = (Rights::NONE, Rights::NONE);
        let mut goes_without_saying = is_owner;
        for (identifier, rights) in self.acl_entries(mailbox.id)? {
            match identifier.concerns(&viewer.name) {
                Some(Given::Granted) => granted = granted.union(rights),
                Some(Given::Taken) => taken = taken.union(rights),
                None => {}
            }
            goes_without_saying &= identifier.as_str() != &*viewer.name;
        }
        if goes_without_saying {
            granted = Rights::ALL;
        }
        let rights = granted.difference(taken).difference(self.withheld_by_upstream(mailbox)?);
        Ok(match is_owner {
            true => Standing { rights: rights.union(owners()), guest: None },
            false => Standing { rights, guest: Some(viewer.account) },
        })
    }

    /// Where upstream tells no rights, and lets the user only read the mailbox: of the rights to change messages, those for flags
    /// that it does not keep all the same (PERMANENTFLAGS; RFC 3501 section 7.1, RFC 4314 section 5.2).
    pub(in crate::store) fn withheld_by_upstream(&self, mailbox: &Mailbox) -> Result<Rights> {
        if !mailbox.read_only {
            return Ok(Rights::NONE);
        }
        let known = self.remote_mailbox(mailbox.id)?;
        let (kept, any_keyword) =
            known.map_or_else(Default::default, |known| (known.permanent_flags, known.any_keyword));
        let own = [(Right::Seen, SystemFlag::Seen), (Right::DeleteMessages, SystemFlag::Deleted)];
        let others = kept.difference(&own.iter().map(|(_, flag)| Flag::from(*flag)).collect());
        let mut withheld = vec![Right::Insert, Right::Expunge];
        withheld.extend(own.into_iter().filter(|(_, flag)| !kept.has(*flag)).map(|(right, _)| right));
        withheld.extend((others.is_empty() && !any_keyword).then_some(Right::Write));
        Ok(Rights::of(&withheld))
    }

    fn acl_entries(&self, mailbox: MailboxId) -> Result<Vec<(Identifier, Rights)>> {
        let mut select = self
            .conn()
            .prepare_cached("SELECT identifier, rights FROM mailbox_acl WHERE mailbox_id = ?1 ORDER BY identifier")?;
        let rows = select.query_map([mailbox.get()], |row| {
            let identifier = Identifier::parse(row.get_ref("identifier")?.as_str()?);
            Ok(identifier.zip(Some(Rights::from_bits(row.get("rights")?))))
        })?;
        Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
    }
}

/// What the owner cannot be without: who locked themselves out could never come back.
fn owners() -> Rights {
    Rights::of(&[Right::Lookup, Right::Administer])
}

impl Txn<'_> {
    /// Gives rights to somebody, or takes them. An entry without rights goes.
    pub fn set_rights(&mut self, mailbox: MailboxId, identifier: &Identifier, change: RightsChange) -> Result<()> {
        let mailbox = self.eyes().permitted(mailbox, &[Right::Administer])?;
        let entries = self.reader().acl(&mailbox)?;
        let is_owner = entries.first().is_some_and(|(owner, _)| owner == identifier);
        let before = entries.iter().find(|(known, _)| known == identifier).map(|(_, rights)| *rights);
        let after = change.applied_to(before.unwrap_or_default());
        if before.is_none() && entries.len() > limits::ACL_ENTRIES_MAX {
            return Err(Error::Limit("the access control list has too many entries"));
        }
        let is_unsaid = after == if is_owner { Rights::ALL } else { Rights::NONE };
        self.put_rights(mailbox.id, identifier, Some(after).filter(|_| !is_unsaid))?;
        self.touch(mailbox.account);
        for account in self.reader().accounts()? {
            if identifier.concerns(&account.name).is_some() {
                self.touch(account.id);
            }
        }
        Ok(())
    }

    /// An entry of a mailbox's access control list is that from now on; `None`: there is none.
    pub(in crate::store) fn put_rights(
        &self,
        mailbox: MailboxId,
        identifier: &Identifier,
        rights: Option<Rights>,
    ) -> Result<()> {
        let Some(rights) = rights else {
            let sql = "DELETE FROM mailbox_acl WHERE mailbox_id = ?1 AND identifier = ?2";
            self.conn().prepare_cached(sql)?.execute(params![mailbox.get(), identifier.as_str()])?;
            return Ok(());
        };
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO mailbox_acl (mailbox_id, identifier, rights) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET rights = excluded.rights",
        )?;
        insert.execute(params![mailbox.get(), identifier.as_str(), rights.bits()])?;
        Ok(())
    }

    /// "When a new mailbox is created, it SHOULD inherit the ACL from the parent mailbox" (section 4).
    pub(in crate::store) fn inherit_rights(&self, parent: MailboxId, child: MailboxId) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO mailbox_acl (mailbox_id, identifier, rights)
             SELECT ?2, identifier, rights FROM mailbox_acl WHERE mailbox_id = ?1 ON CONFLICT DO NOTHING",
        )?;
        insert.execute(params![parent.get(), child.get()])?;
        Ok(())
    }

    /// "The DELETE command MUST delete the ACL" (section 4), even where the mailbox's name stays.
    pub(in crate::store) fn drop_rights(&self, mailbox: MailboxId) -> Result<()> {
        let mut delete = self.conn().prepare_cached("DELETE FROM mailbox_acl WHERE mailbox_id = ?1")?;
        delete.execute([mailbox.get()])?;
        Ok(())
    }

    /// A guest has seen a message, or has it as unseen again.
    pub(in crate::store) fn set_guest_seen(
        &self,
        guest: AccountId,
        (message, mailbox): (MessageId, MailboxId),
        seen: bool,
        mod_seq: ModSeq,
    ) -> Result<()> {
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO guest_seen (message_id, account_id, mailbox_id, seen, mod_seq) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET seen = excluded.seen, mod_seq = excluded.mod_seq",
        )?;
        let mod_seq = mod_seq.get().cast_signed();
        insert.execute(params![message.get(), guest.get(), mailbox.get(), seen, mod_seq])?;
        Ok(())
    }

    /// The nearest mailbox above that name, where there is one.
    pub(in crate::store) fn nearest_above(&self, account: AccountId, name: &MailboxName) -> Result<Option<Mailbox>> {
        let mut above = name.parent();
        while let Some(name) = above {
            if let Some(mailbox) = self.reader().mailbox_named(account, &name)? {
                return Ok(Some(mailbox));
            }
            above = name.parent();
        }
        Ok(None)
    }
}
