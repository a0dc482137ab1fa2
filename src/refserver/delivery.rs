//! The SMTP `Backend` of refserver: mail for our users goes into their INBOX, mail of our users for others into the
//! queue that [`super::relay`] works off.
//!
//! Rules: a user sends as nobody else, and who is no user sends to our users alone. A trace header goes in front of every
//! message taken, Return-Path in front of that where it is delivered (RFC 5321 section 4.4), and behind it what was found
//! out about the sender; what else becomes of its bytes is [`super::intake`]'s.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::intake::{Bound, Bringer, Intake};
use super::lack::Lack;
use super::policy::{Policy, Sent};
use super::post::{Notes, Seen};
use super::senders::Senders;
use super::users::Users;
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::serve::Users as _;
use crate::serve::submission::{Sequence, login_error, outgoing, refusal};
use crate::smtp::address::{self, Address};
use crate::smtp::command::{MailFrom, RcptTo};
use crate::smtp::reply::Refusal;
use crate::smtp::server::Role;
use crate::smtp::server::backend::{self, Backend, LoginError};
use crate::smtp::trace::Trace;
use crate::store::{self, Store};
use crate::types::{AccountId, Timestamp};

/// What every session shares.
pub struct Delivery {
    pub store: Store,
    pub users: Arc<Users>,
    /// Our name in the trace and in reports.
    pub hostname: String,
    pub seen: Seen,
    pub sequence: Sequence,
    pub policy: Policy,
    pub sent: Sent,
    /// Who mail from elsewhere is really from; `None`: nobody asks.
    pub senders: Option<Senders>,
}

impl Delivery {
    /// What the mailbox of one of them lacks for so many octets.
    pub(super) fn lack(&self, accounts: &BTreeSet<AccountId>, size_bytes: u64) -> store::Result<Option<Lack>> {
        let mut lack = None;
        for account in accounts {
            let quota = self.store.read(|reader| reader.quota(*account))?;
            lack = lack.max(Lack::of(&quota, size_bytes));
        }
        Ok(lack)
    }
}

/// Takes mail. One for each session.
pub struct DeliveryBackend {
    delivery: Arc<Delivery>,
    role: Role,
    /// The address at which the client reached us.
    reached_at: Option<IpAddr>,
    /// Set by a login.
    account: Option<AccountId>,
    /// What the last message was noted as.
    noted: Arc<Mutex<Notes>>,
}

impl DeliveryBackend {
    /// A backend for a session in that role.
    pub fn new(delivery: Arc<Delivery>, role: Role) -> Self {
        Self { delivery, role, reached_at: None, account: None, noted: Arc::default() }
    }

    /// The same for a client that reached us at that address, which stands for our domain then (RFC 5321 section 4.1.3).
    pub fn reached_at(self, address: IpAddr) -> Self {
        Self { reached_at: Some(address.to_canonical()), ..self }
    }

    fn is_ours(&self, domain: &str) -> bool {
        let is_own = |address: IpAddr| self.reached_at == Some(address.to_canonical());
        self.delivery.users.is_local(domain) || address::literal(domain).is_some_and(is_own)
    }

    /// Our users of that address. `None`: it is not in our domain.
    fn local(&self, to: &RcptTo) -> Option<Result<BTreeSet<AccountId>, Refusal>> {
        let is_local = to.address.domain().is_none_or(|domain| self.is_ours(domain));
        is_local.then(|| match self.delivery.users.recipients(&to.address.local_part()) {
            nobody if nobody.is_empty() => Err(Refusal::no_such_user()),
            accounts => Ok(accounts),
        })
    }

    /// What waits for its time is found to be ours by our domain then: by which of our addresses its client came nobody
    /// knows any more.
    fn name_our_domain(&self, to: &mut RcptTo) {
        if to.address.domain().is_some_and(|domain| self.is_ours(domain)) {
            to.address = to.address.at(self.delivery.users.domain());
        }
    }

    fn logged_in(&mut self, account: AccountId, user: &str) -> String {
        self.account = Some(account);
        user.to_owned()
    }
}

impl Backend for DeliveryBackend {
    type Upload = Intake;

    fn login(&mut self, credentials: &Credentials) -> Result<String, LoginError> {
        let account = self.delivery.users.check(credentials).map_err(login_error)?;
        Ok(self.logged_in(account, &credentials.user))
    }

    fn offers_tokens(&self) -> bool {
        self.delivery.users.offers_tokens()
    }

    fn login_token(&mut self, credentials: &Credentials) -> Result<String, LoginError> {
        let account = self.delivery.users.check_token(credentials).map_err(login_error)?;
        Ok(self.logged_in(account, &credentials.user))
    }

    fn offers_scram(&self) -> bool {
        self.delivery.users.offers_scram()
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        self.delivery.users.scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved) -> Result<String, LoginError> {
        let account = self.delivery.users.proved(proved).map_err(login_error)?;
        Ok(self.logged_in(account, &proved.user))
    }

    fn forget_login(&mut self) {
        self.account = None;
    }

    /// A user sends as nobody else (RFC 6409 section 6.1).
    fn sender(&mut self, _: &Trace, from: &MailFrom) -> Result<(), Refusal> {
        let (Some(account), Some(address)) = (self.account, &from.address) else { return Ok(()) };
        match self.delivery.users.may_send_as(account, address) {
            true => Ok(()),
            false => Err(Refusal::permanent(553, "5.7.1", "That address is not yours")),
        }
    }

    /// A mailbox that is full takes no more (RFC 9208).
    fn recipient(&mut self, _: &Trace, from: &MailFrom, to: &RcptTo) -> Result<(), Refusal> {
        match (self.local(to), self.role) {
            (Some(found), _) => {
                let lack = self.delivery.lack(&found?, from.size.unwrap_or_default().max(1));
                lack.map_err(|error| refusal(&error))?.map_or(Ok(()), |lack| Err(lack.refusal()))
            }
            (None, Role::Submission { .. }) => Ok(()),
            (None, Role::Mx | Role::Lmtp) => Err(Refusal::relaying()),
        }
    }

    fn mailboxes(&mut self, name: &str) -> Option<Vec<String>> {
        let Delivery { users, policy, .. } = &*self.delivery;
        if self.account.is_none() || !policy.tells_users {
            return None;
        }
        let name = name.trim().trim_start_matches('<').trim_end_matches('>');
        let local_part = match Address::parse_recipient(name) {
            Some(address) if address.domain().is_some_and(|domain| !self.is_ours(domain)) => return None,
            Some(address) => address.local_part(),
            None => name.to_owned(),
        };
        let meant = users.recipients(&local_part);
        let named = users.accounts().filter(|(_, account)| meant.contains(account));
        Some(named.map(|(user, _)| users.address(user)).collect())
    }

    fn begin(&mut self, trace: &Trace, envelope: &backend::Envelope, now: Timestamp) -> Result<Intake, Refusal> {
        // What is to wait waits in the queue, whomever it is for (RFC 4865).
        let not_before = envelope.from.hold.map(|hold| hold.moment(now));
        let split = |is_local: bool| {
            let is_delivered = |to: &RcptTo| not_before.is_none() && self.local(to).is_some();
            let to = envelope.to.iter().filter(|to| is_delivered(to) == is_local).cloned().collect();
            backend::Envelope { from: envelope.from.clone(), to }
        };
        if let Some(account) = self.account {
            self.delivery.policy.count(&self.delivery.sent, account, now)?;
        }
        let (mut local, mut remote) = (split(true), split(false));
        remote.to.iter_mut().for_each(|to| self.name_our_domain(to));
        // Who was named twice is one recipient, with as many answers by LMTP (RFC 2033 section 4.2).
        let mut known = BTreeSet::new();
        local.to.retain(|to| known.insert(to.address.clone()));
        let place_of = |to: &RcptTo| local.to.iter().position(|known| known.address == to.address);
        let answers = envelope.to.iter().filter_map(place_of).collect();
        let mailboxes = local.to.iter().filter_map(|to| self.local(to)).collect::<Result<Vec<_>, _>>()?;
        let bound = Bound { local: outgoing(&local), mailboxes, answers, remote: outgoing(&remote), not_before };
        let bringer = Bringer {
            role: self.role,
            user: self.account,
            trace: trace.clone(),
            mail_from: envelope.from.address.clone(),
            noted: Arc::clone(&self.noted),
        };
        let to: Vec<_> = envelope.to.iter().map(|to| to.address.clone()).collect();
        Intake::begin(Arc::clone(&self.delivery), bringer, bound, &to, now)
    }

    fn answer_seen(&mut self) {
        self.delivery.seen.add(std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner)));
    }
}
