//! POP3 as a server speaks it (RFC 1939, 2449, 2595, 3206, 5034): the words ([`command`]), messages on the wire
//! ([`lines`]) and the session ([`server`]) over its `Backend` seam. Pure: no socket, no clock, no store.

pub mod command;
pub mod lines;
pub mod server;
