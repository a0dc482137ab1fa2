//! Who may log in, and what the engine offers here: the IMAP `Backend` over the store.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::account::MailAccount;
use crate::imap::server::backend::{Backend, LoginError};
use crate::imap::server::{Capabilities, Capability};
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::serve::bring::{Answers, Bringer, Errands};
use crate::serve::failures::Failures;
use crate::serve::labels::Labels;
use crate::serve::neighbours::Neighbours;
use crate::serve::sessions::Sessions;
use crate::serve::{Clock, Refused, Users};
use crate::store::{self, Origin, Store};
use crate::types::{AccountId, Timestamp};

/// Makes accounts for sessions. One for each session.
pub struct MailBackend {
    store: Store,
    origin: Origin,
    users: Arc<dyn Users>,
    clock: Clock,
    wake: store::Wake,
    sessions: Sessions,
    bringer: Option<Arc<dyn Bringer>>,
    neighbours: Option<Neighbours>,
    /// Where mailboxes are labels: the one that has every message.
    all_mail: Option<&'static str>,
    /// Where failed logins are counted, and from where this session comes.
    failures: Option<(Failures, IpAddr)>,
}

impl MailBackend {
    /// A backend whose changes are made on behalf of `origin`; `wake` is called when the account may have changed.
    pub fn new(store: Store, origin: Origin, users: Arc<dyn Users>, clock: Clock, wake: store::Wake) -> Self {
        let sessions = Sessions::default();
        Self {
            store,
            origin,
            users,
            clock,
            wake,
            sessions,
            failures: None,
            bringer: None,
            neighbours: None,
            all_mail: None,
        }
    }

    /// Logins that fail count against all sessions from that address.
    #[must_use]
    pub fn from(mut self, address: IpAddr, failures: Failures) -> Self {
        self.failures = Some((failures, address));
        self
    }

    /// Users see what others let them see.
    #[must_use]
    pub const fn with_neighbours(mut self, neighbours: Neighbours) -> Self {
        self.neighbours = Some(neighbours);
        self
    }

    /// Mailboxes are labels of messages, and the one of this name has every message (`labels`).
    #[must_use]
    pub const fn with_labels(mut self, all_mail: Option<&'static str>) -> Self {
        self.all_mail = all_mail;
        self
    }

    /// Each user has no more sessions open than that.
    #[must_use]
    pub fn among(mut self, sessions: Sessions) -> Self {
        self.sessions = sessions;
        self
    }

    /// What is not here is fetched by `bringer`; without one it cannot be had.
    #[must_use]
    pub fn fetching(mut self, bringer: Arc<dyn Bringer>) -> Self {
        self.bringer = Some(bringer);
        self
    }
}

impl Backend for MailBackend {
    type Account = MailAccount;

    /// What is only kept here, or said here for a server elsewhere, is the authority's to offer.
    fn capabilities(&self) -> Capabilities {
        match self.origin {
            Origin::Authority if self.all_mail.is_some() => Capabilities::all(),
            Origin::Authority => Capabilities::all().without(Capability::GmailLabels),
            Origin::LocalUser | Origin::Upstream => {
                let here_only = [Capability::GmailLabels, Capability::Acl, Capability::Metadata, Capability::Quota];
                here_only.into_iter().fold(Capabilities::all(), Capabilities::without)
            }
        }
    }

    fn login_failed(&mut self, now: Timestamp) -> u32 {
        self.failures.as_ref().map_or(0, |(failures, address)| failures.add(*address, now))
    }

    fn login(&mut self, credentials: &Credentials) -> Result<MailAccount, LoginError> {
        self.open(self.users.check(credentials))
    }

    fn offers_tokens(&self) -> bool {
        self.users.offers_tokens()
    }

    fn login_token(&mut self, credentials: &Credentials) -> Result<MailAccount, LoginError> {
        self.open(self.users.check_token(credentials))
    }

    fn offers_scram(&self) -> bool {
        self.users.offers_scram()
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        self.users.scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved) -> Result<MailAccount, LoginError> {
        self.open(self.users.proved(proved))
    }
}

impl MailBackend {
    fn open(&self, account: Result<AccountId, Refused>) -> Result<MailAccount, LoginError> {
        let account = account.map_err(|refused| match refused {
            Refused::Credentials => LoginError::Refused,
            Refused::NotAuthorized => LoginError::NotAuthorized,
            Refused::Unavailable => LoginError::Unavailable,
        })?;
        let viewer = self.store.read(|reader| reader.viewer(account)).map_err(|error| {
            tracing::error!(%account, %error, "the user's account cannot be opened");
            LoginError::Unavailable
        })?;
        let seat = self.sessions.take(account).ok_or(LoginError::TooMany)?;
        let watch = self.store.watch(account, Arc::clone(&self.wake));
        Ok(MailAccount {
            store: self.store.clone(),
            origin: self.origin,
            clock: Arc::clone(&self.clock),
            viewer,
            neighbours: self.neighbours,
            labels: self.all_mail.map(Labels::new),
            unsearched: 0,
            errands: Errands::new(account, self.bringer.clone(), Arc::clone(&self.wake)),
            answers: Answers::default(),
            wake: Arc::clone(&self.wake),
            watches: BTreeMap::from([(account, watch)]),
            _seat: seat,
        })
    }
}
