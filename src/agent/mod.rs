//! The root of syncd: wires store, local servers, sync and outbox of each account, the configuration and the control
//! socket.
//!
//! [`command`] is the program; [`daemon`] the running whole, [`once`] the single sync. An [`account`] has a thread of
//! its own, on which its [`worker`] syncs, its [`lookout`]s watch and its [`outbox`] sends, with the [`servers`] its configuration names. [`faces`] are what mail clients
//! connect to, [`users`] who may. [`control`] answers syncctl out of [`reports`]; [`reload`] sees the configuration
//! change, [`place`] that the data folder went; [`indexing`] makes the search index. [`paths`], [`password`], [`log`], [`systemd`] and [`exit`] are the program's ties to its surroundings.

pub mod account;
mod acts;
pub mod command;
mod control;
pub mod daemon;
mod distrust;
mod editing;
pub mod exit;
pub mod faces;
pub mod indexing;
mod line;
pub mod log;
mod log_file;
mod lookout;
mod maildrop;
mod numbered;
mod once;
pub mod options;
mod orders;
mod outbox;
pub mod password;
pub mod paths;
mod pinning;
mod place;
mod recovery;
mod reload;
pub mod reports;
mod rest;
mod search;
pub mod servers;
mod settled;
pub mod supply;
mod systemd;
mod trouble;
pub mod users;
mod verify;
mod why;
mod worker;

pub use exit::Exit;
pub use paths::Paths;
