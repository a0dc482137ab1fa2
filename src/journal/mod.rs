//! Offline actions as values: what the user did ([`op`]), the life of an entry ([`entry`]), what is left to do once
//! actions that cancel are gone ([`coalesce`]). Pure: no store, no server, no clock.

pub mod coalesce;
pub mod entry;
pub mod op;

pub use coalesce::{Later, Made, Net, Place, coalesce, end_where_they_are, intent};
pub use entry::{Entry, Evidence, State};
pub use op::Op;
