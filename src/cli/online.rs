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
    context.ask::<()>(&Request::SetOnline { account: arguments.account, online }).await?;
    Ok(Exit::Done)
}
