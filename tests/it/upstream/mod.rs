//! The upstream clients against scripted servers: no socket, and time stands still unless it is waited for.

mod imap_ahead;
mod imap_append;
mod imap_errors;
mod imap_forms;
mod imap_quirks;
mod imap_session;
mod imap_tour;
mod imap_wait;
mod pop3;
mod script;
mod smtp;
mod wire_trace;
