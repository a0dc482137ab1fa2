//! IMAP as a client, on async-imap.
//!
//! What goes through what: [`Connector`] dials and logs in (`login`, the part async-imap leads); [`ImapRemote`]
//! speaks in the words of `sync::remote` and asks in `list`, `allowance`, `select`, `messages`, `transfer`, `append`, `tour`, `wait`; they
//! send [commands](command) through the `driver`, which owns the async-imap session; under it the `shim` reads
//! and writes the stream: what comes `inward` is cut into responses (`frame`), read where async-imap cannot (`untagged`,
//! `code`) and rewritten so that it can (`fetch`); what goes `outward` are the driver's lines under async-imap's tags.
//!
//! Not used are async-imap's typed calls: they read a tagged NO and an end of file as an empty answer, throw response codes
//! away, and hold whole messages in memory.

mod allowance;
mod answering;
mod append;
mod capability;
mod code;
mod command;
mod connector;
mod driver;
mod fetch;
mod folders;
mod frame;
mod inward;
mod itinerary;
mod layer;
mod list;
mod login;
mod messages;
mod namespace;
mod outward;
mod profile;
mod refusal;
mod remote;
mod select;
mod shim;
mod structure;
mod token;
mod tour;
mod transfer;
mod untagged;
mod wait;

pub use connector::Connector;
pub use remote::ImapRemote;
pub(super) use token::STREAMED;
