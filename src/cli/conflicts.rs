//! `syncctl conflicts`.

use clap::Subcommand;

use super::Context;
use super::failure::Failure;
use super::screen::Tone;
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::Conflict;
use crate::types::ConflictId;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show what was changed on both sides
    List {
        /// Only this account
        account: Option<String>,
    },
    /// Do not list a conflict any more
    Dismiss {
        #[arg(required_unless_present = "all")]
        number: Option<i64>,
        /// Dismiss all
        #[arg(long, conflicts_with = "number")]
        all: bool,
    },
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    match arguments.act.unwrap_or(Act::List { account: None }) {
        Act::List { account } => list(context, account).await?,
        Act::Dismiss { number, .. } => {
            context.ask::<()>(&Request::DismissConflicts { id: number.map(ConflictId::new) }).await?;
        }
    }
    Ok(Exit::Done)
}

async fn list(context: &mut Context, account: Option<String>) -> Result<(), Failure> {
    let conflicts: Vec<Conflict> = context.ask(&Request::Conflicts { account }).await?;
    if context.json {
        return Ok(context.screen.json(&conflicts)?);
    }
    if conflicts.is_empty() {
        return Ok(context.screen.line("No conflicts.")?);
    }
    for conflict in conflicts {
        let place = format!(" {} {} {}", conflict.account, conflict.mailbox, conflict.at);
        context.screen.toned(&[
            (Tone::Bold, &conflict.id.to_string()),
            (Tone::Plain, &place),
            (Tone::Busy, &format!(" {}", conflict.kind)),
        ])?;
        context.screen.line(&format!("  here:      {}", conflict.here))?;
        context.screen.line(&format!("  upstream:  {}", conflict.upstream))?;
        context.screen.line(&format!("  result:    {}", conflict.result))?;
    }
    Ok(())
}
