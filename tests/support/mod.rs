//! What the tests with real processes and real sockets share: start and stop programs, wait for a condition, speak the
//! protocols from the other side, break a line on purpose, compare what two servers hold.
//!
//! Rules: std and the crate's own dependencies only; no fixed port (every test has loopback addresses of its own, see
//! [`net`]); no sleep that hopes (see [`wait`]); every child dies with the value that started it.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub mod agent;
pub mod certificate;
pub mod corpus;
pub mod courier;
pub mod cyrus;
pub mod dns;
pub mod dovecot;
pub mod folders;
pub mod https;
pub mod imap;
pub mod jail;
pub mod mta;
pub mod names;
pub mod net;
pub mod peers;
pub mod permitted;
pub mod play;
pub mod pop3;
pub mod process;
pub mod proxy;
pub mod random;
pub mod refserver;
pub mod script;
pub mod server;
pub mod sink;
pub mod smtp;
pub mod snapshot;
pub mod wait;
