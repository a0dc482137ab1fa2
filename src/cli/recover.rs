//! `syncctl recover`.

use std::io;

use clap::Subcommand;

use super::Context;
use super::acts::Acts;
use super::failure::Failure;
use super::screen::{Screen, counted};
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::{Gone, Restored};
use crate::types::MessageId;

#[derive(Debug, Subcommand)]
pub(super) enum Act {
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

pub(super) async fn run(context: &mut Context, acts: Acts<Act>) -> Result<Exit, Failure> {
    match acts.act.unwrap_or(Act::List { account: None }) {
        Act::List { account } => {
            let nothing = "Nothing vanished that could be put back.";
            return context.list(Request::Gone { account }, nothing, table).await;
        }
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

fn table(screen: &mut Screen, gone: Vec<Gone>) -> io::Result<()> {
    let row = |gone: Gone| {
        let mut why = gone.why;
        if !gone.recoverable {
            why.push_str("; its bytes were never here");
        }
        if !gone.also_in.is_empty() {
            why.push_str(&format!("; also in {}", gone.also_in.join(", ")));
        }
        vec![gone.id.to_string(), gone.account, gone.from_mailbox, gone.at, gone.from, gone.subject, why]
    };
    let rows: Vec<Vec<String>> = gone.into_iter().map(row).collect();
    screen.table("", &["NUMBER", "ACCOUNT", "WAS IN", "GONE", "FROM", "SUBJECT", "WHY"], &rows, &[0])
}
