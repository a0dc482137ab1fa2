//! The seam: what the session asks of the one who takes the mail. Every call is synchronous.

use std::collections::BTreeMap;

use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::smtp::command::{MailFrom, RcptTo};
use crate::smtp::reply::Refusal;
use crate::smtp::trace::Trace;
use crate::types::Timestamp;

/// Who takes the mail.
pub trait Backend: Send + 'static {
    type Upload: Upload;

    /// Checks a login. Gives the name by which the user is known from now on in this session's [`Trace`].
    fn login(&mut self, credentials: &Credentials) -> Result<String, LoginError>;

    /// Are there users with tokens?
    fn offers_tokens(&self) -> bool {
        false
    }

    /// As [`Self::login`], with a token in place of the password.
    fn login_token(&mut self, _credentials: &Credentials) -> Result<String, LoginError> {
        Err(LoginError::Refused)
    }

    /// Are there SCRAM keys of the users?
    fn offers_scram(&self) -> bool {
        false
    }

    /// The keys of a user; of a name nobody has, keys that no password has.
    fn scram_keys(&mut self, _user: &str, hash: ScramHash) -> ScramKeys {
        ScramKeys::of_nobody(hash, b"nobody")
    }

    /// As [`Self::login`], of a user who proved by SCRAM who they are.
    fn login_proved(&mut self, _proved: &ScramProved) -> Result<String, LoginError> {
        Err(LoginError::Refused)
    }

    /// Whoever logged in is not known to be there any more.
    fn forget_login(&mut self);

    /// May the client send as this sender?
    fn sender(&mut self, trace: &Trace, from: &MailFrom) -> Result<(), Refusal>;

    /// Would mail for this recipient be taken? Nothing is remembered: the envelope comes as a whole with
    /// [`Self::begin`].
    fn recipient(&mut self, trace: &Trace, from: &MailFrom, to: &RcptTo) -> Result<(), Refusal>;

    /// The mailboxes that a name or an address means, for who may know (RFC 5321 section 3.5); `None`: it is not told.
    fn mailboxes(&mut self, _name: &str) -> Option<Vec<String>> {
        None
    }

    /// The client is about to send the bytes.
    fn begin(&mut self, trace: &Trace, envelope: &Envelope, now: Timestamp) -> Result<Self::Upload, Refusal>;

    /// The client went on after the 250 of its last message: it saw that answer, and what it sends from now on is no
    /// repetition of that message.
    fn answer_seen(&mut self);
}

/// An envelope each part of which was taken. At least one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub from: MailFrom,
    pub to: Vec<RcptTo>,
}

/// A message on its way in. Dropped unfinished, nothing remains.
pub trait Upload: Send {
    /// Takes the next bytes. After a refusal the session throws the rest away and answers with it.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal>;

    /// The message is complete. When this returns `Ok` the message is durable and ours to deliver.
    fn finish(self, now: Timestamp) -> Result<Taken, Refusal>;
}

/// A message that is ours now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it is called for people (a queue id).
    pub id: String,
    /// By LMTP: the places in the envelope of those recipients who do not have it (RFC 2033 section 4.2).
    pub refused: BTreeMap<usize, Refusal>,
}

impl Taken {
    /// For all of its recipients.
    pub const fn by_all(id: String) -> Self {
        Self { id, refused: BTreeMap::new() }
    }
}

/// Why a login failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    #[error("invalid user name or password")]
    Refused,
    /// Not now.
    #[error("logins cannot be checked now")]
    Unavailable,
}
