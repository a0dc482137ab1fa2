//! `syncctl why`.

use super::Context;
use super::failure::Failure;
use super::screen::{Screen, Tone};
use crate::agent::Exit;
use crate::control::Request;
use crate::control::outgoing::Submission;
use crate::control::report::{Copy, Life, Place};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The Message-ID, with or without its angle brackets
    message_id: String,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let life: Life = context.ask(&Request::Why { message_id: arguments.message_id }).await?;
    if life.copies.is_empty() && life.submissions.is_empty() {
        let message = format!("there is no message with the Message-ID {}", life.message_id);
        return Err(Failure::Said { message, exit: Exit::Usage });
    }
    if context.json {
        context.screen.json(&life)?;
        return Ok(Exit::Done);
    }
    life.copies.iter().try_for_each(|copy| show_copy(&mut context.screen, copy))?;
    life.submissions.iter().try_for_each(|one| show_submission(&mut context.screen, one))?;
    Ok(Exit::Done)
}

fn show_copy(screen: &mut Screen, copy: &Copy) -> std::io::Result<()> {
    let text = if copy.is_here { "" } else { ", its text not here: `syncctl fetch` gets it" };
    let title = format!("  {}: {} ({} bytes{text})", copy.from, copy.subject, copy.size_bytes);
    screen.toned(&[(Tone::Bold, &format!("{} {}", copy.account, copy.id)), (Tone::Plain, &title)])?;
    let place = |place: &Option<Place>| match place {
        Some(Place { mailbox, uid: 0 }) => format!("{mailbox}, to be found again"),
        Some(Place { mailbox, uid }) => format!("{mailbox}, UID {uid}"),
        None => "nowhere".to_owned(),
    };
    screen.line(&format!("  here:      {}, since {}", place(&copy.here), copy.since))?;
    let upstream = match &copy.popped_as {
        Some(unique_id) => format!("in the maildrop, as {unique_id}"),
        None => place(&copy.upstream),
    };
    screen.line(&format!("  upstream:  {upstream}"))?;
    screen.line(&format!("  flags:     {}", if copy.flags.is_empty() { "none" } else { &copy.flags }))?;
    if let Some(gone) = &copy.gone {
        let how = match gone.recoverable {
            true => format!("`syncctl recover restore {}` puts it back until {}", gone.id, gone.until),
            false => "its bytes were never here".to_owned(),
        };
        screen.line(&format!("  gone:      from {}, {}: {}; {how}", gone.from_mailbox, gone.at, gone.why))?;
    }
    for entry in &copy.pending {
        let why = entry.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("journal entry {}, {}, since {}{why}", entry.id, entry.state, entry.created);
        screen.line(&format!("  pending:   {} ({text})", entry.what))?;
    }
    for conflict in &copy.conflicts {
        let text = format!("{}; upstream {}; {}", conflict.here, conflict.upstream, conflict.result);
        screen.line(&format!("  conflict:  {}: here {text}", conflict.at))?;
    }
    Ok(())
}

fn show_submission(screen: &mut Screen, submission: &Submission) -> std::io::Result<()> {
    let title = format!("{} outbox {}", submission.account, submission.id);
    let filed = if submission.filed { "" } else { ", not in Sent" };
    let text = format!("  submitted {}: {}{filed}", submission.created, submission.standing());
    screen.toned(&[(Tone::Bold, &title), (Tone::Plain, &text)])?;
    for recipient in &submission.recipients {
        let reply = recipient.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
        screen.line(&format!("  to:        {} ({}{reply})", recipient.address, recipient.state))?;
    }
    Ok(())
}
