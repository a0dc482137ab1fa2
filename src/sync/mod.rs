//! Keeping the local store and an upstream account the same: recover what was in flight, pull, push, and when.
//!
//! Talks to the server only through [`remote::Remote`], to the disk only through `store`. One [`Engine`] an account,
//! one sync of it at a time.
//!
//! Rules:
//!
//! - What was in flight is found out first ([`recover`]), before upstream's changes are read: else a message that we
//!   moved there would look like one that came.
//! - Nothing is taken as deleted but what a complete, confirmed answer shows, and only after all arrivals of the round
//!   are here, so that a move upstream is seen as one ([`cover`], [`vanish`], [`guard`]).
//! - Before a step that must not be done twice the evidence by which it can be found again is durable ([`push`]).
//! - Where the server's mailboxes are labels of one message, it is fetched once and never doubled ([`labels`]).
//! - What a transaction decides it decides on what it sees itself: a client may act at any moment.

mod append;
mod arrivals;
pub mod backoff;
pub mod bring;
mod burst;
mod catch;
mod compare;
mod cover;
mod covered;
mod doubt;
pub mod engine;
mod expunge;
mod fetch;
mod flags;
mod folders;
pub mod guard;
mod half_seen;
pub mod haul;
pub mod identity;
pub mod inquire;
mod labels;
mod landing;
pub mod maildrop;
pub mod names;
mod pass;
pub mod plan;
mod pull;
mod push;
mod recover;
pub mod remote;
mod report;
mod send;
pub mod stock;
mod survey;
pub mod tour;
mod vanish;

pub use catch::Came;
pub use engine::{Clock, Engine};
pub use fetch::scan_each;
pub use report::Report;

use crate::store;
use remote::RemoteError;

/// Why a sync ended before its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The answer of everything that syncs.
pub type Result<T> = std::result::Result<T, Error>;
