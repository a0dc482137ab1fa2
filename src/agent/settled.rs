//! `syncctl sync --wait`: what was asked for is done when both sides are quiet, not when one pass is over.

use std::sync::Arc;
use std::time::Duration;

use super::account::Handle;
use super::control;
use super::daemon::Agent;
use super::reports;
use crate::control::Failure;
use crate::control::report::{Left, State, SyncedAccount};
use crate::store::Result;
use crate::types::AccountId;

/// What is sent makes a copy in Sent, which is pushed, which may bring something in: more turns than this find no end.
const TURNS_MAX: usize = 5;

/// How long a message being sent is waited for: the largest over a slow line. Whoever asked may have left long before.
const SENDING_MAX: Duration = Duration::from_secs(10 * 60);

/// Waits until there is nothing left that can be done now for the account called `name`, and tells what is.
pub(super) async fn wait(agent: &Arc<Agent>, name: &str) -> std::result::Result<SyncedAccount, Failure> {
    let mut before = None;
    loop {
        let mut asked = None;
        agent.each(Some(name), |running| asked = Some((running.id, running.sync())))?;
        let Some((id, told)) = asked else { return Ok(stopped(name)) };
        let Ok(mut outcome) = told.await else { return Ok(stopped(name)) };
        if outcome.complete
            && let Some(trouble) = sending_ends(agent, name, id).await?
        {
            outcome.complete = false;
            outcome.error = Some(format!("nothing can be sent now: {trouble}"));
        }
        let left = look(agent, id).await?.left;
        let turns = before.map_or(1, |(turns, _)| turns + 1);
        // What a whole turn did not change, another does not.
        let goes_on = (left.journal_waiting > 0 || left.not_filed > 0) && before.is_none_or(|(_, old)| old != left);
        if !outcome.complete || !goes_on || turns == TURNS_MAX {
            return Ok(finished(outcome, left));
        }
        before = Some((turns, left));
    }
}

fn stopped(name: &str) -> SyncedAccount {
    let error = Some("the account was stopped or changed meanwhile".to_owned());
    SyncedAccount { name: name.to_owned(), complete: false, state: State::Offline, error, left: Left::default() }
}

fn finished(outcome: SyncedAccount, left: Left) -> SyncedAccount {
    let state = match outcome.state {
        State::Online | State::Syncing if left.blocked > 0 => State::Blocked,
        State::Syncing => State::Online,
        state => state,
    };
    SyncedAccount { complete: outcome.complete && left.is_nothing(), state, left, ..outcome }
}

/// Waits while something is being sent or filed and can be. Tells what keeps the outbox from it.
async fn sending_ends(agent: &Arc<Agent>, name: &str, id: AccountId) -> std::result::Result<Option<String>, Failure> {
    let mut changes = agent.common.changes.subscribe();
    let quiet = async {
        loop {
            changes.borrow_and_update();
            let (mut can_go_on, mut trouble) = (false, None);
            agent
                .each(Some(name), |running| (can_go_on, trouble) = (is_connected(running), running.outbox_trouble()))?;
            if !can_go_on || !look(agent, id).await?.is_sending {
                return Ok(None);
            }
            if trouble.is_some() || changes.changed().await.is_err() {
                return Ok(trouble);
            }
        }
    };
    tokio::time::timeout(SENDING_MAX, quiet).await.unwrap_or(Ok(None))
}

fn is_connected(running: &Handle) -> bool {
    matches!(running.live().state, State::Online | State::Syncing)
}

struct Look {
    left: Left,
    /// A message is on its way, or due, or sent and not filed.
    is_sending: bool,
}

async fn look(agent: &Arc<Agent>, id: AccountId) -> std::result::Result<Look, Failure> {
    let agent = Arc::clone(agent);
    let looked = tokio::task::spawn_blocking(move || look_now(&agent, id)).await;
    looked.map_err(Failure::internal)?.map_err(control::failure)
}

fn look_now(agent: &Agent, id: AccountId) -> Result<Look> {
    let now = agent.common.clock.now();
    agent.common.store.read(|reader| {
        let left = reports::left(reader, id, now)?;
        let is_due = reader.next_submission_due(id)?.is_some_and(|due| due <= now);
        Ok(Look { left, is_sending: is_due || left.not_filed > 0 || reader.outbox_counts(id)?.sending > 0 })
    })
}
