//! A round that failed: what is said of it, and how long is waited before the next.

use std::time::Duration;

use super::distrust::distrust;
use super::servers::ServersError;
use super::worker::Worker;
use crate::control::report::State;
use crate::store;
use crate::sync;
use crate::sync::remote::RemoteError;
use crate::upstream::Dial;

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Servers(#[from] ServersError),
    #[error(transparent)]
    Sync(#[from] sync::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<RemoteError> for Trouble {
    fn from(error: RemoteError) -> Self {
        Self::Sync(error.into())
    }
}

impl Trouble {
    /// The server listens on: to log in anew would ask still more of it, and what a sync asks might never fit into what
    /// it grants one connection.
    pub(super) const fn asks_to_wait(&self) -> bool {
        matches!(self, Self::Sync(sync::Error::Remote(RemoteError::Wait { .. })))
    }
}

impl<D: Dial + Clone> Worker<D> {
    /// Tells what went wrong, and waits before the next try.
    pub(super) async fn fail(&mut self, error: &Trouble) {
        let (state, sync_error) = match error {
            Trouble::Servers(error) => {
                let (host, text) = (self.config.incoming.server().host.clone(), error.to_string());
                (State::AuthFailed, RemoteError::LoginRefused { host, text }.into())
            }
            Trouble::Sync(error @ sync::Error::Remote(remote)) => (state_of(remote), error.clone()),
            Trouble::Sync(error @ sync::Error::Store(_)) => (State::Offline, error.clone()),
            Trouble::Store(error) => (State::Offline, error.clone().into()),
        };
        if state == State::AuthFailed {
            self.servers.forget().await;
        }
        let text = error.to_string();
        let wait = Duration::from_millis(self.backoff.wait_ms(&sync_error, u64::from(self.common.chance.number())));
        tracing::warn!("{text}; next try in {} s", wait.as_secs().max(1));
        let (id, recorded) = (self.id, text.clone());
        if let Err(error) = self.write(move |txn| txn.set_sync_outcome(id, Some(&recorded))) {
            tracing::warn!(%error, "cannot record the outcome of a sync");
        }
        self.set_live(state, Some(text));
        self.answer_waiting(false);
        let (clock, dial) = (self.common.clock.clone(), self.servers.dial().clone());
        let is_network =
            matches!(sync_error, sync::Error::Remote(RemoteError::Unreachable { .. } | RemoteError::Lost { .. }));
        tokio::select! {
            biased;
            () = self.next_order() => {}
            () = tokio::time::sleep(wait) => {}
            // What failed may have been the network that we are in no more.
            () = distrust(&clock, &dial), if is_network => {}
        }
    }
}

/// How an account stands after such an error.
pub const fn state_of(error: &RemoteError) -> State {
    match error {
        RemoteError::LoginRefused { .. } => State::AuthFailed,
        RemoteError::Unreachable { .. }
        | RemoteError::Lost { .. }
        | RemoteError::Insecure { .. }
        | RemoteError::Refused { .. }
        | RemoteError::Protocol { .. }
        | RemoteError::Wait { .. }
        | RemoteError::Local(_)
        | RemoteError::Impossible(_) => State::Offline,
    }
}
