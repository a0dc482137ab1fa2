//! The SMTP `Backend` of refserver: mail for our users goes into their INBOX, mail of our users for others into the
//! queue that [`super::relay`] works off.
//!
//! Rules: all of a message's local deliveries and its place in the queue are one transaction, durable before 250. A
//! trace header goes in front of every message taken, Return-Path in front of that where it is delivered (RFC 5321
//! section 4.4), and behind it what was found out about the sender; not another byte is touched, but that fields in which
//! others say so in our name are taken out (RFC 8601 section 5), an older Return-Path, and Bcc of what our users send, who
//! are given the Date and Message-ID they left out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::author::{self, NoAuthor};
use super::forged::{Cleaner, cleaned};
use super::policy::{Hops, Policy, Sent};
use super::post::{Notes, Post, Seen, message_id, post};
use super::senders::{Advice, Client, Held, Senders};
use super::users::Users;
use crate::outbox::dsn::{self, Action, Report, Told};
use crate::outbox::sender::{Envelope, Recipient, Reply};
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::serve::Users as _;
use crate::serve::submission::{Sequence, login_error, missing_fields, outgoing, refusal};
use crate::smtp::address::Address;
use crate::smtp::command::{MailFrom, RcptTo};
use crate::smtp::reply::Refusal;
use crate::smtp::server::Role;
use crate::smtp::server::backend::{self, Backend, LoginError, Taken};
use crate::smtp::trace::{self, Trace};
use crate::store::{Error, Store, StoredContent, Upload};
use crate::types::{AccountId, ContentHash, Timestamp};

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

/// Takes mail. One for each session.
pub struct DeliveryBackend {
    delivery: Arc<Delivery>,
    role: Role,
    /// Set by a login.
    account: Option<AccountId>,
    /// What the last message was noted as.
    noted: Arc<Mutex<Notes>>,
}

impl DeliveryBackend {
    /// A backend for a session in that role.
    pub fn new(delivery: Arc<Delivery>, role: Role) -> Self {
        Self { delivery, role, account: None, noted: Arc::default() }
    }

    /// A mailbox that is full takes no more; the sender tries again, and its owner makes room (RFC 9208).
    fn refuse_full(&self, accounts: &BTreeSet<AccountId>, size_bytes: u64) -> Result<(), Refusal> {
        for account in accounts {
            let quota = self.delivery.store.read(|reader| reader.quota(*account)).map_err(|error| refusal(&error))?;
            if quota.is_over(size_bytes.max(1), 1) {
                return Err(full());
            }
        }
        Ok(())
    }

    /// Our users of that address. `None`: it is not in our domain.
    fn local(&self, to: &RcptTo) -> Option<Result<BTreeSet<AccountId>, Refusal>> {
        let users = &self.delivery.users;
        let is_local = to.address.domain().is_none_or(|domain| users.is_local(domain));
        is_local.then(|| match users.recipients(&to.address.local_part()) {
            nobody if nobody.is_empty() => Err(Refusal::no_such_user()),
            accounts => Ok(accounts),
        })
    }
}

impl Backend for DeliveryBackend {
    type Upload = DeliveryUpload;

    fn login(&mut self, credentials: &Credentials) -> Result<String, LoginError> {
        let account = self.delivery.users.check(credentials).map_err(login_error)?;
        self.account = Some(account);
        Ok(credentials.user.clone())
    }

    fn offers_tokens(&self) -> bool {
        self.delivery.users.offers_tokens()
    }

    fn login_token(&mut self, credentials: &Credentials) -> Result<String, LoginError> {
        let account = self.delivery.users.check_token(credentials).map_err(login_error)?;
        self.account = Some(account);
        Ok(credentials.user.clone())
    }

    fn offers_scram(&self) -> bool {
        self.delivery.users.offers_scram()
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        self.delivery.users.scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved) -> Result<String, LoginError> {
        let account = self.delivery.users.proved(proved).map_err(login_error)?;
        self.account = Some(account);
        Ok(proved.user.clone())
    }

    /// A user sends as nobody else (RFC 6409 section 6.1).
    fn sender(&mut self, _: &Trace, from: &MailFrom) -> Result<(), Refusal> {
        let (Some(account), Some(address)) = (self.account, &from.address) else { return Ok(()) };
        match self.delivery.users.may_send_as(account, address) {
            true => Ok(()),
            false => Err(Refusal::permanent(553, "5.7.1", "That address is not yours")),
        }
    }

    fn recipient(&mut self, _: &Trace, from: &MailFrom, to: &RcptTo) -> Result<(), Refusal> {
        match (self.local(to), self.role) {
            (Some(found), _) => self.refuse_full(&found?, from.size.unwrap_or_default()),
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
            Some(address) if address.domain().is_some_and(|domain| !users.is_local(domain)) => return None,
            Some(address) => address.local_part(),
            None => name.to_owned(),
        };
        let meant = users.recipients(&local_part);
        let named = users.accounts().filter(|(_, account)| meant.contains(account));
        Some(named.map(|(user, _)| users.address(user)).collect())
    }

    fn begin(
        &mut self,
        trace: &Trace,
        envelope: &backend::Envelope,
        now: Timestamp,
    ) -> Result<DeliveryUpload, Refusal> {
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
        let (local, remote) = (split(true), split(false));
        let mailboxes = local.to.iter().filter_map(|to| self.local(to)).collect::<Result<Vec<_>, _>>()?;
        let addresses: Vec<_> = envelope.to.iter().map(|to| to.address.clone()).collect();
        let received = trace.received(&self.delivery.hostname, &addresses, now);
        let return_path = trace::return_path(envelope.from.address.as_ref());
        let checked = self.delivery.senders.as_ref().filter(|_| self.role == Role::Mx).and_then(|senders| {
            let address = trace.peer.parse::<IpAddr>().ok()?.to_canonical();
            let mail_from = envelope.from.address.as_ref().map(Address::to_string).unwrap_or_default();
            let client = Client { address, helo: trace.helo.clone(), mail_from };
            let head = (return_path.clone(), received.clone());
            senders.are_checked_from(address).then(|| Checked { client, held: senders.hold(), head })
        });
        // What writes in our name on the way to us is a server of ours, or nobody may (RFC 8601 section 5).
        let cleaner = match self.role {
            Role::Submission { .. } => Cleaner::of_submissions(),
            Role::Mx if !trace.peer.parse::<IpAddr>().is_ok_and(|peer| peer.to_canonical().is_loopback()) => {
                Cleaner::default()
            }
            Role::Mx | Role::Lmtp => Cleaner::of_our_servers(),
        };
        let begin = |head: String| -> Result<Upload, Refusal> {
            let mut upload = self.delivery.store.upload();
            upload.write(head.as_bytes()).map_err(|error| refusal(&error))?;
            Ok(upload)
        };
        Ok(DeliveryUpload {
            to_deliver: match (&checked, mailboxes.is_empty()) {
                (_, true) => None,
                (Some(_), false) => Some(begin(String::new())?),
                (None, false) => Some(begin(return_path + &received)?),
            },
            checked,
            cleaner,
            to_relay: if remote.to.is_empty() { None } else { Some(begin(received)?) },
            delivery: Arc::clone(&self.delivery),
            role: self.role,
            sender: self.account,
            is_header_through: self.account.is_none(),
            has_our_id: false,
            mailboxes,
            size_bytes: 0,
            not_before,
            local: outgoing(&local),
            remote: outgoing(&remote),
            known_by: hasher_of(envelope.from.address.as_ref()),
            noted: Arc::clone(&self.noted),
            hops: Hops::default(),
            arrived: now,
        })
    }

    fn answer_seen(&mut self) {
        let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
        self.delivery.seen.add(noted);
    }
}

/// A message on its way in.
pub struct DeliveryUpload {
    delivery: Arc<Delivery>,
    /// Who logged in.
    sender: Option<AccountId>,
    /// Nobody logged in, or the header was seen and is in nobody else's name.
    is_header_through: bool,
    /// It came without a Message-ID.
    has_our_id: bool,
    role: Role,
    /// Whose INBOX it goes into, of each recipient of ours.
    mailboxes: Vec<BTreeSet<AccountId>>,
    size_bytes: u64,
    /// When the client wants it sent, if not at once.
    not_before: Option<Timestamp>,
    /// The envelope of those recipients, and of the others.
    local: Envelope,
    remote: Envelope,
    to_deliver: Option<Upload>,
    to_relay: Option<Upload>,
    /// Nothing of it is handed on before it is complete.
    checked: Option<Checked>,
    /// Takes out what others say in our name.
    cleaner: Cleaner,
    /// Sender and bytes as they came: what the message is known by if it comes again.
    known_by: blake3::Hasher,
    hops: Hops,
    /// What it was noted as, for the session.
    noted: Arc<Mutex<Notes>>,
    arrived: Timestamp,
}

/// A message from elsewhere whose sender is looked at once it is complete.
struct Checked {
    client: Client,
    held: Held,
    /// The trace that goes in front: of its delivery, and of its arrival.
    head: (String, String),
}

impl backend::Upload for DeliveryUpload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.remote.eight_bit |= !bytes.is_ascii();
        self.size_bytes += bytes.len() as u64;
        self.known_by.update(bytes);
        self.hops.see(bytes);
        if let Some(checked) = &mut self.checked {
            return checked.held.push(bytes);
        }
        let bytes = self.cleaner.push(bytes, &self.delivery.hostname)?;
        if bytes.is_empty() { Ok(()) } else { self.hand_on(&bytes) }
    }

    fn finish(mut self, now: Timestamp) -> Result<Taken, Refusal> {
        if self.hops.too_many() {
            return Err(Refusal::permanent(554, "5.4.6", "Too many servers on the way: the message goes in circles"));
        }
        let full_places = self.full_places()?;
        if self.to_relay.is_none() && !full_places.is_empty() && full_places.len() == self.mailboxes.len() {
            return Err(full());
        }
        let is_checked = self.checked.is_some();
        let advice = self.check()?;
        if !is_checked {
            let rest = self.cleaner.finish(&self.delivery.hostname);
            self.hand_on(&rest)?;
        }
        let finish = |upload: Option<Upload>| upload.map(Upload::finish).transpose().map_err(|error| refusal(&error));
        let (delivered, queued) = (finish(self.to_deliver.take())?, finish(self.to_relay.take())?);
        let id = queue_id(delivered.as_ref().or(queued.as_ref()));
        let mut posts = Vec::new();
        if let Some(content) = &delivered {
            let into = if advice == Advice::Junk { Post::Junk } else { Post::Inbox };
            posts.extend(self.accounts(&full_places).into_iter().map(|account| into(account, content.clone())));
        }
        let message_id = delivered.as_ref().or(queued.as_ref()).map(message_id);
        if let (Some(content), Some(account)) = (queued, self.sender) {
            posts.push(Post::queue(account, content, self.remote.clone(), self.not_before));
        }
        // Without a Message-ID equal bytes may well be two messages (RFC 5322 section 3.6.4).
        let key = message_id
            .filter(|id| !id.is_empty() && !self.has_our_id)
            .map(|_| ContentHash::from_bytes(*self.known_by.finalize().as_bytes()));
        let noted =
            post(&self.delivery.store, posts, key, &self.delivery.seen, now).map_err(|error| refusal(&error))?;
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = noted;
        let (here, relayed) = (self.local.recipients.len() - full_places.len(), self.remote.recipients.len());
        tracing::info!(id, from = self.local.mail_from, here, relayed, full = full_places.len(), "message taken");
        if let Some(content) = delivered
            && let Err(error) = self.report(&content, &full_places, &id, now)
        {
            tracing::warn!(id, %error, "the delivery could not be reported to the sender");
        }
        // Who hears of each recipient need not be written to.
        let refused = match self.role {
            Role::Lmtp => full_places.into_iter().map(|place| (place, full())).collect(),
            Role::Mx | Role::Submission { .. } => BTreeMap::new(),
        };
        Ok(Taken { id, refused })
    }
}

/// RFC 9208, and RFC 3463 section 3.3: there may be room later.
fn full() -> Refusal {
    Refusal::temporary(452, "4.2.2", "The mailbox is full")
}

impl DeliveryUpload {
    /// The first of what goes on of a submission is the whole header: it gets what it lacks (RFC 6409 section 8).
    fn hand_on(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut missing = String::new();
        if let (false, Some(account)) = (self.is_header_through, self.sender) {
            authors_are(account, &self.delivery.users, bytes)?;
            missing = missing_fields(bytes, &self.local.mail_from, self.arrived, self.delivery.sequence.draw());
            self.has_our_id = missing.starts_with("Message-ID");
            self.is_header_through = true;
        }
        let mut uploads = self.to_deliver.iter_mut().chain(&mut self.to_relay);
        let write = |upload: &mut Upload| upload.write(missing.as_bytes()).and_then(|()| upload.write(bytes));
        uploads.try_for_each(write).map_err(|error| refusal(&error))
    }

    /// Looks at the sender of a message that is complete, and puts what was found in front of it. Fields that claim to be
    /// findings of ours are not.
    fn check(&mut self) -> Result<Advice, Refusal> {
        let (Some(checked), Some(senders), Some(upload)) =
            (self.checked.take(), &self.delivery.senders, &mut self.to_deliver)
        else {
            return Ok(Advice::Take);
        };
        let Checked { client, held, head: (return_path, received) } = checked;
        let (findings, advice) = senders.judge(&client, &held.bytes);
        let (message, forged) = cleaned(&held.bytes, &self.delivery.hostname);
        tracing::info!(peer = %client.address, from = client.mail_from, facts = ?findings.facts, ?advice, forged, "checked");
        if let Advice::Refuse(refusal) = advice {
            return Err(refusal);
        }
        let head = return_path + &findings.field + &received;
        upload.write(head.as_bytes()).and_then(|()| upload.write(&message)).map_err(|error| refusal(&error))?;
        Ok(advice)
    }

    /// The recipients of ours for whose mailboxes this message is too much.
    fn full_places(&self) -> Result<BTreeSet<usize>, Refusal> {
        let store = &self.delivery.store;
        let mut places = BTreeSet::new();
        for (place, accounts) in self.mailboxes.iter().enumerate() {
            for account in accounts {
                let quota = store.read(|reader| reader.quota(*account)).map_err(|error| refusal(&error))?;
                if quota.is_over(self.size_bytes, 1) {
                    places.insert(place);
                }
            }
        }
        Ok(places)
    }

    /// Whose INBOX it goes into.
    fn accounts(&self, full_places: &BTreeSet<usize>) -> BTreeSet<AccountId> {
        let mailboxes = self.mailboxes.iter().enumerate().filter(|(place, _)| !full_places.contains(place));
        mailboxes.flat_map(|(_, accounts)| accounts).copied().collect()
    }

    /// Tells the sender of those deliveries of which they asked to hear (RFC 3461 section 5.2.2), and of whom it did not
    /// come to, where they were not told by an answer (RFC 5321 section 6.1).
    fn report(
        &self,
        content: &StoredContent,
        full_places: &BTreeSet<usize>,
        id: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let full = Reply::own(552, "5.2.2", "The mailbox is full");
        let tell = |place| match full_places.contains(&place) {
            true => Told { place, action: Action::Failed, reply: Some(&full) },
            false => Told { place, action: Action::Delivered, reply: None },
        };
        let told: Vec<Told<'_>> = (0..self.local.recipients.len())
            .map(tell)
            .filter(|told| dsn::wants(&self.local, told.place, told.action))
            .filter(|told| told.action == Action::Delivered || self.role != Role::Lmtp)
            .collect();
        let (Some(sender), Some(first), false) =
            (Address::parse(&self.local.mail_from), self.mailboxes.iter().flatten().next(), told.is_empty())
        else {
            return Ok(());
        };
        let report = Report {
            reporting_mta: &self.delivery.hostname,
            unique: id,
            envelope: &self.local,
            message_id: &message_id(content),
            arrived: self.arrived,
            now,
            recipients: &told,
        };
        let report = dsn::store(&self.delivery.store, &report, content.content())?;
        let users = &self.delivery.users;
        let report = match sender.domain().is_some_and(|domain| users.is_local(domain)) {
            true => users.mailbox(&sender.local_part()).map(|account| Post::Inbox(account, report)),
            // From the null reverse-path, so that nothing is reported of the report.
            false => Some(Post::queue(*first, report, report_envelope(&self.local), None)),
        };
        post(&self.delivery.store, report.into_iter().collect(), None, &self.delivery.seen, now).map(drop)
    }
}

/// A user writes in nobody else's name (RFC 6409 section 6.1): From and Sender are the user's own, as far as they are there.
fn authors_are(account: AccountId, users: &Users, header: &[u8]) -> Result<(), Refusal> {
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

fn hasher_of(sender: Option<&Address>) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(sender.map(Address::as_str).unwrap_or_default().as_bytes()).update(b"\0");
    hasher
}

/// The envelope of a report to the sender of `envelope`.
fn report_envelope(envelope: &Envelope) -> Envelope {
    let to = Recipient { address: envelope.mail_from.clone(), notify: None, orcpt: None };
    Envelope {
        mail_from: String::new(),
        recipients: vec![to],
        eight_bit: true,
        smtp_utf8: envelope.smtp_utf8,
        ret: None,
        envid: None,
    }
}

/// What a message is called in the log and the reply.
fn queue_id(content: Option<&StoredContent>) -> String {
    content.map(|content| content.hash.to_string()[..16].to_owned()).unwrap_or_default()
}
