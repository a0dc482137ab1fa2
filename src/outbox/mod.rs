//! Outgoing mail: what becomes of a submission ([`decide`]), how it goes out ([`wire`]), how a failure
//! comes back ([`dsn`]), and the engine that has it all done ([`engine`]) over its [`sender::Sender`] seam.
//!
//! Three separate facts of a submission: it is queued (its row), the server took it over (`handed_over`), a copy is in
//! Sent (`filed`). Each is durable before the next is tried.

pub(crate) mod copy;
pub mod decide;
pub mod dsn;
pub mod engine;
pub mod sender;
mod sent;
pub mod wire;
