//! Tests without socket and without sleep.

mod house;
mod pump;
