//! Bodies that are not here and that the user or the configuration wants, fetched in turns while nothing else is to be done.
//!
//! Rules: nothing is fetched beyond the day's budget; on a metered line only what the user asked for.

use super::Result;
use super::engine::{Clock, Engine};
use super::haul::{FETCH_MAX_BYTES, FETCH_MAX_MESSAGES, Hauler, PIECE_BYTES};
use super::remote::Remote;
use crate::store::{self, Absent, AbsentCounts, Reader, Spent};
use crate::types::{AccountId, BodyPolicy, Timestamp, UidValidity};

/// How long a turn of work in the background lasts before the mailboxes are looked at again.
const TURN_MS: i64 = 5_000;

/// What a turn of [`Engine::stock`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stocked {
    pub messages: usize,
    pub bytes: u64,
    /// There is more to be fetched at once.
    pub has_more: bool,
}

/// How much of what is wanted is not here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub absent: AbsentCounts,
    /// What of it the user or the configuration wants.
    pub wanted: AbsentCounts,
    /// What of that is fetched on such a line.
    pub due: AbsentCounts,
    /// How many messages of it the server does not give.
    pub withheld: u64,
    /// What was fetched today.
    pub spent: Spent,
    /// How many bytes may be fetched in a day; `None`: as many as there are.
    pub budget_bytes: Option<u64>,
    /// Nothing is fetched but what the user asked for.
    pub metered: bool,
}

impl Waiting {
    /// How many bytes may still be fetched today; `None`: as many as there are.
    pub fn left_bytes(&self) -> Option<u64> {
        self.budget_bytes.map(|budget| budget.saturating_sub(self.spent.bytes))
    }

    /// Does nothing fit any more into what may be fetched today?
    pub fn is_over_budget(&self) -> bool {
        self.due.messages > 0 && self.left_bytes().is_some_and(|left| left < self.due.least_bytes)
    }
}

impl Engine {
    /// Fetches some of what the user or the configuration wants, after a sync. Ends early where `is_urgent` says that something else has
    /// to be done.
    pub async fn stock<R: Remote>(
        &self,
        remote: &mut R,
        clock: Clock<'_>,
        is_urgent: &(dyn Fn() -> bool + Sync),
    ) -> Result<Stocked> {
        let mut hauler = self.hauler(remote, clock, false)?;
        let outcome = hauler.stock(is_urgent).await;
        if outcome.is_err() {
            self.covered().cut();
        }
        outcome.map(|()| hauler.hauled)
    }

    /// What was fetched today.
    pub fn spent(&self, now: Timestamp) -> store::Result<Spent> {
        self.store().read(|reader| reader.spent(self.account(), now))
    }

    /// What waits to be fetched.
    pub fn waiting(&self, now: Timestamp) -> store::Result<Waiting> {
        let (account, bodies) = (self.account(), self.bodies_now()?);
        self.store().read(|reader| waiting(reader, account, &bodies, now))
    }
}

fn waiting(reader: &Reader<'_>, account: AccountId, bodies: &BodyPolicy, now: Timestamp) -> store::Result<Waiting> {
    let BodyPolicy { metered, budget_bytes, .. } = *bodies;
    let mut waiting = Waiting { metered, budget_bytes, ..Waiting::default() };
    for known in reader.remote_mailboxes(account)? {
        let bounds = known.name.and_then(|name| bodies.of(&name).bounds(now));
        waiting.wanted.add(reader.absent_within(known.mailbox, bounds.as_ref())?);
        waiting.due.add(reader.absent_within(known.mailbox, bounds.filter(|_| !metered).as_ref())?);
    }
    waiting.absent = reader.absent_counts(account)?;
    waiting.withheld = reader.withheld_count(account)?;
    waiting.spent = reader.spent(account, now)?;
    Ok(waiting)
}

impl<R: Remote> Hauler<'_, R> {
    async fn stock(&mut self, is_urgent: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let until = (self.clock)().plus_ms(TURN_MS);
        let account = self.account;
        let mut mailboxes = self.store.read(|reader| reader.remote_mailboxes(account))?;
        mailboxes.sort_by_key(|known| !known.remote_name.eq_ignore_ascii_case("INBOX"));
        for known in mailboxes {
            let Some(name) = known.name.filter(|_| known.selectable) else { continue };
            loop {
                let now = (self.clock)();
                let bounds = self.bodies.of(&name).bounds(now).filter(|_| !self.bodies.metered);
                let max = FETCH_MAX_MESSAGES;
                let absent = self.store.read(|reader| reader.absent(known.mailbox, bounds.as_ref(), max))?;
                let absent = batch(absent, self.left_bytes()?);
                if absent.is_empty() {
                    break;
                }
                if now >= until || is_urgent() {
                    self.hauled.has_more = true;
                    return Ok(());
                }
                let Some(uid_validity) = self.select(known.mailbox).await? else { break };
                if !self.take(&absent, uid_validity, is_urgent).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Fetches a batch. `false`: nothing came of it.
    async fn take(
        &mut self,
        absent: &[Absent],
        uid_validity: UidValidity,
        is_urgent: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let before = self.hauled.bytes;
        match absent {
            [large] if large.size_bytes > PIECE_BYTES => {
                self.take_pieces(large, uid_validity, is_urgent).await?;
            }
            _ => {
                self.take_whole(absent, uid_validity).await?;
            }
        }
        Ok(self.hauled.bytes > before)
    }
}

/// What is fetched together: within the budget, many small messages or one large one.
pub(super) fn batch(mut absent: Vec<Absent>, left_bytes: u64) -> Vec<Absent> {
    absent.retain(|absent| absent.size_bytes <= left_bytes);
    let mut bytes = 0;
    let fits = absent.iter().take_while(|absent| {
        bytes += absent.size_bytes;
        bytes <= FETCH_MAX_BYTES.min(left_bytes) && absent.size_bytes <= PIECE_BYTES
    });
    let count = fits.count().max(1);
    absent.truncate(count);
    absent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{InternalDate, MailboxId, MessageId, RemoteUid};

    fn absent(size_bytes: u64) -> Absent {
        Absent {
            message: MessageId::new(1),
            mailbox: MailboxId::new(1),
            uid: RemoteUid::new(1),
            size_bytes,
            internal_date: InternalDate::new(0, 0),
            pinned: false,
        }
    }

    fn sizes(all: &[u64], left_bytes: u64) -> Vec<u64> {
        batch(all.iter().copied().map(absent).collect(), left_bytes).iter().map(|absent| absent.size_bytes).collect()
    }

    #[test]
    fn many_small_messages_come_together_and_a_large_one_alone() {
        assert_eq!(sizes(&[10, 20, PIECE_BYTES + 1, 30], u64::MAX), [10, 20]);
        assert_eq!(sizes(&[PIECE_BYTES + 1, 30], u64::MAX), [PIECE_BYTES + 1]);
        assert_eq!(sizes(&[PIECE_BYTES, PIECE_BYTES, 1], u64::MAX), [PIECE_BYTES, PIECE_BYTES]);
    }

    #[test]
    fn what_does_not_fit_into_the_budget_waits_and_what_does_goes_on() {
        assert_eq!(sizes(&[50, 30, 20, 10], 40), [30]);
        assert_eq!(sizes(&[50], 40), [0_u64; 0]);
    }
}
