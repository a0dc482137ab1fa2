//! The users: names and argon2 hashes in a file of their own, one `NAME:HASH` a line, beside the store that keeps their
//! mail. Behind the hash stand the SCRAM keys, for SHA-256 and for SHA-1; a user whose line is older has none until the
//! password is given again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use argon2::password_hash::{PasswordHash, PasswordHasher as _, SaltString};
use argon2::{Argon2, password_hash};
use mail_auth::common::to_a_label;

use super::hashing::Hashing;
use crate::config::server::SendAs;
use crate::net::tls::write_private;
use crate::sasl::Credentials;
use crate::sasl::prep::{prepared, prepared_password};
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::serve::{self, Refused};
use crate::smtp::address::Address;
use crate::store::{Origin, Store};
use crate::types::{AccountId, Identifier, Secret, Timestamp};

/// Every user.
pub struct Users {
    file: PathBuf,
    domain: String,
    /// By name, in lower case.
    users: BTreeMap<String, User>,
    /// Names that mean one or several users.
    aliases: BTreeMap<String, BTreeSet<AccountId>>,
    /// Who gets what is for nobody.
    catch_all: Option<AccountId>,
    /// Verifies a password nobody has, so that an unknown name takes as long to refuse as a known one.
    nobody: String,
    hashing: Hashing,
}

struct User {
    hash: String,
    scram: Option<[ScramKeys; 2]>,
    account: AccountId,
    /// The configuration's; kept nowhere else.
    token: Option<Secret>,
    /// Whose addresses the user sends as, beside the user's own; the configuration's as well. Unsaid: anybody's but those of
    /// our own domain.
    may_send_as: Option<Vec<SendAs>>,
}

/// Why the users cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    #[error("cannot use {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("{}, line {line}: not NAME:HASH with an argon2 hash", path.display())]
    Line { path: PathBuf, line: usize },
    /// It must fit an address and a login.
    #[error("{0:?} is no user name: letters, digits and -._ only, nor one that means all")]
    Name(String),
    #[error("alias {alias}: there is no user or alias {target:?} here, and mail is forwarded to nobody else")]
    Alias { alias: String, target: String },
    #[error("alias {0} means nobody: name users or other aliases")]
    EmptyAlias(String),
    #[error("alias {0} leads back to itself")]
    CircularAlias(String),
    #[error("cannot hash a password: {0}")]
    Hash(password_hash::Error),
    #[error(transparent)]
    Store(#[from] crate::store::Error),
}

impl Users {
    /// Reads the users in `file`, none if there is no such file; each gets an account in the store. `salt` is random.
    pub fn open(file: &Path, domain: &str, store: &Store, salt: [u8; 16], now: Timestamp) -> Result<Self, UsersError> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => String::new(),
            Err(cause) => return Err(UsersError::File { path: file.to_owned(), cause }),
        };
        let mut users = BTreeMap::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let wrong = || UsersError::Line { path: file.to_owned(), line: index + 1 };
            let mut parts = line.split(':');
            let (name, hash) = (parts.next().ok_or_else(wrong)?, parts.next().ok_or_else(wrong)?);
            PasswordHash::new(hash).map_err(|_| wrong())?;
            let scram = match (parts.next(), parts.next(), parts.next()) {
                (None, ..) => None,
                (Some(sha256), Some(sha1), None) => {
                    let keys = |word| ScramKeys::from_word(word).ok_or_else(wrong);
                    Some([keys(sha256)?, keys(sha1)?])
                }
                _ => return Err(wrong()),
            };
            let account = ensure_account(store, name, now)?;
            let user = User { hash: hash.to_owned(), scram, account, token: None, may_send_as: None };
            users.insert(name.to_owned(), user);
        }
        let nobody = hash(&Secret::new("nobody"), salt)?;
        Ok(Self {
            file: file.to_owned(),
            domain: domain.to_owned(),
            users,
            aliases: BTreeMap::new(),
            catch_all: None,
            nobody,
            hashing: Hashing::default(),
        })
    }

    /// Adds a user, or gives one another password. `salt` is random.
    pub fn set_password(
        &mut self,
        name: &str,
        password: &Secret,
        store: &Store,
        salt: [u8; 16],
        now: Timestamp,
    ) -> Result<(), UsersError> {
        let name = name.to_ascii_lowercase();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let means_all = Identifier::EVERYONE.contains(&name.as_str());
        if means_all
            || !name.bytes().all(fits)
            || name.starts_with(['.', '-'])
            || Address::parse(&format!("{name}@localhost")).is_none()
        {
            return Err(UsersError::Name(name));
        }
        let known = self.users.get(&name).filter(|user| user.scram.is_some());
        if known.is_some_and(|user| self.hashing.verify(password, &user.hash)) {
            return Ok(());
        }
        let account = ensure_account(store, &name, now)?;
        let scram = Some(ScramHash::ALL.map(|hash| ScramKeys::derive(hash, password.expose(), &salt)));
        let hash = hash(password, salt)?;
        self.users.insert(name, User { hash, scram, account, token: None, may_send_as: None });
        let keys =
            |user: &User| user.scram.iter().flatten().map(|keys| format!(":{}", keys.to_word())).collect::<String>();
        let line = |(name, user): (&String, &User)| format!("{name}:{}{}\n", user.hash, keys(user));
        let lines: String = self.users.iter().map(line).collect();
        write_private(&self.file, lines.as_bytes()).map_err(|cause| UsersError::File { path: self.file.clone(), cause })
    }

    /// Gives users tokens.
    pub fn set_tokens(&mut self, tokens: &[(String, Secret)]) -> Result<(), UsersError> {
        for (name, token) in tokens {
            let user = self.users.get_mut(&name.to_ascii_lowercase()).ok_or_else(|| UsersError::Name(name.clone()))?;
            user.token = Some(token.clone());
        }
        Ok(())
    }

    /// Lets users send as others.
    pub fn set_may_send_as(&mut self, users: &[(String, Option<Vec<SendAs>>)]) -> Result<(), UsersError> {
        for (name, others) in users {
            let user = self.users.get_mut(&name.to_ascii_lowercase()).ok_or_else(|| UsersError::Name(name.clone()))?;
            user.may_send_as.clone_from(others);
        }
        Ok(())
    }

    /// Gives the users more names: each alias means users, or aliases. `catch_all` gets what is for nobody.
    pub fn set_aliases(
        &mut self,
        aliases: &BTreeMap<String, Vec<String>>,
        catch_all: Option<&str>,
    ) -> Result<(), UsersError> {
        let lower: BTreeMap<String, &[String]> =
            aliases.iter().map(|(name, meant)| (name.to_ascii_lowercase(), &meant[..])).collect();
        let unknown =
            |alias: &str, target: &str| UsersError::Alias { alias: alias.to_owned(), target: target.to_owned() };
        for alias in lower.keys() {
            let (mut accounts, mut seen) = (BTreeSet::new(), BTreeSet::new());
            let mut open = vec![(alias.clone(), alias.clone())];
            while let Some((by, name)) = open.pop() {
                if !seen.insert(name.clone()) {
                    continue;
                }
                match (self.users.get(&name), lower.get(&name).copied()) {
                    // A user of that name gets it as well only if the alias says so.
                    (Some(user), _) if name != *alias => drop(accounts.insert(user.account)),
                    (_, Some([])) => return Err(UsersError::EmptyAlias(name)),
                    (_, Some(meant)) => {
                        let meant: Vec<_> = meant.iter().map(|target| target.to_ascii_lowercase()).collect();
                        if !self.users.contains_key(alias) && meant.contains(alias) {
                            return Err(UsersError::CircularAlias(name));
                        }
                        open.extend(meant.into_iter().map(|target| (name.clone(), target)));
                    }
                    _ => return Err(unknown(&by, &name)),
                }
                if name == *alias && lower[alias].iter().any(|target| target.eq_ignore_ascii_case(alias)) {
                    accounts.extend(self.users.get(alias).map(|user| user.account));
                }
            }
            self.aliases.insert(alias.clone(), accounts);
        }
        self.catch_all = match catch_all {
            None => None,
            Some(name) => {
                let user = self.users.get(&name.to_ascii_lowercase());
                Some(user.ok_or_else(|| unknown("catch-all", name))?.account)
            }
        };
        Ok(())
    }

    /// Whose mailboxes a local part means: an alias, a user, or whoever gets what is for nobody. None: nobody's.
    pub fn recipients(&self, local_part: &str) -> BTreeSet<AccountId> {
        let name = local_part.to_ascii_lowercase();
        let base = name.split_once('+').map_or(name.as_str(), |(base, _)| base);
        let alias =
            self.aliases.get(&name).or_else(|| self.aliases.get(base).filter(|_| !self.users.contains_key(&name)));
        match alias {
            Some(accounts) => accounts.clone(),
            None => self.mailbox(local_part).or(self.catch_all).into_iter().collect(),
        }
    }

    /// Is it an address of that user, or one the configuration lets the user send as?
    pub fn may_send_as(&self, account: AccountId, address: &Address) -> bool {
        let (local_part, Some(domain)) = (address.local_part(), address.domain()) else { return false };
        let is_own = self.is_local(domain) && self.recipients(&local_part).contains(&account);
        is_own
            || match self.others_of(account) {
                Some(others) => others.iter().any(|other| other.means(&local_part, &to_a_label(domain))),
                None => !self.is_local(domain),
            }
    }

    /// Did the configuration say whose addresses the user sends as?
    pub fn is_held_to_addresses(&self, account: AccountId) -> bool {
        self.others_of(account).is_some()
    }

    fn others_of(&self, account: AccountId) -> Option<&[SendAs]> {
        self.users.values().find(|user| user.account == account).and_then(|user| user.may_send_as.as_deref())
    }

    /// Every user's account, by name.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, AccountId)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user.account))
    }

    /// Whose users they are.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The address of a user.
    pub fn address(&self, name: &str) -> String {
        format!("{name}@{}", self.domain)
    }

    /// The address of a user.
    pub fn address_of(&self, account: AccountId) -> Option<String> {
        self.accounts().find(|(_, known)| *known == account).map(|(name, _)| self.address(name))
    }

    /// Is it our own domain?
    pub fn is_local(&self, domain: &str) -> bool {
        to_a_label(domain).eq_ignore_ascii_case(&to_a_label(&self.domain))
    }

    /// Whose mailbox a local part means: a name in any case, anything after a `+` ignored. Mail to the postmaster goes
    /// to the first user where no user is called so (RFC 5321 section 4.5.1).
    pub fn mailbox(&self, local_part: &str) -> Option<AccountId> {
        let name = local_part.to_ascii_lowercase();
        let base = name.split_once('+').map_or(name.as_str(), |(base, _)| base);
        let user = self.users.get(&name).or_else(|| self.users.get(base));
        let postmaster = || self.users.values().next().filter(|_| name == "postmaster");
        user.or_else(postmaster).map(|user| user.account)
    }

    /// The user who logs in as `login`: a name, with or without our domain.
    fn named(&self, login: &str) -> Option<&User> {
        let name = match login.rsplit_once('@') {
            Some((name, domain)) if self.is_local(domain) => name,
            _ => login,
        };
        self.users.get(&prepared(name).to_ascii_lowercase())
    }

    /// Nobody acts as another; naming oneself twice is no other.
    fn acting_as(&self, user: &User, authorize_as: Option<&str>) -> Result<AccountId, Refused> {
        let as_whom = authorize_as.map(|name| self.named(name).map(|other| other.account));
        match as_whom {
            Some(other) if other != Some(user.account) => Err(Refused::NotAuthorized),
            _ => Ok(user.account),
        }
    }
}

impl serve::Users for Users {
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        let user = self.named(&credentials.user);
        let right = self.hashing.verify(&credentials.password, user.map_or(&self.nobody, |user| &user.hash));
        let user = user.filter(|_| right).ok_or(Refused::Credentials)?;
        self.acting_as(user, credentials.authorize_as.as_deref())
    }

    fn offers_tokens(&self) -> bool {
        self.users.values().any(|user| user.token.is_some())
    }

    fn check_token(&self, credentials: &Credentials) -> Result<AccountId, Refused> {
        let user = self.named(&credentials.user).ok_or(Refused::Credentials)?;
        let right = user.token.as_ref().is_some_and(|token| token.matches(credentials.password.expose()));
        if !right {
            return Err(Refused::Credentials);
        }
        self.acting_as(user, credentials.authorize_as.as_deref())
    }

    /// A client takes the best mechanism that is offered: it must be one that every user can log in by.
    fn offers_scram(&self) -> bool {
        self.users.values().all(|user| user.scram.is_some())
    }

    fn scram_keys(&self, user: &str, hash: ScramHash) -> ScramKeys {
        let keys = self.named(user).and_then(|user| user.scram.as_ref());
        match (keys, hash) {
            (Some([sha256, _]), ScramHash::Sha256) => sha256.clone(),
            (Some([_, sha1]), ScramHash::Sha1) => sha1.clone(),
            // The same each time, and known to nobody else.
            (None, _) => {
                let name = user.to_ascii_lowercase();
                let salt = blake3::derive_key(&self.nobody, name.as_bytes());
                ScramKeys::of_nobody(hash, &salt[..16])
            }
        }
    }

    fn proved(&self, proved: &ScramProved) -> Result<AccountId, Refused> {
        let user = self.named(&proved.user).ok_or(Refused::Credentials)?;
        self.acting_as(user, proved.authorize_as.as_deref())
    }
}

fn ensure_account(store: &Store, name: &str, now: Timestamp) -> crate::store::Result<AccountId> {
    let name = name.to_owned();
    store.write(Origin::Authority, now, move |txn| txn.ensure_account(&name))
}

fn hash(password: &Secret, salt: [u8; 16]) -> Result<String, UsersError> {
    let salt = SaltString::encode_b64(&salt).map_err(UsersError::Hash)?;
    let password = prepared_password(password);
    let hash = Argon2::default().hash_password(password.expose().as_bytes(), &salt);
    hash.map(|hash| hash.to_string()).map_err(UsersError::Hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::Users as _;
    use crate::store::{Executor, Options};

    const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);

    fn credentials(user: &str, authorize_as: Option<&str>, password: &str) -> Credentials {
        let (user, authorize_as) = (user.to_owned(), authorize_as.map(str::to_owned));
        Credentials { user, authorize_as, password: Secret::new(password) }
    }

    #[test]
    fn an_alias_means_users_and_what_is_for_nobody_has_a_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let store = Store::open(&folder.path().join("store"), &options, NOW).expect("a store");
        let mut users =
            Users::open(&folder.path().join("users"), "example.org", &store, [1; 16], NOW).expect("none yet");
        for name in ["ann", "ben", "cy"] {
            users.set_password(name, &Secret::new("x"), &store, [2; 16], NOW).expect("a fine name");
        }
        let aliases = |text: &str| {
            let lines = text.split("; ").filter_map(|line| line.split_once(": "));
            let words = |words: &str| words.split(' ').map(str::to_owned).collect();
            lines.map(|(name, meant)| (name.to_owned(), words(meant))).collect::<BTreeMap<String, Vec<String>>>()
        };
        users.set_aliases(&aliases("Info: ann; all: Info ben; most: all cy; ben: ben cy"), Some("cy")).expect("known");
        let named = |users: &Users, local_part: &str| {
            let accounts = users.recipients(local_part);
            let names = users.accounts().filter(|(_, account)| accounts.contains(account)).map(|(name, _)| name);
            names.collect::<Vec<_>>().join(" ")
        };
        for (local_part, expected) in [
            ("info", "ann"),
            ("INFO+x", "ann"),
            ("all", "ann ben"),
            ("most", "ann ben cy"),
            ("ben", "ben cy"),
            ("ann+tag", "ann"),
            ("nobody", "cy"),
        ] {
            assert_eq!(named(&users, local_part), expected, "{local_part}");
        }
        for (text, expected) in [
            ("info: dan", "alias info: there is no user or alias \"dan\" here, and mail is forwarded to nobody else"),
            (
                "all: out; out: x@far.example",
                "alias out: there is no user or alias \"x@far.example\" here, and mail is forwarded to nobody else",
            ),
            ("one: ann two; two: one", "alias two leads back to itself"),
            ("self: ann self", "alias self leads back to itself"),
        ] {
            let wrong = users.set_aliases(&aliases(text), None).expect_err("it is wrong").to_string();
            assert_eq!(wrong, expected);
        }
        let wrong = users.set_aliases(&BTreeMap::from([("none".to_owned(), Vec::new())]), None);
        assert_eq!(wrong.expect_err("it is wrong").to_string(), "alias none means nobody: name users or other aliases");
        users.set_aliases(&aliases(""), None).expect("nothing");
        assert_eq!(named(&users, "nobody"), "");
    }

    #[test]
    fn users_log_in_by_name_or_address_and_outlive_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let store = Store::open(&folder.path().join("store"), &options, NOW).expect("a store");
        let file = folder.path().join("users");
        let open = || Users::open(&file, "Example.org", &store, [1; 16], NOW).expect("readable users");
        let mut users = open();
        for (name, password) in [("Alice", "pw-a"), ("bob", "pw:b"), ("alice", "pw-a"), ("dora", "scho\u{308}n")] {
            users.set_password(name, &Secret::new(password), &store, [2; 16], NOW).expect("a fine name");
        }
        for name in ["", "a b", "a:b", "a@b", ".a", "a..b"] {
            let refused = users.set_password(name, &Secret::new("x"), &store, [2; 16], NOW);
            assert!(matches!(refused, Err(UsersError::Name(_))), "{name:?}");
        }
        let users = open();
        let alice = users.mailbox("ALICE+list").expect("alice has a mailbox");
        for (given, expected) in [
            (credentials("alice", None, "pw-a"), Ok(alice)),
            (credentials("Alice@EXAMPLE.org", Some("alice"), "pw-a"), Ok(alice)),
            (credentials("alice", Some("bob"), "pw-a"), Err(Refused::NotAuthorized)),
            (credentials("alice@elsewhere", None, "pw-a"), Err(Refused::Credentials)),
            (credentials("alice", None, "pw:b"), Err(Refused::Credentials)),
            // As another keyboard types it (RFC 4616 section 2).
            (credentials("\u{ff44}ora", None, "sch\u{f6}n"), Ok(users.mailbox("dora").expect("dora has a mailbox"))),
            (credentials("nobody", None, "nobody"), Err(Refused::Credentials)),
        ] {
            assert_eq!(users.check(&given), expected, "{given:?}");
        }
        assert_eq!(users.mailbox("Postmaster"), Some(alice));
        assert_eq!(users.mailbox("carol"), None);
        let text = std::fs::read_to_string(&file).expect("readable");
        assert!(!text.contains("pw-a") && text.contains("bob:$argon2id$"));
    }
}
