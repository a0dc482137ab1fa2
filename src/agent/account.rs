//! One account at work: the [`Work`] itself (its [`Worker`] and its [`Outbox`] side by side, a value that works wherever
//! it is driven), the [`Handle`] by which others steer it, and the thread of its own on which the daemon has it
//! [`Running`].
//!
//! A panic below (a parser met something it did not expect) costs the connection, not the account: both are begun anew.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt as _;
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

/// How long a server may take over our goodbye: one that does not answer is left without it.
const GOODBYE_GRACE: Duration = Duration::from_secs(2);

/// How long a server may still take over the message that is being sent: given up, it goes out again, though the server may
/// have it. With what else there is to do it is less than the time that systemd gives us (packaging/mailtide.service).
const SENDING_GRACE: Duration = Duration::from_secs(15);

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
        // What fails beside it ends the outbox as a stop does: a message under way is finished.
        let ending = Shutdown::new();
        let mirroring = AssertUnwindSafe(mirror(&mut self.worker, &self.lookouts, supply, &stop));
        let mirror = async {
            let ended = tokio::select! {
                biased;
                ended = mirroring.catch_unwind() => ended,
                () = grace(&stop, &ending, GOODBYE_GRACE) => Ok(()),
            };
            ending.request();
            ended
        };
        let sending = async {
            tokio::select! {
                biased;
                () = outbox.work(&ending) => {}
                () = grace(&ending, &ending, SENDING_GRACE) => {}
            }
        };
        if let (Err(panic), ()) = tokio::join!(mirror, sending) {
            std::panic::resume_unwind(panic);
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

/// The work beside the outbox. It takes much room, which must not lie on the stack of who does it.
fn mirror<'w, D: Dial + Clone>(
    worker: &'w mut Worker<D>,
    lookouts: &'w Lookouts<D>,
    supply: Supply<D>,
    stop: &'w Shutdown,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'w>> {
    Box::pin(async move {
        tokio::join!(worker.work(), lookouts.work(stop), supply.work(stop));
    })
}

/// Waits until `stop` is asked for, hands that on to `ending`, and resolves so much later.
async fn grace(stop: &Shutdown, ending: &Shutdown, grace: Duration) {
    stop.requested().await;
    ending.request();
    tokio::time::sleep(grace).await;
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

    use super::*;
    use crate::config::Config;
    use crate::outbox::sender::Envelope;
    use crate::store::{Executor, NewSubmission, Options, RecipientState};
    use crate::upstream::dial::BoxedStream;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

    const CONFIG: &str = "[[account]]\nname = \"ada\"\naddress = \"ada@here\"\npassword = \"x\"\n\
        imap = { host = \"127.0.0.1\", port = 143, tls = \"none\" }\n\
        smtp = { host = \"127.0.0.1\", port = 25, tls = \"none\" }\n";

    /// Reaches a server that takes mail and thinks about each message for so long; none that has mail.
    #[derive(Clone)]
    struct Thoughtful {
        thinks: Duration,
        begun: Arc<AtomicUsize>,
        /// The last byte of a message came.
        came: Arc<Notify>,
        /// Whoever wants mail meanwhile panics.
        panics: bool,
    }

    impl Dial for Thoughtful {
        async fn dial(&self, _: &str, port: u16) -> io::Result<BoxedStream> {
            if port != 25 {
                if self.panics {
                    self.came.notified().await;
                    panic!("a parser met something it did not expect");
                }
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (client, server) = tokio::io::duplex(4096);
            tokio::spawn(self.clone().serve(server));
            Ok(Box::new(client))
        }
    }

    impl Thoughtful {
        async fn serve(self, stream: DuplexStream) -> io::Result<()> {
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 hello\r\n").await?;
            let mut is_in_message = false;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                let answer: &[u8] = match line.trim_end() {
                    "." => {
                        is_in_message = false;
                        self.came.notify_one();
                        tokio::time::sleep(self.thinks).await;
                        b"250 taken\r\n"
                    }
                    _ if is_in_message => continue,
                    "DATA" => {
                        is_in_message = true;
                        b"354 go on\r\n"
                    }
                    line if line.starts_with("EHLO") => b"250-mx\r\n250 AUTH PLAIN\r\n",
                    line if line.starts_with("AUTH") => b"235 in\r\n",
                    line if line.starts_with("MAIL") => {
                        self.begun.fetch_add(1, Ordering::SeqCst);
                        b"250 ok\r\n"
                    }
                    _ => b"250 ok\r\n",
                };
                stream.write_all(answer).await?;
            }
        }
    }

    /// Stops an account that sends the first of two messages, or has it panic, when the server has all of it and thinks about it
    /// for so long. How many messages were begun, and what became of the first.
    async fn stopped_while_it_sends(thinks: Duration, panics: bool) -> (usize, RecipientState) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let store = Store::open(folder.path(), &options, NOW).expect("a new store");
        let config = Config::parse(CONFIG, "config.toml".as_ref()).expect("a good configuration").accounts.remove(0);
        let (begun, came) = (Arc::default(), Arc::default());
        let dial = Thoughtful { thinks, begun: Arc::clone(&begun), came: Arc::clone(&came), panics };
        let common = Common {
            store: store.clone(),
            clock: Clock::from_fn(|| NOW),
            chance: Chance::from_fn(|| 0),
            changes: Arc::default(),
            wishes: Wishes::default(),
        };
        let (mut work, handle) =
            Work::prepare(config.clone(), ServersOf::new(config, dial), &common).expect("an account");
        for number in 1..=2 {
            let mut upload = store.upload();
            let message_id = format!("<{number}@here>");
            upload.write(format!("Message-ID: {message_id}\r\n\r\nHi\r\n").as_bytes()).expect("room");
            let envelope = Envelope::plain("ada@here", &["bob@far.example"]);
            let content = upload.finish().expect("room");
            let account = handle.id;
            let new = NewSubmission { account, content, envelope, message_id, file: false, not_before: None };
            store.write(Origin::LocalUser, NOW, move |txn| txn.enqueue(&new)).expect("room");
        }
        let stopping = async {
            if !panics {
                came.notified().await;
                handle.ask_to_stop();
            }
        };
        let (ended, ()) = tokio::join!(AssertUnwindSafe(work.proceed()).catch_unwind(), stopping);
        assert_eq!(ended.is_err(), panics, "a panic is told to who may begin anew");
        let submissions = store.read(|reader| reader.submissions(handle.id)).expect("readable");
        (begun.load(Ordering::SeqCst), submissions[0].recipients[0].state)
    }

    /// Given up, it would go out again though the server has it.
    #[tokio::test(start_paused = true)]
    async fn a_message_that_a_server_thinks_about_is_finished_before_the_account_stops_and_none_is_begun() {
        assert_eq!(stopped_while_it_sends(Duration::from_secs(12), false).await, (1, RecipientState::Accepted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_under_way_is_finished_though_something_beside_it_panics() {
        assert_eq!(stopped_while_it_sends(Duration::from_secs(12), true).await, (1, RecipientState::Accepted));
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_stops_though_a_server_thinks_for_ever() {
        assert_eq!(stopped_while_it_sends(Duration::from_secs(500), false).await, (1, RecipientState::Waiting));
    }
}
