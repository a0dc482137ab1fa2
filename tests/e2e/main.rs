//! Real binaries over real sockets: syncd, syncctl and refserver as people run them, and what happens when input, peers,
//! disks and processes fail.

mod big;
mod bodies;
mod config;
mod control;
mod crashes;
mod demo;
mod disk;
mod far;
mod hostile;
mod journal;
mod kills;
mod live;
mod merge;
mod outgoing;
mod pop3;
mod profiles;
mod queue;
mod relay;
mod search;
mod sendmail;
mod shared;
mod store;
mod storm;
mod sts;
mod terminal;
mod tls;
mod transcripts;

#[path = "../support/mod.rs"]
mod support;
