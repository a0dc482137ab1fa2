//! Tests without socket and without sleep.

mod config;
mod control;
mod house;
mod imap;
mod message;
mod outbox;
mod pop3;
mod pump;
mod serve;
mod smtp;
mod store;
mod transcript;
mod upstream;
