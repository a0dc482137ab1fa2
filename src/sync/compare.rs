//! What is different between a mailbox upstream and what is here of it. Pure.
//!
//! What a server tells is not believed where it contradicts itself: then every UID must be asked for.

use std::collections::BTreeMap;

use super::guard::is_mass;
use super::remote::Scanned;
use crate::store::Bound;
use crate::types::mutant::mutant;
use crate::types::{Flags, MessageId, RemoteUid, Timestamp, UidSet};

/// What is here of a mailbox, and what the server told of it.
pub(super) struct Sight<'a> {
    pub(super) bound: &'a [Bound],
    /// UIDs without a message here, and when each is to be asked for again.
    pub(super) skipped: BTreeMap<RemoteUid, Timestamp>,
    pub(super) now: Timestamp,
    /// How many messages there are upstream.
    pub(super) exists: u32,
    pub(super) scanned: Vec<Scanned>,
    /// Whether every message was to be scanned.
    pub(super) is_complete: bool,
    /// UIDs told to be gone since the cursor.
    pub(super) gone: UidSet<RemoteUid>,
    /// UIDs told to be gone by the way.
    pub(super) told: UidSet<RemoteUid>,
}

/// What is different upstream.
pub(super) struct Difference {
    /// Bound messages that upstream does not have any more.
    pub(super) vanished: Vec<MessageId>,
    /// UIDs whose messages are to be fetched, ascending.
    pub(super) new: Vec<RemoteUid>,
    /// Bound messages whose flags are not the base.
    pub(super) flags: Vec<(MessageId, Flags)>,
    /// Skipped UIDs that upstream does not have any more.
    pub(super) unskip: Vec<RemoteUid>,
    /// The greatest UID seen.
    pub(super) last: Option<RemoteUid>,
}

impl Sight<'_> {
    fn by_uid(&self) -> BTreeMap<RemoteUid, &Bound> {
        self.bound.iter().filter_map(|bound| Some((bound.uid?, bound))).collect()
    }

    /// The difference; `None`: which UIDs exist must be asked for.
    pub(super) fn difference(&self) -> Option<Difference> {
        let by_uid = self.by_uid();
        if self.is_complete {
            let seen: UidSet<RemoteUid> = self.scanned.iter().map(|scanned| scanned.uid).collect();
            // A list of flags that lacks some may be the server's mistake (QUIRKS.md row 19).
            let is_whole = seen.len() >= u64::from(self.exists);
            let has_all = is_whole && by_uid.keys().chain(self.skipped.keys()).all(|uid| seen.contains(*uid));
            return has_all.then(|| self.difference_from(&seen));
        }
        let is_new = |uid: &RemoteUid| !by_uid.contains_key(uid) && !self.skipped.contains_key(uid);
        let arrived = self.scanned.iter().map(|scanned| scanned.uid).filter(is_new).count();
        let gone = by_uid.keys().filter(|uid| self.gone.contains(**uid)).count();
        let expected = by_uid.len() + self.skipped.len() + arrived - gone;
        let is_told = by_uid.keys().any(|uid| self.told.contains(*uid) && !self.gone.contains(*uid));
        let is_counted = mutant!(CountNotChecked) || expected == self.exists as usize;
        if !is_counted || is_told || is_mass(gone, self.bound.len()) {
            return None;
        }
        let new = self.scanned.iter().map(|scanned| scanned.uid).filter(is_new).collect();
        Some(self.resolve(&by_uid, &|uid| !by_uid.contains_key(&uid) || !self.gone.contains(uid), new))
    }

    /// The difference, all UIDs upstream being known.
    pub(super) fn difference_from(&self, all: &UidSet<RemoteUid>) -> Difference {
        let by_uid = self.by_uid();
        let is_new = |uid: &RemoteUid| !by_uid.contains_key(uid) && !self.skipped.contains_key(uid);
        self.resolve(&by_uid, &|uid| all.contains(uid), all.iter().filter(is_new).collect())
    }

    fn resolve(
        &self,
        by_uid: &BTreeMap<RemoteUid, &Bound>,
        exists: &dyn Fn(RemoteUid) -> bool,
        mut new: Vec<RemoteUid>,
    ) -> Difference {
        let is_wanted_again =
            |(uid, again): (&RemoteUid, &Timestamp)| (*again <= self.now && exists(*uid)).then_some(*uid);
        new.extend(self.skipped.iter().filter_map(is_wanted_again));
        new.extend(by_uid.iter().filter(|(uid, bound)| !bound.is_known && exists(**uid)).map(|(uid, _)| *uid));
        new.sort_unstable();
        new.dedup();
        let vanished = self.bound.iter().filter(|bound| bound.uid.is_none_or(|uid| !exists(uid)));
        let flags = self.scanned.iter().filter_map(|scanned| {
            let bound = by_uid.get(&scanned.uid)?;
            (bound.base != scanned.flags).then(|| (bound.message, scanned.flags.clone()))
        });
        Difference {
            vanished: vanished.map(|bound| bound.message).collect(),
            flags: flags.collect(),
            unskip: self.skipped.keys().copied().filter(|uid| !exists(*uid)).collect(),
            last: self.scanned.iter().map(|scanned| scanned.uid).max().max(new.last().copied()),
            new,
        }
    }
}
