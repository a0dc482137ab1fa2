//! Hands messages to one SMTP server.

use crate::types::Secret;
use crate::upstream::dial::{Endpoint, Tcp, Timeouts};
use crate::upstream::tls::ClientTls;

/// Who submits.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

/// One SMTP server: submission with a login, or another domain's mail exchanger without. A value; each message gets its
/// own connection.
#[derive(Debug, Clone)]
pub struct SmtpSender<D = Tcp> {
    pub dial: D,
    pub endpoint: Endpoint,
    pub tls: ClientTls,
    /// `None`: no AUTH (relay).
    pub login: Option<Login>,
    /// What EHLO says: a domain name or an address literal (RFC 5321 section 4.1.3).
    pub hello_name: String,
    pub timeouts: Timeouts,
}

impl SmtpSender {
    /// A server reached by TCP, with the usual timeouts.
    pub fn new(endpoint: Endpoint, tls: ClientTls, login: Option<Login>, hello_name: impl Into<String>) -> Self {
        let hello_name = hello_name.into();
        Self { dial: Tcp, endpoint, tls, login, hello_name, timeouts: Timeouts::default() }
    }
}
