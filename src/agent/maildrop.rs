//! An account with a maildrop: visits now and then, since a server locks a maildrop for as long as somebody is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::orders::Interrupted;
use super::trouble::Trouble;
use super::worker::Worker;
use crate::config;
use crate::control::report::State;
use crate::net::Clock;
use crate::store::{self, Store};
use crate::sync::Report;
use crate::sync::maildrop::MaildropEngine;
use crate::sync::maildrop::seam::{Maildrop as _, OpenMaildrop};
use crate::sync::stock::Stocked;
use crate::types::{AccountId, BodyPolicy, Keep, MailboxName};
use crate::upstream::{Dial, Pop3Connector, Pop3Remote};

/// What an account's maildrop is visited with. Clones are of the same account.
#[derive(Clone)]
pub(super) struct Visits {
    store: Store,
    account: AccountId,
    bodies: BodyPolicy,
    pub door: Door,
    /// It was told that the server does not know TOP.
    is_told: Arc<AtomicBool>,
}

/// The way into a maildrop, in which one can be at a time. Clones are the same door.
#[derive(Clone, Default)]
pub(super) struct Door {
    inside: Arc<Mutex<()>>,
    /// How many wait before it.
    knocking: Arc<watch::Sender<usize>>,
}

/// Counted while it lasts.
struct Knock<'a>(&'a watch::Sender<usize>);

impl Visits {
    /// To the maildrop of the account.
    pub fn new(store: Store, account: AccountId, bodies: BodyPolicy) -> Self {
        Self { store, account, bodies, door: Door::default(), is_told: Arc::default() }
    }

    pub fn engine(&self, keep: Keep) -> MaildropEngine {
        MaildropEngine::new(self.store.clone(), self.account, keep).keeping(self.bodies.clone())
    }

    /// Told once: all messages come whole, whatever the configuration says.
    pub fn tell_lack(&self, maildrop: &Pop3Remote) {
        let leaves_out = !self.bodies.fetches_at_once(&MailboxName::inbox());
        if leaves_out && !maildrop.gives_headers() && !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::warn!("the server has no TOP: all messages are fetched whole, whatever `mirror` says of bodies");
        }
    }
}

impl Door {
    /// Enters once nobody is inside. Who is inside hears the knock, and makes room before all is done that could be done there.
    pub async fn enter(&self) -> OwnedMutexGuard<()> {
        self.knocking.send_modify(|count| *count += 1);
        let _knock = Knock(&self.knocking);
        Arc::clone(&self.inside).lock_owned().await
    }

    /// Does somebody knock?
    pub fn is_knocked_at(&self) -> bool {
        *self.knocking.borrow() > 0
    }

    /// Waits until somebody knocks.
    pub async fn knocked_at(&self) {
        // Its sender is here.
        let _ = self.knocking.subscribe().wait_for(|count| *count > 0).await;
    }
}

impl Drop for Knock<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The account of the configuration in the store; made there if it is new.
pub(super) fn ensure_account(txn: &mut store::Txn<'_>, name: &str, is_maildrop: bool) -> store::Result<AccountId> {
    if is_maildrop { txn.ensure_maildrop(name) } else { txn.ensure_account(name) }
}

/// Is the account's mail taken from a maildrop?
pub(super) const fn is_maildrop(account: &config::Account) -> bool {
    matches!(account.incoming, config::Incoming::Pop3 { .. })
}

/// One visit. What was fetched by the way, and how many seconds the server wants between two logins.
pub(super) async fn visit<D: Dial>(
    visits: &Visits,
    (connector, keep): (&Pop3Connector<D>, Keep),
    clock: &Clock,
    report: &mut Report,
    connected: impl FnOnce() -> store::Result<()>,
) -> crate::sync::Result<(Stocked, Option<u64>)> {
    let _alone = visits.door.enter().await;
    let mut maildrop = connector.open().await?;
    connected()?;
    visits.tell_lack(&maildrop);
    let delay_seconds = maildrop.login_delay_seconds();
    let (is_urgent, clock) = (|| visits.door.is_knocked_at(), clock.clone());
    let stocked = visits.engine(keep).visit(&mut maildrop, &move || clock.now(), &is_urgent, report).await?;
    if stocked.messages > 0 {
        tracing::info!(messages = stocked.messages, bytes = stocked.bytes, "fetched bodies");
    }
    Ok((stocked, delay_seconds))
}

impl<D: Dial + Clone> Worker<D> {
    /// Takes what came, and deletes what is not to stay on the server.
    pub(super) async fn visit(&mut self, connector: &Pop3Connector<D>, keep: Keep) -> Result<Interrupted<()>, Trouble> {
        self.set_live(State::Syncing, None);
        let began = self.common.clock.now();
        let mut report = Report::default();
        let (visits, clock, id) = (self.visits.clone(), self.common.clock.clone(), self.id);
        let (host, writer) = (self.config.incoming.server().host.clone(), self.common.clone());
        let connected = move || {
            tracing::info!(host, "connected");
            let now = writer.clock.now();
            writer.store.write(store::Origin::Upstream, now, move |txn| txn.hasten_submissions(id))
        };
        let visit = visit(&visits, (connector, keep), &clock, &mut report, connected);
        let outcome = match self.unless_halted(visit).await {
            Interrupted::Halted => Interrupted::Halted,
            Interrupted::Done(Err(error)) => Interrupted::Done(Err(error)),
            Interrupted::Done(Ok((stocked, delay_seconds))) => {
                self.has_more = stocked.has_more;
                self.login_delay_seconds = delay_seconds.unwrap_or(0);
                Interrupted::Done(Ok(()))
            }
        };
        self.conclude(outcome, began, &report)
    }

    /// Until the next visit: that of the configuration, not before the server allows it, or when somebody asks.
    pub(super) async fn rest_between_visits(&mut self) {
        if self.is_asked || self.has_more {
            return;
        }
        let wait = Duration::from_secs(u64::from(self.config.poll_seconds).max(self.login_delay_seconds));
        tokio::select! {
            biased;
            () = self.next_order() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}
