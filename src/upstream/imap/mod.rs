//! IMAP as a client.

mod connector;

pub use connector::Connector;
