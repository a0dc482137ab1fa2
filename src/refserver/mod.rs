//! The root of refserver: users, listeners, delivery, relay.

pub mod delivery;
pub mod relay;
pub mod route;
pub mod users;
