//! `syncctl verify`. It ends with 0 when all is as it should be, 1 when something is not, 75 when a server could not be
//! asked, or not all was compared: what is still in the journal differs by its nature.

use super::Context;
use super::failure::Failure;
use super::screen::{Tone, counted};
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::{Verified, VerifiedAccount};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this account
    account: Option<String>,
    /// Do not ask the servers
    #[arg(long)]
    store_only: bool,
}

/// So many differences of one account are shown; all of them with --json.
const SHOWN_MAX: usize = 50;

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let request = Request::Verify { account: arguments.account, store_only: arguments.store_only };
    let verified: Verified = context.ask(&request).await?;
    if context.json {
        context.screen.json(&verified)?;
    } else {
        show(context, &verified)?;
    }
    let is_wrong =
        !verified.store.is_empty() || verified.accounts.iter().any(|account| !account.differences.is_empty());
    let is_unasked = verified.accounts.iter().any(is_uncompared);
    Ok(match (is_wrong, is_unasked) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::TempFail,
        (false, false) => Exit::Done,
    })
}

/// Is something left that nothing can be said of?
fn is_uncompared(account: &VerifiedAccount) -> bool {
    account.error.is_some() || !account.uncompared.is_empty() || account.unsettled > 0
}

fn show(context: &mut Context, verified: &Verified) -> std::io::Result<()> {
    let screen = &mut context.screen;
    let (tone, outcome) = match verified.store.len() {
        0 => (Tone::Good, "sound".to_owned()),
        count => (Tone::Bad, counted(count, "fault", "faults")),
    };
    // Not those of mailboxes alone: what is gone can be put back, and of some messages only a header or parts are here.
    let read = format!(
        "  {} (messages, headers, parts, what is gone) read and compared with what they were",
        counted(usize::try_from(verified.contents).unwrap_or(usize::MAX), "content", "contents")
    );
    screen.toned(&[(Tone::Bold, "store"), (Tone::Plain, "  "), (tone, &outcome), (Tone::Plain, &read)])?;
    for wrong in &verified.store {
        screen.line(&format!("  {wrong}"))?;
    }
    if verified.fetched_again > 0 {
        let messages = counted(usize::try_from(verified.fetched_again).unwrap_or(usize::MAX), "message", "messages");
        screen.line(&format!("  {messages}: the spoilt bytes were dropped, and the server is asked for them again"))?;
    }
    for account in &verified.accounts {
        show_account(context, account)?;
    }
    Ok(())
}

fn show_account(context: &mut Context, account: &VerifiedAccount) -> std::io::Result<()> {
    let (tone, outcome) = match (&account.error, account.differences.len()) {
        (Some(error), _) => (Tone::Busy, format!("not compared: {error}")),
        (None, 0) if !account.uncompared.is_empty() => (Tone::Busy, "not all compared".to_owned()),
        (None, 0) if account.unsettled > 0 => {
            let acts = counted(usize::try_from(account.unsettled).unwrap_or(usize::MAX), "act", "acts");
            (Tone::Busy, format!("equal to the server but for {acts} in the journal (syncctl journal list)"))
        }
        (None, 0) if account.in_maildrop.is_some() => (Tone::Good, "all of the maildrop is here".to_owned()),
        (None, 0) => (Tone::Good, "equal to the server".to_owned()),
        (None, count) => (Tone::Bad, counted(count, "difference", "differences")),
    };
    let held = format!("{} messages in {} mailboxes", account.messages, account.mailboxes);
    let count = match (&account.error, account.in_maildrop) {
        (Some(_), _) => String::new(),
        (None, None) => format!("  {held}"),
        // What was taken and deleted there can be compared with nothing.
        (None, Some(listed)) => {
            format!("  {listed} listed there; {held} here, compared only where the maildrop has them")
        }
    };
    let screen = &mut context.screen;
    screen.toned(&[(Tone::Bold, &account.name), (Tone::Plain, "  "), (tone, &outcome), (Tone::Plain, &count)])?;
    for difference in account.differences.iter().take(SHOWN_MAX) {
        screen.line(&format!("  {difference}"))?;
    }
    if let Some(more @ 1..) = account.differences.len().checked_sub(SHOWN_MAX) {
        screen.line(&format!("  and {more} more (--json shows all)"))?;
    }
    account.uncompared.iter().try_for_each(|uncompared| screen.line(&format!("  not compared: {uncompared}")))
}
