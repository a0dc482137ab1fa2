//! The root of refserver: users, listeners, delivery, relay.
//!
//! [`command`] is the program, [`options`] what it is told, [`server`] the running whole. [`users`] may log in;
//! [`delivery`] says whose mail is taken, as [`policy`] has it; [`intake`] is a message on its way in, in a name that is its
//! sender's ([`rights`]); [`post`] puts it where it belongs, and [`receipts`] tell its sender. [`relay`] hands on what is for
//! others, on the way that [`route`] finds and as the other domain wants it ([`sts`]), and [`queue`] shows and steers what
//! waits. [`senders`] finds out who mail from elsewhere is really from ([`author`]) and says it in [`results`], [`dkim`]
//! signs ours. [`faults`] are what is wrong with a server on purpose.

pub mod author;
pub mod command;
pub mod delivery;
pub mod dkim;
pub mod faults;
mod forged;
mod hashing;
pub mod home;
pub mod intake;
mod lack;
pub mod lanes;
pub mod options;
pub mod policy;
pub mod post;
pub mod queue;
mod receipts;
pub mod relay;
mod residents;
mod results;
pub mod retention;
mod rights;
pub mod route;
pub mod senders;
pub mod server;
pub mod sts;
pub mod users;
