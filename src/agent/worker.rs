//! What keeps one account in sync: connects, syncs, waits for a reason to sync again.
//!
//! Rules: a reason is a local change, a change the server tells of, the poll interval, or a request; whatever fails is
//! tried again later by [`Backoff`]; stopping and pausing interrupt at any point, as a cut of the line does.

use tokio::sync::{oneshot, watch};

use super::account::{Common, Ends};
use super::maildrop::Visits;
use super::orders::Interrupted;
use super::servers::{Incoming, ServersOf};
use super::trouble::Trouble;
use crate::config;
use crate::control::report::{State, SyncedAccount};
use crate::store::{self, Origin};
use crate::sync::backoff::Backoff;
use crate::sync::remote::{Connect, Facts, Remote, RemoteName};
use crate::sync::{self, Engine, Report};
use crate::types::{AccountId, EntryId, Keep, ModSeq, RemoteUid, Timestamp};
use crate::upstream::imap::ImapRemote;
use crate::upstream::{Dial, Pop3Connector};

/// UIDNEXT, EXISTS and HIGHESTMODSEQ of INBOX.
type InboxFacts = (Option<RemoteUid>, u32, Option<ModSeq>);

/// Keeps one account in sync.
pub(super) struct Worker<D> {
    pub config: config::Account,
    pub id: AccountId,
    pub common: Common,
    pub servers: ServersOf<D>,
    pub ends: Ends,
    /// When the last complete sync began.
    pub synced: watch::Sender<Option<Timestamp>>,
    /// What the server can do, while there is a connection to it.
    pub facts: watch::Sender<Option<Facts>>,
    pub engine: Engine,
    pub visits: Visits,
    pub paused: bool,
    /// Bodies are wanted that could be fetched at once.
    pub has_more: bool,
    /// A sync was asked for since the last one began.
    pub is_asked: bool,
    /// Mailboxes into which messages may have come since the last sync began.
    pub came: Vec<RemoteName>,
    /// Between two logins to a maildrop, as its server wants it.
    pub login_delay_seconds: u64,
    /// Those who want to know how the sync goes that is under way.
    pub asked: Vec<oneshot::Sender<SyncedAccount>>,
    /// Those who asked since it began: theirs is the next.
    pub waiting: Vec<oneshot::Sender<SyncedAccount>>,
    pub backoff: Backoff,
    /// Journal entries up to this one were there when the last sync began.
    pub pushed_up_to: Option<EntryId>,
    /// What SELECT showed when the last sync was only because that differed from what was covered.
    pub looked_again_at: Option<InboxFacts>,
}

/// What an account's mail comes by: a line that is kept, or visits.
enum Connected<D> {
    Mirror(Box<ImapRemote>),
    Maildrop(Box<Pop3Connector<D>>, Keep),
}

impl<D: Dial + Clone> Worker<D> {
    /// A worker that has not begun.
    pub fn new(config: &config::Account, id: AccountId, servers: ServersOf<D>, common: &Common, ends: Ends) -> Self {
        let paused = ends.live.borrow().state == State::Paused;
        Self {
            engine: Engine::new(common.store.clone(), id, config.folders.clone()).keeping(config.bodies.clone()),
            visits: Visits::new(common.store.clone(), id, config.bodies.clone()),
            config: config.clone(),
            id,
            common: common.clone(),
            servers,
            ends,
            synced: watch::Sender::new(None),
            facts: watch::Sender::new(None),
            paused,
            has_more: false,
            is_asked: false,
            came: Vec::new(),
            login_delay_seconds: 0,
            asked: Vec::new(),
            waiting: Vec::new(),
            backoff: Backoff::default(),
            pushed_up_to: None,
            looked_again_at: None,
        }
    }

    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Works until it is told to stop.
    pub async fn work(&mut self) {
        let mut connection: Option<ImapRemote> = None;
        while !self.ends.stop.is_requested() {
            if self.paused {
                leave(&mut connection).await;
                self.tell_facts(None);
                self.set_live(State::Paused, None);
                self.answer_all(false);
                self.next_order().await;
                continue;
            }
            match self.round(&mut connection).await {
                Ok(Interrupted::Halted) => {}
                Ok(Interrupted::Done(())) => {
                    self.backoff.reset();
                    if let Err(error) = self.rest(&mut connection).await {
                        connection = connection.filter(|remote| error.asks_to_wait() && !remote.is_ending());
                        self.tell_facts(connection.as_ref());
                        self.fail(&error).await;
                    }
                }
                Err(error) => {
                    connection = connection.filter(|remote| error.asks_to_wait() && !remote.is_ending());
                    self.tell_facts(connection.as_ref());
                    self.fail(&error).await;
                }
            }
        }
        self.tell_facts(None);
        leave(&mut connection).await;
        self.answer_all(false);
    }

    /// Connects where there is no connection, and syncs.
    async fn round(&mut self, connection: &mut Option<ImapRemote>) -> Result<Interrupted<()>, Trouble> {
        let rested = connection.is_some() && self.asked.is_empty();
        self.asked.append(&mut self.waiting);
        self.is_asked = false;
        self.came.clear();
        let outcome = self.connect_and_sync(connection).await;
        match &outcome {
            Ok(Interrupted::Done(())) if !self.has_more => self.answer_asked(true),
            // A line that rested may have broken long before: whether the server is there, another shows.
            Err(trouble) if rested && trouble.lacks_line() => self.waiting.append(&mut self.asked),
            // They are answered with what comes of it.
            Ok(_) | Err(_) => {}
        }
        outcome
    }

    async fn connect_and_sync(&mut self, connection: &mut Option<ImapRemote>) -> Result<Interrupted<()>, Trouble> {
        let remote = match connection {
            Some(remote) => remote,
            None => match self.connect().await? {
                Interrupted::Done(Connected::Mirror(remote)) => connection.insert(*remote),
                Interrupted::Done(Connected::Maildrop(connector, keep)) => return self.visit(&connector, keep).await,
                Interrupted::Halted => return Ok(Interrupted::Halted),
            },
        };
        self.set_live(State::Syncing, None);
        let began = self.common.clock.now();
        self.pushed_up_to = self.newest_pending()?;
        let mut report = Report::default();
        let engine = self.engine.clone();
        let clock = self.common.clock.clone();
        let now = move || clock.now();
        let outcome = self.unless_halted(engine.sync_once(remote, &now, &mut report)).await;
        if matches!(outcome, Interrupted::Halted) {
            *connection = None;
        }
        let outcome = self.conclude(outcome, began, &report)?;
        if matches!(outcome, Interrupted::Halted) {
            return Ok(Interrupted::Halted);
        }
        self.tell_facts(connection.as_ref());
        self.stock(connection).await
    }

    /// Fetches some of the bodies that are wanted and not here.
    async fn stock(&mut self, connection: &mut Option<ImapRemote>) -> Result<Interrupted<()>, Trouble> {
        let Some(remote) = connection else { return Ok(Interrupted::Done(())) };
        let (store, id, before) = (self.common.store.clone(), self.id, self.pushed_up_to);
        let is_urgent = move || store.read(|reader| reader.newest_pending(id)).is_ok_and(|newest| newest > before);
        let (engine, clock) = (self.engine.clone(), self.common.clock.clone());
        let now = move || clock.now();
        match self.unless_halted(engine.stock(remote, &now, &is_urgent)).await {
            Interrupted::Done(stocked) => {
                let stocked = stocked?;
                self.has_more = stocked.has_more;
                if stocked.messages > 0 {
                    tracing::info!(messages = stocked.messages, bytes = stocked.bytes, "fetched bodies");
                }
                Ok(Interrupted::Done(()))
            }
            Interrupted::Halted => {
                *connection = None;
                Ok(Interrupted::Halted)
            }
        }
    }

    /// Tells how a sync that began then went.
    pub(super) fn conclude(
        &mut self,
        outcome: Interrupted<sync::Result<()>>,
        began: Timestamp,
        report: &Report,
    ) -> Result<Interrupted<()>, Trouble> {
        let took_ms = self.common.clock.now().unix_ms() - began.unix_ms();
        match (&outcome, *report == Report::default()) {
            (Interrupted::Done(Ok(())), true) => tracing::debug!(took_ms, "synced: {report}"),
            (Interrupted::Done(Ok(())), false) => tracing::info!(took_ms, "synced: {report}"),
            (_, false) => tracing::info!(took_ms, "sync interrupted after: {report}"),
            (_, true) => {}
        }
        match outcome {
            Interrupted::Done(outcome) => outcome?,
            Interrupted::Halted => return Ok(Interrupted::Halted),
        }
        self.settle(began)?;
        self.set_live(State::Online, None);
        Ok(Interrupted::Done(()))
    }

    async fn connect(&mut self) -> Result<Interrupted<Connected<D>>, Trouble> {
        let servers = self.servers.clone();
        let connector = match self.unless_halted(servers.get()).await {
            Interrupted::Done(servers) => match servers?.incoming {
                Incoming::Imap(connector) => connector,
                Incoming::Pop3(connector, keep) => {
                    return Ok(Interrupted::Done(Connected::Maildrop(Box::new(connector), keep)));
                }
            },
            Interrupted::Halted => return Ok(Interrupted::Halted),
        };
        match self.unless_halted(connector.connect()).await {
            Interrupted::Halted => Ok(Interrupted::Halted),
            Interrupted::Done(Err(error)) => Err(error.into()),
            Interrupted::Done(Ok(remote)) => {
                tracing::info!(host = self.config.incoming.server().host, "connected");
                // What waited for the line to come back need not wait for its own time.
                let id = self.id;
                self.write(move |txn| txn.hasten_submissions(id))?;
                let settling = self.engine.settling(self.common.clock.now())?;
                match self.unless_halted(tokio::time::sleep(settling)).await {
                    Interrupted::Halted => Ok(Interrupted::Halted),
                    Interrupted::Done(()) => Ok(Interrupted::Done(Connected::Mirror(Box::new(remote)))),
                }
            }
        }
    }

    /// Tells the lookouts with what server they have to do.
    fn tell_facts(&self, connection: Option<&ImapRemote>) {
        let facts = connection.map(|remote| remote.facts().clone());
        self.facts.send_if_modified(|known| {
            let is_new = *known != facts;
            *known = facts;
            is_new
        });
    }

    /// A sync that began then is complete.
    fn settle(&mut self, began: Timestamp) -> store::Result<()> {
        let (id, now) = (self.id, self.common.clock.now());
        self.common.store.write(Origin::Upstream, now, move |txn| txn.set_sync_outcome(id, None))?;
        self.synced.send_replace(Some(began));
        Ok(())
    }

    pub(super) fn newest_pending(&self) -> store::Result<Option<EntryId>> {
        self.common.store.read(|reader| reader.newest_pending(self.id))
    }

    pub(super) fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut store::Txn<'_>) -> store::Result<T> + Send + 'static,
    ) -> store::Result<T> {
        self.common.store.write(Origin::Upstream, self.common.clock.now(), work)
    }
}

/// Says goodbye, where there is a connection.
pub(super) async fn leave(connection: &mut Option<ImapRemote>) {
    if let Some(mut remote) = connection.take() {
        remote.logout().await;
    }
}
