//! Who holds on to which contents, apart from the connection that writes them: the writer asks here about each message
//! while an upload waits for the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::contents::Written;
use crate::types::ContentId;

/// Shared by the uploads and the writer. Its lock is taken last, and for no longer than a look.
#[derive(Default)]
pub(super) struct Holds(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Transactions that were taken back.
    lost: BTreeSet<u64>,
    /// Contents that someone is writing, or has finished and not referred to yet: never swept.
    pins: BTreeMap<ContentId, u32>,
    /// Contents that a sweep is about to remove: not to be shared any more.
    doomed: BTreeSet<ContentId>,
}

impl Holds {
    pub(super) fn pin(&self, id: ContentId) {
        self.lock().pin(id);
    }

    /// Pins it, unless a sweep is about to remove it.
    pub(super) fn pin_spared(&self, id: ContentId) -> bool {
        let mut held = self.lock();
        let is_spared = !held.doomed.contains(&id);
        if is_spared {
            held.pin(id);
        }
        is_spared
    }

    pub(super) fn unpin(&self, id: ContentId) {
        let mut held = self.lock();
        if let Some(count) = held.pins.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                held.pins.remove(&id);
            }
        }
    }

    /// Of `candidates`, marks those that nobody holds as about to go, and returns them.
    pub(super) fn doom(&self, mut candidates: Vec<ContentId>) -> Vec<ContentId> {
        let mut held = self.lock();
        candidates.retain(|id| !held.pins.contains_key(id));
        held.doomed.extend(candidates.iter().copied());
        candidates
    }

    /// They stay after all, or are gone.
    pub(super) fn spare(&self, ids: &[ContentId]) {
        let mut held = self.lock();
        ids.iter().for_each(|id| _ = held.doomed.remove(id));
    }

    /// A transaction was taken back.
    pub(super) fn lose(&self, transaction: u64) {
        self.lock().lost.insert(transaction);
    }

    /// Was any of it lost?
    pub(super) fn is_lost(&self, written: Written) -> bool {
        written.span().is_some_and(|(first, last)| self.lock().lost.range(first..=last).next().is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing in here can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn pin(&mut self, id: ContentId) {
        *self.pins.entry(id).or_insert(0) += 1;
    }
}
