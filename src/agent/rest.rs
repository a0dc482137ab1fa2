//! Between two syncs: an account at rest waits, connected, for a reason to sync again, and takes in at once what came.

use std::time::Duration;

use super::account::Order;
use super::distrust::distrust;
use super::orders::{Interrupted, is_known};
use super::trouble::Trouble;
use super::worker::Worker;
use crate::store;
use crate::sync::Came;
use crate::sync::remote::{Remote, RemoteError, RemoteName, Selected, Woken};
use crate::upstream::Dial;
use crate::upstream::imap::ImapRemote;

/// A client that sets many flags does so in many commands: they go upstream together.
const GATHER: Duration = Duration::from_millis(30);

impl<D: Dial + Clone> Worker<D> {
    /// Waits, connected, for a reason to sync again.
    pub(super) async fn rest(&mut self, connection: &mut Option<ImapRemote>) -> Result<(), Trouble> {
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
}
