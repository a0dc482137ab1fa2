//! Against programs of others: Debian's Dovecot as the server; imaplib, poplib, smtplib, mbsync, OfflineIMAP and NeoMutt
//! as clients of the local face. A missing peer is a printed SKIP; with MAILTIDE_REQUIRE_INTEROP=1 it is a failure.

mod clients;
mod judge;
mod load;
mod mirror;
mod storm;
mod upstream;
mod world;

#[path = "../support/mod.rs"]
mod support;
