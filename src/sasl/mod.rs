//! SASL mechanisms, both sides, as values: bytes in, bytes out (RFC 4422).
//!
//! Base64 and the framing belong to the protocol that carries the exchange.

pub mod client;
pub mod exchange;
pub mod prep;
pub mod scram;
pub mod server;

use crate::types::Secret;

/// What a client proved or wants to prove: an identity and the password for it.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Whose password it is (authentication identity).
    pub user: String,
    /// Whom to act as, where another (authorization identity); empty is never stored.
    pub authorize_as: Option<String>,
    /// The password.
    pub password: Secret,
}
