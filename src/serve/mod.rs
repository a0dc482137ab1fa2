//! Where protocols meet the store: the one IMAP backend ([`imap::MailBackend`]) and the one POP3 backend
//! ([`pop3::MaildropBackend`]), used by the agent's local face and by refserver alike, and the agent's submission
//! ([`submission::SubmissionBackend`]). The faces differ in two values: the [`Origin`](crate::store::Origin) of their
//! transactions and their [`Users`].
//!
//! Rules: no state of its own beside a session's account; a change is durable before the answer; what the store
//! refuses is turned into the protocol's own words here and nowhere else.

mod acl;
pub mod bring;
pub mod completion;
pub mod failures;
pub mod imap;
mod labels;
pub mod neighbours;
pub mod pop3;
mod quota;
pub mod search;
pub mod sessions;
pub mod submission;

use std::sync::Arc;

use crate::sasl::Credentials;
use crate::sasl::scram::{ScramHash, ScramKeys, ScramProved};
use crate::types::{AccountId, Timestamp};

/// What time it is. Sessions ask when a change is made.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Who may log in.
pub trait Users: Send + Sync {
    /// Whose account the credentials open. May take its time on purpose (password hashing); is called off the runtime.
    fn check(&self, credentials: &Credentials) -> Result<AccountId, Refused>;

    /// Are there users with tokens?
    fn offers_tokens(&self) -> bool {
        false
    }

    /// As [`Self::check`], with a token in place of the password.
    fn check_token(&self, _credentials: &Credentials) -> Result<AccountId, Refused> {
        Err(Refused::Credentials)
    }

    /// Are there SCRAM keys of the users?
    fn offers_scram(&self) -> bool {
        false
    }

    /// The SCRAM keys of a user; of a name nobody has, keys that no password has.
    fn scram_keys(&self, _user: &str, hash: ScramHash) -> ScramKeys {
        ScramKeys::of_nobody(hash, b"nobody")
    }

    /// Whose account is open to who proved by SCRAM who they are.
    fn proved(&self, _proved: &ScramProved) -> Result<AccountId, Refused> {
        Err(Refused::Credentials)
    }
}

/// Why nobody is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("invalid user name or password")]
    Credentials,
    #[error("not allowed to act as that user")]
    NotAuthorized,
    #[error("logins cannot be checked now")]
    Unavailable,
}
