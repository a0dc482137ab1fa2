//! The IMAP engine: one session as a value over a [`backend::Backend`]. The agent's localhost face and refserver run
//! this same engine.
//!
//! How a command runs: [`framer`] cuts the input into commands, literals and message bytes, [`intake`] decides what
//! becomes of each; [`session`] finds the command's row in [`table`], checks its state and calls its function; the function (one file per command family)
//! parses its arguments, acts, and answers at once or leaves a [`reply::Task`] that writes its responses piece by
//! piece; then [`telling`] brings the [`view`] of the selected mailbox up to date as far as the command allows, and
//! the tagged response ends it. Between commands
//! [`unasked`] tells what NOTIFY wants told. Pipelined commands wait in the framer, so they run in order.
//!
//! Rules: a command sees a [`reply::Context`] (what is the same in every state), and beside it only what its state
//! has; the sequence numbers of the view change only in [`telling`]; nothing but one batch or one chunk is ever held in
//! memory of what a command writes.

pub mod backend;
mod bringing;
mod capability;
pub mod config;
mod framer;
mod intake;
mod reply;
mod session;
mod table;
mod telling;
mod view;

mod acl;
mod append;
mod auth;
mod catenate;
mod content;
mod copy;
mod esearch;
mod expunge;
mod fetch;
mod fetch_flags;
mod fetch_item;
mod filter;
mod hunt;
mod labels;
mod list;
mod look;
mod mailbox;
mod metadata;
mod multisearch;
mod notify;
mod pattern;
mod query;
mod quota;
mod search;
mod select;
mod sort;
mod status;
mod store;
mod thread;
mod thread_id;
mod unasked;

pub use config::{Capabilities, Capability, SessionConfig};
pub use session::Session;
