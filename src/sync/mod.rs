//! Keeping the local store and an upstream account the same: recover what was in flight, pull, push, and when.
//!
//! Talks to the server only through [`remote::Remote`], to the disk only through `store`.

pub mod backoff;
pub mod plan;
pub mod remote;
