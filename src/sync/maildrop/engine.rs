//! The engine of one account with a maildrop: one visit.

use std::collections::{BTreeMap, BTreeSet};

use super::intake::{Headers, Intake};
use super::matching::{Look, Matching, is_due, is_look_due};
use super::seam::{Listed, Maildrop};
use crate::store::{Origin, Popped, Seen, Store};
use crate::sync::engine::Clock;
use crate::sync::remote::RemoteError;
use crate::sync::{Report, Result};
use crate::types::mutant::mutant;
use crate::types::{AccountId, Keep, PoppedId};

/// Takes the mail of one account. Only one visit of an account at a time.
#[derive(Clone)]
pub struct MaildropEngine {
    store: Store,
    account: AccountId,
    keep: Keep,
}

/// What a visit found out.
struct Visit {
    listed: BTreeMap<u32, Listed>,
    matching: Matching,
    /// Which each listed message is.
    is: BTreeMap<u32, PoppedId>,
    /// Those whose header or bytes were looked at in this visit.
    looked_at: BTreeSet<u32>,
    arrived: BTreeSet<u32>,
}

impl MaildropEngine {
    /// The engine of an account that is in the store.
    pub const fn new(store: Store, account: AccountId, keep: Keep) -> Self {
        Self { store, account, keep }
    }

    /// One visit: takes what is new, deletes what is not to stay, says goodbye. What was done before an error is recorded,
    /// and counted in `report`.
    pub async fn visit<M: Maildrop>(&self, maildrop: &mut M, clock: Clock<'_>, report: &mut Report) -> Result<()> {
        let listed = maildrop.list().await?;
        let known = self.store.read(|reader| reader.popped(self.account))?;
        let mut visit = Visit::new(listed, known);
        let wholes = self.look(maildrop, &mut visit, clock).await?;
        let refused = self.take_in(maildrop, &mut visit, wholes, clock, report).await?;
        self.settle(maildrop, &visit, refused, clock, report).await
    }

    /// Which messages differ from what is here: those that the server has and that are not here, in words.
    pub async fn compare<M: Maildrop>(&self, maildrop: &mut M, clock: Clock<'_>) -> Result<Compared> {
        let listed = maildrop.list().await?;
        let known = self.store.read(|reader| reader.popped(self.account))?;
        let mut visit = Visit::new(listed, known);
        let wholes = self.look(maildrop, &mut visit, clock).await?;
        maildrop.leave().await?;
        let postponed = self.store.read(|reader| reader.postponed(self.account))?;
        let differences = wholes.iter().filter_map(|number| visit.listed.get(number)).map(|one| {
            let id = one.called();
            match postponed.iter().find(|postponed| postponed.unique_id == id) {
                Some(postponed) => format!("INBOX: the server does not give {id}: {}", postponed.why),
                None => format!("INBOX: {id} is on the server, not here"),
            }
        });
        Ok(Compared { messages: visit.listed.len() as u64, differences: differences.collect() })
    }

    /// Finds out which messages are known. Returns those of which all must be looked at.
    async fn look<M: Maildrop>(&self, maildrop: &mut M, visit: &mut Visit, clock: Clock<'_>) -> Result<Vec<u32>> {
        let (mut headers, mut wholes) = (Vec::new(), Vec::new());
        let (now, can_look) = (clock(), maildrop.gives_headers());
        let last = self.store.read(|reader| reader.account(self.account))?.last_sync;
        let listed: Vec<Listed> = visit.listed.values().cloned().collect();
        for (one, look) in listed.iter().zip(visit.matching.first_look(&listed)) {
            match look {
                Look::Known(id) => {
                    visit.is.insert(one.number, id);
                    let is_leaving = visit.matching.known(id).is_some_and(|known| is_due(self.keep, known, now));
                    if is_leaving || (can_look && is_look_due(id, last, now)) {
                        headers.push(one.number);
                    }
                }
                Look::Header => headers.push(one.number),
                Look::Whole => wholes.push(one.number),
            }
        }
        let mut sink = Headers::default();
        if can_look && !headers.is_empty() {
            maildrop.headers(&headers, &mut sink).await?;
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
                        None => wholes.push(number),
                    }
                }
            }
        }
        wholes.sort_unstable();
        Ok(wholes)
    }

    /// Fetches messages, oldest first, as they will stand in INBOX. Returns what the server did not give.
    async fn take_in<M: Maildrop>(
        &self,
        maildrop: &mut M,
        visit: &mut Visit,
        mut wholes: Vec<u32>,
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
        wholes.retain(|number| {
            let waits = trouble(number).is_some_and(|one| one.until > now);
            left.extend(waits.then_some(*number));
            !waits
        });
        // What the line broke at before does not stand in the way of the others.
        wholes.sort_by_key(|number| (trouble(number).is_some(), *number));
        let mut intake = Intake::new(&self.store, self.account, now, listed, &mut visit.matching);
        let outcome = match wholes.is_empty() {
            true => Ok(()),
            false => maildrop.fetch(&wholes, &mut intake).await,
        };
        intake.commit()?;
        let interrupted = intake.interrupted_at(&wholes).filter(|_| matches!(outcome, Err(RemoteError::Lost { .. })));
        let Intake { found, arrived, refused, .. } = intake;
        report.arrived += arrived.len();
        visit.looked_at.extend(found.keys().chain(arrived.iter().map(|(number, _)| number)));
        visit.arrived.extend(arrived.iter().map(|(number, _)| *number));
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
                    None => self.keep == Keep::Never,
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
            // Bytes that were missing here may have been fetched anew, of which there is nothing else to write.
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
        Self { listed, matching, is: BTreeMap::new(), looked_at: BTreeSet::new(), arrived: BTreeSet::new() }
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
