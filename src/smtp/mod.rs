//! SMTP as a server speaks it (RFC 5321): the words ([`address`], [`command`], [`reply`], [`data`], [`trace`]) and the session
//! ([`server`]) over its `Backend` seam. Pure: no socket, no clock, no store.

pub mod address;
pub mod command;
pub mod data;
pub mod reply;
pub mod server;
pub mod trace;
