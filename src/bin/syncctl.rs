//! Shows and steers the daemon.

use std::process::ExitCode;

use mailtide::agent::exit::parse_arguments_from;
use mailtide::cli;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match parse_arguments_from(cli::command_line()) {
        Ok(arguments) => cli::run(arguments).await.into(),
        Err(exit) => exit.into(),
    }
}
