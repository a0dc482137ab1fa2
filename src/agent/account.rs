//! One account at work: the [`Work`] itself (its [`Worker`] and its [`Outbox`] side by side, a value that works wherever
//! it is driven), the [`Handle`] by which others steer it, and the thread of its own on which the daemon has it
//! [`Running`].
//!
//! A panic below (a parser met something it did not expect) costs the connection, not the account: both are begun anew.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::Instrument;

use super::lookout::Lookouts;
use super::maildrop::{self, Visits};
use super::outbox::{Outbox, Turned};
use super::servers::ServersOf;
use super::supply::{Queue, Supply, Wishes};
use super::worker::Worker;
use crate::config;
use crate::control::report::{State, SyncedAccount};
use crate::net::{Chance, Clock, Shutdown};
use crate::store::{self, Origin, Store};
use crate::sync::Engine;
use crate::sync::remote::News;
use crate::sync::stock::Waiting;
use crate::types::{AccountId, Timestamp};
use crate::upstream::{Dial, Tcp};

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
    /// Something happened in mailboxes that it does not watch itself.
    Look(Vec<News>),
}

/// The work's ends of what connects it with its [`Handle`].
pub(super) struct Ends {
    pub live: watch::Sender<Live>,
    pub orders: mpsc::UnboundedReceiver<Order>,
    /// The store changed.
    pub local: Arc<Notify>,
    pub stop: Shutdown,
}

/// What steers an account at work.
pub struct Handle {
    pub config: config::Account,
    pub id: AccountId,
    engine: Engine,
    visits: Visits,
    live: watch::Receiver<Live>,
    synced: watch::Receiver<Option<Timestamp>>,
    turned: watch::Receiver<Turned>,
    orders: mpsc::UnboundedSender<Order>,
    stop: Shutdown,
    _watch: store::Watch,
}

/// Keeps an account in sync, sends its mail, and fetches what its mail clients wait for.
pub struct Work<D = Tcp> {
    worker: Worker<D>,
    lookouts: Lookouts<D>,
    submissions: Arc<Notify>,
    turned: watch::Sender<Turned>,
    wishes: Arc<Queue>,
    orders: mpsc::UnboundedSender<Order>,
}

/// An account at work on its thread.
pub struct Running {
    handle: Handle,
    thread: std::thread::JoinHandle<()>,
}

/// What every account is given.
#[derive(Clone)]
pub struct Common {
    pub store: Store,
    pub clock: Clock,
    pub chance: Chance,
    /// Counts changes of anything `syncctl status` shows.
    pub changes: Arc<watch::Sender<u64>>,
    /// What mail clients wait for.
    pub wishes: Wishes,
}

impl<D: Dial + Clone> Work<D> {
    /// Work that has not begun, and its handle. The account is made in the store where it is new.
    pub fn prepare(config: config::Account, servers: ServersOf<D>, common: &Common) -> store::Result<(Self, Handle)> {
        let name = config.name.clone();
        let is_maildrop = maildrop::is_maildrop(&config);
        let id = common.store.write(Origin::Upstream, common.clock.now(), move |txn| {
            maildrop::ensure_account(txn, &name, is_maildrop)
        })?;
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
        let worker = Worker::new(&config, id, servers.clone(), common, ends);
        let lookouts = Lookouts {
            account: id,
            common: common.clone(),
            servers,
            count: config.connections.saturating_sub(1),
            facts: worker.facts.subscribe(),
            orders: orders.clone(),
            is_refused: AtomicBool::new(false),
        };
        let (engine, visits) = (worker.engine().clone(), worker.visits.clone());
        let (turned, turned_seen) = watch::channel(Turned::default());
        let handle = Handle {
            config,
            id,
            engine,
            visits,
            live: live_seen,
            synced: worker.synced.subscribe(),
            turned: turned_seen,
            orders: orders.clone(),
            stop,
            _watch: watch,
        };
        let wishes = common.wishes.open(id);
        Ok((Self { worker, lookouts, submissions, turned, wishes, orders }, handle))
    }

    /// Works until it is told to stop. May be begun anew after a panic.
    pub async fn proceed(&mut self) {
        let nudge = self.orders.clone();
        let stop = self.worker.ends.stop.clone();
        let outbox = Outbox {
            account: self.worker.id,
            store: self.worker.common.store.clone(),
            clock: self.worker.common.clock.clone(),
            chance: self.worker.common.chance.clone(),
            servers: self.worker.servers.clone(),
            local: self.submissions.clone(),
            live: self.worker.ends.live.subscribe(),
            synced: self.worker.synced.subscribe(),
            turned: self.turned.clone(),
            changes: self.worker.common.changes.clone(),
            nudge: Box::new(move || drop(nudge.send(Order::Sync(None)))),
        };
        let nudge = self.orders.clone();
        let supply = Supply {
            account: self.worker.id,
            engine: self.worker.engine().clone(),
            visits: self.worker.visits.clone(),
            clock: self.worker.common.clock.clone(),
            servers: self.worker.servers.clone(),
            wishes: self.worker.common.wishes.clone(),
            queue: self.wishes.clone(),
            live: self.worker.ends.live.subscribe(),
            nudge: Box::new(move || drop(nudge.send(Order::Sync(None)))),
        };
        let all = async {
            tokio::join!(self.worker.work(), outbox.work(&stop), self.lookouts.work(&stop), supply.work(&stop))
        };
        tokio::select! {
            biased;
            _ = all => {}
            () = stop_with_grace(&stop) => {}
        }
    }
}

impl Handle {
    /// What it is doing.
    pub fn live(&self) -> Live {
        self.live.borrow().clone()
    }

    /// Why its outbox rests, though there may be something to send, if it found that after the last complete sync.
    pub fn outbox_trouble(&self) -> Option<String> {
        if self.config.smtp.is_empty() {
            return Some("the account has no `smtp` in the configuration".to_owned());
        }
        let turned = self.turned.borrow();
        turned.trouble.clone().filter(|_| turned.synced == *self.synced.borrow())
    }

    /// What its maildrop is visited with, if it has one.
    pub(super) const fn visits(&self) -> &Visits {
        &self.visits
    }

    /// Which of its bodies are not here, and why.
    pub fn waiting(&self) -> impl FnOnce(Timestamp) -> store::Result<Waiting> + use<> {
        let (engine, visits) = (self.engine.clone(), self.visits.clone());
        let keep = match self.config.incoming {
            config::Incoming::Imap(_) => None,
            config::Incoming::Pop3 { keep, .. } => Some(keep),
        };
        move |now| match keep {
            None => engine.waiting(now),
            Some(keep) => visits.engine(keep).waiting(now),
        }
    }

    /// Asks for a sync; the outcome comes once one that began after this has ended.
    pub fn sync(&self) -> oneshot::Receiver<SyncedAccount> {
        let (tell, told) = oneshot::channel();
        // Work that has ended drops the sender: the receiver sees it.
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
}

impl Running {
    /// Starts the account's thread.
    pub fn start(config: config::Account, common: &Common) -> store::Result<Self> {
        let name = config.name.clone();
        let servers = ServersOf::new(config.clone(), Tcp);
        let (work, handle) = Work::prepare(config, servers, common)?;
        let runtime = runtime::Handle::current();
        let thread = std::thread::Builder::new()
            .name(format!("sync {name}"))
            .spawn(move || run(work, &runtime))
            .map_err(|cause| store::Error::Io { path: "a new thread".into(), cause: Arc::new(cause) })?;
        Ok(Self { handle, thread })
    }

    /// Waits until it has stopped. Blocks.
    pub fn join(self) {
        self.handle.ask_to_stop();
        // A panic was logged where it was caught.
        let _ = self.thread.join();
    }
}

impl std::ops::Deref for Running {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

fn run(mut work: Work, runtime: &runtime::Handle) {
    let span = tracing::info_span!("sync", account = work.worker.config.name);
    let stop = work.worker.ends.stop.clone();
    while !stop.is_requested() {
        let proceed = work.proceed().instrument(span.clone());
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(proceed)));
        if outcome.is_err() {
            let _entered = span.enter();
            tracing::error!("an internal error interrupted the account; it is taken up again");
            work.worker.set_live(State::Offline, Some("internal error; see the log".to_owned()));
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
