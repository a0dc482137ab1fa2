//! The fault mode: ways in which real servers deviate (QUIRKS in the field reports of other mail programs), each a named
//! [`Quirk`] that `refserver --quirk NAME` and the simulator turn on. A [`Profile`] is a whole provider's server.
//!
//! The IMAP engine knows nothing of it: a [`Quirky`] session stands between the line and the engine's, looks at each
//! command ([`requests`]) and each response ([`answers`]) and lets it pass, changes it, or answers in its place. Here, and only
//! here, a whole response with its literals is held in memory: a quirky server is for tests.

mod answers;
mod cutter;
mod profile;
mod quirk;
mod requests;
mod session;

pub use profile::Profile;
pub use quirk::{Faults, Quirk};
pub use session::Quirky;
