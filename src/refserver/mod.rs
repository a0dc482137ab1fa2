//! The root of refserver: users, listeners, delivery, relay.
//!
//! [`command`] is the program, [`options`] what it is told, [`server`] the running whole. [`users`] may log in;
//! [`delivery`] takes mail in as
//! [`policy`] has it; [`post`] puts it where it belongs, [`relay`] hands on what is for others, on the
//! way that [`route`] finds and as the other domain wants it ([`sts`]), and [`queue`] shows and steers what waits. [`senders`] finds out who mail
//! from elsewhere is really from ([`author`]) and says it in [`results`], [`dkim`] signs ours. [`faults`] are what is
//! wrong with a server on purpose.

pub mod author;
pub mod command;
pub mod delivery;
pub mod dkim;
pub mod faults;
mod forged;
mod hashing;
pub mod home;
pub mod lanes;
pub mod options;
pub mod policy;
pub mod post;
pub mod queue;
pub mod relay;
mod residents;
mod results;
pub mod retention;
pub mod route;
pub mod senders;
pub mod server;
pub mod sts;
pub mod users;
