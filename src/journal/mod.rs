//! Offline actions as values: what the user did ([`op`]), the life of an entry ([`entry`]), what is left to do once
//! actions that cancel are gone ([`coalesce`]), what flags are without one of them ([`discarded`]). Pure: no store, no
//! server, no clock.

pub mod coalesce;
pub mod discarded;
pub mod entry;
pub mod op;

pub use coalesce::{Later, Made, Net, Place, coalesce, end_where_they_are, intent};
pub use discarded::flags_without;
pub use entry::{Entry, Evidence, State};
pub use op::Op;
