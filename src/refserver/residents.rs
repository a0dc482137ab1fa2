//! Who lives here: the users that the settings name, the mailboxes a new one gets, and those that are nobody's.

use super::options::Settings;
use super::server::StartError;
use super::users::{Users, UsersError};
use crate::config::mailboxes::Shared;
use crate::net::Clock;
use crate::serve::neighbours::{Neighbours, SHARED_ACCOUNT};
use crate::store::{Origin, Store, Txn};
use crate::types::{AccountId, MailboxName, RightsChange, SpecialUse};

/// Reads the users and makes those that are named; a new one gets the usual mailboxes.
pub(super) fn open_users(settings: &Settings, store: &Store, clock: &Clock) -> Result<Users, StartError> {
    let now = clock.now();
    let mut users = Users::open(&settings.data.join("users"), &settings.domain, store, salt()?, now)?;
    for (name, password) in &settings.users {
        let known = users.accounts().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        users.set_password(name, password, store, salt()?, now)?;
        let new = users.accounts().find(|(name, _)| !known.iter().any(|known| known == name));
        if let Some((_, account)) = new {
            store.write(Origin::Authority, now, move |txn| make_usual_mailboxes(txn, account))?;
        }
    }
    for (name, quota) in &settings.quotas {
        let account = users.accounts().find(|(known, _)| known == name).map(|(_, account)| account);
        let account = account.ok_or_else(|| UsersError::Name(name.clone()))?;
        let (bytes, messages) = (Some(quota.bytes), quota.messages);
        store.write(Origin::Authority, now, move |txn| txn.set_quota(account, bytes, messages))?;
    }
    users.set_tokens(&settings.tokens)?;
    users.set_may_send_as(&settings.may_send_as)?;
    users.set_aliases(&settings.aliases, settings.catch_all.as_deref())?;
    Ok(users)
}

/// Makes the mailboxes that are nobody's, as far as they are not there. What the settings say of rights holds from each start
/// on; what was granted to others by SETACL stays.
pub(super) fn open_shared(settings: &Settings, store: &Store, clock: &Clock) -> crate::store::Result<Neighbours> {
    let wanted = settings.shared.clone();
    store.write(Origin::Authority, clock.now(), move |txn| {
        let shared = txn.ensure_account(SHARED_ACCOUNT)?;
        for Shared { name, rights } in wanted {
            let mailbox = match txn.reader().mailbox_named(shared, &name)? {
                Some(mailbox) if mailbox.selectable => mailbox.id,
                _ => txn.create_mailbox(shared, &name, None)?,
            };
            for (identifier, rights) in rights {
                txn.set_rights(mailbox, &identifier, RightsChange::Replace(rights))?;
            }
        }
        Ok(Neighbours { shared })
    })
}

fn make_usual_mailboxes(txn: &mut Txn<'_>, account: AccountId) -> crate::store::Result<()> {
    let usual = [SpecialUse::Archive, SpecialUse::Drafts, SpecialUse::Junk, SpecialUse::Sent, SpecialUse::Trash];
    for special_use in usual {
        let name =
            MailboxName::parse(special_use.as_str().trim_start_matches('\\')).expect("a special use is a fine name");
        if txn.reader().mailbox_named(account, &name)?.is_none() {
            txn.create_mailbox(account, &name, Some(special_use))?;
            txn.set_subscribed(account, &name, true)?;
        }
    }
    txn.set_subscribed(account, &MailboxName::inbox(), true)
}

fn salt() -> Result<[u8; 16], StartError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(StartError::Chance)?;
    Ok(salt)
}
