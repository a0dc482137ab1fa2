//! What a sender hears of the recipients of ours: the deliveries they asked to hear of (RFC 3461 section 5.2.2), and to whom
//! it did not come (RFC 5321 section 6.1).

use std::collections::BTreeMap;

use super::delivery::Delivery;
use super::lack::Lack;
use super::post::{Post, message_id, post};
use crate::outbox::dsn::{self, Action, Report, Told};
use crate::outbox::sender::{Envelope, Reply};
use crate::smtp::address::Address;
use crate::store::{Error, StoredContent};
use crate::types::{AccountId, Timestamp};

/// A message that was delivered, to some of its recipients at least.
pub(super) struct Delivered<'a> {
    pub content: &'a StoredContent,
    /// Of our recipients alone.
    pub envelope: &'a Envelope,
    /// Those whose mailboxes are full.
    pub full_places: &'a BTreeMap<usize, Lack>,
    /// The client was told by its answer who did not get it.
    pub failures_are_known: bool,
    /// Whose queue a report leaves by.
    pub reporter: AccountId,
    /// What the message is called.
    pub id: &'a str,
    pub arrived: Timestamp,
}

impl Delivered<'_> {
    /// Tells the sender.
    pub(super) fn report(&self, delivery: &Delivery, now: Timestamp) -> Result<(), Error> {
        let lacks = self.full_places.iter().map(|(place, lack)| (*place, lack.reply())).collect();
        let told = self.told(&lacks);
        let (Some(sender), false) = (Address::parse(&self.envelope.mail_from), told.is_empty()) else { return Ok(()) };
        let is_ours = sender.domain().is_some_and(|domain| delivery.users.is_local(domain));
        let report = Report {
            reporting_mta: &delivery.hostname,
            unique: self.id,
            envelope: self.envelope,
            message_id: &message_id(self.content),
            arrived: self.arrived,
            now,
            recipients: &told,
            is_delivered: is_ours,
        };
        let report = dsn::store(&delivery.store, &report, || self.content.source(), self.content.summary())?;
        let report = match is_ours {
            true => delivery.users.mailbox(&sender.local_part()).map(|account| Post::Inbox(account, report)),
            // From the null reverse-path, so that nothing is reported of the report.
            false => Some(Post::queue(self.reporter, report, report_envelope(self.envelope), None)),
        };
        post(&delivery.store, report.into_iter().collect(), None, &delivery.seen, now).map(drop)
    }

    fn told<'r>(&self, lacks: &'r BTreeMap<usize, Reply>) -> Vec<Told<'r>> {
        let tell = |place| match lacks.get(&place) {
            lack @ Some(_) => Told { place, action: Action::Failed, reply: lack },
            None => Told { place, action: Action::Delivered, reply: None },
        };
        (0..self.envelope.recipients.len())
            .map(tell)
            .filter(|told| dsn::wants(self.envelope, told.place, told.action))
            .filter(|told| told.action == Action::Delivered || !self.failures_are_known)
            .collect()
    }
}

/// The envelope of a report to the sender of `envelope`.
fn report_envelope(envelope: &Envelope) -> Envelope {
    Envelope { eight_bit: true, smtp_utf8: envelope.smtp_utf8, ..Envelope::plain("", &[&envelope.mail_from]) }
}
