//! Waiting for the server to tell of a change (RFC 2177), and leaving it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};

use super::code::Condition;
use super::command::Command;
use super::driver::{Event, IDLE};
use super::outward::Line;
use super::remote::ImapRemote;
use crate::sync::remote::{Interrupt, RemoteError, Woken};
use crate::types::limits;

/// Longer than any wait that is meant, and short enough for arithmetic on times.
const FOREVER_MS: u64 = 365 * 24 * 3_600_000;

/// Waits at most `max_ms`. What the server told since the mailbox was selected, or since the last wait, counts.
pub(super) async fn wait(
    remote: &mut ImapRemote,
    max_ms: u64,
    mut interrupt: Interrupt<'_>,
) -> Result<Woken, RemoteError> {
    let deadline = Instant::now() + Duration::from_millis(max_ms.min(FOREVER_MS));
    loop {
        if let Some(woken) = remote.driver.take_touched() {
            remote.poll_ms = limits::UPSTREAM_POLL_MIN_MS;
            return Ok(woken);
        }
        if Instant::now() >= deadline {
            return Ok(Woken::TimedOut);
        }
        let interrupted = match remote.facts.idle && (remote.selected.is_some() || remote.driver.notifies) {
            true => idle(remote, deadline, &mut interrupt).await?,
            false => poll(remote, deadline, &mut interrupt).await?,
        };
        if interrupted && !remote.driver.is_touched() {
            return Ok(Woken::Interrupted);
        }
    }
}

/// Has the server tell of every mailbox by itself, in IDLE; and first how each of them is, lest what happened before it
/// be missed (RFC 5465 section 4). Once on a connection: a second NOTIFY SET silences some Dovecot
/// (QUIRKS.md row 42).
pub(super) async fn notify(remote: &mut ImapRemote) -> Result<(), RemoteError> {
    remote.driver.notifies = true;
    let events = "(MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange)";
    remote.plain(Command::new("NOTIFY", format!("NOTIFY SET STATUS (personal {events})"))).await?;
    // How they are is no change of it; and a status without anything in it (QUIRKS.md row 27) is nothing to be compared.
    remote.driver.take_touched();
    remote.driver.drop_empty_news();
    Ok(())
}

/// One IDLE. True if the interrupt ended it. Its tagged answer, which the next request waits for, shows that the
/// connection lives.
async fn idle(remote: &mut ImapRemote, deadline: Instant, interrupt: &mut Interrupt<'_>) -> Result<bool, RemoteError> {
    let driver = &mut remote.driver;
    driver.begin(IDLE)?;
    let mut line = Line::default();
    line.text(b"IDLE\r\n");
    let idle_tag = driver.submit(line).await?;
    loop {
        match driver.next(false).await? {
            Event::Continue => break,
            Event::Heard(heard) => driver.pass(heard, &mut |_| Ok(false))?,
            Event::Tagged(tag, status) if tag == idle_tag => {
                driver.done();
                // Offered and refused: then it is polled.
                remote.facts.idle = false;
                return match status.condition {
                    Condition::Ok => Ok(false),
                    _ => remote.driver.check(IDLE, status).map(|_| false).or_else(keep_polling),
                };
            }
            Event::Tagged(..) | Event::Room => {}
        }
    }
    let until = deadline.min(Instant::now() + Duration::from_millis(limits::UPSTREAM_IDLE_REISSUE_MS));
    let mut interrupted = false;
    while !driver.is_touched() {
        tokio::select! {
            biased;
            event = driver.next_unhurried(false) => match event? {
                Event::Heard(heard) => driver.pass(heard, &mut |_| Ok(false))?,
                Event::Tagged(tag, status) if tag == idle_tag => {
                    driver.done();
                    return driver.check(IDLE, status).map(|_| false);
                }
                Event::Tagged(..) | Event::Continue | Event::Room => {}
            },
            () = &mut *interrupt => {
                interrupted = true;
                break;
            }
            () = sleep_until(until) => break,
        }
    }
    driver.leave_idle(idle_tag);
    Ok(interrupted)
}

/// A refusal of IDLE is no reason to give the connection up.
fn keep_polling(error: RemoteError) -> Result<bool, RemoteError> {
    match error {
        RemoteError::Refused { .. } | RemoteError::Protocol { .. } => Ok(false),
        error => Err(error),
    }
}

/// One pause and one NOOP. True if the interrupt ended the pause.
async fn poll(remote: &mut ImapRemote, deadline: Instant, interrupt: &mut Interrupt<'_>) -> Result<bool, RemoteError> {
    let until = deadline.min(Instant::now() + Duration::from_millis(remote.poll_ms));
    tokio::select! {
        biased;
        () = &mut *interrupt => return Ok(true),
        () = sleep_until(until) => {}
    }
    remote.poll_ms = (remote.poll_ms * 2).min(limits::UPSTREAM_POLL_MAX_MS);
    remote.plain(Command::new("NOOP", "NOOP")).await.map(|()| false)
}

/// LOGOUT, and the last of this connection. What the server says to it changes nothing, and is a round trip away: it is
/// not waited for. A client has to say it before it closes, and no more (RFC 9051 section 3.4).
pub(super) async fn logout(remote: &mut ImapRemote) {
    let goodbye = remote.driver.take_leave(Command::new("LOGOUT", "LOGOUT"));
    let said = timeout(Duration::from_millis(limits::UPSTREAM_LOGOUT_TIMEOUT_MS), goodbye).await;
    if !matches!(said, Ok(Ok(()))) {
        tracing::debug!(host = remote.driver.host(), "LOGOUT could not be said to the server");
    }
}
