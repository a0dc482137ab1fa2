//! The SMTP `Backend` of the agent's local face: takes the user's mail into the outbox.
//!
//! Rules: 250 is said once the message is durable in the outbox; its bytes are kept as they came, but for a Message-ID, a
//! Date and a From put in front where the client left them out (RFC 6409 section 8): the Message-ID is what a message sent
//! twice after a crash is known by, and a message without a From (RFC 5322 section 3.6) is refused by many servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Refused, Users};
use crate::message::header;
use crate::outbox::sender::{Envelope, Recipient};
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::smtp::address::Address;
use crate::smtp::command::{MailFrom, RcptTo, Ret};
use crate::smtp::reply::Refusal;
use crate::smtp::server::backend::{self, Backend, LoginError};
use crate::smtp::trace::Trace;
use crate::store::{Error, NewSubmission, Origin, Store, Upload};
use crate::types::{AccountId, Timestamp, limits};

/// Whose mail it is, and what the user wants done with it.
pub trait Senders: Send + Sync {
    /// The account that sends as `address`; `None` in place of an address is the null reverse-path.
    fn account_of(&self, address: Option<&Address>) -> Option<AccountId>;

    /// The address that an account sends as.
    fn address_of(&self, account: AccountId) -> Option<String>;

    /// How long a message waits before it is sent, so that it can be taken back.
    fn undo_ms(&self) -> i64;
}

/// Numbers submissions, so that no two get one Message-ID. One value for all sessions of a program.
#[derive(Debug, Clone, Default)]
pub struct Sequence(Arc<AtomicU64>);

impl Sequence {
    /// The next number.
    pub fn draw(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Takes submissions. One for each session.
pub struct SubmissionBackend {
    store: Store,
    users: Arc<dyn Users>,
    senders: Arc<dyn Senders>,
    sequence: Sequence,
    /// Set by a login.
    account: Option<AccountId>,
}

impl SubmissionBackend {
    /// A backend for sessions with a login, checked by `users`; the sender's address says more, if `senders` knows it.
    pub fn new(store: Store, users: Arc<dyn Users>, senders: Arc<dyn Senders>, sequence: Sequence) -> Self {
        Self { store, users, senders, sequence, account: None }
    }

    fn account(&self, from: &MailFrom) -> Result<AccountId, Refusal> {
        // Who has several accounts and one login sends each mail by the server that knows its sender.
        let account = self.senders.account_of(from.address.as_ref()).or(self.account);
        account.ok_or_else(|| {
            Refusal::permanent(550, "5.7.1", "No account here sends as that address: log in with the account's name")
        })
    }
}

impl Backend for SubmissionBackend {
    type Upload = SubmissionUpload;

    fn login(&mut self, credentials: &Credentials) -> Result<String, LoginError> {
        let account = self.users.check(credentials).map_err(login_error)?;
        self.account = Some(account);
        Ok(credentials.user.clone())
    }

    fn offers_scram(&self) -> bool {
        self.users.offers_scram()
    }

    fn scram_keys(&mut self, user: &str, hash: ScramHash) -> ScramKeys {
        self.users.scram_keys(user, hash)
    }

    fn login_proved(&mut self, proved: &ScramProved) -> Result<String, LoginError> {
        let account = self.users.proved(proved).map_err(login_error)?;
        self.account = Some(account);
        Ok(proved.user.clone())
    }

    fn sender(&mut self, _: &Trace, from: &MailFrom) -> Result<(), Refusal> {
        self.account(from).map(drop)
    }

    /// The bare postmaster (RFC 5321 section 4.1.1.3) is that of the sender's domain: there is no mail for this machine.
    fn recipient(&mut self, _: &Trace, from: &MailFrom, to: &RcptTo) -> Result<(), Refusal> {
        match to.address.domain().or(domain_of(from)) {
            Some(_) => Ok(()),
            None => Err(Refusal::permanent(553, "5.1.3", "Say which domain's postmaster")),
        }
    }

    fn begin(&mut self, _: &Trace, envelope: &backend::Envelope, now: Timestamp) -> Result<SubmissionUpload, Refusal> {
        let mut outgoing = outgoing(envelope);
        if let Some(domain) = domain_of(&envelope.from) {
            let bare = outgoing.recipients.iter_mut().filter(|recipient| is_bare(&recipient.address));
            bare.for_each(|recipient| recipient.address = format!("{}@{domain}", recipient.address));
        }
        let account = self.account(&envelope.from)?;
        let author = Some(outgoing.mail_from.clone()).filter(|sender| !sender.is_empty());
        Ok(SubmissionUpload {
            store: self.store.clone(),
            account,
            author: author.or_else(|| self.senders.address_of(account)).unwrap_or_default(),
            envelope: outgoing,
            arrived: now,
            number: self.sequence.draw(),
            undo_ms: self.senders.undo_ms(),
            upload: self.store.upload(),
            not_before: envelope.from.hold.map(|hold| hold.moment(now)),
            head: Some(Vec::new()),
        })
    }

    /// The outbox takes each message for one of its own.
    fn answer_seen(&mut self) {}
}

/// A submission on its way in.
pub struct SubmissionUpload {
    store: Store,
    account: AccountId,
    /// Whose mail it is where its header does not say.
    author: String,
    envelope: Envelope,
    arrived: Timestamp,
    number: u64,
    undo_ms: i64,
    upload: Upload,
    /// The client wants it sent no earlier.
    not_before: Option<Timestamp>,
    /// The header as far as it came; `None` once it is complete and written.
    head: Option<Vec<u8>>,
}

impl backend::Upload for SubmissionUpload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        self.envelope.eight_bit |= !bytes.is_ascii();
        let Some(head) = &mut self.head else {
            return self.upload.write(bytes).map_err(|error| refusal(&error));
        };
        let seen = head.len();
        head.extend_from_slice(bytes);
        if head.len() >= limits::HEADER_MAX_BYTES || has_header_end(head, seen) {
            self.write_head()?;
        }
        Ok(())
    }

    fn finish(mut self, now: Timestamp) -> Result<backend::Taken, Refusal> {
        self.write_head()?;
        let content = self.upload.finish().map_err(|error| refusal(&error))?;
        let message_id = content.summary.envelope.message_id.as_deref().unwrap_or_default();
        let message_id = String::from_utf8_lossy(message_id).trim().to_owned();
        // Within the window it can still be taken back.
        let undo = Some(now.plus_ms(self.undo_ms)).filter(|_| self.undo_ms > 0);
        let not_before = self.not_before.max(undo);
        let new = NewSubmission {
            account: self.account,
            content,
            envelope: self.envelope,
            message_id,
            file: true,
            not_before,
        };
        let enqueued = self.store.write(Origin::LocalUser, now, move |txn| txn.enqueue(&new));
        enqueued.map(|id| backend::Taken::by_all(id.to_string())).map_err(|error| refusal(&error))
    }
}

impl SubmissionUpload {
    /// The header is complete: writes it, with what it lacks in front.
    fn write_head(&mut self) -> Result<(), Refusal> {
        let Some(head) = self.head.take() else { return Ok(()) };
        let missing = missing_fields(&head, &self.author, self.arrived, self.number);
        let written = self.upload.write(missing.as_bytes()).and_then(|()| self.upload.write(&head));
        written.map_err(|error| refusal(&error))
    }
}

/// Is there an empty line, at the beginning or around or after `seen`?
fn has_header_end(head: &[u8], seen: usize) -> bool {
    head.starts_with(b"\r\n") || head[seen.saturating_sub(3)..].windows(4).any(|window| window == b"\r\n\r\n")
}

/// Message-ID, Date and From, as far as `head` lacks them. Of a message that is resent nobody here knows who wrote it.
pub fn missing_fields(head: &[u8], author: &str, now: Timestamp, number: u64) -> String {
    let has = |name: &str| header::fields(head).any(|field| field.is(name) && !field.unfolded().is_empty());
    let names = |name: &str| header::fields(head).any(|field| field.is(name));
    let mut missing = String::new();
    if !has("Message-ID") {
        missing += &format!("Message-ID: {}\r\n", new_message_id(head, author, now, number));
    }
    if !has("Date") {
        missing += &format!("Date: {}\r\n", now.to_rfc5322());
    }
    // One that is empty is a second one with ours (RFC 5322 section 3.6: one, and no more).
    if !author.is_empty() && !names("From") && !names("Resent-From") {
        missing += &format!("From: {author}\r\n");
    }
    if !missing.is_empty() && !begins_with_field(head) {
        // The message has no header at all: its first line is text.
        missing += "\r\n";
    }
    missing
}

/// Is there a header? One that is empty counts, and one behind the line that begins a message in an mbox file.
pub fn begins_with_field(head: &[u8]) -> bool {
    let is_field = |field: header::Field<'_>| {
        let behind = field.whole.strip_prefix(field.name).unwrap_or_default();
        is_field_name(field.name) && behind.trim_ascii_start().starts_with(b":")
    };
    let mut fields = header::fields(head);
    let Some(first) = fields.next() else { return true };
    is_field(first) || first.name.starts_with(b"From ") && fields.next().is_some_and(is_field)
}

/// `field-name = 1*ftext` (RFC 5322 section 3.6.8).
fn is_field_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| byte.is_ascii_graphic() && *byte != b':')
}

/// A Message-ID that no other message has: of the moment, a number that grows with each, and what is being sent.
fn new_message_id(head: &[u8], author: &str, now: Timestamp, number: u64) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(author.as_bytes()).update(b"\0").update(head);
    let hash = hasher.finalize().to_hex();
    let domain = author.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    // A domain in another script is not for a header of an ASCII message.
    let domain = if domain.is_ascii() { domain } else { "localhost" };
    format!("<{}.{}@{domain}>", now.unix_ms(), &hash[..20])
}

fn domain_of(from: &MailFrom) -> Option<&str> {
    from.address.as_ref().and_then(Address::domain)
}

/// Is it the postmaster of no domain?
fn is_bare(address: &str) -> bool {
    Address::parse_recipient(address).is_some_and(|address| address.domain().is_none())
}

/// The envelope as it goes out: each recipient once.
pub fn outgoing(envelope: &backend::Envelope) -> Envelope {
    let mut recipients: Vec<Recipient> = Vec::with_capacity(envelope.to.len());
    let mut known = std::collections::BTreeSet::new();
    for to in &envelope.to {
        if known.insert(to.address.as_str()) {
            recipients.push(Recipient {
                address: to.address.as_str().to_owned(),
                notify: to.notify.clone(),
                orcpt: to.orcpt.clone(),
            });
        }
    }
    Envelope {
        mail_from: envelope.from.address.as_ref().map(|address| address.as_str().to_owned()).unwrap_or_default(),
        recipients,
        eight_bit: envelope.from.eight_bit,
        smtp_utf8: envelope.from.smtp_utf8,
        ret: envelope.from.ret.map(Ret::as_str).map(str::to_owned),
        envid: envelope.from.envid.clone(),
    }
}

/// What the client is told when a login fails.
pub const fn login_error(refused: Refused) -> LoginError {
    match refused {
        Refused::Credentials | Refused::NotAuthorized => LoginError::Refused,
        Refused::Unavailable => LoginError::Unavailable,
    }
}

/// What the client is told when the store fails.
pub fn refusal(error: &Error) -> Refusal {
    match error {
        Error::TooBig { .. } => Refusal::permanent(552, "5.3.4", error.to_string()),
        Error::DiskFull | Error::UploadLost | Error::OverQuota => Refusal::no_room(),
        error => {
            tracing::error!(%error, "cannot take a message in");
            Refusal::local_trouble()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added() {
        let now = Timestamp::from_unix_ms(1_000_000_000_000);
        let (date, from) = ("Date: Sun, 09 Sep 2001 01:46:40 +0000\r\n", "From: me@example.org\r\n");
        for (head, message_id, rest) in [
            ("Message-ID: <1@x>\r\nDate: now\r\nFrom: a@b\r\n\r\n", false, String::new()),
            ("message-id: <1@x>\r\nSubject: x\r\n\r\n", false, format!("{date}{from}")),
            ("Date: now\r\nMessage-Id:\r\n\r\n", true, from.to_owned()),
            ("Date: now\r\nfrom:\r\n\r\n", true, String::new()),
            ("Date: now\r\nResent-From: a@b\r\n\r\n", true, String::new()),
            ("\r\nbody", true, format!("{date}{from}")),
            ("", true, format!("{date}{from}")),
            ("just text\r\nDate: no\r\n", true, format!("{from}\r\n")),
            ("two words: text\r\n", true, format!("{date}{from}\r\n")),
        ] {
            let missing = missing_fields(head.as_bytes(), "me@example.org", now, 1);
            let rest_given = match message_id {
                true => missing.split_once("@example.org>\r\n").map(|(_, rest)| rest.to_owned()),
                false => Some(missing.clone()),
            };
            assert_eq!(missing.starts_with("Message-ID: <1000000000000."), message_id, "{head:?}");
            assert_eq!(rest_given, Some(rest), "{head:?}");
        }
    }

    #[test]
    fn no_two_messages_get_the_same_message_id() {
        let now = Timestamp::from_unix_ms(0);
        assert_ne!(new_message_id(b"a", "me@x", now, 1), new_message_id(b"a", "me@x", now, 2));
    }
}
