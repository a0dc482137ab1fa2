//! The servers we are a client of: IMAP on async-imap ([`imap`]), submission on async-smtp ([`smtp`]). Implements
//! `sync::Remote` and `outbox::Sender` over any byte stream ([`dial`]), under TLS ([`tls`]). [`http`]
//! asks those who speak it for what a mail server needs of them.
//!
//! Rules: only what a server confirmed is an answer, so a refusal, a broken line and an end of file are errors; nothing
//! a server sends is kept in memory beyond a named limit; a secret is in no log, no error and no trace.

pub mod dial;
pub mod http;
pub mod imap;
pub mod pop3;
pub mod smtp;
pub mod tls;
mod trace;

pub use dial::{Dial, Endpoint, Tcp, Timeouts, TlsMode};
pub use imap::{Connector, ImapRemote};
pub use pop3::{Pop3Connector, Pop3Remote};
pub use smtp::{Login, SmtpSender};
pub use tls::{ClientTls, TrustError};
pub use trace::TARGET as WIRE_TRACE_TARGET;

/// Log targets of the crates under this room, each with the loudest level that is sure to show no secret and no mail:
/// async-imap logs what it sends and reads at trace, async-smtp at debug. Secrets go round them here; the program that
/// logs holds them down all the same.
pub const LOG_CAPS: [(&str, tracing::Level); 3] = [
    ("async_imap", tracing::Level::DEBUG),
    ("imap_proto", tracing::Level::DEBUG),
    ("async_smtp", tracing::Level::WARN),
];
