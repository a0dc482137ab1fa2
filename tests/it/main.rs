//! Tests without socket and without sleep.

mod config;
mod house;
mod pump;
