//! Tests without socket and without sleep.

mod any_bytes;
mod config;
mod control;
mod delivery;
mod faults;
mod house;
mod imap;
mod maildrop;
mod message;
mod outbox;
mod pop3;
mod pump;
mod retention;
mod senders;
mod serve;
mod smtp;
mod store;
mod submission;
mod sync;
mod transcript;
mod upstream;

#[path = "../properties/mod.rs"]
mod properties;
