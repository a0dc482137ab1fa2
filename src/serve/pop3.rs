//! The POP3 `Backend` over the store: a maildrop is INBOX as it is at the login.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::bring::{Bringer, Errands, Outcome};
use super::{Refused, Users};
use crate::message::octets::{Growth, Meter};
use crate::message::outline::Wanted;
use crate::pop3::server::backend::{Backend, Brought, Error, Expiry, LoginError, Maildrop, Message};
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::store::{self, Grown, Origin, Result, Store, Wake, With};
use crate::types::{AccountId, ContentId, LocalUid, MailboxId, MailboxName, MessageId, Timestamp, UidSet, limits};

/// The maildrops that sessions have open. One value for all sessions of a program.
#[derive(Debug, Clone, Default)]
pub struct Maildrops(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    open: BTreeSet<AccountId>,
    /// When an account was last opened, where logins may not follow each other at once.
    last_login: BTreeMap<AccountId, Timestamp>,
}

/// After how many days each user's mail goes from INBOX by itself; `None`: never.
pub type Expiries = BTreeMap<AccountId, Option<u32>>;

/// Opens maildrops. One for each session.
pub struct MaildropBackend {
    store: Store,
    origin: Origin,
    users: Arc<dyn Users>,
    locks: Maildrops,
    login_delay_ms: i64,
    expiries: Arc<Expiries>,
    /// Who fetches what is not here, and what wakes the session then.
    bringer: Option<(Arc<dyn Bringer>, Wake)>,
}

impl MaildropBackend {
    /// A backend whose deletions are made on behalf of `origin`.
    pub fn new(store: Store, origin: Origin, users: Arc<dyn Users>, locks: Maildrops) -> Self {
        Self { store, origin, users, locks, login_delay_ms: 0, expiries: Arc::default(), bringer: None }
    }

    /// What is not here is fetched by `bringer`, and the session woken by `wake`; without one it cannot be had.
    #[must_use]
    pub fn fetching(mut self, bringer: Arc<dyn Bringer>, wake: Wake) -> Self {
        self.bringer = Some((bringer, wake));
        self
    }

    /// Somebody removes old mail; who is not named keeps it.
    #[must_use]
    pub fn expiring(mut self, expiries: Arc<Expiries>) -> Self {
        self.expiries = expiries;
        self
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

    fn expiry(&self) -> Expiry {
        let days: BTreeSet<Option<u32>> = self.expiries.values().copied().collect();
        Expiry { least_days: days.iter().copied().flatten().min(), differs: days.len() > 1 }
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
        let (bringer, wake) = match &self.bringer {
            Some((bringer, wake)) => (Some(Arc::clone(bringer)), Arc::clone(wake)),
            None => (None, Arc::new(|| ()) as Wake),
        };
        let errands = Errands::new(account, bringer, wake);
        let opened = MailMaildrop::open(self.store.clone(), self.origin, account, errands, lock, now);
        let expires_days = self.expiries.get(&account).copied().flatten();
        opened.map(|maildrop| MailMaildrop { expires_days, ..maildrop }).map_err(|error| {
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
    places: Vec<Place>,
    errands: Errands,
    expires_days: Option<u32>,
    _lock: Lock,
}

/// One of its messages.
struct Place {
    uid: LocalUid,
    message: MessageId,
    size_bytes: u64,
    /// Where its bytes are here.
    content: Option<ContentId>,
    /// Where they are not: its header, once it was asked for.
    header: Option<ContentId>,
}

impl MailMaildrop {
    fn open(
        store: Store,
        origin: Origin,
        account: AccountId,
        errands: Errands,
        lock: Lock,
        now: Timestamp,
    ) -> Result<Self> {
        let (mut messages, mut places) = (Vec::new(), Vec::new());
        let (mailbox, grown) = store.show(|reader| {
            let inbox = reader.mailbox_named(account, &MailboxName::inbox())?;
            let inbox = inbox.ok_or(store::Error::NoSuchMailbox)?;
            let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
            reader.for_each_message(inbox.id, &all, With::Columns, |message| {
                let unique_id = format!("{}.{}", inbox.uid_validity, message.uid);
                let store::Message { uid, id, content, size_bytes, .. } = message;
                messages.push(Message { unique_id, octets: Growth::default().of(size_bytes) });
                places.push(Place { uid, message: id, size_bytes, content, header: None });
                Ok(())
            })?;
            Ok((inbox.id, reader.grown(inbox.id)?))
        })?;
        for (uid, growth) in measured(&store, origin, grown, now)? {
            if let Ok(place) = places.binary_search_by_key(&uid, |place: &Place| place.uid) {
                messages[place].octets = growth.of(places[place].size_bytes);
            }
        }
        Ok(Self { store, origin, mailbox, messages, places, errands, expires_days: None, _lock: lock })
    }
}

impl Maildrop for MailMaildrop {
    fn messages(&self) -> &[Message] {
        &self.messages
    }

    fn expires_days(&self) -> Option<u32> {
        self.expires_days
    }

    fn bring(&mut self, place: usize, header_only: bool) -> std::result::Result<Brought, Error> {
        let Some(known) = self.places.get_mut(place) else { return Ok(Brought::Here) };
        if known.content.is_none() && known.header.is_none() && header_only {
            let (mailbox, uid) = (self.mailbox, [known.uid]);
            let shown = self.store.show(|reader| reader.messages(mailbox, &uid, With::Summary)).map_err(failed)?;
            known.header = shown.into_iter().next().and_then(|message| message.header);
        }
        if known.content.is_some() || (header_only && known.header.is_some()) {
            return Ok(Brought::Here);
        }
        let message = known.message;
        let came = self.store.show(|reader| {
            let facts = reader.message_facts(message)?.and_then(|facts| Some((facts.content?, facts.size_bytes)));
            facts.map(|(content, size)| Ok((content, size, reader.growth(content)?))).transpose()
        });
        if let Some((content, size_bytes, growth)) = came.map_err(failed)? {
            self.errands.forget(message);
            // The server may have told another size than the bytes have.
            (known.content, known.size_bytes) = (Some(content), size_bytes);
            if let Some(message) = self.messages.get_mut(place) {
                message.octets = growth.of(size_bytes);
            }
            return Ok(Brought::Here);
        }
        match self.errands.ask(known.message, &Wanted::Whole) {
            None => Ok(Brought::Coming),
            Some(Outcome::OverBudget) => Err(Error::NotHere("today's budget is spent")),
            Some(Outcome::Refused(_)) => Err(Error::NotHere("its server does not give it")),
            // Here, and gone again since.
            Some(Outcome::Offline | Outcome::Here) => {
                Err(Error::NotHere("cannot be fetched while there is no connection"))
            }
        }
    }

    fn read(&mut self, place: usize, offset: u64, max: usize) -> std::result::Result<Vec<u8>, Error> {
        let known = self.places.get(place).and_then(|known| Some((known.content.or(known.header)?, known.size_bytes)));
        let (content, size_bytes) = known.ok_or_else(|| failed(store::Error::NoContent))?;
        let bytes = self.store.read_content(content, offset, max).map_err(failed)?;
        // An end before the size is a message that went while it was read: half of it must not pass for the whole.
        match bytes.is_empty() && max > 0 && offset < size_bytes {
            true => Err(failed(store::Error::NoContent)),
            false => Ok(bytes),
        }
    }

    fn delete(self, places: &[usize], now: Timestamp) -> std::result::Result<(), Error> {
        let uids: UidSet<LocalUid> =
            places.iter().filter_map(|place| self.places.get(*place)).map(|it| it.uid).collect();
        let mailbox = self.mailbox;
        let removed = self.store.write(self.origin, now, move |txn| txn.remove_messages(mailbox, &uids).map(drop));
        removed.map_err(|error| {
            tracing::error!(%mailbox, %error, "cannot remove what a POP3 session deleted");
            failed(error)
        })
    }
}

/// The growth of each of these messages. Contents from before are measured now, once and for all; one that cannot be read is
/// for the audit to tell.
fn measured(store: &Store, origin: Origin, grown: Vec<Grown>, now: Timestamp) -> Result<Vec<(LocalUid, Growth)>> {
    let (mut known, mut found) = (Vec::with_capacity(grown.len()), Vec::new());
    for Grown { uid, content, growth } in grown {
        let growth = growth.or_else(|| {
            let growth = measure(store, content).ok()?;
            found.push((content, growth));
            Some(growth)
        });
        known.extend(growth.map(|growth| (uid, growth)));
    }
    if !found.is_empty() {
        store.write(origin, now, move |txn| txn.note_growth(&found))?;
    }
    Ok(known)
}

fn measure(store: &Store, content: ContentId) -> Result<Growth> {
    let (mut meter, mut offset) = (Meter::default(), 0);
    loop {
        let piece = store.read_content(content, offset, limits::CONTENT_CHUNK_BYTES)?;
        if piece.is_empty() {
            return Ok(meter.finish());
        }
        meter.push(&piece);
        offset += piece.len() as u64;
    }
}

fn failed(error: store::Error) -> Error {
    Error::Failed(Box::new(error))
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
