//! A message on its way in, from the first byte to 250.
//!
//! Rules: its header is held until it is complete, and put right then: what others wrote in our name goes, what a user of
//! ours left out is added, in nobody else's name. A message whose sender is looked at is held whole, since nothing of it may
//! be handed on before that. All of its local deliveries and its place in the queue are one transaction.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::delivery::Delivery;
use super::forged::{Cleaner, cleaned};
use super::lack::Lack;
use super::policy::Hops;
use super::post::{Notes, Post, message_id, post};
use super::receipts::Delivered;
use super::rights::Writer;
use super::senders::{Advice, Client, Held};
use crate::outbox::sender::Envelope;
use crate::serve::completion::{Completed, completed};
use crate::serve::submission::refusal;
use crate::smtp::address::Address;
use crate::smtp::reply::Refusal;
use crate::smtp::server::Role;
use crate::smtp::server::backend::{self, Taken};
use crate::smtp::trace::{self, Trace};
use crate::store::{StoredContent, Upload};
use crate::types::{AccountId, ContentHash, Timestamp};

/// Whom a message is for.
pub(super) struct Bound {
    /// The envelope of our recipients, and whose INBOX it goes into, for each of them.
    pub local: Envelope,
    pub mailboxes: Vec<BTreeSet<AccountId>>,
    /// By LMTP: the place among them of each recipient that the client named.
    pub answers: Vec<usize>,
    /// The envelope of the others.
    pub remote: Envelope,
    /// When the client wants it sent, if not at once.
    pub not_before: Option<Timestamp>,
}

/// Who brings it.
pub(super) struct Bringer {
    pub role: Role,
    /// Who logged in.
    pub user: Option<AccountId>,
    pub trace: Trace,
    pub mail_from: Option<Address>,
    /// What the message is noted as, for the session.
    pub noted: Arc<Mutex<Notes>>,
}

/// See the module.
pub struct Intake {
    delivery: Arc<Delivery>,
    bringer: Bringer,
    bound: Bound,
    /// Nobody logged in, or the header was seen and is in nobody else's name.
    is_header_through: bool,
    /// It came without a Message-ID.
    has_our_id: bool,
    size_bytes: u64,
    to_deliver: Option<Upload>,
    to_relay: Option<Upload>,
    /// Nothing of it is handed on before it is complete.
    checked: Option<Checked>,
    /// Takes out what others say in our name.
    cleaner: Cleaner,
    /// Sender and bytes as they came: what the message is known by if it comes again.
    known_by: blake3::Hasher,
    hops: Hops,
    arrived: Timestamp,
}

/// A message from elsewhere whose sender is looked at once it is complete.
struct Checked {
    client: Client,
    held: Held,
    /// The trace that goes in front: of its delivery, and of its arrival.
    head: (String, String),
}

impl Intake {
    /// Opens what the message will be written to, its trace in front.
    pub(super) fn begin(
        delivery: Arc<Delivery>,
        bringer: Bringer,
        bound: Bound,
        to: &[Address],
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let received = bringer.trace.received(&delivery.hostname, to, now);
        let return_path = trace::return_path(bringer.mail_from.as_ref());
        let checked = delivery.checked(&bringer, || (return_path.clone(), received.clone()));
        let begin = |head: String| -> Result<Upload, Refusal> {
            let mut upload = delivery.store.upload();
            upload.write(head.as_bytes()).map_err(|error| refusal(&error))?;
            Ok(upload)
        };
        let to_deliver = match (&checked, bound.mailboxes.is_empty()) {
            (_, true) => None,
            (Some(_), false) => Some(begin(String::new())?),
            (None, false) => Some(begin(return_path + &received)?),
        };
        let to_relay = if bound.remote.recipients.is_empty() { None } else { Some(begin(received)?) };
        Ok(Self {
            is_header_through: bringer.user.is_none(),
            has_our_id: false,
            size_bytes: 0,
            to_deliver,
            to_relay,
            checked,
            cleaner: bringer.cleaner(),
            known_by: hasher_of(bringer.mail_from.as_ref()),
            hops: Hops::default(),
            arrived: now,
            delivery,
            bringer,
            bound,
        })
    }

    /// The first of what goes on of a submission is the whole header: it gets what it lacks (RFC 6409 section 8).
    fn hand_on(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let mut whole = Completed { missing: String::new(), head: Cow::Borrowed(bytes) };
        if let (false, Some(user)) = (self.is_header_through, self.bringer.user) {
            Writer { account: user, users: &self.delivery.users }.check(bytes)?;
            let author = self.bringer.mail_from.as_ref().map(Address::to_string);
            let author = author.or_else(|| self.delivery.users.address_of(user)).unwrap_or_default();
            whole = completed(bytes, &author, self.arrived, self.delivery.sequence.draw());
            self.has_our_id = whole.missing.starts_with("Message-ID");
            self.is_header_through = true;
        }
        let mut uploads = self.to_deliver.iter_mut().chain(&mut self.to_relay);
        let Completed { missing, head } = whole;
        let write = |upload: &mut Upload| upload.write(missing.as_bytes()).and_then(|()| upload.write(&head));
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
    fn full_places(&self) -> Result<BTreeMap<usize, Lack>, Refusal> {
        let mut places = BTreeMap::new();
        for (place, accounts) in self.bound.mailboxes.iter().enumerate() {
            let lack = self.delivery.lack(accounts, self.size_bytes).map_err(|error| refusal(&error))?;
            places.extend(lack.map(|lack| (place, lack)));
        }
        Ok(places)
    }

    /// Whose INBOX it goes into.
    fn accounts(&self, full_places: &BTreeMap<usize, Lack>) -> BTreeSet<AccountId> {
        let mailboxes = self.bound.mailboxes.iter().enumerate().filter(|(place, _)| !full_places.contains_key(place));
        mailboxes.flat_map(|(_, accounts)| accounts).copied().collect()
    }

    /// What becomes of it.
    fn posts(
        &self,
        delivered: Option<&StoredContent>,
        queued: Option<StoredContent>,
        into: fn(AccountId, StoredContent) -> Post,
        full_places: &BTreeMap<usize, Lack>,
    ) -> Vec<Post> {
        let deliver = |content: &StoredContent| {
            self.accounts(full_places).into_iter().map(|account| into(account, content.clone())).collect::<Vec<_>>()
        };
        let mut posts = delivered.map(deliver).unwrap_or_default();
        if let (Some(content), Some(user)) = (queued, self.bringer.user) {
            posts.push(Post::queue(user, content, self.bound.remote.clone(), self.bound.not_before));
        }
        posts
    }

    /// Tells the sender what they are to hear of those who have it, and who have not.
    fn report(&self, content: &StoredContent, full_places: &BTreeMap<usize, Lack>, id: &str, now: Timestamp) {
        let Some(reporter) = self.bound.mailboxes.iter().flatten().next().copied() else { return };
        let delivered = Delivered {
            content,
            envelope: &self.bound.local,
            full_places,
            failures_are_known: self.bringer.role == Role::Lmtp,
            reporter,
            id,
            arrived: self.arrived,
        };
        if let Err(error) = delivered.report(&self.delivery, now) {
            tracing::warn!(id, %error, "the delivery could not be reported to the sender");
        }
    }
}

impl backend::Upload for Intake {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.bound.remote.eight_bit |= !bytes.is_ascii();
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
        let mut full_places = self.full_places()?;
        if let (None, Some(lack)) = (&self.to_relay, full_places.values().min())
            && full_places.len() == self.bound.mailboxes.len()
        {
            return Err(lack.refusal());
        }
        // One answer stands for all of them, so who was promised a place and is just full gets this one message more. LMTP
        // answers for each.
        if self.bringer.role != Role::Lmtp {
            full_places.retain(|_, lack| *lack == Lack::Ever);
        }
        let is_checked = self.checked.is_some();
        let advice = self.check()?;
        if !is_checked {
            let rest = self.cleaner.finish(&self.delivery.hostname);
            self.hand_on(&rest)?;
        }
        let finish = |upload: Option<Upload>| upload.map(Upload::finish).transpose().map_err(|error| refusal(&error));
        let (delivered, queued) = (finish(self.to_deliver.take())?, finish(self.to_relay.take())?);
        let content = delivered.as_ref().or(queued.as_ref());
        let id = queue_id(content);
        // Without a Message-ID equal bytes may well be two messages (RFC 5322 section 3.6.4).
        let is_named = content.is_some_and(|content| !message_id(content).is_empty()) && !self.has_our_id;
        let key = is_named.then(|| ContentHash::from_bytes(*self.known_by.finalize().as_bytes()));
        let into = if advice == Advice::Junk { Post::Junk } else { Post::Inbox };
        let posts = self.posts(delivered.as_ref(), queued, into, &full_places);
        let Delivery { store, seen, .. } = &*self.delivery;
        let noted = post(store, posts, key, seen, now).map_err(|error| refusal(&error))?;
        *self.bringer.noted.lock().unwrap_or_else(PoisonError::into_inner) = noted;
        let Bound { local, remote, .. } = &self.bound;
        let (here, relayed) = (local.recipients.len() - full_places.len(), remote.recipients.len());
        tracing::info!(id, from = local.mail_from, here, relayed, full = full_places.len(), "message taken");
        if let Some(content) = delivered {
            self.report(&content, &full_places, &id, now);
        }
        // Who hears of each recipient need not be written to.
        let refused = match self.bringer.role {
            Role::Lmtp => self.bound.refused(&full_places),
            Role::Mx | Role::Submission { .. } => BTreeMap::new(),
        };
        Ok(Taken { id, refused })
    }
}

impl Bound {
    /// The recipients that the client named who do not get it.
    fn refused(&self, full_places: &BTreeMap<usize, Lack>) -> BTreeMap<usize, Refusal> {
        let answers = self.answers.iter().enumerate();
        answers.filter_map(|(named, place)| Some((named, full_places.get(place)?.refusal()))).collect()
    }
}

impl Bringer {
    /// What writes in our name on the way to us is a server of ours, or nobody may (RFC 8601 section 5).
    fn cleaner(&self) -> Cleaner {
        match self.role {
            Role::Submission { .. } => Cleaner::of_submissions(),
            Role::Mx if !self.address().is_some_and(|peer| peer.is_loopback()) => Cleaner::default(),
            Role::Mx | Role::Lmtp => Cleaner::of_our_servers(),
        }
    }

    fn address(&self) -> Option<IpAddr> {
        self.trace.peer.parse::<IpAddr>().ok().map(|peer| peer.to_canonical())
    }
}

impl Delivery {
    /// Room for a message whose sender is looked at, if anybody looks at those who come from there.
    fn checked(&self, bringer: &Bringer, head: impl FnOnce() -> (String, String)) -> Option<Checked> {
        let senders = self.senders.as_ref().filter(|_| bringer.role == Role::Mx)?;
        let address = bringer.address().filter(|address| senders.are_checked_from(*address))?;
        let mail_from = bringer.mail_from.as_ref().map(Address::to_string).unwrap_or_default();
        let client = Client { address, helo: bringer.trace.helo.clone(), mail_from };
        Some(Checked { client, held: senders.hold(), head: head() })
    }
}

fn hasher_of(sender: Option<&Address>) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(sender.map(Address::as_str).unwrap_or_default().as_bytes()).update(b"\0");
    hasher
}

/// What a message is called in the log and the reply.
fn queue_id(content: Option<&StoredContent>) -> String {
    content.map(|content| content.hash.to_string()[..16].to_owned()).unwrap_or_default()
}
