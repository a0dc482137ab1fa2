//! `syncctl conflicts`.

use std::io;

use clap::Subcommand;

use super::Context;
use super::acts::Acts;
use super::failure::Failure;
use super::screen::{Screen, Tone, counted};
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
    /// Do not list a conflict any more
    Dismiss {
        #[arg(required_unless_present = "all")]
        number: Option<i64>,
        /// Dismiss all
        #[arg(long, conflicts_with = "number")]
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
        Act::Dismiss { number, .. } => {
            let dismissed: Vec<ConflictId> =
                context.ask(&Request::DismissConflicts { id: number.map(ConflictId::new) }).await?;
            context.done(&dismissed, &format!("{} dismissed.", counted(dismissed.len(), "conflict", "conflicts")))?;
        }
    }
    Ok(Exit::Done)
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
        let subject = if message.subject.is_empty() { "(no subject)" } else { &message.subject };
        screen.line(&format!("  message:   {subject}"))?;
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
