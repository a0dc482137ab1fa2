//! `syncctl confirm` and `syncctl reject`: the user's word on a mass removal upstream.

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;
use crate::control::Request;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    account: String,
    /// Only this mailbox
    mailbox: Option<String>,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments, confirm: bool) -> Result<Exit, Failure> {
    let request = Request::Guard { account: arguments.account, mailbox: arguments.mailbox, confirm };
    context.ask::<()>(&request).await?;
    Ok(Exit::Done)
}
