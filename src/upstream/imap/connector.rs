//! Opens connections to one IMAP account.

use crate::types::Secret;
use crate::upstream::dial::{Endpoint, Tcp, Timeouts};
use crate::upstream::tls::ClientTls;

/// One IMAP account: where it is and how to log in. A value; each connection is made from it anew.
#[derive(Debug, Clone)]
pub struct Connector<D = Tcp> {
    pub dial: D,
    pub endpoint: Endpoint,
    pub tls: ClientTls,
    pub user: String,
    pub password: Secret,
    pub timeouts: Timeouts,
}

impl Connector {
    /// An account reached by TCP, with the usual timeouts.
    pub fn new(endpoint: Endpoint, tls: ClientTls, user: impl Into<String>, password: Secret) -> Self {
        Self { dial: Tcp, endpoint, tls, user: user.into(), password, timeouts: Timeouts::default() }
    }
}
