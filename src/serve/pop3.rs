//! The POP3 `Backend` over the store: a maildrop is INBOX as it is at the login.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Refused, Users};
use crate::pop3::server::backend::{Backend, Error, LoginError, Maildrop, Message};
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::store::{Origin, Result, Store, With};
use crate::types::{AccountId, ContentId, LocalUid, MailboxId, MailboxName, Timestamp, UidSet};

/// The maildrops that sessions have open. One value for all sessions of a program.
#[derive(Debug, Clone, Default)]
pub struct Maildrops(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    open: BTreeSet<AccountId>,
    /// When an account was last opened, where logins may not follow each other at once.
    last_login: BTreeMap<AccountId, Timestamp>,
}

/// Opens maildrops. One for each session.
pub struct MaildropBackend {
    store: Store,
    origin: Origin,
    users: Arc<dyn Users>,
    locks: Maildrops,
    login_delay_ms: i64,
}

impl MaildropBackend {
    /// A backend whose deletions are made on behalf of `origin`.
    pub fn new(store: Store, origin: Origin, users: Arc<dyn Users>, locks: Maildrops) -> Self {
        Self { store, origin, users, locks, login_delay_ms: 0 }
    }

    /// Lets no account in again before that time has passed (RFC 2449 section 6.5).
    pub const fn with_login_delay(mut self, seconds: u32) -> Self {
        self.login_delay_ms = seconds as i64 * 1000;
        self
    }
}

impl Backend for MaildropBackend {
    type Maildrop = MailMaildrop;

    fn login(&mut self, credentials: &Credentials, now: Timestamp) -> std::result::Result<MailMaildrop, LoginError> {
        self.open(self.users.check(credentials), now)
    }

    fn offers_tokens(&self) -> bool {
        self.users.offers_tokens()
    }

    fn login_token(
        &mut self,
        credentials: &Credentials,
        now: Timestamp,
    ) -> std::result::Result<MailMaildrop, LoginError> {
        self.open(self.users.check_token(credentials), now)
    }

    fn offers_scram(&self) -> bool {
        self.users.offers_scram()
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        self.users.scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved, now: Timestamp) -> std::result::Result<MailMaildrop, LoginError> {
        self.open(self.users.proved(proved), now)
    }
}

impl MaildropBackend {
    fn open(
        &self,
        account: std::result::Result<AccountId, Refused>,
        now: Timestamp,
    ) -> std::result::Result<MailMaildrop, LoginError> {
        let account = account.map_err(|refused| match refused {
            Refused::Credentials | Refused::NotAuthorized => LoginError::Refused,
            Refused::Unavailable => LoginError::Unavailable,
        })?;
        let lock = Lock::take(&self.locks, account, now, self.login_delay_ms)?;
        MailMaildrop::open(self.store.clone(), self.origin, account, lock).map_err(|error| {
            tracing::error!(%account, %error, "cannot open a maildrop");
            LoginError::Unavailable
        })
    }
}

/// INBOX as it was at the login.
pub struct MailMaildrop {
    store: Store,
    origin: Origin,
    mailbox: MailboxId,
    messages: Vec<Message>,
    /// Their UIDs and, where the bytes are here, contents.
    places: Vec<(LocalUid, Option<ContentId>)>,
    _lock: Lock,
}

impl MailMaildrop {
    fn open(store: Store, origin: Origin, account: AccountId, lock: Lock) -> Result<Self> {
        let (mut messages, mut places) = (Vec::new(), Vec::new());
        let mailbox = store.show(|reader| {
            let inbox = reader.mailbox_named(account, &MailboxName::inbox())?;
            let inbox = inbox.ok_or(crate::store::Error::NoSuchMailbox)?;
            let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
            reader.for_each_message(inbox.id, &all, With::Columns, |message| {
                let unique_id = format!("{}.{}", inbox.uid_validity, message.uid);
                messages.push(Message { unique_id, size_bytes: message.size_bytes });
                places.push((message.uid, message.content));
                Ok(())
            })?;
            Ok(inbox.id)
        })?;
        Ok(Self { store, origin, mailbox, messages, places, _lock: lock })
    }
}

impl Maildrop for MailMaildrop {
    fn messages(&self) -> &[Message] {
        &self.messages
    }

    fn read(&mut self, place: usize, offset: u64, max: usize) -> std::result::Result<Vec<u8>, Error> {
        let content = self.places.get(place).and_then(|(_, content)| *content);
        let content = content.ok_or_else(|| Error(Box::new(crate::store::Error::NoContent)))?;
        let bytes = self.store.read_content(content, offset, max).map_err(|error| Error(Box::new(error)))?;
        // An end before the size is a message that went while it was read: half of it must not pass for the whole.
        let size = self.messages.get(place).map_or(0, |message| message.size_bytes);
        match bytes.is_empty() && max > 0 && offset < size {
            true => Err(Error(Box::new(crate::store::Error::NoContent))),
            false => Ok(bytes),
        }
    }

    fn delete(self, places: &[usize], now: Timestamp) -> std::result::Result<(), Error> {
        let uids: UidSet<LocalUid> = places.iter().filter_map(|place| self.places.get(*place)).map(|it| it.0).collect();
        let mailbox = self.mailbox;
        let removed = self.store.write(self.origin, now, move |txn| txn.remove_messages(mailbox, &uids).map(drop));
        removed.map_err(|error| {
            tracing::error!(%mailbox, %error, "cannot remove what a POP3 session deleted");
            Error(Box::new(error))
        })
    }
}

/// A maildrop's exclusive lock (RFC 1939 section 4).
struct Lock {
    locks: Maildrops,
    account: AccountId,
}

impl Lock {
    fn take(
        locks: &Maildrops,
        account: AccountId,
        now: Timestamp,
        delay_ms: i64,
    ) -> std::result::Result<Self, LoginError> {
        let mut state = locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        if delay_ms > 0 && state.last_login.get(&account).is_some_and(|last| last.plus_ms(delay_ms) > now) {
            return Err(LoginError::TooSoon);
        }
        if !state.open.insert(account) {
            return Err(LoginError::InUse);
        }
        if delay_ms > 0 {
            state.last_login.insert(account, now);
        }
        drop(state);
        Ok(Self { locks: locks.clone(), account })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.locks.0.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.account);
    }
}
