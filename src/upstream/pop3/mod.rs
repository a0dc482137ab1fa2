//! POP3 as a client (RFC 1939, with RFC 2449, 2595, 3206, 5034 and 6856): implements `sync::maildrop`'s seam.
//!
//! Rules: only `+OK` is an answer, and a list counts only with the dot that ends it; a message streams through in pieces,
//! whatever its size; the bytes are those of the server, less the dots that the protocol adds.

mod capability;
mod connector;
mod login;
mod remote;
mod reply;
mod wire;

pub use connector::Pop3Connector;
pub use remote::Pop3Remote;
