//! `syncctl status`.

use super::Context;
use super::failure::Failure;
use super::screen::{Screen, Tone, bytes};
use crate::agent::Exit;
use crate::agent::daemon::no_account;
use crate::control::Request;
use crate::control::bodies::{Amount, Bodies, StoppedBy};
use crate::control::report::{Account, NotGiven, Quota, State, Status};

/// Messages that a server does not give, shown one by one.
const NOT_GIVEN_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only this account
    account: Option<String>,
    /// Show every change until interrupted
    #[arg(long)]
    follow: bool,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let mut daemon = context.daemon().await?;
    let request = if arguments.follow { Request::Follow } else { Request::Status };
    let mut status: Status = daemon.call(&request).await?;
    loop {
        narrow(&mut status, arguments.account.as_deref())?;
        match context.json {
            true => context.screen.json(&status)?,
            false => {
                if arguments.follow {
                    context.screen.new_frame()?;
                }
                show(&mut context.screen, &status)?;
            }
        }
        if !arguments.follow {
            return Ok(Exit::Done);
        }
        status = daemon.notification().await?;
    }
}

/// Leaves the account called `name`, where one is named.
fn narrow(status: &mut Status, name: Option<&str>) -> Result<(), Failure> {
    let Some(name) = name else { return Ok(()) };
    if !status.accounts.iter().any(|account| account.name == name) {
        let known = status.accounts.iter().map(|account| account.name.as_str());
        return Err(Failure::Said { message: no_account(name, known), exit: Exit::Usage });
    }
    status.accounts.retain(|account| account.name == name);
    Ok(())
}

fn show(screen: &mut Screen, status: &Status) -> std::io::Result<()> {
    for left in &status.unconfigured {
        screen.toned(&[(Tone::Bad, &left.to_string())])?;
    }
    if status.accounts.is_empty() {
        return screen.line("There is no account in the configuration.");
    }
    status.accounts.iter().try_for_each(|account| show_account(screen, account))
}

fn show_account(screen: &mut Screen, account: &Account) -> std::io::Result<()> {
    let last_sync = account.last_sync.as_deref().unwrap_or("never");
    screen.toned(&[
        (Tone::Bold, &account.name),
        (Tone::Plain, "  "),
        (tone(account.state), account.state.as_str()),
        (Tone::Plain, &format!("  last sync: {last_sync}")),
    ])?;
    if let Some(error) = &account.last_error {
        screen.toned(&[(Tone::Bad, &format!("  {error}"))])?;
    }
    for blocked in &account.blocked {
        let text = format!("  {}: {} ({})", blocked.mailbox, blocked.why, word_for(account));
        screen.toned(&[(Tone::Bad, &text)])?;
    }
    let journal = &account.journal;
    screen.line(&format!(
        "  journal: {} pending, {} in flight, {} parked",
        journal.pending, journal.in_flight, journal.parked
    ))?;
    let outbox = &account.outbox;
    screen.line(&format!(
        "  outbox: {} queued, {} sending, {} held, {} parked",
        outbox.queued, outbox.sending, outbox.held, outbox.parked
    ))?;
    if account.conflicts > 0 {
        screen.line(&format!("  conflicts: {} (`syncctl conflicts`)", account.conflicts))?;
    }
    for NotGiven { unique_id, why, again } in account.not_given.iter().take(NOT_GIVEN_MAX) {
        let text = format!("  the server does not give {unique_id}: {why}; it is asked again at {again}");
        screen.toned(&[(Tone::Busy, &text)])?;
    }
    match account.not_given.len().saturating_sub(NOT_GIVEN_MAX) {
        0 => {}
        more => screen.line(&format!("  and {more} more (`syncctl status --json`)"))?,
    }
    for quota in &account.quota {
        let (tone, text) = quota_line(quota);
        screen.toned(&[(tone, &format!("  {text}"))])?;
    }
    if let Some((tone, text)) = bodies(&account.bodies) {
        screen.toned(&[(tone, &format!("  {text}"))])?;
    }
    let rows: Vec<Vec<String>> = account
        .mailboxes
        .iter()
        .map(|mailbox| {
            vec![
                mailbox.name.clone(),
                mailbox.messages.to_string(),
                mailbox.unseen.to_string(),
                mailbox.pending.to_string(),
            ]
        })
        .collect();
    screen.table("  ", &["MAILBOX", "MESSAGES", "UNSEEN", "PENDING"], &rows, &[1, 2, 3])
}

/// How full the account is on the server.
fn quota_line(Quota { root, resource, used, limit }: &Quota) -> (Tone, String) {
    let root = if root.is_empty() { String::new() } else { format!(" ({root})") };
    let amount = match resource.as_str() {
        "storage" => format!("{} of {}", bytes(*used), bytes(*limit)),
        resource => format!("{used} of {limit} ({resource})"),
    };
    let tone = match used.saturating_mul(10) >= limit.saturating_mul(9) {
        true if used >= limit => Tone::Bad,
        true => Tone::Busy,
        false => Tone::Plain,
    };
    (tone, format!("quota{root}: {amount} used on the server"))
}

/// What is not here, and what is fetched of it; `None` where all is here and nothing costs.
fn bodies(bodies: &Bodies) -> Option<(Tone, String)> {
    let Bodies { absent, wanted, withheld, today, budget_bytes, budget_left_bytes, metered, stopped_by } = bodies;
    if absent.messages == 0 && budget_bytes.is_none() && !metered {
        return None;
    }
    let amount = |amount: &Amount| format!("{} ({})", amount.messages, bytes(amount.bytes));
    let mut told = vec![format!("bodies: {} not here, {} of them wanted", amount(absent), amount(wanted))];
    if *withheld > 0 {
        told.push(format!("{withheld} that the server does not give (`syncctl fetch` asks again)"));
    }
    let on_demand = bytes(today.on_demand_bytes);
    let budget = budget_bytes.map(|budget| format!(" of {}", bytes(budget))).unwrap_or_default();
    told.push(format!("fetched today: {}{budget}, {on_demand} on demand", bytes(today.fetched_bytes)));
    let left = bytes(budget_left_bytes.unwrap_or_default());
    match (stopped_by, metered) {
        (Some(StoppedBy::Budget), _) => {
            told.push(format!("of today's budget {left} are left: what is wanted is fetched after midnight (UTC)"));
        }
        (Some(StoppedBy::Metered), _) | (None, true) => {
            told.push("metered: only what is asked for is fetched (`syncctl metered off`)".to_owned());
        }
        (None, false) => {}
    }
    Some((if stopped_by.is_some() { Tone::Busy } else { Tone::Plain }, told.join("; ")))
}

/// What to type, for a mass removal that was held back.
pub(super) fn word_for(account: &Account) -> String {
    format!("`syncctl confirm {0}` lets them go here, too; `syncctl reject {0}` keeps them", account.name)
}

pub(super) const fn tone(state: State) -> Tone {
    match state {
        State::Online => Tone::Good,
        State::Syncing | State::Offline | State::Paused => Tone::Busy,
        State::AuthFailed | State::Blocked => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_told_in_its_unit_and_stands_out_when_it_is_near() {
        let line = |root: &str, resource: &str, used, limit| {
            quota_line(&Quota { root: root.to_owned(), resource: resource.to_owned(), used, limit })
        };
        let rows = [
            (line("", "storage", 512 << 20, 1 << 30), Tone::Plain, "quota: 512 MB of 1 GB used on the server"),
            (
                line("User quota", "message", 90, 100),
                Tone::Busy,
                "quota (User quota): 90 of 100 (message) used on the server",
            ),
            (line("", "storage", 2048, 1024), Tone::Bad, "quota: 2 KB of 1 KB used on the server"),
        ];
        for ((tone, text), wanted, expected) in rows {
            assert_eq!((tone, text.as_str()), (wanted, expected));
        }
    }
}
