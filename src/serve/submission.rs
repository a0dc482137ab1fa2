//! The SMTP `Backend` of the agent's local face: takes the user's mail into the outbox.
//!
//! Rules: 250 is said once the message is durable in the outbox; its bytes are kept as they came, but for what its header
//! lacks ([`completed`]): the Message-ID is what a message sent twice after a crash is known by, and a message without a
//! From (RFC 5322 section 3.6) is refused by many servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::completion::{Completed, completed};
use super::{Refused, Users};
use crate::outbox::sender::{Envelope, Recipient};
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::smtp::address::Address;
use crate::smtp::command::{MailFrom, RcptTo, Ret};
use crate::smtp::reply::Refusal;
use crate::smtp::server::backend::{self, Backend, LoginError};
use crate::smtp::trace::Trace;
use crate::store::{Error, NewSubmission, Origin, Store, StoredContent, Upload};
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

    fn forget_login(&mut self) {
        self.account = None;
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
        let new = NewSubmission {
            account: self.account,
            message_id: message_id(&content),
            content,
            envelope: self.envelope,
            file: true,
            not_before: self.not_before.max(undo_until(self.undo_ms, now)),
        };
        let enqueued = self.store.write(Origin::LocalUser, now, move |txn| txn.enqueue(&new));
        enqueued.map(|id| backend::Taken::by_all(id.to_string())).map_err(|error| refusal(&error))
    }
}

impl SubmissionUpload {
    /// The header is complete: writes it, with what it lacks in front.
    fn write_head(&mut self) -> Result<(), Refusal> {
        let Some(head) = self.head.take() else { return Ok(()) };
        let Completed { missing, head } = completed(&head, &self.author, self.arrived, self.number);
        let written = self.upload.write(missing.as_bytes()).and_then(|()| self.upload.write(&head));
        written.map_err(|error| refusal(&error))
    }
}

/// Is there an empty line, at the beginning or around or after `seen`?
fn has_header_end(head: &[u8], seen: usize) -> bool {
    head.starts_with(b"\r\n") || head[seen.saturating_sub(3)..].windows(4).any(|window| window == b"\r\n\r\n")
}

/// The Message-ID header of what was taken in.
pub fn message_id(content: &StoredContent) -> String {
    let message_id = content.summary().envelope.message_id.as_deref().unwrap_or_default();
    String::from_utf8_lossy(message_id).trim().to_owned()
}

/// Until when a message that is submitted now can still be taken back.
pub fn undo_until(undo_ms: i64, now: Timestamp) -> Option<Timestamp> {
    Some(now.plus_ms(undo_ms)).filter(|_| undo_ms > 0)
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
        Error::DiskFull { .. } | Error::OverQuota => Refusal::no_room(),
        error => {
            tracing::error!(%error, "cannot take a message in");
            Refusal::local_trouble()
        }
    }
}
