//! Mailboxes that open and cannot be looked into: what vanished elsewhere may be in one of them, so it waits.
//!
//! One that is so for good (a corrupted index, say) would hold up what others delete and move in all mailboxes of the account
//! (invariant 11): after some syncs in a row it is as one that does not open at all, which tells nothing of the others.

use std::collections::BTreeMap;

use crate::types::MailboxId;

/// Syncs in a row that wait for a mailbox: what a server refuses for now it grants within a few.
const SYNCS_MAX: u32 = 5;

/// In how many syncs in a row each could not be looked into.
#[derive(Debug)]
pub(super) struct HalfSeen(BTreeMap<MailboxId, u32>);

impl HalfSeen {
    pub const fn new(syncs: BTreeMap<MailboxId, u32>) -> Self {
        Self(syncs)
    }

    /// Does what vanished elsewhere wait for the mailbox?
    pub fn is_waited_for(&self, mailbox: MailboxId) -> bool {
        self.0.get(&mailbox).is_none_or(|syncs| *syncs < SYNCS_MAX)
    }

    /// A sync came to its end; these could not be looked into. What is to be noted of it: `None`, nothing new.
    pub fn after(&self, mailboxes: impl IntoIterator<Item = MailboxId>) -> Option<BTreeMap<MailboxId, u32>> {
        let syncs = |mailbox: MailboxId| (self.0.get(&mailbox).copied().unwrap_or(0) + 1).min(SYNCS_MAX);
        let now: BTreeMap<MailboxId, u32> = mailboxes.into_iter().map(|mailbox| (mailbox, syncs(mailbox))).collect();
        (now != self.0).then_some(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_waited_for_a_few_syncs_in_a_row() {
        let (mailbox, other) = (MailboxId::new(1), MailboxId::new(2));
        let mut half_seen = HalfSeen::new(BTreeMap::new());
        for _ in 0..SYNCS_MAX {
            assert!(half_seen.is_waited_for(mailbox));
            half_seen = HalfSeen::new(half_seen.after([mailbox]).expect("news"));
        }
        assert!(!half_seen.is_waited_for(mailbox) && half_seen.is_waited_for(other));
        assert_eq!(half_seen.after([mailbox]), None, "nothing new");
        half_seen = HalfSeen::new(half_seen.after([]).expect("news"));
        assert!(half_seen.is_waited_for(mailbox), "it was looked into");
        assert_eq!(half_seen.after([]), None);
    }
}
