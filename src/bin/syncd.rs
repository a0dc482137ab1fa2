//! The agent.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailtide::agent::command::run().into()
}
