//! Quota roots (RFC 9208): one for each account. What is put into a mailbox counts against its owner's, whoever puts it there;
//! so a user sees the root of others whose mailboxes they may look up, and no more.

use super::imap::MailAccount;
use crate::imap::server::backend::{Error, Quota};
use crate::store::{Reader, Result};
use crate::types::{AccountId, MailboxName, Right};

/// The user's own root. To clients the names are opaque (RFC 9208 section 3.2); others' are called as their mailboxes begin.
const OWN_ROOT: &str = "user";

impl MailAccount {
    /// The root that a mailbox of that name belongs to, whether it is there or not if it would be the user's own.
    pub(super) fn quota_root_of(&self, name: &MailboxName) -> std::result::Result<Option<String>, Error> {
        self.show(|reader| {
            let Some(place) = self.place(reader, name)? else { return Ok(None) };
            if place.account == self.viewer.account() {
                return Ok(Some(OWN_ROOT.to_owned()));
            }
            let (Some(neighbours), Some(mailbox)) =
                (self.neighbours, reader.mailbox_named(place.account, &place.name)?)
            else {
                return Ok(None);
            };
            match reader.rights(&mailbox)?.has(Right::Lookup) {
                true => neighbours.prefix(reader, place.account).map(Some),
                false => Ok(None),
            }
        })
    }

    /// What a root allows and what is used of it.
    pub(super) fn quota_at(&self, root: &str) -> std::result::Result<Option<Quota>, Error> {
        self.show(|reader| {
            let Some(account) = self.account_of_root(reader, root)? else { return Ok(None) };
            let quota = reader.quota(account)?;
            Ok(Some(Quota {
                storage_limit_bytes: quota.limit_bytes,
                storage_bytes: quota.used_bytes,
                message_limit: quota.limit_messages,
                messages: quota.used_messages,
            }))
        })
    }

    fn account_of_root(&self, reader: &Reader<'_>, root: &str) -> Result<Option<AccountId>> {
        if root == OWN_ROOT {
            return Ok(Some(self.viewer.account()));
        }
        let Some(neighbours) = self.neighbours else { return Ok(None) };
        for mailbox in reader.shared_with(&self.viewer)? {
            if neighbours.prefix(reader, mailbox.account)? == root {
                return Ok(Some(mailbox.account));
            }
        }
        Ok(None)
    }
}
