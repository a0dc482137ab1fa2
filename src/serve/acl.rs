//! What a user may do with which mailbox (RFC 4314), and what the user's names lead to: mailboxes of their own and, on a
//! server with several users, those of others. That only what is permitted is done, and what may not be seen not shown, the
//! store sees to: everything here reads with the user's eyes and writes in the user's name.

use std::collections::BTreeMap;

use super::imap::MailAccount;
use super::neighbours::{Neighbours, Place};
use crate::imap::server::backend::{Error, Mailbox};
use crate::store::{self, Reader};
use crate::types::{Identifier, MailboxId, MailboxName, Right, Rights, RightsChange, SpecialUse};

impl MailAccount {
    /// Reads with the user's eyes.
    pub(super) fn show<T>(&self, work: impl FnOnce(&Reader<'_>) -> store::Result<T>) -> Result<T, Error> {
        Ok(self.store.show(|reader| work(&reader.seen_by(&self.viewer)))?)
    }

    /// Where a name leads, whether there is such a mailbox or not; `None`: nowhere.
    pub(super) fn place(&self, reader: &Reader<'_>, name: &MailboxName) -> store::Result<Option<Place>> {
        let own = Place { account: self.viewer.account(), name: name.clone() };
        match self.neighbours {
            Some(neighbours) if Neighbours::has(name) && reader.mailbox_named(own.account, name)?.is_none() => {
                neighbours.find(reader, &self.viewer, name)
            }
            _ => Ok(Some(own)),
        }
    }

    /// The mailbox of that name, whoever's it is and whether the user may know of it or not.
    pub(super) fn mailbox(&self, name: &MailboxName) -> Result<MailboxId, Error> {
        let found = self.show(|reader| match self.place(reader, name)? {
            Some(place) => reader.mailbox_named(place.account, &place.name),
            None => Ok(None),
        })?;
        found.map(|mailbox| mailbox.id).ok_or(Error::NoSuchMailbox)
    }

    /// Where a mailbox of that name would be made.
    pub(super) fn new_place(&self, name: &MailboxName, special_use: Option<SpecialUse>) -> Result<Place, Error> {
        let place = self.show(|reader| self.place(reader, name))?.ok_or(Error::NoPermission)?;
        match special_use {
            Some(_) if place.account != self.viewer.account() => {
                Err(Error::Cannot("a special use is of a user's own mailboxes"))
            }
            _ => Ok(place),
        }
    }

    /// The places that a mailbox has and is to have.
    pub(super) fn places(&self, from: &MailboxName, to: &MailboxName) -> Result<(Place, Place), Error> {
        let (from, to) = self.show(|reader| Ok((self.place(reader, from)?, self.place(reader, to)?)))?;
        let from = from.ok_or(Error::NoSuchMailbox)?;
        match to.filter(|to| to.account == from.account) {
            Some(to) => Ok((from, to)),
            // Whether there is such a user is not told.
            None => {
                // Who may not know of it is told so first.
                self.show(|reader| match reader.mailbox_named(from.account, &from.name)? {
                    Some(mailbox) => reader.permitted(mailbox.id, &[Right::DeleteMailbox]),
                    None => Err(store::Error::NoSuchMailbox),
                })?;
                Err(Error::Cannot("a mailbox stays with its owner"))
            }
        }
    }

    /// Every mailbox that the user may look up, sorted by the names they have for the user. Whoever looks at those of others
    /// is told when something changes there.
    pub(super) fn listed(&mut self) -> Result<Vec<Mailbox>, Error> {
        let (mut listed, subscribed, shared) = self.show(|reader| {
            let own = reader.mailboxes(self.viewer.account())?;
            let mut listed: BTreeMap<MailboxName, Mailbox> = own.into_iter().filter_map(shown).collect();
            let Some(neighbours) = self.neighbours else { return Ok((listed, Vec::new(), Vec::new())) };
            let (mut shared, mut accounts) = (reader.shared_with(&self.viewer)?, Vec::new());
            shared.retain(|mailbox| mailbox.account != neighbours.shared || !is_inbox(mailbox));
            for mailbox in shared {
                let Some(name) = mailbox.name.clone() else { continue };
                let place = Place { account: mailbox.account, name };
                let Some(name) = neighbours.shown(reader, &place)? else { continue };
                accounts.push(mailbox.account);
                let theirs =
                    shown(store::Mailbox { name: Some(name), special_use: None, subscribed: false, ..mailbox });
                if let Some((name, mailbox)) = theirs {
                    listed.entry(name).or_insert(mailbox);
                }
            }
            Ok((listed, reader.subscriptions(self.viewer.account())?, accounts))
        })?;
        for name in &subscribed {
            if let Some(mailbox) = listed.get_mut(name) {
                mailbox.subscribed = true;
            }
        }
        shared.into_iter().for_each(|account| self.attend(account));
        Ok(listed.into_values().collect())
    }

    /// What the user may do: told to who has any of the rights that make a mailbox known (section 4, MYRIGHTS).
    pub(super) fn rights_at(&self, name: &MailboxName) -> Result<Rights, Error> {
        let mailbox = self.mailbox(name)?;
        let rights = self.show(|reader| reader.rights(&reader.mailbox(mailbox)?))?;
        let any = [Right::Lookup, Right::Read, Right::Insert, Right::Create, Right::DeleteMailbox, Right::Administer];
        if rights.has_any(&any) { Ok(rights) } else { Err(Error::NoSuchMailbox) }
    }

    pub(super) fn acl_of(&self, name: &MailboxName) -> Result<Vec<(Identifier, Rights)>, Error> {
        let mailbox = self.mailbox(name)?;
        self.show(|reader| reader.acl(&reader.permitted(mailbox, &[Right::Administer])?))
    }

    pub(super) fn change_rights(
        &self,
        name: &MailboxName,
        identifier: &Identifier,
        change: RightsChange,
    ) -> Result<(), Error> {
        let (mailbox, identifier) = (self.mailbox(name)?, identifier.clone());
        self.write(move |txn| txn.set_rights(mailbox, &identifier, change))
    }
}

fn is_inbox(mailbox: &store::Mailbox) -> bool {
    mailbox.name.as_ref().is_some_and(MailboxName::is_inbox)
}

/// A mailbox as LIST shows it, by its name.
fn shown(mailbox: store::Mailbox) -> Option<(MailboxName, Mailbox)> {
    let store::Mailbox { id, name, selectable, special_use, subscribed, highest_mod_seq, .. } = mailbox;
    let name = name?;
    Some((name.clone(), Mailbox { id, name, selectable, special_use, subscribed, highest_mod_seq }))
}
