//! The root of syncd: wires store, local servers, sync and outbox of each account, the configuration and the control
//! socket.

pub mod exit;
pub mod log;
pub mod password;
pub mod paths;

pub use exit::Exit;
pub use paths::Paths;
