//! Who may log in at the local servers: the accounts of the configuration, all with the one local password.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use crate::sasl::Credentials;
use crate::sasl::prep::{prepared, prepared_password};
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::serve::submission::Senders;
use crate::serve::{Refused, Users};
use crate::smtp::address::Address;
use crate::types::{AccountId, Secret};

/// The users of the local servers. Changed when the configuration changes; sessions under way go on.
#[derive(Debug)]
pub struct LocalUsers(RwLock<Table>);

#[derive(Debug)]
struct Table {
    password: Secret,
    undo_ms: i64,
    by_name: BTreeMap<String, User>,
}

impl Table {
    /// The account of that name, however it is typed.
    fn named(&self, name: &str) -> Option<&User> {
        let name = prepared(name);
        let as_typed = |(known, _): &(&String, &User)| prepared(known) == name;
        self.by_name.iter().find(as_typed).map(|(_, user)| user)
    }
}

/// One account.
#[derive(Debug, Clone)]
pub struct User {
    pub account: AccountId,
    pub address: String,
    /// The account has a server to send by.
    pub can_send: bool,
}

/// Who may submit: those of [`LocalUsers`] whose account has a server to send by.
#[derive(Debug, Clone)]
pub struct SendingUsers(pub std::sync::Arc<LocalUsers>);

impl LocalUsers {
    /// Nobody yet.
    pub fn new(password: Secret) -> Self {
        Self(RwLock::new(Table { password, undo_ms: 0, by_name: BTreeMap::new() }))
    }

    /// The configuration is another now.
    pub fn replace(&self, password: Secret, undo_ms: i64, by_name: BTreeMap<String, User>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Table { password, undo_ms, by_name };
    }

    fn find(&self, is_wanted: impl Fn(&User) -> bool) -> Option<User> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        table.by_name.values().find(|user| is_wanted(user)).cloned()
    }

    /// The password, for `syncctl client-config`.
    pub fn password(&self) -> Secret {
        self.0.read().unwrap_or_else(PoisonError::into_inner).password.clone()
    }
}

impl Users for LocalUsers {
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let user = table.named(&credentials.user);
        let password = prepared_password(&credentials.password);
        match user.filter(|_| prepared_password(&table.password).matches(password.expose())) {
            None => Err(Refused::Credentials),
            Some(_) if credentials.authorize_as.is_some() => Err(Refused::NotAuthorized),
            Some(user) => Ok(user.account),
        }
    }

    fn offers_scram(&self) -> bool {
        true
    }

    /// The one password's keys, whatever the name: whether there is such an account is told at the end. The salt need
    /// not be secret, only be the same each time.
    fn scram_keys(&self, user: &str, hash: ScramHash) -> ScramKeys {
        let salt = blake3::hash(format!("mailtide local server {user}").as_bytes());
        ScramKeys::derive(hash, self.password().expose(), &salt.as_bytes()[..16])
    }

    fn proved(&self, proved: &ScramProved) -> Result<AccountId, Refused> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match table.named(&proved.user) {
            None => Err(Refused::Credentials),
            Some(_) if proved.authorize_as.is_some() => Err(Refused::NotAuthorized),
            Some(user) => Ok(user.account),
        }
    }
}

impl Users for SendingUsers {
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        self.sends(self.0.check(credentials)?)
    }

    fn offers_scram(&self) -> bool {
        self.0.offers_scram()
    }

    fn scram_keys(&self, user: &str, hash: ScramHash) -> ScramKeys {
        self.0.scram_keys(user, hash)
    }

    fn proved(&self, proved: &ScramProved) -> Result<AccountId, Refused> {
        self.sends(self.0.proved(proved)?)
    }
}

impl SendingUsers {
    fn sends(&self, account: AccountId) -> Result<AccountId, Refused> {
        match self.0.find(|user| user.account == account && user.can_send) {
            Some(_) => Ok(account),
            None => Err(Refused::NotAuthorized),
        }
    }
}

impl Senders for SendingUsers {
    fn account_of(&self, address: Option<&Address>) -> Option<AccountId> {
        let address = address?;
        let is = |text: &str| {
            let sends = |user: &User| user.can_send && user.address.eq_ignore_ascii_case(text);
            self.0.find(sends).map(|user| user.account)
        };
        // `me+tag@example.org` is an address of `me@example.org`'s.
        let untagged = || {
            let (name, rest) = address.as_str().split_once('+')?;
            let (_, domain) = rest.rsplit_once('@')?;
            is(&format!("{name}@{domain}"))
        };
        is(address.as_str()).or_else(untagged)
    }

    fn address_of(&self, account: AccountId) -> Option<String> {
        self.0.find(|user| user.account == account).map(|user| user.address)
    }

    fn undo_ms(&self) -> i64 {
        self.0.0.read().unwrap_or_else(PoisonError::into_inner).undo_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str, authorize_as: Option<&str>) -> Credentials {
        Credentials {
            user: user.to_owned(),
            authorize_as: authorize_as.map(str::to_owned),
            password: Secret::new(password),
        }
    }

    #[test]
    fn an_account_without_a_server_to_send_by_cannot_submit() {
        let users = std::sync::Arc::new(LocalUsers::new(Secret::new("x")));
        let user = |account, can_send| User { account: AccountId::new(account), address: String::new(), can_send };
        let both = [("out".to_owned(), user(1, true)), ("in".to_owned(), user(2, false))];
        users.replace(Secret::new("local"), 0, BTreeMap::from(both));
        let sending = SendingUsers(users);
        assert_eq!(sending.check(&credentials("out", "local", None)), Ok(AccountId::new(1)));
        assert_eq!(sending.check(&credentials("in", "local", None)), Err(Refused::NotAuthorized));
    }

    #[test]
    fn an_address_says_whose_mail_it_is() {
        let users = std::sync::Arc::new(LocalUsers::new(Secret::new("x")));
        let user = |account, address: &str, can_send| {
            let (account, address) = (AccountId::new(account), address.to_owned());
            User { account, address, can_send }
        };
        let all = [
            ("a", user(1, "me@work.example", true)),
            ("b", user(2, "me+x@home.example", true)),
            ("c", user(3, "in@x", false)),
        ];
        let all = all.map(|(name, user)| (name.to_owned(), user));
        users.replace(Secret::new("local"), 3_000, BTreeMap::from(all));
        let sending = SendingUsers(users);
        for (address, account) in [
            ("Me@Work.example", Some(1)),
            ("me+list@work.example", Some(1)),
            ("me+x@home.example", Some(2)),
            ("me@home.example", None),
            ("in@x", None),
        ] {
            let found = sending.account_of(Address::parse(address).as_ref());
            assert_eq!(found.map(AccountId::get), account, "{address}");
        }
        assert_eq!((sending.account_of(None), sending.undo_ms()), (None, 3_000));
        assert_eq!(sending.address_of(AccountId::new(2)).as_deref(), Some("me+x@home.example"));
    }

    #[test]
    fn only_an_account_with_the_local_password_gets_in() {
        let users = LocalUsers::new(Secret::new("x"));
        let work = User { account: AccountId::new(7), address: "me@example.org".to_owned(), can_send: false };
        users.replace(Secret::new("local"), 0, BTreeMap::from([("b\u{fc}ro".to_owned(), work.clone())]));
        assert_eq!(users.check(&credentials("bu\u{308}ro", "local", None)), Ok(AccountId::new(7)));
        users.replace(Secret::new("local"), 0, BTreeMap::from([("work".to_owned(), work)]));
        assert_eq!(users.check(&credentials("work", "local", None)), Ok(AccountId::new(7)));
        assert_eq!(users.check(&credentials("work", "x", None)), Err(Refused::Credentials));
        assert_eq!(users.check(&credentials("home", "local", None)), Err(Refused::Credentials));
        assert_eq!(users.check(&credentials("work", "local", Some("home"))), Err(Refused::NotAuthorized));
    }
}
