//! One account at work, on a thread of its own: the handle to it, and the thread that runs its [`Worker`] and its
//! [`Outbox`] side by side.
//!
//! A panic below (a parser met something it did not expect) costs the connection, not the account: both are begun anew.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::Instrument;

use super::outbox::Outbox;
use super::worker::Worker;
use crate::config;
use crate::control::report::{State, SyncedAccount};
use crate::net::{Clock, Shutdown};
use crate::store::{self, Origin, Store};
use crate::types::AccountId;

/// After a panic, before the next try.
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// What is known of an account beside what the store holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub state: State,
    /// Why it is not online.
    pub error: Option<String>,
}

/// What an account's thread can be told.
pub(super) enum Order {
    /// Sync, and say how it went.
    Sync(Option<oneshot::Sender<SyncedAccount>>),
    SetPaused(bool),
}

/// The thread's ends of what connects it with its [`Running`].
pub(super) struct Ends {
    pub live: watch::Sender<Live>,
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// The store changed.
    pub local: Arc<Notify>,
    pub stop: Shutdown,
}

/// An account at work.
pub struct Running {
    pub config: config::Account,
    pub id: AccountId,
    live: watch::Receiver<Live>,
    orders: mpsc::UnboundedSender<Order>,
    stop: Shutdown,
    thread: std::thread::JoinHandle<()>,
    _watch: store::Watch,
}

/// What every account is given.
#[derive(Clone)]
pub struct Common {
    pub store: Store,
    pub clock: Clock,
    pub runtime: Handle,
    /// Counts changes of anything `syncctl status` shows.
    pub changes: Arc<watch::Sender<u64>>,
}

impl Running {
    /// Starts the account's thread. The account is made in the store where it is new.
    pub fn start(config: config::Account, common: &Common) -> store::Result<Self> {
        let name = config.name.clone();
        let id = common.store.write(Origin::Upstream, common.clock.now(), move |txn| txn.ensure_account(&name))?;
        let paused = common.store.read(|reader| reader.account(id))?.paused;
        let state = if paused { State::Paused } else { State::Offline };
        let (live, live_seen) = watch::channel(Live { state, error: None });
        let (orders, orders_seen) = mpsc::unbounded_channel();
        let (mail, submissions, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Shutdown::new());
        let watch = {
            let (mail, submissions, changes) = (mail.clone(), submissions.clone(), common.changes.clone());
            common.store.watch(
                id,
                Arc::new(move || {
                    mail.notify_one();
                    submissions.notify_one();
                    changes.send_modify(|count| *count += 1);
                }),
            )
        };
        let ends = Ends { live, orders: orders_seen, local: mail, stop: stop.clone() };
        let worker = Worker::new(&config, id, paused, common, ends);
        let thread = std::thread::Builder::new()
            .name(format!("sync {}", config.name))
            .spawn({
                let orders = orders.clone();
                move || run(worker, submissions, orders)
            })
            .map_err(|cause| store::Error::Io { path: "a new thread".into(), cause: Arc::new(cause) })?;
        Ok(Self { config, id, live: live_seen, orders, stop, thread, _watch: watch })
    }

    /// What it is doing.
    pub fn live(&self) -> Live {
        self.live.borrow().clone()
    }

    /// Asks for a sync; the outcome comes once one that began after this has ended.
    pub fn sync(&self) -> oneshot::Receiver<SyncedAccount> {
        let (tell, told) = oneshot::channel();
        // A thread that has ended drops the sender: the receiver sees it.
        let _ = self.orders.send(Order::Sync(Some(tell)));
        told
    }

    /// Asks for a sync, whatever comes of it.
    pub fn nudge(&self) {
        let _ = self.orders.send(Order::Sync(None));
    }

    pub fn set_paused(&self, paused: bool) {
        let _ = self.orders.send(Order::SetPaused(paused));
    }

    /// Begins to stop.
    pub fn ask_to_stop(&self) {
        self.stop.request();
    }

    /// Waits until it has stopped. Blocks.
    pub fn join(self) {
        self.stop.request();
        // A panic was logged where it was caught.
        let _ = self.thread.join();
    }
}

fn run(mut worker: Worker, submissions: Arc<Notify>, orders: mpsc::UnboundedSender<Order>) {
    let runtime = worker.common.runtime.clone();
    let span = tracing::info_span!("sync", account = worker.config.name);
    let stop = worker.ends.stop.clone();
    while !stop.is_requested() {
        let nudge = orders.clone();
        let outbox = Outbox {
            account: worker.id,
            store: worker.common.store.clone(),
            clock: worker.common.clock.clone(),
            servers: worker.servers.clone(),
            local: submissions.clone(),
            live: worker.ends.live.subscribe(),
            synced: worker.synced.subscribe(),
            nudge: Box::new(move || drop(nudge.send(Order::Sync(None)))),
        };
        let work = async {
            let both = async { tokio::join!(worker.work(), outbox.work(&stop)) };
            tokio::select! {
                _ = both => {}
                () = stop_with_grace(&stop) => {}
            }
        };
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(work.instrument(span.clone()))));
        if outcome.is_err() {
            let _entered = span.enter();
            tracing::error!("an internal error interrupted the account; it is taken up again");
            worker.set_live(State::Offline, Some("internal error; see the log".to_owned()));
            runtime.block_on(async {
                tokio::select! {
                    () = tokio::time::sleep(PANIC_PAUSE) => {}
                    () = stop.requested() => {}
                }
            });
        }
    }
}

/// A server that does not answer our goodbye is left without one.
async fn stop_with_grace(stop: &Shutdown) {
    stop.requested().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
}
