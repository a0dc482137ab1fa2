//! Which of the messages that the server lists are those that were taken before. Pure.
//!
//! A unique id that both sides hold once, with the size that was listed then, is taken for the same message. Where the
//! server tells none, or only counts its messages, where one stands twice, or the size is another, the header decides if
//! it can be had, else all the bytes. Each known message is one of the listed ones at most. One of which only the header is here
//! is known by that, with its unique id or its size.

use std::collections::BTreeMap;

use super::imprint::Imprint;
use super::seam::Listed;
use crate::store::Popped;
use crate::types::mutant::mutant;
use crate::types::{ContentHash, Keep, PoppedId, Timestamp};

/// What must be looked at to know which message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Nothing: it is this one.
    Known(PoppedId),
    /// Its header: it may be one of the known ones.
    Header,
    /// All of it: it is new, for all that can be seen.
    Whole,
}

/// The known messages, and which of them were found again.
#[derive(Debug)]
pub struct Matching {
    /// In the order in which they were taken.
    known: Vec<Popped>,
    is_found: Vec<bool>,
    trusts_ids: bool,
}

const DAY_MS: i64 = 24 * 3_600_000;

/// So many moments of a day are told apart: one every five minutes, as visits come.
const MOMENTS: i64 = 288;

impl Matching {
    /// Nothing is found yet.
    pub fn new(known: Vec<Popped>, listed: &[Listed]) -> Self {
        let only_counts = |one: &Listed| one.unique_id.as_deref().is_some_and(|id| id == one.number.to_string());
        let is_found = vec![false; known.len()];
        Self { known, is_found, trusts_ids: !listed.iter().all(only_counts) }
    }

    /// What each listed message is at first sight.
    pub fn first_look(&mut self, listed: &[Listed]) -> Vec<Look> {
        let mut listed_times: BTreeMap<&str, usize> = BTreeMap::new();
        listed.iter().filter_map(id_of).for_each(|id| *listed_times.entry(id).or_default() += 1);
        let mut by_id: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, one) in self.known.iter().enumerate() {
            by_id.entry(one.unique_id.clone()).or_default().push(place);
        }
        let mut looks = vec![None; listed.len()];
        for (one, look) in listed.iter().zip(&mut looks) {
            let Some(id) = id_of(one).filter(|id| self.trusts_ids && listed_times[id] == 1) else { continue };
            if let Some([place]) = by_id.get(id).map(Vec::as_slice)
                && self.known[*place].size_bytes == one.size_bytes
                && is_shown(&self.known[*place])
            {
                self.is_found[*place] = true;
                *look = Some(Look::Known(self.known[*place].id));
            }
        }
        let may_be_known = |one: &Listed| self.lost().any(|(_, lost)| is_shown(lost) && is_alike(lost, one));
        listed
            .iter()
            .zip(looks)
            .map(|(one, look)| look.unwrap_or(if may_be_known(one) { Look::Header } else { Look::Whole }))
            .collect()
    }

    /// The known message with this header, found.
    pub fn find_by_header(&mut self, listed: &Listed, header: ContentHash) -> Option<PoppedId> {
        self.find(|lost| lost.header == header && is_shown(lost) && is_alike(lost, listed))
    }

    /// The known message with these bytes, found. One whose body never was here is known by its header as without them.
    pub fn find_by_bytes(&mut self, listed: &Listed, imprint: Imprint) -> Option<PoppedId> {
        self.find(|lost| {
            lost.header == imprint.header
                && match lost.whole {
                    Some(whole) => whole == imprint.whole,
                    None => is_alike(lost, listed),
                }
        })
    }

    /// May it be a known message, which only all its bytes tell?
    pub fn asks_for_bytes(&self, header: ContentHash) -> bool {
        self.lost().any(|(_, lost)| lost.header == header && (lost.whole.is_some() || !lost.is_outlined))
    }

    /// It is another message than it seemed.
    pub fn lose(&mut self, id: PoppedId) {
        if let Some(place) = self.place(id) {
            self.is_found[place] = false;
        }
    }

    /// What is known of the message.
    pub fn known(&self, id: PoppedId) -> Option<&Popped> {
        self.place(id).map(|place| &self.known[place])
    }

    /// The known messages that were not found, and were at the last visit.
    pub fn newly_missing(&self) -> Vec<PoppedId> {
        self.lost().filter(|(_, lost)| lost.missing_since.is_none()).map(|(_, lost)| lost.id).collect()
    }

    fn find(&mut self, is_it: impl Fn(&Popped) -> bool) -> Option<PoppedId> {
        let is_it = |lost: &Popped| !mutant!(UniqueIdIsIdentity) && is_it(lost);
        let (place, id) = self.lost().find(|(_, lost)| is_it(lost)).map(|(place, lost)| (place, lost.id))?;
        self.is_found[place] = true;
        Some(id)
    }

    fn lost(&self) -> impl Iterator<Item = (usize, &Popped)> {
        self.known.iter().enumerate().filter(|(place, _)| !self.is_found[*place])
    }

    fn place(&self, id: PoppedId) -> Option<usize> {
        self.known.binary_search_by_key(&id, |one| one.id).ok()
    }
}

/// Is a known message not to stay on the server any longer? Not where the server has the only copy, unless the user deleted
/// the message.
pub fn is_due(keep: Keep, known: &Popped, now: Timestamp) -> bool {
    let has_all = mutant!(HeaderIsAll) || known.has_bytes || known.is_gone_here;
    has_all && (is_over(keep, known.taken, now) || keep == Keep::UntilDeleted && known.is_gone_here)
}

/// Is the time over for which a message taken then stays on the server, whatever the user does with it?
pub fn is_over(keep: Keep, taken: Timestamp, now: Timestamp) -> bool {
    match keep {
        Keep::Always | Keep::UntilDeleted => false,
        Keep::Days(days) => now >= taken.plus_ms(i64::from(days) * DAY_MS),
        Keep::Never => true,
    }
}

/// Is it time to look whether the message is the one that it was? Each has its moment of the day: not all are looked at in
/// the same visit. `last`: when the last visit was.
pub fn is_look_due(id: PoppedId, last: Option<Timestamp>, now: Timestamp) -> bool {
    let Some(last) = last else { return true };
    let moment = id.get().rem_euclid(MOMENTS) * (DAY_MS / MOMENTS);
    let days_before = |at: Timestamp| (at.unix_ms() - moment).div_euclid(DAY_MS);
    days_before(last) < days_before(now)
}

/// Is it here as it is to be shown, so that nothing of it has to be fetched to know it?
const fn is_shown(known: &Popped) -> bool {
    known.has_bytes || known.is_outlined || known.is_gone_here
}

fn id_of(listed: &Listed) -> Option<&str> {
    listed.unique_id.as_deref().filter(|id| !id.is_empty())
}

/// Is a look at the header worth while, and does the same header make it the same message?
fn is_alike(known: &Popped, listed: &Listed) -> bool {
    known.size_bytes == listed.size_bytes || id_of(listed).is_some_and(|id| id == known.unique_id)
}
