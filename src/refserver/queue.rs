//! `refserver queue`: what waits for other domains, shown and steered while the server runs.
//!
//! The running server holds the store, so it is asked: over a socket in its data folder, in the words of `syncctl outbox`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::command::{exit_of_options, fail};
use super::options::{Arguments, data_folder};
use super::users::Users;
use crate::agent::{Exit, reports};
use crate::control::outgoing::Submission;
use crate::control::{CallError, Client, Failure, Handler, Request};
use crate::net::Clock;
use crate::store::{self, Origin, Store};
use crate::types::{SubmissionId, limits};

/// What is done with the queue.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Act {
    /// Show what waits
    List {
        /// In JSON, for scripts
        #[arg(long)]
        json: bool,
    },
    /// Try everything now
    Flush,
    /// Never send these messages; their senders get no report
    Remove {
        #[arg(required = true, value_name = "NUMBER")]
        numbers: Vec<i64>,
    },
}

/// Where the running server listens.
pub(super) fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// Asks the running server.
pub(super) async fn run(options: Arguments, act: Act) -> Exit {
    let data = match data_folder(options) {
        Ok(data) => data,
        Err(error) => return fail(&error, exit_of_options(&error)),
    };
    let done = match Client::connect(&socket(&data)).await {
        Ok(mut client) => match act {
            Act::Remove { numbers } => remove(&mut client, numbers).await,
            Act::List { json } => list(&mut client, json).await.map(print),
            Act::Flush => flush(&mut client).await.map(print),
        },
        Err(error) => Err(error),
    };
    done.unwrap_or_else(|error| tell(&error))
}

fn print(text: String) -> Exit {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Exit::Done,
        Err(error) => fail(&error, Exit::TempFail),
    }
}

fn tell(error: &CallError) -> Exit {
    match error {
        CallError::Unavailable { path, cause } => {
            let error =
                format!("no refserver answers at {} ({cause}); the queue is shown by one that runs", path.display());
            fail(&std::io::Error::other(error), Exit::Unavailable)
        }
        CallError::Failed(failure) if failure.code == Failure::NOT_FOUND => fail(failure, Exit::Usage),
        CallError::Failed(failure) if failure.code == Failure::NOT_NOW => fail(failure, Exit::TempFail),
        error => fail(error, Exit::Failed),
    }
}

async fn list(client: &mut Client, json: bool) -> Result<String, CallError> {
    let mut text = String::new();
    let mut last = SubmissionId::new(0);
    loop {
        let request = Request::OutboxList { account: None, waiting: true, after: Some(last) };
        let waiting: Vec<Submission> = client.call(&request).await?;
        // A server from before an upgrade tells all at once, as often as it is asked.
        let more = waiting.first().filter(|first| first.id > last).and(waiting.last());
        let Some(end) = more else { return Ok(whole(text, json)) };
        last = end.id;
        text += &if json { elements(&waiting) } else { shown(&waiting) };
    }
}

async fn flush(client: &mut Client) -> Result<String, CallError> {
    client.call::<Value>(&Request::OutboxFlush { account: None }).await?;
    Ok("Everything is tried now.\n".to_owned())
}

/// What cannot be removed is told and keeps no other from it; the first such decides how the program ends.
async fn remove(client: &mut Client, numbers: Vec<i64>) -> Result<Exit, CallError> {
    let (mut first, mut named) = (None, BTreeSet::new());
    for number in numbers.into_iter().filter(|number| named.insert(*number)) {
        let exit = match client.call::<Value>(&Request::OutboxCancel { id: SubmissionId::new(number) }).await {
            Ok(_) => print(format!("Message {number} is not sent any more.\n")),
            Err(error @ CallError::Failed(_)) => tell(&error),
            Err(error) => return Err(error),
        };
        first = first.or(Some(exit).filter(|exit| *exit != Exit::Done));
    }
    Ok(first.unwrap_or(Exit::Done))
}

/// What is printed of pieces put together.
fn whole(pieces: String, json: bool) -> String {
    match json {
        true => format!("[{}]\n", pieces.trim_end_matches(',')),
        false if pieces.is_empty() => "Nothing waits.\n".to_owned(),
        false => pieces,
    }
}

/// Each in JSON, a comma behind it.
fn elements(waiting: &[Submission]) -> String {
    let element = |submission| serde_json::to_string(submission).expect("plain values") + ",";
    waiting.iter().map(element).collect()
}

/// A line each: number, since when, from, to whom, why it waits.
fn shown(waiting: &[Submission]) -> String {
    let mut text = String::new();
    for submission in waiting {
        let Submission { id, created, state, from, last_error, .. } = submission;
        text += &format!("{id}\t{created}\t{state}\t<{from}>\t{}", submission.open_addressees());
        text += &last_error.as_deref().map(|error| format!("\t{error}")).unwrap_or_default();
        text += "\n";
    }
    text
}

/// The server's end.
#[derive(Clone)]
pub(super) struct QueueControl {
    store: Store,
    users: Arc<Users>,
    clock: Clock,
    changes: watch::Sender<u64>,
}

impl QueueControl {
    pub(super) fn new(store: Store, users: Arc<Users>, clock: Clock) -> Self {
        Self { store, users, clock, changes: watch::Sender::new(0) }
    }

    fn answer(&self, request: Request) -> Result<Value, Failure> {
        let now = self.clock.now();
        match request {
            Request::OutboxList { account: None, after: Some(after), .. } => {
                let waiting = self.store.read(|reader| self.waiting(reader, after)).map_err(failed)?;
                serde_json::to_value(waiting).map_err(Failure::internal)
            }
            Request::OutboxCancel { id } => {
                let cancelled = self.store.write(Origin::Authority, now, move |txn| txn.cancel_submission(id));
                cancelled.map(|()| Value::Null).map_err(|error| match error {
                    error @ (store::Error::NoSuchRow(_) | store::Error::Stays(_)) if !error.is_temporary() => {
                        let told = "waits; `refserver queue list` shows what does";
                        Failure::not_found(format!("nothing with the number {id} {told}"))
                    }
                    error => failure(&error, format!("message {id}: {error}")),
                })
            }
            Request::OutboxFlush { account: None } => {
                let accounts: Vec<_> = self.users.accounts().map(|(_, account)| account).collect();
                let hastened = self.store.write(Origin::Authority, now, move |txn| {
                    accounts.iter().try_for_each(|account| txn.hasten_submissions(*account))
                });
                hastened.map(|()| Value::Null).map_err(failed)
            }
            _ => Err(Failure::not_possible("a mail server can be asked for its queue only")),
        }
    }

    fn waiting(&self, reader: &store::Reader<'_>, after: SubmissionId) -> store::Result<Vec<Submission>> {
        let now = self.clock.now();
        let names: BTreeMap<_, _> = self.users.accounts().map(|(name, account)| (account, name)).collect();
        let waiting = reader.submissions_behind(None, true, after, limits::OUTBOX_PAGE)?;
        let name = |submission: &store::Submission| names.get(&submission.account).copied().unwrap_or_default();
        waiting.iter().map(|submission| reports::submission(reader, name(submission), submission, now)).collect()
    }
}

impl Handler for QueueControl {
    async fn call(&self, request: Request) -> Result<Value, Failure> {
        let control = self.clone();
        let answer = tokio::task::spawn_blocking(move || control.answer(request));
        answer.await.unwrap_or_else(|panicked| Err(Failure::internal(panicked)))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

fn failed(error: store::Error) -> Failure {
    failure(&error, error.to_string())
}

/// What is said of the error.
fn failure(error: &store::Error, told: String) -> Failure {
    match error {
        store::Error::Cannot(_) => Failure::not_possible(told),
        error if error.is_temporary() => Failure::not_now(told),
        _ => Failure::internal(told),
    }
}
