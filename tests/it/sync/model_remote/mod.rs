//! A mail server in memory that speaks [`Remote`]: complete enough to be synced with, small enough to be seen through.
//! It can be told to cut the line before or after the n-th call, or in the middle of a FETCH.

mod remote;
mod server;
mod state;
mod traits;

pub use remote::ModelRemote;
pub use server::Server;
pub use state::{Here, Mailbox, Message, State};
pub use traits::{Appends, Cut, Onto, Traits};
