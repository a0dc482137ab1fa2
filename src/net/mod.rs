//! The net: what stands between sockets and [`Conversation`](crate::types::Conversation) values.
//!
//! Rules: sessions know nothing of this room, and this room nothing of protocols; session work (which may block on the
//! store) runs on blocking threads, never on the runtime's; every connection is admitted, limited and told when the
//! program stops.
//!
//! - [`pump`]: drives one session over any byte stream.
//! - [`listener`]: accepts, admits, and starts a pump for each connection.
//! - [`tls`]: the server's certificate, made at first start where none is given.
//! - [`clock`], [`chance`], [`shutdown`]: the time, chance and the end, as values.

pub mod chance;
pub mod clock;
pub mod listener;
pub mod pump;
pub mod shutdown;
pub mod tls;

pub use chance::Chance;
pub use clock::Clock;
pub use pump::{Wake, drive};
pub use shutdown::Shutdown;
