//! `syncctl online` and `syncctl offline`.

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;
use crate::control::Request;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this account
    account: Option<String>,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments, online: bool) -> Result<Exit, Failure> {
    let names: Vec<String> = context.ask(&Request::SetOnline { account: arguments.account, online }).await?;
    let what = match online {
        true => "may talk to the servers again",
        false => "stays off the servers until `syncctl online`",
    };
    let text = match names.is_empty() {
        true => "There is no account in the configuration.".to_owned(),
        false => format!("{}: {what}.", names.join(", ")),
    };
    context.done(&names, &text)?;
    Ok(Exit::Done)
}
