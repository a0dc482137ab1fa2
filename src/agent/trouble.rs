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

    /// There is no line to the server: nothing is known of what it would say.
    pub(super) const fn lacks_line(&self) -> bool {
        matches!(self, Self::Sync(sync::Error::Remote(RemoteError::Unreachable { .. } | RemoteError::Lost { .. })))
    }
}

impl<D: Dial + Clone> Worker<D> {
    /// Tells what went wrong, and waits before the next try: but whoever asked for one while this one found no line has it at
    /// once.
    pub(super) async fn fail(&mut self, error: &Trouble) {
        let lacks_line = error.lacks_line();
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
        let is_wanted_now = lacks_line && !self.waiting.is_empty();
        match is_wanted_now {
            true => tracing::warn!("{text}; tried again at once, since somebody asks"),
            false => tracing::warn!("{text}; next try in {} s", wait.as_secs().max(1)),
        }
        let (id, recorded) = (self.id, text.clone());
        if let Err(error) = self.write(move |txn| txn.set_sync_outcome(id, Some(&recorded))) {
            tracing::warn!(%error, "cannot record the outcome of a sync");
        }
        self.set_live(state, Some(text));
        if is_wanted_now {
            self.backoff.cut_short();
            return self.answer_asked(false);
        }
        self.answer_all(false);
        let (clock, dial) = (self.common.clock.clone(), self.servers.dial().clone());
        tokio::select! {
            biased;
            () = self.next_order() => self.backoff.cut_short(),
            () = tokio::time::sleep(wait) => {}
            // What failed may have been the network that we are in no more.
            () = distrust(&clock, &dial), if lacks_line => self.backoff.cut_short(),
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;
    use crate::agent::account::{Common, Handle, Work};
    use crate::agent::servers::ServersOf;
    use crate::agent::supply::Wishes;
    use crate::config::Config;
    use crate::net::{Chance, Clock};
    use crate::store::{Executor, Options, Store};
    use crate::types::Timestamp;
    use crate::upstream::dial::BoxedStream;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

    const CONFIG: &str = "[[account]]\nname = \"ada\"\naddress = \"ada@here\"\npassword = \"x\"\n\
        imap = { host = \"127.0.0.1\", port = 143, tls = \"none\" }\n";

    /// Reaches nobody; the first time it is long in doubt.
    #[derive(Clone, Default)]
    struct Unreachable {
        tries: Arc<AtomicUsize>,
        begun: Arc<Notify>,
        ends: Arc<Notify>,
    }

    impl Dial for Unreachable {
        async fn dial(&self, _: &str, _: u16) -> io::Result<BoxedStream> {
            if self.tries.fetch_add(1, Ordering::SeqCst) == 0 {
                self.begun.notify_one();
                self.ends.notified().await;
            }
            Err(io::ErrorKind::ConnectionRefused.into())
        }
    }

    fn account(folder: &std::path::Path, dial: Unreachable) -> (Work<Unreachable>, Handle) {
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let config = Config::parse(CONFIG, "config.toml".as_ref()).expect("a good configuration").accounts.remove(0);
        let common = Common {
            store: Store::open(folder, &options, NOW).expect("a new store"),
            clock: Clock::from_fn(|| NOW),
            chance: Chance::from_fn(|| 0),
            changes: Arc::default(),
            wishes: Wishes::default(),
        };
        Work::prepare(config.clone(), ServersOf::new(config, dial), &common).expect("an account")
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_again_and_again_makes_no_wait_longer() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dial = Unreachable::default();
        dial.ends.notify_one();
        let (mut work, handle) = account(folder.path(), dial.clone());
        let asking = async {
            for _ in 0..20 {
                handle.sync().await.expect("an answer");
            }
            let tries = dial.tries.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(dial.tries.load(Ordering::SeqCst) > tries, "{tries}");
            handle.ask_to_stop();
        };
        tokio::join!(work.proceed(), asking);
    }

    /// Its answer would tell of a server that has been up since.
    #[tokio::test(start_paused = true)]
    async fn who_asks_while_a_try_is_under_way_is_told_of_the_next_which_is_made_at_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dial = Unreachable::default();
        let (mut work, handle) = account(folder.path(), dial.clone());
        let began = tokio::time::Instant::now();
        let asking = async {
            dial.begun.notified().await;
            let told = handle.sync();
            // This time passes when nothing else goes on: the order is taken in.
            tokio::time::sleep(Duration::from_millis(1)).await;
            dial.ends.notify_one();
            let outcome = told.await.expect("an answer");
            let tries = dial.tries.load(Ordering::SeqCst);
            assert_eq!((outcome.complete, outcome.state, tries), (false, State::Offline, 2), "{outcome:?}");
            assert_eq!(began.elapsed(), Duration::from_millis(1));
            handle.ask_to_stop();
        };
        tokio::join!(work.proceed(), asking);
    }
}
