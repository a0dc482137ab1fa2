//! `syncctl conflicts`.

use std::io;

use clap::Subcommand;

use super::Context;
use super::acts::Acts;
use super::failure::Failure;
use super::screen::{Screen, Tone, counted, titled};
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::Conflict;
use crate::types::ConflictId;

#[derive(Debug, Subcommand)]
pub(super) enum Act {
    /// Show what was changed on both sides
    List {
        /// Only this account
        account: Option<String>,
    },
    /// Show one of them
    Show { number: i64 },
    /// Do not list conflicts any more
    Dismiss {
        #[arg(required_unless_present = "all", value_name = "NUMBER")]
        numbers: Vec<i64>,
        /// Dismiss all
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
}

pub(super) async fn run(context: &mut Context, acts: Acts<Act>) -> Result<Exit, Failure> {
    match acts.act.unwrap_or(Act::List { account: None }) {
        Act::List { account } => {
            let all =
                |screen: &mut Screen, conflicts: Vec<Conflict>| conflicts.iter().try_for_each(|one| print(screen, one));
            return context.list(Request::Conflicts { account }, "No conflicts.", all).await;
        }
        Act::Show { number } => show(context, ConflictId::new(number)).await?,
        Act::Dismiss { all: true, .. } => dismiss(context, None).await?,
        Act::Dismiss { numbers, .. } => {
            return context
                .each(numbers, async |context, number| dismiss(context, Some(ConflictId::new(number))).await)
                .await;
        }
    }
    Ok(Exit::Done)
}

/// One of them, or all.
async fn dismiss(context: &mut Context, id: Option<ConflictId>) -> Result<(), Failure> {
    let dismissed: Vec<ConflictId> = context.ask(&Request::DismissConflicts { id }).await?;
    let text = match id {
        Some(id) => format!("Conflict {id} dismissed."),
        None => format!("{} dismissed.", counted(dismissed.len(), "conflict", "conflicts")),
    };
    Ok(context.done(&dismissed, &text)?)
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
        false => Ok(print(&mut context.screen, &conflict)?),
    }
}

fn print(screen: &mut Screen, conflict: &Conflict) -> io::Result<()> {
    let place = format!(" {} {} {}", conflict.account, conflict.mailbox, conflict.at);
    screen.toned(&[
        (Tone::Bold, &conflict.id.to_string()),
        (Tone::Plain, &place),
        (Tone::Busy, &format!(" {}", conflict.kind)),
    ])?;
    if let Some(message) = &conflict.message {
        screen.line(&format!("  message:   {}", titled(&message.subject)))?;
        screen.line(&format!("  from:      {}", message.from))?;
        if let Some(message_id) = &message.message_id {
            screen.line(&format!("  id:        {message_id}"))?;
        }
        screen.line(&format!("  now in:    {}", message.mailbox.as_deref().unwrap_or("no mailbox")))?;
    }
    screen.line(&format!("  here:      {}", conflict.here))?;
    screen.line(&format!("  upstream:  {}", conflict.upstream))?;
    screen.line(&format!("  result:    {}", conflict.result))
}
