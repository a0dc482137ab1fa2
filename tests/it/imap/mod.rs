//! The IMAP engine as its clients meet it.

mod engine;
pub mod memory_backend;
mod patience;
mod readme;
mod served;
pub mod transcript;
