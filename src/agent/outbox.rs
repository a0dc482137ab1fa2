//! The outbox of one account at work, beside its sync on the same thread.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::account::Live;
use super::servers::{Servers, ServersOf};
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
const TROUBLE_PAUSE_MS: i64 = 30_000;
const TROUBLE_PAUSE: Duration = Duration::from_millis(TROUBLE_PAUSE_MS.unsigned_abs());

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
    /// Asks for a sync.
    pub nudge: Box<dyn Fn() + Send>,
}

impl<D: Dial + Clone> Outbox<D> {
    /// Works until `stop` is asked for; a message under way is finished.
    pub async fn work(mut self, stop: &Shutdown) {
        if !self.servers.can_send() {
            return;
        }
        self.requeue();
        let mut engine = None;
        while !stop.is_requested() {
            let next = match self.turn(&mut engine).await {
                Ok(next) => next.map(|moment| self.clock.until(moment)),
                Err(error) => {
                    tracing::warn!("{error}; the outbox rests");
                    Some(TROUBLE_PAUSE)
                }
            };
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

    /// What was being sent when the program last stopped is due again.
    fn requeue(&self) {
        let account = self.account;
        let requeued =
            self.store.write(Origin::LocalUser, self.clock.now(), move |txn| txn.requeue_interrupted(account));
        match requeued {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "what was being sent at the last stop is tried again"),
            Err(error) => tracing::warn!(%error, "cannot look for what was being sent at the last stop"),
        }
    }

    /// Does everything that can be done now, and says when there is more.
    async fn turn(&mut self, engine: &mut Option<Engine<SmtpSender<D>>>) -> Result<Option<Timestamp>> {
        if self.live.borrow_and_update().state == State::Paused {
            return Ok(None);
        }
        let synced = *self.synced.borrow_and_update();
        // What a server took must be recorded before anything else: forgotten, it would go out again.
        let is_owing = engine.as_ref().is_some_and(Engine::has_unrecorded);
        if is_owing || self.has_work(synced)? {
            if self.servers.change() && !is_owing {
                *engine = None;
            }
            if engine.is_none() {
                match self.servers.get().await {
                    Ok(Servers { smtp: Some(sender), .. }) => *engine = Some(self.engine(sender)?),
                    Ok(Servers { smtp: None, .. }) => return Ok(None),
                    Err(error) => {
                        tracing::warn!("cannot send: {error}");
                        return Ok(Some(self.clock.now().plus_ms(TROUBLE_PAUSE_MS)));
                    }
                }
            }
            if let Some(some) = engine {
                let progress = run(some, synced, &self.clock, &self.chance).await?;
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
        self.store.read(|reader| reader.next_submission_due(self.account))
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

/// Sends what is due, and files copies of what was handed over before the last complete sync began.
pub(super) async fn run<S: Sender>(
    engine: &Engine<S>,
    synced: Option<Timestamp>,
    clock: &Clock,
    chance: &Chance,
) -> Result<Progress> {
    let telling = clock.clone();
    let now = move || telling.now();
    let progress = engine.run_due(World { now: &now, chance: &move || chance.number() }).await?;
    if let Some(since) = synced {
        engine.file_copies(since, clock.now())?;
    }
    Ok(progress)
}
