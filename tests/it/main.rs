//! Tests without socket and without sleep.

mod config;
mod control;
mod house;
mod pump;
mod store;
