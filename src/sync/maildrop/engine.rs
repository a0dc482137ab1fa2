//! The engine of one account with a maildrop: one visit.

use std::collections::{BTreeMap, BTreeSet};

use super::intake::{Headers, Intake};
use super::matching::{Look, Matching, is_due, is_look_due};
use super::seam::{Extent, Listed, Maildrop};
use crate::store::{self, Origin, Popped, Seen, Store};
use crate::sync::engine::Clock;
use crate::sync::remote::RemoteError;
use crate::sync::stock::Stocked;
use crate::sync::{Report, Result};
use crate::types::mutant::mutant;
use crate::types::{AccountId, BodyPolicy, Keep, MailboxName, PoppedId};

/// Takes the mail of one account. Only one visit of an account at a time.
#[derive(Clone)]
pub struct MaildropEngine {
    pub(super) store: Store,
    pub(super) account: AccountId,
    pub(super) keep: Keep,
    bodies: BodyPolicy,
}

/// What a visit found out.
pub(super) struct Visit {
    listed: BTreeMap<u32, Listed>,
    pub(super) matching: Matching,
    /// Which each listed message is.
    is: BTreeMap<u32, PoppedId>,
    /// Those whose header or bytes were looked at in this visit.
    looked_at: BTreeSet<u32>,
    arrived: BTreeSet<u32>,
    /// Those of them of which only the header came.
    outlined: BTreeSet<u32>,
}

/// Which known messages are looked at again, to see whether they are what they were.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Those of which nothing else tells what they are.
    Unclear,
    /// And those that are to go, and those whose time of the day it is.
    Due,
}

impl MaildropEngine {
    /// The engine of an account that is in the store.
    pub const fn new(store: Store, account: AccountId, keep: Keep) -> Self {
        Self { store, account, keep, bodies: BodyPolicy::ALL }
    }

    /// Of which messages more than the header is taken; without this, of all.
    #[must_use]
    pub fn keeping(mut self, bodies: BodyPolicy) -> Self {
        self.bodies = bodies;
        self
    }

    /// The policy, and what the user has said of the line since.
    pub(super) fn bodies_now(&self) -> store::Result<BodyPolicy> {
        let metered = self.store.read(|reader| reader.metered(self.account))?;
        Ok(BodyPolicy { metered: metered.unwrap_or(self.bodies.metered), ..self.bodies.clone() })
    }

    /// One visit: takes what is new, and what is wanted of what is not all here, deletes what is not to stay, says goodbye.
    /// What was done before an error is recorded, and counted in `report`. Of what is not all here no more is fetched once
    /// `is_urgent` says that something else has to be done.
    pub async fn visit<M: Maildrop>(
        &self,
        maildrop: &mut M,
        clock: Clock<'_>,
        is_urgent: &(dyn Fn() -> bool + Sync),
        report: &mut Report,
    ) -> Result<Stocked> {
        let (mut visit, new) = self.look_around(maildrop, Again::Due, clock).await?;
        let refused = self.take_in(maildrop, &mut visit, new, clock, report).await?;
        let stocked = self.stock(maildrop, &visit, clock, is_urgent).await?;
        self.settle(maildrop, &visit, refused, clock, report).await?;
        Ok(stocked)
    }

    /// Which messages differ from what is here: those that the server has and that are not here, in words.
    pub async fn compare<M: Maildrop>(&self, maildrop: &mut M, clock: Clock<'_>) -> Result<Compared> {
        let (visit, new) = self.look_around(maildrop, Again::Due, clock).await?;
        maildrop.leave().await?;
        let postponed = self.store.read(|reader| reader.postponed(self.account))?;
        let differences = new.iter().filter_map(|number| visit.listed.get(number)).map(|one| {
            let id = one.called();
            match postponed.iter().find(|postponed| postponed.unique_id == id) {
                Some(postponed) => format!("INBOX: the server does not give {id}: {}", postponed.why),
                None => format!("INBOX: {id} is on the server, not here"),
            }
        });
        Ok(Compared { messages: visit.listed.len() as u64, differences: differences.collect() })
    }

    /// Finds out which messages are there, and which of them are known. Returns those that are not, for all that can be seen.
    pub(super) async fn look_around<M: Maildrop>(
        &self,
        maildrop: &mut M,
        again: Again,
        clock: Clock<'_>,
    ) -> Result<(Visit, Vec<u32>)> {
        let listed = maildrop.list().await?;
        let known = self.store.read(|reader| reader.popped(self.account))?;
        let mut visit = Visit::new(listed, known);
        let new = self.look(maildrop, &mut visit, again, clock).await?;
        Ok((visit, new))
    }

    async fn look<M: Maildrop>(
        &self,
        maildrop: &mut M,
        visit: &mut Visit,
        again: Again,
        clock: Clock<'_>,
    ) -> Result<Vec<u32>> {
        let (mut headers, mut new) = (Vec::new(), Vec::new());
        let (now, can_look) = (clock(), maildrop.gives_headers());
        let last = self.store.read(|reader| reader.account(self.account))?.last_sync;
        let listed: Vec<Listed> = visit.listed.values().cloned().collect();
        for (one, look) in listed.iter().zip(visit.matching.first_look(&listed)) {
            match look {
                Look::Known(id) => {
                    visit.is.insert(one.number, id);
                    let is_leaving = visit.matching.known(id).is_some_and(|known| is_due(self.keep, known, now));
                    if again == Again::Due && (is_leaving || (can_look && is_look_due(id, last, now))) {
                        headers.push(one.number);
                    }
                }
                Look::Header => headers.push(one.number),
                Look::Whole => new.push(one.number),
            }
        }
        let mut sink = Headers::default();
        if can_look && !headers.is_empty() {
            maildrop.fetch(&extents(&headers, Extent::Header), &mut sink).await?;
        }
        for number in headers {
            let header = sink.of.get(&number);
            match (visit.is.get(&number).copied(), header) {
                (Some(id), Some(header)) if visit.matching.known(id).is_some_and(|known| known.header == *header) => {
                    visit.looked_at.insert(number);
                }
                // It stays for what it seems, and where it seems to be.
                (Some(id), None) if visit.matching.known(id).is_some_and(|known| !is_due(self.keep, known, now)) => {}
                (known_as, header) => {
                    if let Some(id) = known_as {
                        visit.is.remove(&number);
                        visit.matching.lose(id);
                    }
                    let found = header.and_then(|it| visit.matching.find_by_header(&visit.listed[&number], *it));
                    match found {
                        Some(id) => {
                            visit.is.insert(number, id);
                            visit.looked_at.insert(number);
                        }
                        None => new.push(number),
                    }
                }
            }
        }
        new.sort_unstable();
        Ok(new)
    }

    /// Fetches messages, or their headers where those suffice, oldest first, as they will stand in INBOX. Returns what the
    /// server did not give.
    async fn take_in<M: Maildrop>(
        &self,
        maildrop: &mut M,
        visit: &mut Visit,
        mut new: Vec<u32>,
        clock: Clock<'_>,
        report: &mut Report,
    ) -> Result<Vec<u32>> {
        let (now, account) = (clock(), self.account);
        let postponed = self.store.read(|reader| reader.postponed(account))?;
        let (mut left, listed) = (Vec::new(), &visit.listed);
        let trouble = |number: &u32| postponed.iter().find(|one| one.unique_id == listed[number].called());
        for one in postponed.iter().filter(|one| !listed.values().any(|listed| listed.called() == one.unique_id)) {
            let id = one.unique_id.clone();
            self.store.write(Origin::Upstream, now, move |txn| txn.given(account, &id))?;
        }
        new.retain(|number| {
            let waits = trouble(number).is_some_and(|one| one.until > now);
            left.extend(waits.then_some(*number));
            !waits
        });
        // What the line broke at before does not stand in the way of the others.
        new.sort_by_key(|number| (trouble(number).is_some(), *number));
        let (bodies, gives_headers) = (self.bodies_now()?, maildrop.gives_headers());
        let is_whole = |number: &u32| !gives_headers || self.is_wanted_at_once(&bodies, listed[number].size_bytes);
        let extent = |number: &u32| if is_whole(number) { Extent::Whole } else { Extent::Header };
        let wanted = new.iter().map(|number| (*number, extent(number))).collect();
        let mut intake = Intake::new(&self.store, self.account, now, listed, &mut visit.matching);
        let outcome = intake.fetch(maildrop, wanted).await;
        intake.commit()?;
        let interrupted = intake.interrupted_at().filter(|_| matches!(outcome, Err(RemoteError::Lost { .. })));
        let Intake { found, arrived, outlined, refused, .. } = intake;
        report.arrived += arrived.len();
        visit.looked_at.extend(found.keys().chain(arrived.iter().map(|(number, _)| number)));
        visit.arrived.extend(arrived.iter().map(|(number, _)| *number));
        visit.outlined.extend(outlined);
        for one in arrived.iter().filter_map(|(number, _)| trouble(number)) {
            let id = one.unique_id.clone();
            self.store.write(Origin::Upstream, now, move |txn| txn.given(account, &id))?;
        }
        if let Some(number) = interrupted {
            let id = visit.listed[&number].called();
            self.store.write(Origin::Upstream, now, move |txn| txn.cut_off(account, &id))?;
        }
        visit.is.extend(found.into_iter().chain(arrived));
        for (number, why) in refused {
            left.push(number);
            let id = visit.listed[&number].called();
            tracing::warn!(unique_id = id, "the server does not give a message: {why}; it is asked for again later");
            self.store.write(Origin::Upstream, now, move |txn| txn.postpone(account, &id, &why))?;
        }
        report.skipped += left.len();
        outcome?;
        Ok(left)
    }

    /// Is a message that comes fetched whole at once? What is to go from the server at once is, unless something limits that.
    fn is_wanted_at_once(&self, bodies: &BodyPolicy, size_bytes: u64) -> bool {
        bodies.fetches_at_once_of(&MailboxName::inbox(), size_bytes)
            || (self.keep == Keep::Never && bodies.is_unlimited())
    }

    /// Writes down what was seen, deletes on the server what is not to stay there, and leaves.
    async fn settle<M: Maildrop>(
        &self,
        maildrop: &mut M,
        visit: &Visit,
        refused: Vec<u32>,
        clock: Clock<'_>,
        report: &mut Report,
    ) -> Result<()> {
        let now = clock();
        let is_leaving = |number: &u32, id: &PoppedId| {
            visit.looked_at.contains(number)
                && match visit.matching.known(*id) {
                    Some(known) => is_due(self.keep, known, now),
                    None => self.keep == Keep::Never && (mutant!(HeaderIsAll) || !visit.outlined.contains(number)),
                }
        };
        let leaving: Vec<(u32, PoppedId)> =
            visit.is.iter().map(|(number, id)| (*number, *id)).filter(|(number, id)| is_leaving(number, id)).collect();
        let seen = Seen {
            changed: visit.changed(),
            // What was not given may be any of those that are missing.
            absent: if refused.is_empty() { visit.matching.newly_missing() } else { Vec::new() },
            going: leaving.iter().map(|(_, id)| *id).collect(),
        };
        let account = self.account;
        if !seen.is_empty() || !visit.arrived.is_empty() {
            // Durable before the goodbye: it makes all that came before durable too, and some servers delete by it what
            // was fetched (RFC 2449 section 6.7).
            let origin = if mutant!(MaildropNotSynced) { Origin::Upstream } else { Origin::LocalUser };
            self.store.write(origin, now, move |txn| txn.seen_in_maildrop(account, &seen))?;
        } else if !mutant!(MaildropNotSynced) {
            // Bytes that were missing here may have been fetched, of which there is nothing else to write.
            self.store.settle()?;
        }
        if !leaving.is_empty() {
            let numbers: Vec<u32> = leaving.into_iter().map(|(number, _)| number).collect();
            report.expunged += maildrop.delete(&numbers).await?;
        }
        Ok(maildrop.leave().await?)
    }
}

/// How a maildrop and what is here compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Messages on the server.
    pub messages: u64,
    pub differences: Vec<String>,
}

impl Visit {
    fn new(listed: Vec<Listed>, known: Vec<Popped>) -> Self {
        let matching = Matching::new(known, &listed);
        let listed = listed.into_iter().map(|one| (one.number, one)).collect();
        let (is, looked_at, arrived, outlined) = Default::default();
        Self { listed, matching, is, looked_at, arrived, outlined }
    }

    /// The number of each message that was found.
    pub(super) fn numbers(&self) -> BTreeMap<PoppedId, u32> {
        self.is.iter().map(|(number, id)| (*id, *number)).collect()
    }

    /// Known messages that the server lists otherwise than before.
    fn changed(&self) -> Vec<(PoppedId, String, u64)> {
        let changed = self.is.iter().filter_map(|(number, id)| {
            let (known, listed) = (self.matching.known(*id)?, &self.listed[number]);
            let unique_id = listed.unique_id.clone().unwrap_or_default();
            let is_same = known.unique_id == unique_id && known.size_bytes == listed.size_bytes;
            (!is_same || known.missing_since.is_some()).then_some((*id, unique_id, listed.size_bytes))
        });
        changed.collect()
    }
}

pub(super) fn extents(numbers: &[u32], extent: Extent) -> Vec<(u32, Extent)> {
    numbers.iter().map(|number| (*number, extent)).collect()
}
