//! A small mail server.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static MEMORY: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    mailtide::refserver::command::run().into()
}
