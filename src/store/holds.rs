//! Who holds on to which contents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::types::ContentId;

/// Shared by the uploads and the writer. Its lock is taken last, and for no longer than a look.
#[derive(Default)]
pub(super) struct Holds(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// Contents whose bytes someone took in once more and has not referred to yet: never swept.
    pins: BTreeMap<ContentId, u32>,
    /// Contents that a sweep is about to remove: not to be shared any more.
    doomed: BTreeSet<ContentId>,
}

impl Holds {
    /// Pins it, unless a sweep is about to remove it.
    pub(super) fn pin_spared(&self, id: ContentId) -> bool {
        let mut held = self.lock();
        let is_spared = !held.doomed.contains(&id);
        if is_spared {
            *held.pins.entry(id).or_insert(0) += 1;
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

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Nothing in here can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
