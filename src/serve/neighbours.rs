//! The names by which a user sees the mailboxes of others: `user/NAME/...` those of another user, `Shared/...` those of
//! nobody. What such a name leads to is only ever looked at as its viewer may ([`crate::store`], rights).
//!
//! A mailbox of one's own that has such a name from before is what its name means.

use crate::store::{Reader, Result, Viewer};
use crate::types::{AccountId, MailboxName};

/// Below it are the mailboxes of other users, by their names.
const USERS: &str = "user";

/// Below it are those of nobody.
const SHARED: &str = "Shared";

/// The account of the mailboxes that are nobody's: no user can be called so.
pub const SHARED_ACCOUNT: &str = "#shared";

/// Whether others' mailboxes can be seen, and which account is nobody's.
#[derive(Debug, Clone, Copy)]
pub struct Neighbours {
    pub shared: AccountId,
}

/// A mailbox's account, and its name there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub account: AccountId,
    pub name: MailboxName,
}

impl Neighbours {
    /// The names that namespaces of others begin with: users', shared (RFC 2342).
    pub fn namespaces() -> [MailboxName; 2] {
        [USERS, SHARED].map(|name| MailboxName::parse(name).expect("a fine name"))
    }

    /// Where a name of another namespace leads. `None`: nowhere.
    pub fn find(self, reader: &Reader<'_>, viewer: &Viewer, name: &MailboxName) -> Result<Option<Place>> {
        let (account, rest) = match name.as_str().split_once(MailboxName::DELIMITER) {
            Some((SHARED, rest)) => (Some(self.shared), rest),
            Some((USERS, rest)) => match rest.split_once(MailboxName::DELIMITER) {
                Some((user, rest)) => {
                    let account = reader.account_named(user)?.map(|account| account.id);
                    (account.filter(|account| *account != self.shared), rest)
                }
                None => (None, rest),
            },
            _ => (None, ""),
        };
        let is_another = |account: &AccountId| *account != viewer.account();
        let place = |account| Some(Place { account, name: MailboxName::parse(rest).ok()? });
        Ok(account.filter(is_another).and_then(place))
    }

    /// Is it a name of another namespace, whether it leads anywhere or not?
    pub fn has(name: &MailboxName) -> bool {
        matches!(name.components().next(), Some(USERS | SHARED))
    }

    /// The name that a mailbox below `Shared` has in its account.
    pub fn shared_name(name: &MailboxName) -> Option<MailboxName> {
        let (first, rest) = name.as_str().split_once(MailboxName::DELIMITER)?;
        MailboxName::parse(rest).ok().filter(|_| first == SHARED)
    }

    /// The name by which a mailbox of another account is shown. `None`: it would be too long.
    pub fn shown(self, reader: &Reader<'_>, place: &Place) -> Result<Option<MailboxName>> {
        let prefix = self.prefix(reader, place.account)?;
        Ok(MailboxName::parse(&format!("{prefix}/{}", place.name)).ok())
    }

    /// What the names of another account's mailboxes begin with.
    pub fn prefix(self, reader: &Reader<'_>, account: AccountId) -> Result<String> {
        Ok(match account == self.shared {
            true => SHARED.to_owned(),
            false => format!("{USERS}/{}", reader.account(account)?.name),
        })
    }
}
