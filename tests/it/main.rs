//! Tests without socket and without sleep.

mod config;
mod control;
mod house;
mod message;
mod pump;
mod serve;
mod store;
