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
    let mailboxes: Vec<String> = context.ask(&request).await?;
    let what = match confirm {
        true => "what vanished on the server goes here, too (syncctl recover list)",
        false => "what vanished on the server is kept here and put back there",
    };
    context.done(&mailboxes, &format!("{}: {what}.", mailboxes.join(", ")))?;
    Ok(Exit::Done)
}
