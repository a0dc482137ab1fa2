//! `syncctl fetch`: messages and folders that are to be here.

use std::io;

use super::Context;
use super::failure::Failure;
use super::screen::{Screen, Tone, bytes, counted};
use super::status::tone;
use crate::agent::Exit;
use crate::control::Request;
use crate::control::bodies::{Fetched, Target};
use crate::control::report::State;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A folder, a Message-ID, or the number of a message (`syncctl why` tells it)
    #[arg(required = true, value_name = "MESSAGE|FOLDER")]
    wanted: Vec<String>,
    /// Only in this account
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { wanted, account } = arguments;
    let fetched: Fetched = context.ask(&Request::Fetch { wanted, account }).await?;
    match context.json {
        true => context.screen.json(&fetched)?,
        false => fetched.targets.iter().try_for_each(|target| show(&mut context.screen, target))?,
    }
    Ok(exit(&fetched))
}

fn show(screen: &mut Screen, target: &Target) -> io::Result<()> {
    let Target { wanted, account, here, fetched, refused, refusals, .. } = target;
    let told = match (fetched.messages, here) {
        (0, 0) => "nothing came".to_owned(),
        (0, _) if target.mailbox.is_none() => "it is here already".to_owned(),
        (0, here) => format!("{} here already", counted(*here, "message is", "messages are")),
        (_, 0) => format!("fetched {}, {}", counted(fetched.messages, "message", "messages"), bytes(fetched.bytes)),
        (_, here) => format!(
            "fetched {}, {}; {here} were here already",
            counted(fetched.messages, "message", "messages"),
            bytes(fetched.bytes)
        ),
    };
    let told = match target.mailbox.is_some() && fetched.messages + here + target.waiting + refused == 0 {
        true => "there is nothing in it".to_owned(),
        false => told,
    };
    screen.toned(&[(Tone::Bold, &format!("{wanted} ({account})")), (Tone::Plain, &format!("  {told}"))])?;
    if let Some((tone, text)) = waiting(target) {
        screen.toned(&[(tone, &format!("  {text}"))])?;
    }
    for refusal in refusals {
        let text = format!("  {} {}: {} cannot be had: {}", refusal.id, refusal.from, refusal.subject, refusal.why);
        screen.toned(&[(Tone::Bad, &text)])?;
    }
    match refused.saturating_sub(refusals.len() as u64) {
        0 => Ok(()),
        more => screen.line(&format!("  and {more} more")),
    }
}

/// Why something is still to come, and when it does.
fn waiting(target: &Target) -> Option<(Tone, String)> {
    let Target { account, waiting, over_budget, state, error, .. } = target;
    let (count, they) = match waiting {
        0 => return None,
        1 => ("1 message is wanted and not here".to_owned(), "it is"),
        more => (format!("{more} messages are wanted and not here"), "they are"),
    };
    let why = match state {
        _ if *over_budget > 0 => format!("today's budget is spent; {they} fetched after midnight (UTC)"),
        State::Paused => format!("{account} is paused; {they} fetched after `syncctl online {account}`"),
        State::AuthFailed => {
            let error = error.as_deref().unwrap_or("the login was refused");
            format!("{error}; {they} fetched once that is mended")
        }
        _ => {
            let error = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
            format!("{account} is offline{error}; {they} fetched once it is online")
        }
    };
    Some((tone(*state), format!("{count}: {why}")))
}

fn exit(fetched: &Fetched) -> Exit {
    let missing = || fetched.targets.iter().filter(|target| !target.is_here());
    match () {
        () if missing().any(|target| target.waiting > 0 && target.state == State::AuthFailed) => Exit::NoPermission,
        () if missing().any(|target| target.waiting > 0) => Exit::TempFail,
        () if missing().next().is_some() => Exit::Failed,
        () => Exit::Done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::bodies::Amount;

    #[test]
    fn what_does_not_come_is_told_with_what_helps() {
        let offline = Target {
            wanted: "INBOX".to_owned(),
            account: "work".to_owned(),
            mailbox: Some("INBOX".to_owned()),
            state: State::Offline,
            error: Some("no route".to_owned()),
            here: 0,
            fetched: Amount::default(),
            waiting: 2,
            over_budget: 0,
            refused: 0,
            refusals: Vec::new(),
        };
        for (state, over_budget, told, expected) in [
            (State::Offline, 0, "work is offline (no route); they are fetched once it is online", Exit::TempFail),
            (State::Paused, 0, "after `syncctl online work`", Exit::TempFail),
            (State::AuthFailed, 0, "no route; they are fetched once that is mended", Exit::NoPermission),
            (State::Online, 2, "today's budget is spent; they are fetched after midnight (UTC)", Exit::TempFail),
        ] {
            let target = Target { state, over_budget, ..offline.clone() };
            let text = waiting(&target).map(|(_, text)| text).unwrap_or_default();
            assert!(text.starts_with("2 messages are wanted and not here: ") && text.contains(told), "{text}");
            assert_eq!(exit(&Fetched { targets: vec![target] }), expected);
        }
        let refused = Target { waiting: 0, refused: 1, ..offline.clone() };
        assert_eq!(exit(&Fetched { targets: vec![refused] }), Exit::Failed);
        assert_eq!(exit(&Fetched { targets: vec![Target { waiting: 0, ..offline }] }), Exit::Done);
    }
}
