//! What syncctl and syncd say to each other: JSON-RPC 2.0 over a Unix socket, one object a line.
//!
//! Rules: the socket is its owner's alone (mode 0600, and the peer's user is checked); a request is a [`Request`], so
//! neither side can ask for what the other does not have; times are RFC 3339 and what is unknown is `null`.
//!
//! - [`request`]: what can be asked. [`report`], [`bodies`], [`outgoing`]: what is answered. [`wire`]: both as lines.
//! - [`server`], [`client`]: the two ends.

pub mod bodies;
pub mod client;
pub mod outgoing;
pub mod report;
pub mod request;
pub mod server;
pub mod wire;

pub use client::{CallError, Client};
pub use request::Request;
pub use server::{Handler, serve};
pub use wire::Failure;
