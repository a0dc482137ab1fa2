//! `syncctl sync`.

use std::time::Duration;

use super::Context;
use super::failure::Failure;
use super::screen::Tone;
use super::status::tone;
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::{State, Synced};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this account
    account: Option<String>,
    /// Wait until the sync is complete
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this
    #[arg(long, requires = "wait", value_name = "SECONDS")]
    timeout: Option<u64>,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let request = Request::Sync { account: arguments.account, wait: arguments.wait };
    let asked = context.ask::<Synced>(&request);
    let synced = match arguments.timeout {
        None => asked.await?,
        Some(seconds) => tokio::time::timeout(Duration::from_secs(seconds), asked).await.unwrap_or_else(|_| {
            Err(Failure::Said {
                message: format!("the sync is not complete after {seconds} s; it goes on"),
                exit: Exit::TempFail,
            })
        })?,
    };
    if context.json {
        context.screen.json(&synced)?;
    } else {
        if !synced.begun.is_empty() {
            let text = format!("{}: a sync is begun; `syncctl status` shows how it goes.", synced.begun.join(", "));
            context.screen.line(&text)?;
        }
        for account in &synced.accounts {
            let (outcome, tone) = match (account.complete, &account.error) {
                (true, _) => ("complete", Tone::Good),
                (false, None) if account.state == State::Paused => ("paused (`syncctl online`)", Tone::Busy),
                (false, None) => ("not complete", Tone::Busy),
                (false, Some(_)) => (account.state.as_str(), tone(account.state)),
            };
            let told = [account.error.clone().unwrap_or_default(), account.left.to_string()];
            let reasons = told.into_iter().filter(|it| !it.is_empty()).collect::<Vec<_>>().join("; ");
            let error = if reasons.is_empty() { reasons } else { format!(": {reasons}") };
            context.screen.toned(&[
                (Tone::Bold, &account.name),
                (Tone::Plain, "  "),
                (tone, outcome),
                (Tone::Plain, &error),
            ])?;
        }
    }
    Ok(exit(&synced))
}

fn exit(synced: &Synced) -> Exit {
    let incomplete = || synced.accounts.iter().filter(|account| !account.complete);
    match () {
        () if incomplete().any(|account| account.state == State::AuthFailed) => Exit::NoPermission,
        () if incomplete().next().is_some() => Exit::TempFail,
        () => Exit::Done,
    }
}
