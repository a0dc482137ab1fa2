//! The agent.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static MEMORY: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    mailtide::agent::command::run().into()
}
