//! An account with a maildrop: visits now and then, since a server locks a maildrop for as long as somebody is in it.

use std::time::Duration;

use super::account::Common;
use super::orders::Interrupted;
use super::trouble::Trouble;
use super::worker::Worker;
use crate::config;
use crate::control::report::State;
use crate::store;
use crate::sync::Report;
use crate::sync::maildrop::MaildropEngine;
use crate::sync::maildrop::seam::OpenMaildrop;
use crate::types::{AccountId, Keep};
use crate::upstream::{Dial, Pop3Connector};

/// The account of the configuration in the store; made there if it is new.
pub(super) fn ensure_account(txn: &mut store::Txn<'_>, name: &str, is_maildrop: bool) -> store::Result<AccountId> {
    if is_maildrop { txn.ensure_maildrop(name) } else { txn.ensure_account(name) }
}

/// Is the account's mail taken from a maildrop?
pub(super) const fn is_maildrop(account: &config::Account) -> bool {
    matches!(account.incoming, config::Incoming::Pop3 { .. })
}

/// One visit.
pub(super) async fn visit<D: Dial>(
    common: &Common,
    account: AccountId,
    connector: &Pop3Connector<D>,
    keep: Keep,
    report: &mut Report,
    connected: impl FnOnce() -> store::Result<()>,
) -> crate::sync::Result<Option<u64>> {
    let mut maildrop = connector.open().await?;
    connected()?;
    let delay_seconds = maildrop.login_delay_seconds();
    let clock = common.clock.clone();
    let engine = MaildropEngine::new(common.store.clone(), account, keep);
    engine.visit(&mut maildrop, &move || clock.now(), report).await?;
    Ok(delay_seconds)
}

impl<D: Dial + Clone> Worker<D> {
    /// Takes what came, and deletes what is not to stay on the server.
    pub(super) async fn visit(&mut self, connector: &Pop3Connector<D>, keep: Keep) -> Result<Interrupted<()>, Trouble> {
        self.set_live(State::Syncing, None);
        let began = self.common.clock.now();
        let mut report = Report::default();
        let (common, id) = (self.common.clone(), self.id);
        let (host, writer) = (self.config.incoming.server().host.clone(), self.common.clone());
        let connected = move || {
            tracing::info!(host, "connected");
            let now = writer.clock.now();
            writer.store.write(store::Origin::Upstream, now, move |txn| txn.hasten_submissions(id))
        };
        let visit = visit(&common, id, connector, keep, &mut report, connected);
        let outcome = match self.unless_halted(visit).await {
            Interrupted::Halted => Interrupted::Halted,
            Interrupted::Done(Err(error)) => Interrupted::Done(Err(error)),
            Interrupted::Done(Ok(delay_seconds)) => {
                self.login_delay_seconds = delay_seconds.unwrap_or(0);
                Interrupted::Done(Ok(()))
            }
        };
        self.conclude(outcome, began, &report)
    }

    /// Until the next visit: that of the configuration, not before the server allows it, or when somebody asks.
    pub(super) async fn rest_between_visits(&mut self) {
        if self.is_asked {
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
