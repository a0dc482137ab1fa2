//! `syncctl completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    shell: Shell,
}

pub(super) fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Arguments::command(), "syncctl", &mut script);
    context.screen.raw(&script)?;
    Ok(Exit::Done)
}
