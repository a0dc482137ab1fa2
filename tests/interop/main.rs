//! Against programs of others: Debian's Dovecot, Cyrus and Courier as the server; imaplib, poplib, smtplib, mbsync,
//! OfflineIMAP, interimap, NeoMutt, aerc, imapfilter, swaks, msmtp, mutt, git send-email, getmail and fetchmail as clients. A missing
//! peer is a printed SKIP; with MAILTIDE_REQUIRE_INTEROP=1 it is a failure.

mod acl;
mod clients;
mod contest;
mod folders;
mod judge;
mod keyring;
mod load;
mod logins;
mod mime;
mod mirror;
mod mta;
mod notify;
mod pop3;
mod push;
mod relay;
mod senders;
mod shared;
mod soak;
mod speed;
mod storm;
mod submitters;
mod terminal;
mod transcripts;
mod upstream;
mod world;

#[path = "../support/mod.rs"]
mod support;
