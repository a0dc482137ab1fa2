//! A small mail server.

use std::process::ExitCode;

fn main() -> ExitCode {
    mailtide::refserver::command::run().into()
}
