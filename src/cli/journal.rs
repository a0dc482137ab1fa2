//! `syncctl journal`.

use std::io;

use clap::Subcommand;

use super::Context;
use super::acts::Acts;
use super::failure::Failure;
use super::screen::{Screen, counted, titled};
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::Entry;
use crate::types::EntryId;

#[derive(Debug, Subcommand)]
pub(super) enum Act {
    /// Show what is still to be done on the servers
    List {
        /// Only this account
        account: Option<String>,
    },
    /// Show one entry
    Show { number: i64 },
    /// Try parked entries again
    Retry {
        #[arg(required_unless_present = "all", value_name = "NUMBER")]
        numbers: Vec<i64>,
        /// Try all parked entries again
        #[arg(long, conflicts_with = "numbers")]
        all: bool,
    },
    /// Give up entries: they will not be done on the server, and are taken back here
    Discard {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
        /// Do not ask, even where mail goes out of a mailbox here
        #[arg(long)]
        yes: bool,
    },
}

pub(super) async fn run(context: &mut Context, acts: Acts<Act>) -> Result<Exit, Failure> {
    match acts.act.unwrap_or(Act::List { account: None }) {
        Act::List { account } => {
            let nothing = "Nothing waits to be done on the servers.";
            return context.list(Request::JournalList { account }, nothing, table).await;
        }
        Act::Show { number } => show(context, number).await?,
        Act::Retry { all: true, .. } => {
            let retried: Vec<EntryId> = context.ask(&Request::JournalRetry { id: None }).await?;
            let text = match retried.len() {
                0 => "No entry is parked.".to_owned(),
                count => format!("{} tried again.", counted(count, "entry is", "entries are")),
            };
            context.done(&retried, &text)?;
        }
        Act::Retry { numbers, .. } => {
            return context
                .each(numbers, async |context, number| {
                    let request = Request::JournalRetry { id: Some(EntryId::new(number)) };
                    let retried: Vec<EntryId> = context.ask(&request).await?;
                    Ok(context.done(&retried, &format!("Entry {number} is tried again."))?)
                })
                .await;
        }
        Act::Discard { numbers, yes } => {
            return context
                .each(numbers, async |context, number| discard(context, EntryId::new(number), yes).await)
                .await;
        }
    }
    Ok(Exit::Done)
}

/// Where it takes mail out of a mailbox it is asked first.
async fn discard(context: &mut Context, id: EntryId, yes: bool) -> Result<(), Failure> {
    let entry: Entry = context.ask(&Request::JournalShow { id }).await?;
    if entry.discarding_removes_mail && !yes {
        context.confirm(&format!("Discarding {}: {}.", told(&context.screen, &entry), entry.discarding))?;
    }
    let discarded: Entry = context.ask(&Request::JournalDiscard { id }).await?;
    let text = format!("Discarded {}: {}.", told(&context.screen, &discarded), discarded.discarding);
    Ok(context.done(&discarded, &text)?)
}

/// The act, and which message it is about where it is one.
fn told(screen: &Screen, entry: &Entry) -> String {
    match &entry.subject {
        Some(subject) => format!("\"{}\" ({})", entry.what, screen.fitting(titled(subject))),
        None => format!("\"{}\"", entry.what),
    }
}

fn table(screen: &mut Screen, entries: Vec<Entry>) -> io::Result<()> {
    let row = |entry: &Entry| {
        let subject = entry.subject.as_deref().map(|subject| screen.fitting(titled(subject))).unwrap_or_default();
        let what = entry.why.as_ref().map_or_else(|| entry.what.clone(), |why| format!("{}: {why}", entry.what));
        let [account, state, created] = [&entry.account, &entry.state, &entry.created].map(String::clone);
        vec![entry.id.to_string(), account, state, created, subject, what]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    screen.table("", &["NUMBER", "ACCOUNT", "STATE", "SINCE", "SUBJECT", "WHAT"], &rows, &[0])
}

async fn show(context: &mut Context, number: i64) -> Result<(), Failure> {
    let entry: Entry = context.ask(&Request::JournalShow { id: EntryId::new(number) }).await?;
    if context.json {
        return Ok(context.screen.json(&entry)?);
    }
    let screen = &mut context.screen;
    screen.line(&format!("number:    {}", entry.id))?;
    screen.line(&format!("account:   {}", entry.account))?;
    screen.line(&format!("since:     {}", entry.created))?;
    screen.line(&format!("what:      {}", entry.what))?;
    if let Some(subject) = &entry.subject {
        screen.line(&format!("subject:   {}", titled(subject)))?;
    }
    screen.line(&format!("state:     {}", entry.state))?;
    screen.line(&format!("messages:  {} still to be done", entry.open_messages))?;
    screen.line(&format!("attempts:  {}", entry.attempts))?;
    if let Some(why) = &entry.why {
        screen.line(&format!("parked:    {why}"))?;
    }
    screen.line(&format!("discarded: {}", entry.discarding))?;
    Ok(())
}
