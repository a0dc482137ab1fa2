//! The real servers as one: what the tests with a whole way through need of any of them.

use std::net::SocketAddr;

use super::courier::Courier;
use super::cyrus::{self, Cyrus};
use super::dovecot::{self, Dovecot};
use super::imap::Imap;

/// Which server, and how set up.
pub enum Kind {
    Dovecot(dovecot::Options),
    Cyrus(cyrus::Names),
    Courier,
}

pub enum MailServer {
    Dovecot(Dovecot),
    Cyrus(Cyrus),
    Courier(Courier),
}

/// How a server spells the name of a user's mailbox.
#[derive(Clone, Copy)]
pub struct Naming {
    pub delimiter: char,
    /// Before every name but INBOX.
    pub prefix: &'static str,
}

impl Kind {
    /// `None` after a printed SKIP where it is missing.
    pub fn start(&self) -> Option<MailServer> {
        match self {
            Self::Dovecot(options) => Dovecot::start(options).map(MailServer::Dovecot),
            Self::Cyrus(names) => Cyrus::start(*names).map(MailServer::Cyrus),
            Self::Courier => Courier::start().map(MailServer::Courier),
        }
    }

    pub fn naming(&self) -> Naming {
        match self {
            Self::Dovecot(options) => Naming { delimiter: options.delimiter, prefix: "" },
            Self::Cyrus(cyrus::Names::BesideInbox) => Naming { delimiter: '/', prefix: "" },
            Self::Cyrus(cyrus::Names::BelowInbox) | Self::Courier => Naming { delimiter: '.', prefix: "INBOX." },
        }
    }
}

impl MailServer {
    pub fn imap(&self) -> SocketAddr {
        match self {
            Self::Dovecot(server) => server.imap,
            Self::Cyrus(server) => server.imap,
            Self::Courier(server) => server.imap,
        }
    }

    /// What it said of itself; of Dovecot alone.
    pub fn log(&self) -> String {
        match self {
            Self::Dovecot(server) => server.log(),
            Self::Cyrus(_) | Self::Courier(_) => String::new(),
        }
    }

    pub fn login(&self, user: &str) -> Imap {
        match self {
            Self::Dovecot(server) => server.login(user),
            Self::Cyrus(server) => server.login(user),
            Self::Courier(server) => server.login(user),
        }
    }
}

impl Naming {
    /// The server's name for the mailbox whose parts stand between the `between`.
    pub fn wire(self, name: &str, between: char) -> String {
        let name = name.replace(between, self.delimiter.encode_utf8(&mut [0; 4]));
        if name.eq_ignore_ascii_case("INBOX") { name } else { format!("{}{name}", self.prefix) }
    }
}
