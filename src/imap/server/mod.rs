//! The IMAP engine: one session as a value over a [`backend::Backend`]. The agent's localhost face and refserver run
//! this same engine.

pub mod backend;
