//! What keeps one account in sync: connects, syncs, waits for a reason to sync again.
//!
//! Rules: a reason is a local change, a change the server tells of, the poll interval, or a request; whatever fails is
//! tried again later by [`Backoff`]; stopping and pausing interrupt at any point, as a cut of the line does.

use std::time::Duration;

use tokio::sync::{oneshot, watch};

use super::account::{Common, Ends, Live, Order};
use super::distrust::distrust;
use super::servers::{Incoming, ServersError, ServersOf};
use crate::config;
use crate::control::report::{Left, State, SyncedAccount};
use crate::store::{self, Origin, Store};
use crate::sync::backoff::Backoff;
use crate::sync::remote::{Connect, Facts, News, Remote, RemoteError, RemoteName, Selected, Woken};
use crate::sync::{self, Came, Engine, Report};
use crate::types::{AccountId, EntryId, Keep, ModSeq, RemoteUid, Timestamp};
use crate::upstream::imap::ImapRemote;
use crate::upstream::{Dial, Pop3Connector};

/// A client that sets many flags does so in many commands: they go upstream together.
const GATHER: Duration = Duration::from_millis(30);

/// Mailboxes whose new messages are fetched ahead of the sync: more are quicker covered together.
const CAME_MAX: usize = 3;

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
    engine: Engine,
    paused: bool,
    /// Bodies are wanted that could be fetched at once.
    has_more: bool,
    /// A sync was asked for since the last one began.
    pub(super) is_asked: bool,
    /// Mailboxes into which messages may have come since the last sync began.
    came: Vec<RemoteName>,
    /// Between two logins to a maildrop, as its server wants it.
    pub(super) login_delay_seconds: u64,
    /// Those who want to know how it goes.
    waiting: Vec<oneshot::Sender<SyncedAccount>>,
    backoff: Backoff,
    /// Journal entries up to this one were there when the last sync began.
    pushed_up_to: Option<EntryId>,
    /// What SELECT showed when the last sync was only because that differed from what was covered.
    looked_again_at: Option<InboxFacts>,
}

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
    const fn asks_to_wait(&self) -> bool {
        matches!(self, Self::Sync(sync::Error::Remote(RemoteError::Wait { .. })))
    }
}

/// What an account's mail comes by: a line that is kept, or visits.
enum Connected<D> {
    Mirror(Box<ImapRemote>),
    Maildrop(Box<Pop3Connector<D>>, Keep),
}

/// How a piece of work ended.
pub(super) enum Interrupted<T> {
    Done(T),
    /// The account is to stop or pause: what was under way was dropped.
    Halted,
}

impl<D: Dial + Clone> Worker<D> {
    /// A worker that has not begun.
    pub fn new(config: &config::Account, id: AccountId, servers: ServersOf<D>, common: &Common, ends: Ends) -> Self {
        let paused = ends.live.borrow().state == State::Paused;
        Self {
            engine: Engine::new(common.store.clone(), id, config.folders.clone()).keeping(config.bodies.clone()),
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
                self.answer_waiting(false);
                self.next_order().await;
                continue;
            }
            match self.round(&mut connection).await {
                Ok(Interrupted::Halted) => {}
                Ok(Interrupted::Done(())) => {
                    self.backoff.reset();
                    if let Err(error) = self.rest(&mut connection).await {
                        connection = connection.filter(|_| error.asks_to_wait());
                        self.tell_facts(connection.as_ref());
                        self.fail(&error).await;
                    }
                }
                Err(error) => {
                    connection = connection.filter(|_| error.asks_to_wait());
                    self.tell_facts(connection.as_ref());
                    self.fail(&error).await;
                }
            }
        }
        self.tell_facts(None);
        leave(&mut connection).await;
        self.answer_waiting(false);
    }

    /// Connects where there is no connection, and syncs.
    async fn round(&mut self, connection: &mut Option<ImapRemote>) -> Result<Interrupted<()>, Trouble> {
        let asked = std::mem::take(&mut self.waiting);
        self.is_asked = false;
        self.came.clear();
        let outcome = self.connect_and_sync(connection).await;
        match &outcome {
            Ok(Interrupted::Done(())) if !self.has_more => self.answer(asked, true),
            // They are answered with what comes of it.
            Ok(_) | Err(_) => self.waiting.extend(asked),
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
                Ok(Interrupted::Done(Connected::Mirror(Box::new(remote))))
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

    /// Waits, connected, for a reason to sync again.
    async fn rest(&mut self, connection: &mut Option<ImapRemote>) -> Result<(), Trouble> {
        let Some(remote) = connection else {
            self.rest_between_visits().await;
            return Ok(());
        };
        if self.is_asked || self.has_more || self.has_local_work()? {
            return Ok(());
        }
        let inbox = RemoteName("INBOX".to_owned());
        let came = match remote.select(&inbox, None).await {
            Ok(selected) => {
                let came = Came::Here(inbox, selected.uid_validity);
                if self.has_moved_on(&selected)? {
                    return self.catch(connection, &came).await;
                }
                Some(came)
            }
            // Without an INBOX there is nothing to watch; the poll goes on.
            Err(RemoteError::Refused { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let retry = self.common.store.read(|reader| reader.next_retry(self.id))?;
        let retry_ms = retry.and_then(|retry| u64::try_from(self.common.clock.until(retry).as_millis()).ok());
        let max_ms = (u64::from(self.config.poll_seconds) * 1000).min(retry_ms.unwrap_or(u64::MAX));
        let (local, orders, stop) = (self.ends.local.clone(), &mut self.ends.orders, self.ends.stop.clone());
        let (store, id, before) = (self.common.store.clone(), self.id, self.pushed_up_to);
        let (clock, dial) = (self.common.clock.clone(), self.servers.dial().clone());
        let mut order = None;
        let interrupt = async {
            let changed = async {
                loop {
                    local.notified().await;
                    if store.read(|reader| reader.newest_pending(id)).is_ok_and(|newest| newest > before) {
                        return tokio::time::sleep(GATHER).await;
                    }
                }
            };
            let ordered = async {
                loop {
                    match orders.recv().await {
                        Some(Order::Look(news)) if news.iter().all(|news| is_known(&store, id, news)) => {}
                        taken => break taken,
                    }
                }
            };
            tokio::select! {
                biased;
                () = stop.requested() => {}
                () = changed => {}
                taken = ordered => order = taken,
                // The answer to what is asked next shows whether the line is there.
                () = distrust(&clock, &dial) => {}
            }
        };
        let woken = remote.wait(max_ms, Box::pin(interrupt)).await?;
        tracing::debug!(?woken, "a reason to sync");
        // Also when the server told of a change in the same moment.
        if let Some(order) = order {
            self.take(order);
        }
        if let Some(came) = came.filter(|_| woken == Woken::Arrived) {
            self.catch(connection, &came).await?;
        }
        for name in std::mem::take(&mut self.came) {
            self.catch(connection, &Came::There(name)).await?;
        }
        Ok(())
    }

    /// Takes in what came, ahead of the sync that follows.
    async fn catch(&mut self, connection: &mut Option<ImapRemote>, came: &Came) -> Result<(), Trouble> {
        let Some(remote) = connection else { return Ok(()) };
        let (engine, clock) = (self.engine.clone(), self.common.clock.clone());
        let now = move || clock.now();
        match self.unless_halted(engine.catch(remote, &now, came)).await {
            Interrupted::Done(caught) => {
                tracing::debug!(count = caught?, ?came, "taken in at once");
            }
            Interrupted::Halted => *connection = None,
        }
        Ok(())
    }

    /// Does SELECT show what the sync did not see? Then it came after it, and no IDLE will tell. The same difference
    /// once more is none: some servers count otherwise.
    fn has_moved_on(&mut self, selected: &Selected) -> store::Result<bool> {
        let mailboxes = self.common.store.read(|reader| reader.remote_mailboxes(self.id))?;
        let inbox = mailboxes.into_iter().find(|mailbox| mailbox.remote_name.eq_ignore_ascii_case("INBOX"));
        let differs = inbox.is_some_and(|inbox| {
            selected.uid_next.is_some_and(|next| next != inbox.cursor.uid_next)
                || selected.exists != inbox.cursor.messages
                || selected.highest_mod_seq.is_some_and(|highest| highest != inbox.cursor.highest_mod_seq)
        });
        let shown = differs.then_some((selected.uid_next, selected.exists, selected.highest_mod_seq));
        let before = std::mem::replace(&mut self.looked_again_at, shown);
        Ok(shown.is_some() && shown != before)
    }

    fn has_local_work(&self) -> store::Result<bool> {
        Ok(self.newest_pending()? > self.pushed_up_to)
    }

    fn newest_pending(&self) -> store::Result<Option<EntryId>> {
        self.common.store.read(|reader| reader.newest_pending(self.id))
    }

    /// Tells what went wrong, and waits before the next try.
    async fn fail(&mut self, error: &Trouble) {
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
        let is_network = matches!(sync_error, sync::Error::Remote(RemoteError::Lost { .. }));
        tokio::select! {
            biased;
            () = self.next_order() => {}
            () = tokio::time::sleep(wait) => {}
            // What failed may have been the network that we are in no more.
            () = distrust(&clock, &dial), if is_network => {}
        }
    }

    /// Waits for an order (or the end) and takes it in.
    pub(super) async fn next_order(&mut self) {
        tokio::select! {
            biased;
            () = self.ends.stop.requested() => {}
            order = self.ends.orders.recv() => match order {
                Some(order) => self.take(order),
                None => self.ends.stop.request(),
            }
        }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Sync(tell) => {
                self.is_asked = true;
                self.waiting.extend(tell);
            }
            Order::SetPaused(paused) => self.paused = paused,
            Order::Look(news) => {
                for news in news.iter().filter(|news| !is_known(&self.common.store, self.id, news)) {
                    self.is_asked = true;
                    let name = news.name.as_ref().filter(|name| !self.came.contains(name));
                    self.came.extend(name.filter(|_| self.came.len() < CAME_MAX).cloned());
                }
            }
        }
    }

    /// Does `work` while orders are taken in; drops it once one of them (or the end) halts the account.
    pub(super) async fn unless_halted<T>(&mut self, work: impl Future<Output = T>) -> Interrupted<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Interrupted::Done(done),
                () = self.next_order() => {
                    if self.paused || self.ends.stop.is_requested() {
                        return Interrupted::Halted;
                    }
                }
            }
        }
    }

    pub fn set_live(&self, state: State, error: Option<String>) {
        let new = Live { state, error };
        let changed = self.ends.live.send_if_modified(|live| {
            let changed = *live != new;
            *live = new;
            changed
        });
        if changed {
            self.common.changes.send_modify(|count| *count += 1);
        }
    }

    fn answer_waiting(&mut self, complete: bool) {
        let waiting = std::mem::take(&mut self.waiting);
        self.answer(waiting, complete);
    }

    fn answer(&self, asked: Vec<oneshot::Sender<SyncedAccount>>, complete: bool) {
        let live = self.ends.live.borrow().clone();
        for tell in asked {
            // Whoever asked may have gone away.
            let _ = tell.send(SyncedAccount {
                name: self.config.name.clone(),
                complete,
                state: live.state,
                error: live.error.clone(),
                left: Left::default(),
            });
        }
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut store::Txn<'_>) -> store::Result<T> + Send + 'static,
    ) -> store::Result<T> {
        self.common.store.write(Origin::Upstream, self.common.clock.now(), work)
    }
}

/// Does the server tell only what the last sync saw?
fn is_known(store: &Store, account: AccountId, news: &News) -> bool {
    let News { name: Some(name), messages, uid_next, highest_mod_seq } = news else { return false };
    let known = store.read(|reader| reader.remote_mailboxes(account)).unwrap_or_default();
    let known = known.into_iter().find(|known| known.remote_name == name.0);
    let is_told = messages.is_some() || uid_next.is_some() || highest_mod_seq.is_some();
    known.is_some_and(|known| {
        is_told
            && messages.is_none_or(|messages| messages == known.cursor.messages)
            && uid_next.is_none_or(|uid_next| uid_next == known.cursor.uid_next)
            && highest_mod_seq.is_none_or(|highest| highest == known.cursor.highest_mod_seq)
    })
}

/// How an account stands after such an error.
pub const fn state_of(error: &RemoteError) -> State {
    match error {
        RemoteError::LoginRefused { .. } => State::AuthFailed,
        RemoteError::Lost { .. }
        | RemoteError::Insecure { .. }
        | RemoteError::Refused { .. }
        | RemoteError::Protocol { .. }
        | RemoteError::Wait { .. }
        | RemoteError::Local(_)
        | RemoteError::Impossible(_) => State::Offline,
    }
}

/// Says goodbye, where there is a connection.
pub(super) async fn leave(connection: &mut Option<ImapRemote>) {
    if let Some(mut remote) = connection.take() {
        remote.logout().await;
    }
}
