//! `syncctl recover`.

use clap::Subcommand;

use super::Context;
use super::failure::Failure;
use super::screen::counted;
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::{Gone, Restored};
use crate::types::MessageId;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show what vanished in the last 30 days, the last gone first
    List {
        /// Only this account
        account: Option<String>,
    },
    /// Put messages back, here and on the server
    Restore {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
        /// Into this mailbox [default: the one each was in]
        #[arg(long, value_name = "MAILBOX")]
        to: Option<String>,
    },
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.act.unwrap_or(Act::List { account: None }) {
        Act::List { account } => list(context, account).await?,
        Act::Restore { numbers, to } => {
            let ids: Vec<MessageId> = numbers.into_iter().map(MessageId::new).collect();
            let restored: Vec<Restored> = context.ask(&Request::Restore { ids, to }).await?;
            let mut places: Vec<&str> = restored.iter().map(|one| one.mailbox.as_str()).collect();
            places.sort_unstable();
            places.dedup();
            let count = counted(restored.len(), "message is", "messages are");
            context.done(&restored, &format!("{count} in {} again.", places.join(", ")))?;
        }
    }
    Ok(Exit::Done)
}

async fn list(context: &mut Context, account: Option<String>) -> Result<(), Failure> {
    let gone: Vec<Gone> = context.ask(&Request::Gone { account }).await?;
    if context.json {
        return Ok(context.screen.json(&gone)?);
    }
    if gone.is_empty() {
        return Ok(context.screen.line("Nothing vanished that could be put back.")?);
    }
    let rows: Vec<Vec<String>> = gone
        .into_iter()
        .map(|gone| {
            let mut why = gone.why;
            if !gone.recoverable {
                why.push_str("; its bytes were never here");
            }
            if !gone.also_in.is_empty() {
                why.push_str(&format!("; also in {}", gone.also_in.join(", ")));
            }
            vec![gone.id.to_string(), gone.account, gone.from_mailbox, gone.at, gone.from, gone.subject, why]
        })
        .collect();
    let heading = ["NUMBER", "ACCOUNT", "WAS IN", "GONE", "FROM", "SUBJECT", "WHY"];
    Ok(context.screen.table("", &heading, &rows, &[0])?)
}
