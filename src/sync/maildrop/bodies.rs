//! Of which messages that are not all here more is wanted, and how much that is.
//!
//! Wanted is what the user asked for, what the configuration wants of the mailbox in which a message is by now, and what is to be
//! deleted on the server: that comes first, since nothing goes from there of which not all is here. On a metered line only the
//! first is fetched, and no more in a day than the budget allows: what is to be deleted waits, on the server.

use std::collections::BTreeMap;

use super::engine::MaildropEngine;
use super::matching::is_over;
use crate::store::{self, AbsentCounts, Spent, Unpopped};
use crate::sync::stock::Waiting;
use crate::types::{BodyPolicy, Keep, PoppedId, Timestamp};

/// How much a message that is not all here is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    None,
    /// By the configuration.
    Some,
    /// By the user.
    Pinned,
}

impl MaildropEngine {
    /// What was fetched today.
    pub fn spent(&self, now: Timestamp) -> store::Result<Spent> {
        self.store.read(|reader| reader.spent(self.account, now))
    }

    /// How many bytes may still be fetched today.
    pub(super) fn left_bytes(&self, now: Timestamp) -> store::Result<u64> {
        let Some(budget) = self.bodies_now()?.budget_bytes else { return Ok(u64::MAX) };
        Ok(budget.saturating_sub(self.spent(now)?.bytes))
    }

    /// What waits to be fetched.
    pub fn waiting(&self, now: Timestamp) -> store::Result<Waiting> {
        let (account, bodies) = (self.account, self.bodies_now()?);
        let (unpopped, mut waiting) = self.store.read(|reader| {
            let waiting = Waiting {
                absent: reader.absent_counts(account)?,
                withheld: reader.withheld_count(account)?,
                spent: reader.spent(account, now)?,
                budget_bytes: bodies.budget_bytes,
                metered: bodies.metered,
                ..Waiting::default()
            };
            Ok((reader.unpopped(account)?, waiting))
        })?;
        for (need, one) in needed(unpopped, &bodies, self.keep, now) {
            let count = AbsentCounts { messages: 1, bytes: one.size_bytes, least_bytes: one.size_bytes };
            waiting.wanted.add(count);
            if is_due(need, &bodies) {
                waiting.due.add(count);
            }
        }
        Ok(waiting)
    }

    /// What is to be fetched, in that order.
    pub(super) fn due(&self, now: Timestamp) -> store::Result<Vec<Unpopped>> {
        let (account, bodies) = (self.account, self.bodies_now()?);
        let unpopped = self.store.read(|reader| reader.unpopped(account))?;
        let needed = needed(unpopped, &bodies, self.keep, now);
        Ok(needed.into_iter().filter(|(need, _)| is_due(*need, &bodies)).map(|(_, one)| one).collect())
    }
}

/// Messages that are wanted, each once: those that the user wants first, else as they were.
fn needed(unpopped: Vec<Unpopped>, bodies: &BodyPolicy, keep: Keep, now: Timestamp) -> Vec<(Need, Unpopped)> {
    let (mut order, mut needs) = (Vec::new(), BTreeMap::<PoppedId, Need>::new());
    for one in unpopped {
        let need = need(&one, bodies, keep, now);
        let known = needs.entry(one.id).or_insert_with(|| {
            order.push(one);
            need
        });
        *known = need.max(*known);
    }
    let mut needed: Vec<_> = order.into_iter().map(|one| (needs[&one.id], one)).collect();
    needed.retain(|(need, _)| *need > Need::None);
    needed.sort_by_key(|(need, _)| *need < Need::Pinned);
    needed
}

fn need(one: &Unpopped, bodies: &BodyPolicy, keep: Keep, now: Timestamp) -> Need {
    let bounds = one.mailbox.as_ref().and_then(|mailbox| bodies.of(mailbox).bounds(now));
    let is_within = bounds.is_some_and(|bounds| bounds.hold(one.size_bytes, one.internal_date));
    match one {
        Unpopped { is_withheld: true, .. } => Need::None,
        Unpopped { pinned: true, .. } => Need::Pinned,
        _ if is_within || is_over(keep, one.taken, now) => Need::Some,
        _ => Need::None,
    }
}

fn is_due(need: Need, bodies: &BodyPolicy) -> bool {
    need > if bodies.metered { Need::Some } else { Need::None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Bodies, ContentHash, Glob, InternalDate, MailboxName};

    const DAY_MS: i64 = 24 * 3_600_000;
    const NOW: Timestamp = Timestamp::from_unix_ms(100 * DAY_MS);

    fn one(id: i64, mailbox: &str, size_bytes: u64, pinned: bool) -> Unpopped {
        Unpopped {
            id: PoppedId::new(id),
            header: ContentHash::from_bytes([0; 32]),
            mailbox: MailboxName::parse(mailbox).ok(),
            size_bytes,
            internal_date: InternalDate::new(90 * 86_400, 0),
            pinned,
            is_withheld: false,
            taken: Timestamp::from_unix_ms(90 * DAY_MS),
        }
    }

    fn ids(bodies: &BodyPolicy, keep: Keep) -> Vec<i64> {
        let withheld = Unpopped { is_withheld: true, ..one(5, "INBOX", 1, true) };
        let all = vec![
            one(1, "INBOX", 10, false),
            one(2, "Lists/x", 20, false),
            one(3, "INBOX", 30, false),
            one(1, "Lists/y", 10, false),
            one(4, "INBOX", 40, true),
            withheld,
        ];
        let needed = needed(all, bodies, keep, NOW);
        needed.iter().filter(|(need, _)| is_due(*need, bodies)).map(|(_, one)| one.id.get()).collect()
    }

    #[test]
    fn wanted_is_what_the_user_the_configuration_or_the_end_of_its_stay_asks_for_each_once() {
        let of = |default| BodyPolicy { default, ..BodyPolicy::ALL };
        let by_folder = |default| BodyPolicy { per_folder: vec![(Glob::new("Lists/*"), Bodies::All)], ..of(default) };
        let metered = BodyPolicy { metered: true, ..of(Bodies::All) };
        for (bodies, keep, wanted) in [
            (of(Bodies::Headers), Keep::Always, vec![4]),
            (of(Bodies::All), Keep::Always, vec![4, 1, 2, 3]),
            (of(Bodies::MaxSize(20)), Keep::Always, vec![4, 1, 2]),
            (of(Bodies::RecentDays(10)), Keep::Always, vec![4, 1, 2, 3]),
            (of(Bodies::RecentDays(9)), Keep::Always, vec![4]),
            (by_folder(Bodies::Headers), Keep::Always, vec![4, 1, 2]),
            (of(Bodies::Headers), Keep::UntilDeleted, vec![4]),
            (of(Bodies::Headers), Keep::Days(11), vec![4]),
            (of(Bodies::Headers), Keep::Days(10), vec![4, 1, 2, 3]),
            (of(Bodies::Headers), Keep::Never, vec![4, 1, 2, 3]),
            (metered, Keep::Never, vec![4]),
        ] {
            assert_eq!(ids(&bodies, keep), wanted, "{bodies:?} {keep:?}");
        }
    }
}
