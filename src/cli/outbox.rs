//! `syncctl outbox`.

use clap::Subcommand;

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::Submission;
use crate::types::SubmissionId;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show mail on its way out
    List {
        /// Only this account
        account: Option<String>,
    },
    /// Show one message with its recipients
    Show { number: i64 },
    /// Do not send for now
    Hold { number: i64 },
    /// Send a held message, or try a parked one again
    Release { number: i64 },
    /// Never send
    Cancel { number: i64 },
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let request = match arguments.act.unwrap_or(Act::List { account: None }) {
        Act::List { account } => return list(context, account).await,
        Act::Show { number } => return show(context, number).await,
        Act::Hold { number } => Request::OutboxHold { id: SubmissionId::new(number) },
        Act::Release { number } => Request::OutboxRelease { id: SubmissionId::new(number) },
        Act::Cancel { number } => Request::OutboxCancel { id: SubmissionId::new(number) },
    };
    context.ask::<()>(&request).await?;
    Ok(Exit::Done)
}

async fn list(context: &mut Context, account: Option<String>) -> Result<Exit, Failure> {
    let submissions: Vec<Submission> = context.ask(&Request::OutboxList { account }).await?;
    if context.json {
        context.screen.json(&submissions)?;
    } else if submissions.is_empty() {
        context.screen.line("Nothing waits to be sent.")?;
    } else {
        let rows: Vec<Vec<String>> = submissions
            .into_iter()
            .map(|submission| {
                let recipients = submission.recipients.iter().map(|recipient| recipient.address.as_str());
                let recipients = recipients.collect::<Vec<_>>().join(", ");
                let why = submission.last_error.unwrap_or_default();
                vec![
                    submission.id.to_string(),
                    submission.account,
                    submission.state,
                    submission.created,
                    recipients,
                    why,
                ]
            })
            .collect();
        context.screen.table("", &["NUMBER", "ACCOUNT", "STATE", "SINCE", "TO", "WHY"], &rows, &[0])?;
    }
    Ok(Exit::Done)
}

async fn show(context: &mut Context, number: i64) -> Result<Exit, Failure> {
    let submission: Submission = context.ask(&Request::OutboxShow { id: SubmissionId::new(number) }).await?;
    if context.json {
        context.screen.json(&submission)?;
        return Ok(Exit::Done);
    }
    let screen = &mut context.screen;
    screen.line(&format!("number:      {}", submission.id))?;
    screen.line(&format!("account:     {}", submission.account))?;
    screen.line(&format!("since:       {}", submission.created))?;
    screen.line(&format!("message-id:  {}", submission.message_id))?;
    screen.line(&format!("from:        {}", submission.from))?;
    screen.line(&format!("size:        {} bytes", submission.size_bytes))?;
    screen.line(&format!("state:       {}", submission.state))?;
    screen.line(&format!("in Sent:     {}", if submission.filed { "yes" } else { "not yet" }))?;
    screen.line(&format!("attempts:    {}", submission.attempts))?;
    if let Some(next) = &submission.next_attempt {
        screen.line(&format!("next:        {next}"))?;
    }
    if let Some(error) = &submission.last_error {
        screen.line(&format!("last error:  {error}"))?;
    }
    for recipient in &submission.recipients {
        let reply = recipient.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
        screen.line(&format!("to:          {} ({}{reply})", recipient.address, recipient.state))?;
    }
    Ok(Exit::Done)
}
