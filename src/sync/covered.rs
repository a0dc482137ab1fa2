//! Mailboxes that a sync had covered when it, or what was fetched right after it, was cut: the next one goes on behind them.
//!
//! A server without mod-sequences tells of no mailbox that nothing changed in it, so that every sync looks into all of them. One
//! that hangs up after so many requests (QUIRKS.md row 19) would let no sync of many mailboxes come to its end, were each begun
//! anew; and where a sync takes as many requests as are granted, what is fetched after it would never be.
//!
//! Rules: only a mailbox from which nothing vanished counts, and only while it is listed as it was then; what left it since shows
//! there, and what came of it elsewhere is looked for in it like in any other that was left alone. Flags that others changed
//! since are seen by the sync after that.

use std::collections::BTreeMap;

use super::remote::Status;
use crate::types::{MailboxId, Timestamp};

/// What was seen longer ago is looked at anew.
const GOOD_FOR_MS: i64 = 10 * 60 * 1000;

/// Those mailboxes.
#[derive(Debug, Clone, Default)]
pub(super) struct Covered {
    /// As they were listed then, and when that was.
    mailboxes: BTreeMap<MailboxId, (Status, Timestamp)>,
    is_cut: bool,
}

impl Covered {
    /// The line was cut.
    pub const fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Those covered lately: none of them where nothing was cut.
    pub fn lately(mut self, now: Timestamp) -> Self {
        let is_cut = std::mem::take(&mut self.is_cut);
        self.mailboxes.retain(|_, (_, at)| is_cut && *at <= now && now < at.plus_ms(GOOD_FOR_MS));
        self
    }

    /// The mailbox is covered, and nothing vanished from it. Where the server does not tell the next UID, one message in the place
    /// of another would not show.
    pub fn note(&mut self, mailbox: MailboxId, listed: Option<Status>, now: Timestamp) {
        if let Some(listed) = listed.filter(|listed| listed.uid_next.is_some()) {
            self.mailboxes.insert(mailbox, (listed, now));
        }
    }

    /// Was it covered as it is listed now?
    pub fn has(&self, mailbox: MailboxId, listed: Option<Status>) -> bool {
        self.mailboxes.get(&mailbox).is_some_and(|(was, _)| Some(*was) == listed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{RemoteUid, UidValidity};

    #[test]
    fn a_mailbox_was_covered_for_a_while_and_as_long_as_it_is_listed_so() {
        let (now, mailbox) = (Timestamp::from_unix_ms(1_790_000_000_000), MailboxId::new(1));
        let listed = |messages, next: Option<u32>| {
            let (uid_next, uid_validity) = (next.map(RemoteUid::new), UidValidity::new(1));
            Some(Status { messages, uid_next, uid_validity, highest_mod_seq: None })
        };
        let mut covered = Covered::default();
        covered.note(mailbox, listed(2, Some(3)), now);
        covered.note(MailboxId::new(2), listed(2, None), now);
        assert!(covered.has(mailbox, listed(2, Some(3))));
        assert!(!covered.has(mailbox, listed(1, Some(3))) && !covered.has(mailbox, listed(2, Some(4))));
        assert!(!covered.has(mailbox, None) && !covered.has(MailboxId::new(2), listed(2, None)));
        assert!(!covered.clone().lately(now).has(mailbox, listed(2, Some(3))), "nothing was cut");
        covered.cut();
        assert!(covered.clone().lately(now.plus_ms(GOOD_FOR_MS - 1)).has(mailbox, listed(2, Some(3))));
        assert!(!covered.clone().lately(now.plus_ms(GOOD_FOR_MS)).has(mailbox, listed(2, Some(3))));
        assert!(!covered.lately(now.plus_ms(-1)).has(mailbox, listed(2, Some(3))));
    }
}
