//! Fetches for one account what mail clients wait for: on a connection of its own, so that neither a long sync nor a wait for
//! news holds it up; from a maildrop, in which only one can be, once who is inside made room.
//!
//! Rules: the connection is made when somebody waits, and left when nobody has for a while; what cannot be had now is told at
//! once, and for a moment nothing more is tried, so that a client that asks for a thousand messages offline is not kept
//! waiting a thousand times. A paused account stays offline.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::account::Live;
use super::line::Line;
use super::maildrop::Visits;
use super::servers::ServersOf;
use crate::control::report::State;
use crate::message::outline::Wanted;
use crate::net::{Clock, Shutdown};
use crate::serve::bring::{Answers, Bringer, Inquiry, Outcome, Wish};
use crate::sync::Engine;
use crate::sync::bring::Brought;
use crate::sync::inquire::Told;
use crate::types::{AccountId, MessageId, Timestamp};
use crate::upstream::Dial;

/// Who searches is told after that time that a server does not say what its messages hold.
const INQUIRY_MAX: Duration = Duration::from_secs(30);

/// After a failure, how long everything else fails with it.
const FAILURE_LASTS_MS: i64 = 3_000;

/// Wishes of one account at most; more are refused, as if there were no connection.
const WISHES_MAX: usize = 1000;

/// Wishes that are granted together: what comes later waits for them.
const TOGETHER_MAX: usize = 200;

/// A client that asks for many messages asks for one after the other: they are waited for that long.
const GATHER: Duration = Duration::from_millis(2);

/// What mail clients wait for, by account.
#[derive(Clone, Default)]
pub struct Wishes(Arc<Mutex<BTreeMap<AccountId, Arc<Queue>>>>);

/// Of one account.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<VecDeque<Wish>>,
    inquiries: Mutex<VecDeque<Inquiry>>,
    came: Notify,
}

impl Wishes {
    /// The queue of an account that is at work from now on.
    pub(super) fn open(&self, account: AccountId) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        self.queues().insert(account, Arc::clone(&queue));
        queue
    }

    /// The account is not at work any more.
    pub(super) fn close(&self, account: AccountId, queue: &Arc<Queue>) {
        let mut queues = self.queues();
        if queues.get(&account).is_some_and(|current| Arc::ptr_eq(current, queue)) {
            queues.remove(&account);
        }
        drop(queues);
        queue.fail();
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<AccountId, Arc<Queue>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bringer for Wishes {
    fn bring(&self, account: AccountId, wish: Wish) {
        let queue = self.queues().get(&account).cloned();
        match queue {
            Some(queue) => queue.add(wish),
            None => wish.settle(Outcome::Offline),
        }
    }

    fn inquire(&self, account: AccountId, inquiry: Inquiry) {
        let queue = self.queues().get(&account).cloned();
        match queue {
            Some(queue) => queue.ask(inquiry),
            None => inquiry.settle(None),
        }
    }
}

impl Queue {
    fn add(&self, wish: Wish) {
        let mut waiting = self.waiting();
        if waiting.len() >= WISHES_MAX {
            drop(waiting);
            return wish.settle(Outcome::Offline);
        }
        waiting.push_back(wish);
        drop(waiting);
        self.came.notify_one();
    }

    /// The next wishes for which somebody waits.
    fn take(&self) -> Vec<Wish> {
        let mut waiting = self.waiting();
        std::iter::from_fn(|| waiting.pop_front()).filter(Wish::is_awaited).take(TOGETHER_MAX).collect()
    }

    fn ask(&self, inquiry: Inquiry) {
        let mut inquiries = self.inquiries();
        if inquiries.len() >= WISHES_MAX {
            drop(inquiries);
            return inquiry.settle(None);
        }
        inquiries.push_back(inquiry);
        drop(inquiries);
        self.came.notify_one();
    }

    /// The next question whose answer somebody waits for.
    fn take_inquiry(&self) -> Option<Inquiry> {
        let mut inquiries = self.inquiries();
        std::iter::from_fn(|| inquiries.pop_front()).find(Inquiry::is_awaited)
    }

    fn is_empty(&self) -> bool {
        self.waiting().is_empty() && self.inquiries().is_empty()
    }

    /// None of them can be granted now.
    fn fail(&self) {
        let waiting = std::mem::take(&mut *self.waiting());
        waiting.into_iter().for_each(|wish| wish.settle(Outcome::Offline));
        let inquiries = std::mem::take(&mut *self.inquiries());
        inquiries.into_iter().for_each(|inquiry| inquiry.settle(None));
    }

    fn inquiries(&self) -> MutexGuard<'_, VecDeque<Inquiry>> {
        self.inquiries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Wish>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wishes that are being granted.
struct Wishing(Vec<Option<Wish>>);

impl Wishing {
    /// Those of which it is not known what came of them: their places, and what they are.
    fn open(&self) -> (Vec<usize>, Vec<(MessageId, Wanted)>) {
        let open = self.0.iter().enumerate().filter_map(|(place, wish)| Some((place, wish.as_ref()?)));
        open.map(|(place, wish)| (place, (wish.message, wish.wanted.clone()))).unzip()
    }

    fn settle(&mut self, place: usize, brought: Brought) {
        let Some(wish) = self.0.get_mut(place).and_then(Option::take) else { return };
        let message = wish.message;
        wish.settle(match brought {
            Brought::Here => Outcome::Here,
            Brought::OverBudget => Outcome::OverBudget,
            Brought::Refused(why) => {
                tracing::info!(%message, "what is asked for cannot be had: {why}");
                Outcome::Refused(why)
            }
        });
    }

    fn are_settled(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

/// Grants the wishes of one account.
pub(super) struct Supply<D> {
    pub account: AccountId,
    pub engine: Engine,
    pub visits: Visits,
    pub clock: Clock,
    pub servers: ServersOf<D>,
    pub wishes: Wishes,
    pub queue: Arc<Queue>,
    pub live: watch::Receiver<Live>,
    /// The line is back: there may be more to do.
    pub nudge: Box<dyn Fn() + Send + Sync>,
}

impl<D: Dial + Clone> Supply<D> {
    /// Works until it is told to stop.
    pub async fn work(&self, stop: &Shutdown) {
        tokio::select! {
            biased;
            () = stop.requested() => {}
            () = self.grant_all() => {}
        }
        self.wishes.close(self.account, &self.queue);
    }

    async fn grant_all(&self) {
        let mut connection: Option<Line> = None;
        let mut failed: Option<Timestamp> = None;
        loop {
            if self.queue.is_empty() {
                let came = self.queue.came.notified();
                let Some(lingers) = connection.as_ref().map(Line::lingers) else {
                    came.await;
                    continue;
                };
                let is_left = tokio::select! {
                    biased;
                    () = came => false,
                    () = self.visits.door.knocked_at() => true,
                    () = tokio::time::sleep(lingers) => true,
                };
                if is_left {
                    leave(&mut connection).await;
                }
                continue;
            }
            if connection.as_ref().is_some_and(|line| line.is_stale(self.clock.now())) {
                leave(&mut connection).await;
            }
            tokio::time::sleep(GATHER).await;
            let just_failed = failed.is_some_and(|at| at.plus_ms(FAILURE_LASTS_MS) > self.clock.now());
            let state = self.live.borrow().state;
            if just_failed || matches!(state, State::Paused | State::AuthFailed) {
                self.queue.fail();
                continue;
            }
            let mut live = self.live.clone();
            let paused = async {
                if live.wait_for(|live| live.state == State::Paused).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let mut wishes = Wishing(self.queue.take().into_iter().map(Some).collect());
            let granted = tokio::select! {
                biased;
                granted = self.grant(&mut connection, &mut wishes) => granted,
                () = paused => {
                    connection = None;
                    None
                }
            };
            match granted {
                Some(()) => {
                    failed = None;
                    if state == State::Offline {
                        (self.nudge)();
                    }
                }
                None => {
                    failed = Some(self.clock.now());
                    drop(wishes);
                    self.queue.fail();
                }
            }
        }
    }

    /// `None`: there is no connection.
    async fn grant(&self, connection: &mut Option<Line>, wishes: &mut Wishing) -> Option<()> {
        while let Some(inquiry) = self.queue.take_inquiry() {
            self.answer(connection, inquiry).await?;
        }
        while !wishes.are_settled() {
            let is_old = connection.is_some();
            let line = match connection {
                Some(line) => line,
                None => connection.insert(self.connect().await?),
            };
            let clock = self.clock.clone();
            let now = move || clock.now();
            let (places, wanted) = wishes.open();
            let before = self.fetched_bytes();
            let mut tell = |place: usize, brought| wishes.settle(places[place], brought);
            if let Err(error) = line.bring(&self.engine, &wanted, &now, &mut tell).await {
                tracing::info!("fetching what is asked for failed: {error}");
                *connection = None;
                // One on which nothing was asked for a while may have ended unnoticed; one by which something came was good
                // for that.
                if !is_old && self.fetched_bytes() == before {
                    return None;
                }
            }
        }
        Some(())
    }

    /// Asks the server. `None`: there is no connection.
    async fn answer(&self, connection: &mut Option<Line>, inquiry: Inquiry) -> Option<()> {
        loop {
            let is_old = connection.is_some();
            let line = match connection {
                Some(line) => line,
                // POP3 knows no SEARCH, so nobody has to go there.
                None if self.servers.is_maildrop() => {
                    inquiry.settle(None);
                    return Some(());
                }
                None => match self.connect().await {
                    Some(line) => connection.insert(line),
                    None => {
                        inquiry.settle(None);
                        return None;
                    }
                },
            };
            let Line::Mirror(remote) = line else {
                inquiry.settle(None);
                return Some(());
            };
            let clock = self.clock.clone();
            let now = move || clock.now();
            let told =
                timeout(INQUIRY_MAX, self.engine.inquire(remote.as_mut(), inquiry.mailbox, &inquiry.keys, &now)).await;
            match told {
                Ok(Ok(told)) => {
                    inquiry.settle(told.map(|Told { asked, holding }| Answers { asked, holding }));
                    return Some(());
                }
                Ok(Err(error)) => {
                    tracing::info!("asking what messages hold failed: {error}");
                    *connection = None;
                    if !is_old {
                        inquiry.settle(None);
                        return None;
                    }
                }
                Err(_) => {
                    tracing::info!("the server did not find a text within {} s", INQUIRY_MAX.as_secs());
                    *connection = None;
                    inquiry.settle(None);
                    return Some(());
                }
            }
        }
    }

    /// How much was fetched today.
    fn fetched_bytes(&self) -> u64 {
        self.engine.spent(self.clock.now()).map_or(0, |spent| spent.bytes)
    }

    async fn connect(&self) -> Option<Line> {
        let clock = self.clock.clone();
        match Line::connect(&self.servers, &self.visits, &move || clock.now()).await {
            Ok(line) => Some(line),
            Err(why) => {
                tracing::info!("no connection to fetch for a mail client: {why}");
                None
            }
        }
    }
}

/// Says goodbye, where there is a connection.
async fn leave(connection: &mut Option<Line>) {
    if let Some(line) = connection.take() {
        line.leave().await;
    }
}
