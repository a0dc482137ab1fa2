//! What arrived in a round, found by what a message that vanished is known by: EMAILID, the bytes, or, where not all bytes
//! are here, what is known without them. Each arrival is found once.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::{self, Sought};
use crate::store::{self, MessageFacts, Reader};
use crate::types::{ContentId, MessageId};

/// Places in [`Arrivals::all`], in order.
type Places = BTreeSet<usize>;

/// The arrivals of which it is not known yet which message they are.
pub(super) struct Arrivals<'t> {
    all: Vec<Option<MessageFacts>>,
    by_email_id: BTreeMap<String, Places>,
    by_content: BTreeMap<ContentId, Places>,
    /// By size and date in seconds.
    by_measure: BTreeMap<(u64, i64), Places>,
    /// The sizes that the server tells of arrivals whose bytes have another.
    told_sizes: &'t BTreeMap<MessageId, u64>,
}

impl<'t> Arrivals<'t> {
    pub(super) fn new(arrivals: Vec<MessageFacts>, told_sizes: &'t BTreeMap<MessageId, u64>) -> Self {
        let mut new = Self {
            all: Vec::with_capacity(arrivals.len()),
            by_email_id: BTreeMap::new(),
            by_content: BTreeMap::new(),
            by_measure: BTreeMap::new(),
            told_sizes,
        };
        for (at, arrival) in arrivals.into_iter().enumerate() {
            if let Some(email_id) = &arrival.email_id {
                new.by_email_id.entry(email_id.clone()).or_default().insert(at);
            }
            if let Some(content) = arrival.content {
                new.by_content.entry(content).or_default().insert(at);
            }
            new.by_measure.entry(new.measure(&arrival)).or_default().insert(at);
            new.all.push(Some(arrival));
        }
        new
    }

    /// Those that were not found.
    pub(super) fn left(&self) -> impl Iterator<Item = &MessageFacts> {
        self.all.iter().flatten()
    }

    /// Takes the arrival that the message is: of equal ones that of the same date, for what moves keeps it (RFC 3501 section
    /// 6.4.7), else the first.
    pub(super) fn take(&mut self, reader: &Reader<'_>, facts: &MessageFacts) -> store::Result<Option<MessageFacts>> {
        let Some(at) = self.find(reader, facts)? else { return Ok(None) };
        let Some(found) = self.all[at].take() else { return Ok(None) };
        let measure = self.measure(&found);
        let forget = |places: Option<&mut Places>| places.map(|places| places.remove(&at));
        forget(found.email_id.as_ref().and_then(|email_id| self.by_email_id.get_mut(email_id)));
        forget(found.content.as_ref().and_then(|content| self.by_content.get_mut(content)));
        forget(self.by_measure.get_mut(&measure));
        Ok(Some(found))
    }

    fn find(&self, reader: &Reader<'_>, facts: &MessageFacts) -> store::Result<Option<usize>> {
        let same_email_id = facts.email_id.as_ref().and_then(|email_id| self.by_email_id.get(email_id));
        let same_bytes = facts.content.as_ref().and_then(|content| self.by_content.get(content));
        let mut found = None;
        for (at, arrival) in self.at(same_email_id.into_iter().chain(same_bytes)) {
            if arrival.message == facts.message {
                continue;
            }
            if seconds(arrival) == seconds(facts) {
                return Ok(Some(at));
            }
            found = found.or(Some(at));
        }
        let alike = self.by_measure.get(&(facts.size_bytes, seconds(facts)));
        for (at, arrival) in self.at(alike.into_iter()) {
            let are_bytes_here = arrival.content.is_some() && facts.content.is_some();
            if arrival.message != facts.message && !are_bytes_here && self.is_alike(reader, facts, arrival)? {
                return Ok(Some(at));
            }
        }
        Ok(found)
    }

    fn at<'s>(&'s self, places: impl Iterator<Item = &'s Places>) -> impl Iterator<Item = (usize, &'s MessageFacts)> {
        places.flatten().filter_map(|at| Some((*at, self.all[*at].as_ref()?)))
    }

    fn is_alike(&self, reader: &Reader<'_>, facts: &MessageFacts, arrival: &MessageFacts) -> store::Result<bool> {
        let (size_bytes, _) = self.measure(arrival);
        let arrived = Sought { size_bytes, ..Sought::of(reader, arrival)? };
        Ok(identity::is_alike(&arrived, &Sought::of(reader, facts)?))
    }

    fn measure(&self, arrival: &MessageFacts) -> (u64, i64) {
        let size_bytes = self.told_sizes.get(&arrival.message).copied().unwrap_or(arrival.size_bytes);
        (size_bytes, seconds(arrival))
    }
}

const fn seconds(facts: &MessageFacts) -> i64 {
    facts.internal_date.unix_seconds()
}
