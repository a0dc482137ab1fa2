//! `syncctl outbox`.

mod edit;
mod editor;
mod lines;

use std::io;

use clap::Subcommand;

use crate::agent::Exit;
use crate::cli::Context;
use crate::cli::acts::Acts;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::control::Request;
use crate::control::outgoing::{Flushed, STRANDED, Submission};
use crate::net::Clock;
use crate::types::{SubmissionId, Timestamp, limits};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Act {
    /// Show mail on its way out, and what was sent lately
    List {
        /// Only this account
        account: Option<String>,
        /// Only what is still to be sent
        #[arg(long)]
        waiting: bool,
    },
    /// Show one message with its recipients
    Show {
        number: i64,
        /// The message itself, byte for byte
        #[arg(long)]
        raw: bool,
    },
    /// Do not send for now
    Hold {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
    },
    /// Send held messages, or try parked ones again
    Release {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
    },
    /// Never send
    Cancel {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
    },
    /// Send at a later moment: 2026-12-24T18:00:00+01:00, or in 90s, 30m, 8h, 2d; in a year and a day (366d) at most
    Later {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
        #[arg(value_parser = moment)]
        when: When,
    },
    /// Try everything now that waits for its next attempt
    Flush {
        /// Only this account
        account: Option<String>,
    },
    /// Try again what failed or was put off by its server: with those recipients that do not have it, for another five days
    Requeue {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
    },
    /// Change a message in $VISUAL or $EDITOR, and send that in its place, when and as the old one was to go, to those who
    /// do not have it
    Edit { number: i64 },
}

/// A moment, or how long until it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum When {
    At(Timestamp),
    InSeconds(i64),
}

impl When {
    /// In RFC 3339.
    fn at(self) -> String {
        let moment = match self {
            Self::At(moment) => moment,
            Self::InSeconds(seconds) => Clock::system().now().plus_ms(seconds * 1000),
        };
        moment.to_rfc3339()
    }
}

/// No while is longer than a message waits here.
fn moment(text: &str) -> Result<When, &'static str> {
    if let Some(moment) = Timestamp::parse_rfc3339(text) {
        return Ok(When::At(moment));
    }
    let spoken = || {
        let unit = match text.chars().last()? {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let count: u32 = text[..text.len() - 1].trim().parse().ok()?;
        Some(When::InSeconds(i64::from(count) * unit))
    };
    match spoken() {
        Some(When::InSeconds(seconds)) if seconds > limits::HOLD_MAX_SECONDS.into() => {
            Err("longer than a message waits here: say 366d (a year and a day) at most")
        }
        spoken => spoken.ok_or("not a moment such as 2026-12-24T18:00:00+01:00, nor a while such as 90s, 30m, 8h, 2d"),
    }
}

pub(super) async fn run(context: &mut Context, acts: Acts<Act>) -> Result<Exit, Failure> {
    match acts.act.unwrap_or(Act::List { account: None, waiting: false }) {
        Act::List { account, waiting } => list(context, account, waiting).await,
        Act::Show { number, raw: false } => show(context, number).await,
        Act::Show { number, raw: true } => {
            let bytes = edit::source(context, SubmissionId::new(number)).await?;
            context.screen.raw(&bytes)?;
            Ok(Exit::Done)
        }
        Act::Edit { number } => edit::run(context, number).await,
        Act::Flush { account } => flush(context, account).await,
        Act::Hold { numbers } => {
            steer(context, numbers, |id| Request::OutboxHold { id }, "is held until it is released").await
        }
        Act::Release { numbers } => {
            let what = "is sent as soon as its server can be reached";
            steer(context, numbers, |id| Request::OutboxRelease { id }, what).await
        }
        Act::Cancel { numbers } => steer(context, numbers, |id| Request::OutboxCancel { id }, "is cancelled").await,
        Act::Requeue { numbers } => steer(context, numbers, |id| Request::OutboxRequeue { id }, "is tried again").await,
        Act::Later { when: When::At(moment), .. } if moment < Clock::system().now() => {
            let message = format!(
                "{} is past, and nothing is changed; `syncctl outbox later NUMBER 0s` sends a message now",
                moment.to_rfc3339()
            );
            Err(Failure::Said { message, exit: Exit::Usage })
        }
        Act::Later { numbers, when } => {
            let at = when.at();
            steer(context, numbers, |id| Request::OutboxSchedule { id, at: at.clone() }, "is sent later").await
        }
    }
}

/// Asks that of each message.
async fn steer(
    context: &mut Context,
    numbers: Vec<i64>,
    request: impl Fn(SubmissionId) -> Request,
    what: &str,
) -> Result<Exit, Failure> {
    context
        .each(numbers, async |context, number| {
            let request = request(SubmissionId::new(number));
            let submission: Submission = context.ask(&request).await?;
            let note = match request {
                Request::OutboxCancel { .. } if submission.in_doubt => {
                    "; it was being sent, and the answer was lost: they may have it"
                }
                Request::OutboxCancel { .. } if submission.went_to_some() => "; some recipients have it already",
                Request::OutboxCancel { .. } => "",
                _ if submission.state == "being-edited" => {
                    "; it is being edited, and does not go out before that is over"
                }
                _ if submission.last_error.as_deref() == Some(STRANDED) => {
                    "; but its account is not in the configuration"
                }
                _ => "",
            };
            let next = submission.next_attempt.as_ref().filter(|_| submission.state != "being-edited");
            let when = match &request {
                Request::OutboxSchedule { at, .. } => format!(", at {}", next.unwrap_or(at)),
                _ => String::new(),
            };
            let text = format!("Message {} to {} {what}{when}{note}.", submission.id, submission.open_addressees());
            Ok(context.done(&submission, &text)?)
        })
        .await
}

pub(super) async fn list(context: &mut Context, account: Option<String>, waiting: bool) -> Result<Exit, Failure> {
    let nothing =
        if waiting { "Nothing waits to be sent." } else { "Nothing was sent lately, and nothing waits to be." };
    context.list(Request::OutboxList { account, waiting, after: None }, nothing, table).await
}

async fn flush(context: &mut Context, account: Option<String>) -> Result<Exit, Failure> {
    let flushed: Flushed = context.ask(&Request::OutboxFlush { account }).await?;
    let tried = match flushed.tried {
        0 => "Nothing waits to be tried.".to_owned(),
        1 => "1 message is tried now.".to_owned(),
        more => format!("{more} messages are tried now."),
    };
    let paused = match flushed.paused.is_empty() {
        true => String::new(),
        false => format!(" Kept off the servers until `syncctl online`: {}.", flushed.paused.join(", ")),
    };
    context.done(&flushed, &format!("{tried}{paused}"))?;
    Ok(Exit::Done)
}

fn table(screen: &mut Screen, submissions: Vec<Submission>) -> io::Result<()> {
    let now = Clock::system().now();
    let row = |submission: Submission| {
        let (to, why) = (submission.addressees(), submission.why());
        let (number, next) = (submission.id.to_string(), goes(submission.next_attempt.as_deref(), now));
        let state = submission.standing();
        vec![number, submission.account, state, submission.created, next, to, submission.subject, why]
    };
    let rows: Vec<Vec<String>> = submissions.into_iter().map(row).collect();
    screen.table("", &["NUMBER", "ACCOUNT", "STATE", "SINCE", "GOES", "TO", "SUBJECT", "WHY"], &rows, &[0])
}

/// When it is tried next.
fn goes(next: Option<&str>, now: Timestamp) -> String {
    match next {
        Some(next) if Timestamp::parse_rfc3339(next).is_none_or(|moment| moment > now) => next.to_owned(),
        Some(_) => "when there is a connection".to_owned(),
        None => String::new(),
    }
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
    screen.line(&format!("subject:     {}", submission.subject))?;
    screen.line(&format!("size:        {} bytes", submission.size_bytes))?;
    screen.line(&format!("state:       {}", submission.standing()))?;
    if let Some(by) = submission.replaced_by {
        screen.line(&format!("replaced by: {by}"))?;
    }
    screen.line(&format!("in Sent:     {}", if submission.filed { "yes" } else { "not yet" }))?;
    screen.line(&format!("attempts:    {}", submission.attempts))?;
    if let Some(next) = &submission.next_attempt {
        screen.line(&format!("next:        {next}"))?;
    }
    if let Some(error) = &submission.last_error {
        screen.line(&format!("last error:  {error}"))?;
    }
    if submission.in_doubt {
        screen.line("in doubt:    the answer to an attempt was lost; who waits, or is cancelled, may have it")?;
    }
    for recipient in &submission.recipients {
        let reply = recipient.reply.as_ref().map(|reply| format!(": {reply}")).unwrap_or_default();
        screen.line(&format!("to:          {} ({}{reply})", recipient.address, recipient.state))?;
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_at_its_moment_or_as_soon_as_it_can() {
        let now = Timestamp::from_unix_ms(1_800_000_000_000);
        let later = now.plus_ms(1000).to_rfc3339();
        assert_eq!(goes(Some(&later), now), later);
        assert_eq!(goes(Some(&now.to_rfc3339()), now), "when there is a connection");
        assert_eq!(goes(None, now), "");
    }

    #[test]
    fn a_moment_is_told_or_how_long_until_then() {
        for (text, expected) in [
            ("1970-01-01T01:00:00+01:00", Some(When::At(Timestamp::from_unix_ms(0)))),
            ("90s", Some(When::InSeconds(90))),
            ("2d", Some(When::InSeconds(172_800))),
            ("366d", Some(When::InSeconds(366 * 86_400))),
            ("367d", None),
            ("4294967295d", None),
            ("tomorrow", None),
            ("", None),
            ("-1h", None),
        ] {
            assert_eq!(moment(text).ok(), expected, "{text}");
        }
    }
}
