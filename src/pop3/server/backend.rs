//! The seam: what the session asks of the one who keeps the mail. Every call is synchronous.

use crate::message::octets::Octets;
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::types::Timestamp;

/// Who knows the users.
pub trait Backend: Send + 'static {
    type Maildrop: Maildrop;

    /// Opens and locks the maildrop of a user who proved who they are. The lock goes with the maildrop's drop.
    fn login(&mut self, credentials: &Credentials, now: Timestamp) -> Result<Self::Maildrop, LoginError>;

    /// What of [`Maildrop::expires_days`] is known before the login: of all users the least, and whether users differ.
    fn expiry(&self) -> Expiry {
        Expiry::default()
    }

    /// Are there users with tokens?
    fn offers_tokens(&self) -> bool {
        false
    }

    /// As [`Self::login`], with a token in place of the password.
    fn login_token(&mut self, _credentials: &Credentials, _now: Timestamp) -> Result<Self::Maildrop, LoginError> {
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
    fn login_proved(&mut self, _proved: &ScramProved, _now: Timestamp) -> Result<Self::Maildrop, LoginError> {
        Err(LoginError::Refused)
    }
}

/// How long mail is left in maildrops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expiry {
    /// `None`: for ever, of every user.
    pub least_days: Option<u32>,
    pub differs: bool,
}

/// Why there is no maildrop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// RFC 3206: AUTH.
    #[error("wrong user name or password")]
    Refused,
    /// Another session has it (RFC 2449 section 8.1.1: IN-USE).
    #[error("the maildrop is in use by another session")]
    InUse,
    /// The last login was not long enough ago (RFC 2449 section 8.1.2: LOGIN-DELAY).
    #[error("the last login was only just now")]
    TooSoon,
    /// Ours and not the user's fault (RFC 3206: SYS/TEMP).
    #[error("the maildrop cannot be opened now")]
    Unavailable,
}

/// A maildrop as it was when it was opened: messages that come later are for the next session.
pub trait Maildrop: Send + 'static {
    /// The messages, in the order of their numbers.
    fn messages(&self) -> &[Message];

    /// After how many days in it a message goes by itself; `None`: never (RFC 2449 section 6.7).
    fn expires_days(&self) -> Option<u32> {
        None
    }

    /// Brings what is not here of the message at `place` and is wanted: all of it, or with `header_only` its header. Where it
    /// has to come from elsewhere the session is woken once it is here, or cannot be had; asked again then.
    fn bring(&mut self, _place: usize, _header_only: bool) -> Result<Brought, Error> {
        Ok(Brought::Here)
    }

    /// At most `max` bytes of the message at `place` (from 0) from `offset` on; empty only at the end.
    fn read(&mut self, place: usize, offset: u64, max: usize) -> Result<Vec<u8>, Error>;

    /// Removes the messages at these places, for good and all of them or none; one gone already is no error.
    fn delete(self, places: &[usize], now: Timestamp) -> Result<(), Error>;
}

/// Whether a message can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Brought {
    Here,
    /// It is on its way.
    Coming,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// 1 to 70 characters from 0x21 to 0x7e, the same in every session and never used twice (RFC 1939 section 7, UIDL).
    pub unique_id: String,
    /// What is told of its size: the octets that RETR sends, byte-stuffing aside (RFC 1939 section 11).
    pub octets: Octets,
}

/// Why a message cannot be had, or the messages not removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The one who keeps the mail failed, or the message is gone.
    #[error("the message cannot be had now")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It is not here, and cannot be brought: why.
    #[error("the message is not here, and {0}")]
    NotHere(&'static str),
}
