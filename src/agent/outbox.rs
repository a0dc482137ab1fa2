//! The outbox of one account at work, beside its sync on the same thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::account::Live;
use super::servers::{Servers, ServersOf};
use super::trouble::Trouble;
use crate::control::report::State;
use crate::net::{Chance, Clock, Shutdown};
use crate::outbox::engine::{Engine, Progress, SentCopy, Settings, World};
use crate::outbox::sender::{SendError, Sender};
use crate::store::{Origin, Result, Store};
use crate::types::{AccountId, Timestamp};
use crate::upstream::{Dial, SmtpSender};

/// Our name in delivery reports.
const HOSTNAME: &str = "localhost";

/// After the store or the password failed, before the next try.
const TROUBLE_PAUSE: Duration = Duration::from_secs(30);

/// How an outbox stands after its last turn.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Turned {
    /// The last complete sync of which the turn knew.
    pub synced: Option<Timestamp>,
    /// Why it rests, though there may be something to send: what it did cannot be written down, or there is no password.
    pub trouble: Option<String>,
}

/// Sends what is due and files copies of what was sent.
pub(super) struct Outbox<D> {
    pub account: AccountId,
    pub store: Store,
    pub clock: Clock,
    pub chance: Chance,
    pub servers: ServersOf<D>,
    /// The store changed.
    pub local: Arc<Notify>,
    pub live: watch::Receiver<Live>,
    /// When the last complete sync began.
    pub synced: watch::Receiver<Option<Timestamp>>,
    pub turned: watch::Sender<Turned>,
    /// Counts changes of anything that can be waited for.
    pub changes: Arc<watch::Sender<u64>>,
    /// Asks for a sync.
    pub nudge: Box<dyn Fn() + Send>,
}

impl<D: Dial + Clone> Outbox<D> {
    /// Works until `stop` is asked for; a message under way is finished.
    pub async fn work(mut self, stop: &Shutdown) {
        if !self.servers.can_send() {
            return;
        }
        let mut engine = None;
        while !stop.is_requested() {
            let synced = *self.synced.borrow_and_update();
            let (next, trouble) = match self.turn(&mut engine, synced, stop).await {
                Ok(next) => (next.map(|moment| self.clock.until(moment)), None),
                Err(trouble) => {
                    tracing::warn!("{trouble}; the outbox rests");
                    (Some(TROUBLE_PAUSE), Some(trouble.to_string()))
                }
            };
            self.tell(Turned { synced, trouble });
            let due = async {
                match next {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.requested() => {}
                () = due => {}
                () = self.local.notified() => {}
                _ = self.synced.changed() => {}
                _ = self.live.changed() => {}
            }
        }
    }

    /// What was being sent when the program last stopped, or when this outbox last failed, is due again.
    fn requeue(&self) -> Result<()> {
        let account = self.account;
        let interrupted = self.store.read(|reader| reader.outbox_counts(account))?.sending;
        if interrupted > 0 {
            self.store.write(Origin::LocalUser, self.clock.now(), move |txn| txn.requeue_interrupted(account))?;
            tracing::info!(count = interrupted, "what was being sent at the last stop is tried again");
        }
        Ok(())
    }

    fn tell(&self, turned: Turned) {
        let is_new = self.turned.send_replace(turned.clone()) != turned;
        if is_new {
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Does everything that can be done now, and says when there is more.
    async fn turn(
        &mut self,
        engine: &mut Option<Engine<SmtpSender<D>>>,
        synced: Option<Timestamp>,
        stop: &Shutdown,
    ) -> std::result::Result<Option<Timestamp>, Trouble> {
        let is_paused = self.live.borrow_and_update().state == State::Paused;
        if engine.is_none() {
            self.requeue()?;
        }
        if is_paused {
            return Ok(None);
        }
        // What a server took must be recorded before anything else: forgotten, it would go out again.
        let is_owing = engine.as_ref().is_some_and(Engine::has_unrecorded);
        if is_owing || self.has_work(synced)? {
            if self.servers.change() && !is_owing {
                *engine = None;
            }
            if engine.is_none() {
                // A password program may take its time, and nothing is lost with it.
                let servers = tokio::select! {
                    biased;
                    () = stop.requested() => return Ok(None),
                    servers = self.servers.get() => servers?,
                };
                match servers {
                    Servers { smtp: Some(sender), .. } => *engine = Some(self.engine(sender)?),
                    Servers { smtp: None, .. } => return Ok(None),
                }
            }
            if let Some(some) = engine {
                let goes_on = || !stop.is_requested();
                let progress = run(some, synced, &self.clock, &self.chance, &goes_on).await?;
                if progress.sent > 0 {
                    // The copy in Sent is made after a look at what the server has.
                    (self.nudge)();
                }
                if let Some(SendError::LoginRefused { .. }) = progress.trouble {
                    self.servers.forget().await;
                    *engine = None;
                }
            }
        }
        Ok(self.store.read(|reader| reader.next_submission_due(self.account))?)
    }

    fn has_work(&self, synced: Option<Timestamp>) -> Result<bool> {
        let (account, now) = (self.account, self.clock.now());
        self.store.read(|reader| {
            Ok(reader.next_submission_due(account)?.is_some_and(|due| due <= now)
                || !reader.submissions_untold(account)?.is_empty()
                || synced.is_some() && !reader.submissions_unfiled(account, now)?.is_empty())
        })
    }

    fn engine(&self, sender: SmtpSender<D>) -> Result<Engine<SmtpSender<D>>> {
        open(self.store.clone(), self.account, sender, self.clock.now())
    }
}

/// The engine of an account's outbox.
pub(super) fn open<S: Sender>(store: Store, account: AccountId, sender: S, now: Timestamp) -> Result<Engine<S>> {
    let settings = Settings {
        origin: Origin::LocalUser,
        hostname: HOSTNAME.to_owned(),
        sent_copy: SentCopy::AfterLooking,
        // One server, which counts connections, and mail that was written in an order.
        attempts_at_once: 1,
    };
    Engine::new(store, account, sender, settings, now)
}

/// Sends what is due as long as that is to go on, and files copies of what was handed over before the last complete sync
/// began.
pub(super) async fn run<S: Sender>(
    engine: &Engine<S>,
    synced: Option<Timestamp>,
    clock: &Clock,
    chance: &Chance,
    goes_on: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Progress> {
    let telling = clock.clone();
    let now = move || telling.now();
    let progress = engine.run_due(World { now: &now, chance: &move || chance.number(), goes_on }).await;
    // What one submission fails at does not hold up the copies of others.
    let filed = synced.map_or(Ok(Progress::default()), |since| engine.file_copies(since, clock.now()));
    progress.and_then(|progress| filed.map(|_| progress))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::config::Config;
    use crate::outbox::sender::Envelope;
    use crate::store::{Error, Executor, Fate, Moment, NewSubmission, Options};
    use crate::upstream::dial::BoxedStream;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_441_740_000);

    const CONFIG: &str = "[[account]]\nname = \"ada\"\naddress = \"ada@here\"\npassword = \"x\"\n\
        imap = { host = \"127.0.0.1\", tls = \"none\" }\nsmtp = { host = \"127.0.0.1\", tls = \"none\" }\n";

    /// A disk that has no room for so many commits.
    struct Full(AtomicUsize);

    impl Fate for Full {
        fn at(&self, moment: Moment) -> Result<()> {
            let is_refused = |left: usize| (moment == Moment::BeforeCommit).then(|| left.checked_sub(1)).flatten();
            self.0
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_refused)
                .map_or(Ok(()), |_| Err(Error::DISK_FULL))
        }
    }

    /// Tells that somebody tried, and keeps them waiting.
    #[derive(Clone)]
    struct Dialled(Arc<Notify>);

    impl Dial for Dialled {
        async fn dial(&self, _: &str, _: u16) -> io::Result<BoxedStream> {
            self.0.notify_one();
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_being_sent_is_tried_again_once_a_full_disk_has_room_to_note_that() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = Options { executor: Executor::Inline, program: "test".to_owned(), max_bytes: None };
        let disk = Arc::new(Full(AtomicUsize::new(0)));
        let store = Store::open_under(folder.path(), &options, NOW, disk.clone()).expect("a new store");
        let account = store.write(Origin::Upstream, NOW, |txn| txn.ensure_account("ada")).expect("an account");
        let mut upload = store.upload();
        upload.write(b"Message-ID: <1@here>\r\n\r\nHi\r\n").expect("room");
        let envelope = Envelope::plain("ada@here", &["bob@far.example"]);
        let (content, message_id) = (upload.finish().expect("room"), "<1@here>".to_owned());
        let new = NewSubmission { account, content, envelope, message_id, file: false, not_before: None };
        let begun = store.write(Origin::LocalUser, NOW, move |txn| {
            let id = txn.enqueue(&new)?;
            txn.begin_attempt(id)
        });
        assert!(begun.expect("room").is_some());
        disk.0.store(3, Ordering::SeqCst);

        let config = Config::parse(CONFIG, "config.toml".as_ref()).expect("a good configuration");
        let dialled = Arc::new(Notify::new());
        let (live, turned) =
            (watch::Sender::new(Live { state: State::Offline, error: None }), watch::Sender::default());
        let outbox = Outbox {
            account,
            store,
            clock: Clock::from_fn(|| NOW),
            chance: Chance::from_fn(|| 0),
            servers: ServersOf::new(config.accounts[0].clone(), Dialled(Arc::clone(&dialled))),
            local: Arc::default(),
            live: live.subscribe(),
            synced: watch::channel(None).1,
            turned: turned.clone(),
            changes: Arc::default(),
            nudge: Box::new(|| ()),
        };
        let stop = Shutdown::new();
        tokio::select! {
            () = dialled.notified() => {}
            () = outbox.work(&stop) => panic!("it works until it is stopped"),
        }
        assert_eq!(disk.0.load(Ordering::SeqCst), 0, "it was refused each time before");
        let trouble = turned.borrow().trouble.clone().expect("it was told");
        assert!(trouble.contains(&folder.path().display().to_string()), "{trouble}");
    }
}
