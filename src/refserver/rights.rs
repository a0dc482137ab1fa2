//! In whose name a user writes (RFC 6409 section 6.1). Pure.
//!
//! Rules: From and Sender are the user's own, as far as they are there; what has several of them, or one that cannot be
//! read, could be shown as anybody's. Who resends a message says so in its Resent fields, and those are the user's own
//! then: who wrote it may be anybody (RFC 5322 section 3.6.6) but another user of ours, who did not.

use std::collections::BTreeSet;

use super::author::{self, NoAuthor};
use super::users::Users;
use crate::message::header;
use crate::smtp::address::Address;
use crate::smtp::reply::Refusal;
use crate::types::AccountId;

/// A user, as far as rights go.
pub(super) struct Writer<'a> {
    pub account: AccountId,
    pub users: &'a Users,
}

impl Writer<'_> {
    /// May the user send a message with that header?
    pub(super) fn check(&self, header: &[u8]) -> Result<(), Refusal> {
        let resent = last_resent(header);
        let is_own = |address: &Address| self.users.may_send_as(self.account, address);
        if author::addresses(&resent, "Resent-From") == Err(NoAuthor::Missing) {
            return self.each(header, ["From", "Sender"], is_own);
        }
        self.each(&resent, ["Resent-From", "Resent-Sender"], is_own)?;
        let is_stranger = |address: &Address| !address.domain().is_some_and(|domain| self.users.is_local(domain));
        self.each(header, ["From", "Sender"], |address| is_stranger(address) || is_own(address))
    }

    /// Is each address in those fields fine?
    fn each(&self, header: &[u8], fields: [&str; 2], is_fine: impl Fn(&Address) -> bool) -> Result<(), Refusal> {
        let refused = |text: String| Err(Refusal::permanent(550, "5.7.1", text));
        for field in fields {
            let addresses = match author::addresses(header, field) {
                Ok(addresses) => addresses,
                Err(NoAuthor::Missing) => continue,
                Err(NoAuthor::NoDomain) if !self.users.is_held_to_addresses(self.account) => continue,
                Err(_) => return refused(format!("{field} must be there once, with full addresses of yours")),
            };
            if let Some(foreign) = addresses.iter().find(|address| !is_fine(address)) {
                return refused(format!("{field} names {foreign}, and that address is not yours"));
            }
        }
        Ok(())
    }
}

/// The Resent fields of who resent it last: each set of them is put in front of those that were there.
fn last_resent(header: &[u8]) -> Vec<u8> {
    let is_resent =
        |field: &header::Field<'_>| field.name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b"Resent-"));
    let mut names = BTreeSet::new();
    let mut is_of_the_set =
        |field: &header::Field<'_>| is_resent(field) && names.insert(field.name.to_ascii_lowercase());
    let fields = header::fields(header).skip_while(|field| !is_resent(field)).take_while(|field| is_of_the_set(field));
    fields.flat_map(|field| field.whole).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_resendings_the_last_counts() {
        for (header, expected) in [
            (
                "Received: x\r\nResent-From: a@b\r\nresent-to: c@d,\r\n e@f\r\nFrom: g@h\r\n",
                "Resent-From: a@b\r\nresent-to: c@d,\r\n e@f\r\n",
            ),
            ("Resent-From: a@b\r\nResent-From: c@d\r\nResent-Sender: e@f\r\n", "Resent-From: a@b\r\n"),
            ("Resent-To: a@b\r\nReceived: x\r\nResent-From: c@d\r\n", "Resent-To: a@b\r\n"),
            ("From: a@b\r\n\r\nResent-From: a@b\r\n", ""),
        ] {
            assert_eq!(String::from_utf8(last_resent(header.as_bytes())).as_deref(), Ok(expected), "{header}");
        }
    }
}
