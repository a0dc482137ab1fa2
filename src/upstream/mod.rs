//! The servers we are a client of: IMAP on async-imap, submission on async-smtp. Implements `sync::Remote` and
//! `outbox::Sender`.
