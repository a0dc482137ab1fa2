//! The engine of one account: a value that syncs it with whatever `Remote` it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::covered::Covered;
use super::half_seen::HalfSeen;
use super::pass::Pass;
use super::remote::Remote;
use super::{Report, Result};
use crate::store::{self, Origin, Store, Verdict};
use crate::types::mutant::mutant;
use crate::types::{AccountId, BodyPolicy, FolderFilter, MailboxId, Timestamp};

/// What time it is.
pub type Clock<'a> = &'a (dyn Fn() -> Timestamp + Sync);

/// Pulls and pushes in one sync: what others change meanwhile is left to the next one.
const ROUNDS_MAX: usize = 8;

/// A server may still do what it had read of a connection that is gone: what is not seen sooner after it was sent may yet come.
const SETTLING_MS: u64 = 2_000;

/// Syncs one account. Only one sync of an account at a time.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    account: AccountId,
    filter: FolderFilter,
    bodies: BodyPolicy,
    /// What the last sync covered.
    covered: Arc<Mutex<Covered>>,
}

impl Engine {
    /// The engine of an account that is in the store.
    pub fn new(store: Store, account: AccountId, filter: FolderFilter) -> Self {
        Self { store, account, filter, bodies: BodyPolicy::ALL, covered: Arc::default() }
    }

    /// Of which messages more than the header is mirrored; without this, of all.
    #[must_use]
    pub fn keeping(mut self, bodies: BodyPolicy) -> Self {
        self.bodies = bodies;
        self
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) const fn account(&self) -> AccountId {
        self.account
    }

    /// Syncs until both sides are quiet: finds out what was in flight, pulls, pushes. What was done before an error is
    /// recorded, and counted in `report`.
    pub async fn sync_once<R: Remote>(&self, remote: &mut R, clock: Clock<'_>, report: &mut Report) -> Result<()> {
        let bodies = self.bodies_now()?;
        let mut recognises = true;
        let half_seen_before = HalfSeen::new(self.store.read(|reader| reader.half_seen(self.account))?);
        let mut half_seen = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            let mut round = Report::default();
            let mut pass = Pass {
                store: &self.store,
                account: self.account,
                filter: &self.filter,
                bodies: &bodies,
                remote: &mut *remote,
                clock,
                report: &mut round,
                since: self.store.read(|reader| reader.last_message())?,
                selected: None,
                unseen: BTreeMap::new(),
                is_half_seen: false,
                half_seen: BTreeSet::new(),
                half_seen_before: &half_seen_before,
                told_sizes: BTreeMap::new(),
                shut: BTreeSet::new(),
                listed: BTreeMap::new(),
                is_strange: false,
                is_familiar: false,
                recognises,
                recognised: BTreeSet::new(),
                covered: std::mem::take(&mut *self.covered()).lately(clock()),
                went_back: false,
                renumbered: BTreeSet::new(),
                bursts: true,
            };
            let outcome = run(&mut pass).await;
            let went_back = pass.went_back;
            // What could not be looked into was not recognised either.
            recognises = !pass.unseen.is_empty();
            if outcome.is_err() {
                pass.covered.cut();
            }
            *self.covered() = pass.covered;
            half_seen.append(&mut pass.half_seen);
            if round.has_pushed() || went_back {
                // What was done must not be forgotten: done again by UID, it may hit what a restored server gave that UID.
                self.store.settle()?;
            }
            let has_more = round.has_pushed() || round.has_restored();
            report.add(round);
            outcome?;
            if !has_more {
                break;
            }
        }
        if let Some(half_seen) = half_seen_before.after(half_seen) {
            let account = self.account;
            self.store.write(Origin::Upstream, clock(), move |txn| txn.note_half_seen(account, &half_seen))?;
        }
        let quarantined = self.store.read(|reader| reader.quarantined(self.account))?;
        let open = quarantined.into_iter().filter(|quarantine| quarantine.verdict == Verdict::Open);
        report.blocked = open.filter_map(|quarantine| quarantine.name).map(String::from).collect();
        Ok(())
    }

    /// How long the first sync on a new connection waits, so that what was sent on another one is done by then, if ever.
    pub fn settling(&self, now: Timestamp) -> store::Result<Duration> {
        let last = self.store.read(|reader| reader.last_try(self.account))?.filter(|_| !mutant!(LooksAtOnce));
        let passed = last.and_then(|last| u64::try_from(now.unix_ms().saturating_sub(last.unix_ms())).ok());
        // A try in the future was before the clock was set back.
        Ok(Duration::from_millis(passed.map_or(0, |passed_ms| SETTLING_MS.saturating_sub(passed_ms))))
    }

    pub(super) fn covered(&self) -> MutexGuard<'_, Covered> {
        self.covered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy, and what the user has said of the line since.
    pub(super) fn bodies_now(&self) -> store::Result<BodyPolicy> {
        let mut bodies = self.bodies.clone();
        if let Some(metered) = self.store.read(|reader| reader.metered(self.account))? {
            bodies.metered = metered;
        }
        Ok(bodies)
    }

    /// The user decided about a mailbox in quarantine: what vanished upstream may go here too, or is wanted back there.
    /// It is done by the next sync.
    pub fn decide(&self, mailbox: MailboxId, verdict: Verdict, now: Timestamp) -> Result<()> {
        let account = self.account;
        Ok(self.store.write(Origin::LocalUser, now, move |txn| txn.decide_quarantine(account, mailbox, verdict))?)
    }
}

async fn run<R: Remote>(pass: &mut Pass<'_, R>) -> Result<()> {
    if mutant!(RecoveredLate) {
        pass.pull().await?;
    }
    pass.recover().await?;
    pass.pull().await?;
    pass.push().await
}
