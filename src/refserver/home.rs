//! Mail of our users for our users that waited in the queue for its time (RFC 4865): it is handed over here.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::delivery::Delivery;
use super::post::{Post, message_id, post};
use crate::net::Clock;
use crate::outbox::copy::copy;
use crate::outbox::dsn::{self, Action};
use crate::outbox::sender::{Envelope, HandedOver, Outcome, Recipient, Reply};
use crate::smtp::address::Address;
use crate::smtp::trace;
use crate::store::{Result, StoredContent};
use crate::types::{AccountId, ByteSource};

/// The mailboxes of our own domain.
pub struct Home {
    pub delivery: Arc<Delivery>,
    pub clock: Clock,
}

impl Home {
    /// Is mail for that domain ours? It has none in the bare `Postmaster`.
    pub(super) fn is_of(&self, domain: &str) -> bool {
        domain.is_empty() || self.delivery.users.is_local(domain)
    }

    /// Puts a message into the INBOXes of its recipients, an outcome for each. Tried again after a crash, it finds it done.
    pub(super) fn deliver(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> HandedOver {
        let delivered = self.try_deliver(envelope, bytes);
        delivered.unwrap_or_else(|error| {
            tracing::error!(%error, "mail for our own users cannot be delivered now");
            let later = Outcome::Deferred(Reply::own(451, "4.3.0", "The mail system cannot take this now"));
            HandedOver { outcomes: vec![later; envelope.recipients.len()], farewell: Vec::new() }
        })
    }

    fn try_deliver(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<HandedOver> {
        let Delivery { store, seen, .. } = &*self.delivery;
        let (mut accounts, mut outcomes) = (BTreeSet::new(), Vec::new());
        for place in 0..envelope.recipients.len() {
            outcomes.push(match self.accounts(&envelope.recipients[place], bytes.size())? {
                Err(refused) => refused,
                Ok(meant) => {
                    accounts.extend(meant);
                    let taken = Reply::own(250, "2.1.5", "Delivered");
                    match dsn::wants(envelope, place, Action::Delivered) {
                        true => Outcome::AcceptedSilently(taken),
                        false => Outcome::Accepted(taken),
                    }
                }
            });
        }
        if accounts.is_empty() {
            return Ok(HandedOver { outcomes, farewell: Vec::new() });
        }
        let content = self.stored(envelope, bytes)?;
        let posts = accounts.into_iter().map(|account| Post::Inbox(account, content.clone())).collect();
        let key = Some(content.hash).filter(|_| !message_id(&content).is_empty());
        let notes = post(store, posts, key, seen, self.clock.now())?;
        let seen = seen.clone();
        Ok(HandedOver { outcomes, farewell: vec![Box::pin(async move { seen.add(notes) })] })
    }

    /// Whose mailboxes a recipient means; or why they get nothing.
    fn accounts(&self, to: &Recipient, size_bytes: u64) -> Result<std::result::Result<BTreeSet<AccountId>, Outcome>> {
        let address = Address::parse_recipient(&to.address);
        let meant = address.map(|address| self.delivery.users.recipients(&address.local_part()));
        let accounts = meant.unwrap_or_default();
        if accounts.is_empty() {
            return Ok(Err(Outcome::Failed(Reply::own(550, "5.1.1", "No such user here"))));
        }
        Ok(match self.delivery.lack(&accounts, size_bytes)? {
            Some(lack) => Err(lack.outcome()),
            None => Ok(accounts),
        })
    }

    fn stored(&self, envelope: &Envelope, bytes: &mut dyn ByteSource) -> Result<StoredContent> {
        let mut upload = self.delivery.store.upload();
        upload.write(trace::return_path(Address::parse(&envelope.mail_from).as_ref()).as_bytes())?;
        let size = bytes.size();
        copy(bytes, size, |piece| upload.write(piece))?;
        upload.finish()
    }
}
