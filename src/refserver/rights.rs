//! In whose name a user writes (RFC 6409 section 6.1). Pure.

use super::author::{self, NoAuthor};
use super::users::Users;
use crate::smtp::reply::Refusal;
use crate::types::AccountId;

/// From and Sender are the user's own, as far as they are there.
pub(super) fn check(account: AccountId, users: &Users, header: &[u8]) -> Result<(), Refusal> {
    let refused = |text: String| Err(Refusal::permanent(550, "5.7.1", text));
    for field in ["From", "Sender"] {
        let addresses = match author::addresses(header, field) {
            Ok(addresses) => addresses,
            Err(NoAuthor::Missing) => continue,
            Err(_) if !users.is_held_to_addresses(account) => continue,
            Err(_) => return refused(format!("{field} must be there once, with full addresses of yours")),
        };
        if let Some(foreign) = addresses.iter().find(|address| !users.may_send_as(account, address)) {
            return refused(format!("{field} names {foreign}, and that address is not yours"));
        }
    }
    Ok(())
}
