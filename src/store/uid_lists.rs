//! The UIDs of mailboxes that were opened lately: a mailbox of many messages is opened again and again, by every program and
//! every session, and its UIDs are the same until its mod-sequence grows.
//!
//! Rules. Only what a read of committed data saw is kept, under all that changes with it: the mailbox, its UIDVALIDITY and its
//! highest mod-sequence. So many lists are kept, and so many UIDs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::Mailbox;
use crate::types::{LocalUid, MailboxId, ModSeq, UidValidity};

/// UIDs of all lists together: 4 bytes each.
const UIDS_MAX: usize = 2_000_000;

/// Lists.
const LISTS_MAX: usize = 64;

/// Of what mailbox, and of what moment of it.
pub(super) type Key = (MailboxId, UidValidity, ModSeq);

/// The lists, the one last used in front.
#[derive(Default)]
pub(super) struct UidLists(Mutex<VecDeque<(Key, Arc<Vec<LocalUid>>)>>);

impl UidLists {
    /// The list of the mailbox as it is, if it is here.
    pub(super) fn get(&self, of: Key) -> Option<Arc<Vec<LocalUid>>> {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = lists.iter().position(|(key, _)| *key == of)?;
        let found = lists.remove(place)?;
        let uids = Arc::clone(&found.1);
        lists.push_front(found);
        Some(uids)
    }

    /// Keeps the list in the place of an older one, and of those that were not used for the longest time.
    pub(super) fn keep(&self, of: Key, uids: Arc<Vec<LocalUid>>) {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lists.retain(|((mailbox, ..), _)| *mailbox != of.0);
        lists.push_front((of, uids));
        lists.truncate(LISTS_MAX);
        let mut left = UIDS_MAX;
        lists.retain(|(_, uids)| {
            let fits = uids.len() <= left;
            left = left.saturating_sub(uids.len());
            fits
        });
    }
}

/// What the list of the mailbox as it is now is kept under.
pub(super) const fn key_of(mailbox: &Mailbox) -> Key {
    (mailbox.id, mailbox.uid_validity, mailbox.highest_mod_seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(mailbox: i64, mod_seq: u64) -> Key {
        (MailboxId::new(mailbox), UidValidity::new(1), ModSeq::new(mod_seq))
    }

    fn uids(count: u32) -> Arc<Vec<LocalUid>> {
        Arc::new((1..=count).map(LocalUid::new).collect())
    }

    #[test]
    fn the_list_of_another_moment_is_none_and_goes_when_a_newer_one_comes() {
        let lists = UidLists::default();
        lists.keep(key(1, 5), uids(3));
        assert_eq!(lists.get(key(1, 5)).map(|uids| uids.len()), Some(3));
        assert!(lists.get(key(1, 6)).is_none() && lists.get(key(2, 5)).is_none());
        lists.keep(key(1, 6), uids(4));
        assert!(lists.get(key(1, 5)).is_none());
        assert_eq!(lists.get(key(1, 6)).map(|uids| uids.len()), Some(4));
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let lists = UidLists::default();
        (0..i64::try_from(LISTS_MAX).expect("few")).for_each(|mailbox| lists.keep(key(mailbox, 1), uids(1)));
        assert!(lists.get(key(0, 1)).is_some());
        lists.keep(key(-1, 1), uids(1));
        assert!(lists.get(key(1, 1)).is_none());
        assert!(lists.get(key(0, 1)).is_some());
        lists.keep(key(-2, 1), uids(u32::try_from(UIDS_MAX).expect("few")));
        assert!(lists.get(key(-2, 1)).is_some() && lists.get(key(0, 1)).is_none());
    }
}
