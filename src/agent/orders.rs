//! What a worker is told while it works, and what it tells those who asked.

use super::account::{Live, Order};
use super::worker::Worker;
use crate::control::report::{Left, State, SyncedAccount};
use crate::store::{Origin, Reader, Store};
use crate::sync::remote::News;
use crate::types::AccountId;
use crate::upstream::Dial;

/// Mailboxes whose new messages are fetched ahead of the sync: more are quicker covered together.
const CAME_MAX: usize = 3;

/// How a piece of work ended.
pub(super) enum Interrupted<T> {
    Done(T),
    /// The account is to stop or pause: what was under way was dropped.
    Halted,
}

impl<D: Dial + Clone> Worker<D> {
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

    pub(super) fn take(&mut self, order: Order) {
        match order {
            Order::Sync(tell) => {
                self.is_asked = true;
                if tell.is_some() {
                    self.ask_again();
                }
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

    /// Whoever asks for a sync wants what was not given before as well.
    fn ask_again(&self) {
        let account = self.id;
        let is_missed = |reader: &Reader<'_>| Ok(!reader.not_given(account)?.is_empty());
        if self.common.store.read(is_missed).unwrap_or_default() {
            let written =
                self.common.store.write(Origin::Upstream, self.common.clock.now(), move |txn| txn.ask_again(account));
            if let Err(error) = written {
                tracing::warn!(account = %self.config.name, "what the server did not give is asked for later: {error}");
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

    /// Answers those who asked before the sync under way began, and those who asked since.
    pub(super) fn answer_all(&mut self, complete: bool) {
        self.asked.append(&mut self.waiting);
        self.answer_asked(complete);
    }

    /// Answers those who asked before the sync under way began.
    pub(super) fn answer_asked(&mut self, complete: bool) {
        let live = self.ends.live.borrow().clone();
        for tell in std::mem::take(&mut self.asked) {
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
}

/// Does the server tell only what the last sync saw?
pub(super) fn is_known(store: &Store, account: AccountId, news: &News) -> bool {
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
