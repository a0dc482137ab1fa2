//! `syncctl conflicts`.

use clap::Subcommand;

use super::Context;
use super::failure::Failure;
use super::screen::{Tone, counted};
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
    /// Show one of them
    Show { number: i64 },
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
        Act::Show { number } => show(context, ConflictId::new(number)).await?,
        Act::Dismiss { number, .. } => {
            let dismissed: Vec<ConflictId> =
                context.ask(&Request::DismissConflicts { id: number.map(ConflictId::new) }).await?;
            context.done(&dismissed, &format!("{} dismissed.", counted(dismissed.len(), "conflict", "conflicts")))?;
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
    conflicts.iter().try_for_each(|conflict| print(context, conflict))
}

async fn show(context: &mut Context, id: ConflictId) -> Result<(), Failure> {
    let conflicts: Vec<Conflict> = context.ask(&Request::Conflicts { account: None }).await?;
    let found = conflicts.into_iter().find(|conflict| conflict.id == id);
    let conflict = found.ok_or_else(|| Failure::Said {
        message: format!(
            "there is no conflict with the number {id}, or it is dismissed; `syncctl conflicts` shows what there is"
        ),
        exit: Exit::Usage,
    })?;
    match context.json {
        true => Ok(context.screen.json(&conflict)?),
        false => print(context, &conflict),
    }
}

fn print(context: &mut Context, conflict: &Conflict) -> Result<(), Failure> {
    let place = format!(" {} {} {}", conflict.account, conflict.mailbox, conflict.at);
    context.screen.toned(&[
        (Tone::Bold, &conflict.id.to_string()),
        (Tone::Plain, &place),
        (Tone::Busy, &format!(" {}", conflict.kind)),
    ])?;
    context.screen.line(&format!("  here:      {}", conflict.here))?;
    context.screen.line(&format!("  upstream:  {}", conflict.upstream))?;
    context.screen.line(&format!("  result:    {}", conflict.result))?;
    Ok(())
}
