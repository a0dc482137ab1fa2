//! `syncctl metered`.

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;
use crate::control::Request;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Is every byte dear on this line?
    line: Line,
    /// Only this account
    account: Option<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Line {
    /// Fetch no bodies but those that are asked for
    On,
    /// Fetch what the configuration wants
    Off,
    /// As the configuration says
    Configured,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { line, account } = arguments;
    let (metered, what) = match line {
        Line::On => (Some(true), "no bodies are fetched but those that are asked for, until `syncctl metered off`"),
        Line::Off => (Some(false), "the bodies that the configuration wants are fetched"),
        Line::Configured => (None, "whether the line is metered is as the configuration says"),
    };
    let names: Vec<String> = context.ask(&Request::SetMetered { account, metered }).await?;
    let text = match names.is_empty() {
        true => "There is no account in the configuration.".to_owned(),
        false => format!("{}: {what}.", names.join(", ")),
    };
    context.done(&names, &text)?;
    Ok(Exit::Done)
}
