//! Eyes on the mailboxes that the account's own connection does not watch: a lookout is a connection that only waits.
//!
//! Rules:
//!
//! - A lookout takes nothing in: it says where something happened, and the worker looks.
//! - Where the server offers NOTIFY (RFC 5465) one lookout sees everything; else each stays in one mailbox, in IDLE, those
//!   first that got mail last.
//! - There are no more connections than the configuration allows, and none while the account itself has none.
//! - What a lookout misses the poll finds: nothing depends on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};

use super::account::{Common, Order};
use super::distrust::distrust;
use super::servers::{Incoming, Servers, ServersOf};
use crate::net::Shutdown;
use crate::store::{self, Reader, Store};
use crate::sync;
use crate::sync::backoff::Backoff;
use crate::sync::remote::{Facts, News, Remote, RemoteError, RemoteName, Woken};
use crate::types::{AccountId, SpecialUse};
use crate::upstream::Dial;

/// How often it is considered anew which mailboxes are worth watching.
const CHOOSE: Duration = Duration::from_secs(10 * 60);

/// The first wait after a failure: the account's own connection comes first.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// All lookouts of an account.
pub(super) struct Lookouts<D> {
    pub account: AccountId,
    pub common: Common,
    pub servers: ServersOf<D>,
    /// How many there may be.
    pub count: usize,
    /// What the server of the account's own connection can do; `None` while there is none.
    pub facts: watch::Receiver<Option<Facts>>,
    pub orders: mpsc::UnboundedSender<Order>,
    /// NOTIFY was offered and refused.
    pub is_refused: AtomicBool,
}

/// What one lookout watches.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Post {
    Everything,
    Mailbox(RemoteName),
}

impl<D: Dial + Clone> Lookouts<D> {
    /// Watches until it is told to stop.
    pub async fn work(&self, stop: &Shutdown) {
        let all = join_all((0..self.count).map(|place| self.keep(place)));
        tokio::select! {
            biased;
            () = stop.requested() => {}
            _ = all => {}
        }
    }

    /// Keeps one lookout at its post.
    async fn keep(&self, place: usize) {
        let mut facts = self.facts.clone();
        let mut backoff = Backoff::default();
        loop {
            let post = facts.borrow_and_update().clone().and_then(|facts| self.post(place, &facts));
            let outcome = tokio::select! {
                biased;
                // Another connection, perhaps over another network: this one is begun anew as well.
                changed = facts.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                outcome = self.stand(post.as_ref(), &mut backoff) => outcome,
            };
            let Err(error) = outcome else { continue };
            let wait_ms = backoff.wait_ms(&error, u64::from(self.common.chance.number()));
            let pause = Duration::from_millis(wait_ms).max(FIRST_PAUSE);
            tracing::debug!(%error, ?post, ?pause, "a lookout lost its post");
            tokio::select! {
                biased;
                changed = facts.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Watches until another post is the better one.
    async fn stand(&self, post: Option<&Post>, backoff: &mut Backoff) -> sync::Result<()> {
        let Some(post) = post else {
            tokio::time::sleep(CHOOSE).await;
            return Ok(());
        };
        let connector = match self.servers.get().await {
            Ok(Servers { incoming: Incoming::Imap(connector), .. }) => connector,
            // The worker tells.
            Ok(_) | Err(_) => return Err(RemoteError::Impossible("there is no password".to_owned()).into()),
        };
        let mut remote = connector.connect_to_wait().await?;
        match post {
            Post::Everything => match remote.notify().await {
                Err(RemoteError::Refused { text, .. } | RemoteError::Protocol { text, .. }) => {
                    tracing::debug!(text, "NOTIFY is offered and refused");
                    self.is_refused.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                notified => {
                    notified?;
                    self.tell(remote.take_news());
                }
            },
            Post::Mailbox(name) => {
                let selected = remote.select(name, None).await?;
                self.tell(vec![News::of(name, &selected)]);
            }
        }
        backoff.reset();
        tracing::debug!(?post, "a lookout is at its post");
        loop {
            let interrupt = Box::pin(distrust(&self.common.clock, self.servers.dial()));
            let woken = remote.wait(u64::try_from(CHOOSE.as_millis()).unwrap_or(u64::MAX), interrupt).await?;
            match (woken, post) {
                (Woken::TimedOut, Post::Mailbox(_)) => break,
                (Woken::TimedOut | Woken::Interrupted, _) => {}
                (Woken::Changed | Woken::Arrived, Post::Everything) => self.tell(remote.take_news()),
                (Woken::Changed | Woken::Arrived, Post::Mailbox(name)) => self.tell(vec![News::somehow(name)]),
            }
        }
        remote.logout().await;
        Ok(())
    }

    fn tell(&self, mut news: Vec<News>) {
        // The account's own connection watches INBOX.
        news.retain(|news| news.name.as_ref().is_none_or(|name| !name.0.eq_ignore_ascii_case("INBOX")));
        if !news.is_empty() {
            // A worker that has ended hears nothing.
            let _ = self.orders.send(Order::Look(news));
        }
    }

    fn post(&self, place: usize, facts: &Facts) -> Option<Post> {
        let notifies = facts.notify && facts.idle && !self.is_refused.load(Ordering::Relaxed);
        match (notifies, facts.idle) {
            (true, _) => (place == 0).then_some(Post::Everything),
            (false, true) => most_active(&self.common.store, self.account, place).ok()?.map(Post::Mailbox),
            (false, false) => None,
        }
    }
}

/// The mailbox at this place among those to be watched: those first that got mail last.
fn most_active(store: &Store, account: AccountId, place: usize) -> store::Result<Option<RemoteName>> {
    store.read(|reader| {
        let mut watched = Vec::new();
        for mailbox in reader.remote_mailboxes(account)? {
            let is_shown = mailbox.name.is_some() && mailbox.selectable;
            if is_shown && !mailbox.remote_name.eq_ignore_ascii_case("INBOX") && gets_mail(reader, &mailbox)? {
                watched.push((reader.newest_in(mailbox.mailbox)?, mailbox.remote_name));
            }
        }
        watched
            .sort_by(|(a_newest, a_name), (b_newest, b_name)| b_newest.cmp(a_newest).then_with(|| a_name.cmp(b_name)));
        Ok(watched.into_iter().nth(place).map(|(_, name)| RemoteName(name)))
    })
}

/// Does mail of others come into it?
fn gets_mail(reader: &Reader<'_>, mailbox: &store::RemoteMailbox) -> store::Result<bool> {
    use SpecialUse::{All, Drafts, Sent, Trash};
    let special_use = reader.mailbox(mailbox.mailbox)?.special_use;
    Ok(!matches!(special_use, Some(All | Drafts | Sent | Trash)))
}
