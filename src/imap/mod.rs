//! IMAP as a server speaks it: the grammar in both directions ([`syntax`]) and the one engine ([`server`]).

pub mod server;
pub mod syntax;
