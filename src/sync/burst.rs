//! The quick way through a push: what a run of the journal asks of all mailboxes, in two tours.
//!
//! The first stores flags, copies and moves, and marks what is to be expunged; the second expunges what the first saw
//! marked. So nothing is expunged on trust: a mailbox that turns out to be another one holds no message that we marked.
//! What a tour moved, copied or flagged in such a mailbox is taken back.
//!
//! The evidence of all that must not be done twice is durable, in one commit, before the first tour. What is refused is
//! not settled here: the run is planned anew and done step by step ([`super::push`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::Result;
use super::pass::{Pass, Refusal, refusal};
use super::plan::{Item, Step, uids};
use super::remote::{CopyUid, Fetched, MessageSink, Remote, RemoteError, RemoteName, Selected};
use super::send::{Did, Target};
use super::tour::{Brought, Errand, Guide, Stop};
use crate::journal::Evidence;
use crate::store::{self, Txn};
use crate::types::{EntryId, Flag, Flags, MailboxId, MessageId, RemoteUid, SystemFlag, UidSet};

/// Messages in one transfer of a burst: bounds the evidence and what must be looked at after a cut.
const TRANSFER_MAX: usize = 1000;

/// What came of the steps.
pub(super) struct Burst {
    pub(super) did: Did,
    /// Steps that cannot be done in a burst.
    pub(super) left: Vec<Step>,
    /// Nothing was refused, and nothing is uncertain.
    pub(super) is_clean: bool,
}

/// A step on its way.
struct Task {
    step: Step,
    /// Its place on the tour: stop, errand.
    place: (usize, usize),
    /// Of a COPY or MOVE: the entry that holds the evidence.
    evidence: Option<(EntryId, Evidence)>,
}

/// A tour being put together.
#[derive(Default)]
struct Route {
    stops: Vec<Stop>,
    mailboxes: Vec<MailboxId>,
    tasks: Vec<Task>,
    /// Entries that hold evidence.
    carriers: BTreeSet<EntryId>,
    /// Mailboxes of which a step is left: those after it come after it.
    barred: BTreeSet<MailboxId>,
    /// The flags that messages will have upstream.
    flags: BTreeMap<MessageId, Flags>,
}

/// What one step is on a tour, if it can be.
type Carried = Option<(Errand, Option<(EntryId, Evidence)>)>;

impl<R: Remote> Pass<'_, R> {
    /// Does what can be done in tours of these steps.
    pub(super) async fn burst(&mut self, steps: Vec<Step>) -> Result<Burst> {
        let facts = self.remote.facts();
        if !(self.bursts && facts.unselect && facts.uid_plus && facts.r#move) {
            return Ok(Burst { did: Did::Nothing, left: steps, is_clean: true });
        }
        let (mut route, mut left) = (Route::default(), Vec::new());
        for step in steps {
            let Some(mailbox) = step.mailbox().filter(|mailbox| !route.barred.contains(mailbox)) else {
                left.push(step);
                continue;
            };
            match (self.stop(mailbox)?, self.carry(&step, &route)?) {
                (Some(stop), Some((errand, evidence))) => route.add(mailbox, stop, step, errand, evidence),
                _ => {
                    route.barred.insert(mailbox);
                    left.push(step);
                }
            }
        }
        if route.tasks.is_empty() || !self.record(&route)? {
            let is_clean = route.tasks.is_empty();
            return Ok(Burst { did: Did::Nothing, left, is_clean });
        }
        self.selected = None;
        let mut log = Log::default();
        // What is pushed is looked at in the next round, unless more is to be done first.
        let is_last = left.is_empty() && !route.tasks.iter().any(|task| matches!(task.step, Step::Expunge { .. }));
        let ended = self.remote.tour(&route.stops, &mut log, is_last).await;
        let expunged: Vec<Item> = route.expunged().cloned().collect();
        let burst = self.settle(route, log, ended.is_ok(), left.is_empty()).await;
        ended?;
        let (did, is_clean) = burst?;
        self.end_expunge(&expunged)?;
        Ok(Burst { did, left, is_clean })
    }

    /// The mailbox as a stop, if it is the one that was listed and covered.
    fn stop(&self, mailbox: MailboxId) -> Result<Option<Stop>> {
        let target = self.target_as_listed(mailbox)?;
        Ok(target.map(|Target { name, uid_validity, .. }| Stop {
            name,
            uid_validity,
            known: None,
            errands: Vec::new(),
        }))
    }

    fn carry(&self, step: &Step, route: &Route) -> Result<Carried> {
        let alone = |errand| Ok(Some((errand, None)));
        match step {
            Step::RemoveFlags { flags, items, .. } => {
                alone(Errand::RemoveFlags { uids: uids(items), flags: flags.clone() })
            }
            Step::AddFlags { flags, items, .. } => alone(Errand::AddFlags { uids: uids(items), flags: flags.clone() }),
            Step::Expunge { items, .. } => alone(Errand::AddFlags { uids: uids(items), flags: deleted() }),
            Step::Copy { from, to, items } => self.carry_transfer(*from, *to, items, false, route),
            Step::Move { from, to, items } => self.carry_transfer(*from, *to, items, true, route),
            Step::Settle { .. } | Step::Append { .. } => Ok(None),
        }
    }

    fn carry_transfer(
        &self,
        from: MailboxId,
        to: MailboxId,
        items: &[Item],
        moves: bool,
        route: &Route,
    ) -> Result<Carried> {
        let Some(target) = self.target_as_listed(to)? else { return Ok(None) };
        let carriers = items.iter().filter_map(|item| item.carrier);
        let Some(carrier) = carriers.filter(|carrier| !route.carriers.contains(carrier)).min() else {
            return Ok(None);
        };
        let evidence = self.evidence(from, &target, items, moves)?.filter(|_| items.len() <= TRANSFER_MAX);
        let Some(mut evidence) = evidence else { return Ok(None) };
        for ((message, ..), flags) in evidence.messages.iter().zip(&mut evidence.flags).filter(|_| moves) {
            if let Some(stored) = route.flags.get(message) {
                flags.clone_from(stored);
            }
        }
        let (uids, to) = (uids(items), target.name);
        let errand = if moves { Errand::Move { uids, to } } else { Errand::Copy { uids, to } };
        Ok(Some((errand, Some((carrier, evidence)))))
    }

    /// Makes the evidence durable, and known what is stored and expunged. `false`: the user took something back meanwhile.
    fn record(&self, route: &Route) -> Result<bool> {
        let evidence: Vec<(EntryId, Evidence)> = route.tasks.iter().filter_map(|task| task.evidence.clone()).collect();
        let steps = route.tasks.iter().map(|task| &task.step);
        let flags = steps.filter_map(|step| match step {
            Step::AddFlags { items, .. } | Step::RemoveFlags { items, .. } => Some(items),
            _ => None,
        });
        let tried: BTreeSet<EntryId> = flags.flatten().flat_map(|item| item.settles.iter().copied()).collect();
        let expunged: Vec<Item> = route.expunged().cloned().collect();
        let is_durable = !evidence.is_empty();
        if !is_durable && expunged.is_empty() {
            self.try_entries(tried)?;
            return Ok(true);
        }
        let work = move |txn: &mut Txn<'_>| {
            txn.try_entries(&tried)?;
            for item in &expunged {
                if !txn.begin_expunge(item.message, &item.settles)? {
                    return Err(store::Error::NoSuchEntry);
                }
            }
            evidence.iter().try_for_each(|(carrier, evidence)| txn.mark_together_in_flight(*carrier, evidence))
        };
        match if is_durable { self.write_durably(work) } else { self.write(work) } {
            Ok(()) => Ok(true),
            Err(super::Error::Store(store::Error::NoSuchEntry)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Records what came of the first tour, and makes the second. What a cut left open stays in flight.
    async fn settle(&mut self, route: Route, mut log: Log, is_over: bool, then_lists: bool) -> Result<(Did, bool)> {
        let Route { stops, tasks, .. } = route;
        let (mut did, mut is_clean, mut marked) = (Did::Nothing, true, Vec::new());
        for Task { step, place, evidence } in tasks {
            let met = log.entered.get(&place.0).map(|entered| match entered {
                Ok(selected) => selected.uid_validity == stops[place.0].uid_validity,
                Err(_) => false,
            });
            match (log.brought.remove(&place), evidence) {
                (Some(Ok(Brought::Placed(Some(told)))), Some((carrier, _))) if met == Some(false) => {
                    is_clean = false;
                    self.take_back(&stops[place.0].name, &told, matches!(step, Step::Move { .. })).await?;
                    self.write(move |txn| txn.not_in_flight(carrier))?;
                }
                (Some(Ok(brought)), evidence) if met == Some(true) => match (step, evidence) {
                    (Step::Expunge { from, mut items }, _) => {
                        items.retain(|item| brought.shows(item.uid));
                        if !items.is_empty() {
                            marked.push((from, items, stops[place.0].clone()));
                        }
                    }
                    (step, evidence) => {
                        let (done, is_whole) = self.settle_task(step, brought, evidence, is_over).await?;
                        did = did.or(done);
                        is_clean &= is_whole;
                    }
                },
                (Some(Ok(_)), None) if met == Some(false) => {
                    is_clean = false;
                    self.unflag(&stops[place.0], place.1).await?;
                }
                // It was not entered, so nothing was done.
                (None, Some((carrier, _))) if met == Some(false) && is_over => {
                    is_clean = false;
                    self.write(move |txn| txn.not_in_flight(carrier))?;
                }
                (Some(Err(_)), Some((carrier, evidence))) if is_over => {
                    is_clean = false;
                    self.resolve(carrier, &evidence).await?;
                }
                _ => is_clean = false,
            }
        }
        if !is_over || marked.is_empty() {
            return Ok((did, is_clean));
        }
        let (expunged, all) = self.expunge_marked(marked, then_lists).await?;
        Ok((did.or(expunged), is_clean && all))
    }

    /// Records a step that was answered. `false`: it is not known what it did.
    async fn settle_task(
        &mut self,
        step: Step,
        brought: Brought,
        evidence: Option<(EntryId, Evidence)>,
        is_over: bool,
    ) -> Result<(Did, bool)> {
        match (step, brought, evidence) {
            (Step::AddFlags { flags, items, .. }, Brought::Present(there), _) => {
                Ok((self.flags_stored(flags, Flags::none(), items, &there)?, true))
            }
            (Step::RemoveFlags { flags, items, .. }, Brought::Present(there), _) => {
                Ok((self.flags_stored(Flags::none(), flags, items, &there)?, true))
            }
            (Step::Copy { items, .. } | Step::Move { items, .. }, brought, Some((carrier, mut evidence))) => {
                let moves = evidence.source.as_ref().is_some_and(|source| source.moves);
                let told = match brought {
                    Brought::Placed(told) => told,
                    Brought::Nothing | Brought::Scanned(_) | Brought::Fingerprinted(_) | Brought::Present(_) => None,
                };
                let told = self.believed(told, &evidence)?;
                let done = match told {
                    Some(told) if told.uid_validity == Some(evidence.target_uid_validity) => {
                        self.refresh(&mut evidence, moves)?;
                        self.landed_as_told(carrier, &evidence, &told, &items, false).await?
                    }
                    // The line is cut: it is found out by the next sync.
                    _ if !is_over => return Ok((Did::Nothing, false)),
                    // The target was numbered anew.
                    Some(_) => self.resolve(carrier, &evidence).await?,
                    None => self.resolve_untold(carrier, &evidence).await?,
                };
                self.count(done.len(), moves);
                // What is in the source no more, a pull sees: it is not asked for again before.
                Ok((if done.is_empty() { Did::Nothing } else { Did::Something }, true))
            }
            _ => Ok((Did::Nothing, true)),
        }
    }

    /// The flags with which messages moved, as they were really stored.
    fn refresh(&self, evidence: &mut Evidence, moves: bool) -> Result<()> {
        for ((message, ..), flags) in evidence.messages.iter().zip(&mut evidence.flags).filter(|_| moves) {
            let facts = self.read(|reader| reader.message_facts(*message))?;
            if let Some(upstream) = facts.and_then(|facts| facts.upstream) {
                *flags = upstream.base;
            }
        }
        Ok(())
    }

    /// The second tour: expunges what the first marked, and then looks whether it is gone (QUIRKS.md row 41), in mailboxes
    /// selected anew: Dovecot goes on to search before it shows what an EXPUNGE sent with it has done.
    async fn expunge_marked(
        &mut self,
        marked: Vec<(MailboxId, Vec<Item>, Stop)>,
        then_lists: bool,
    ) -> Result<(Did, bool)> {
        let visit = |errand: fn(UidSet<RemoteUid>) -> Errand| {
            marked.iter().map(move |(_, items, stop)| Stop { errands: vec![errand(uids(items))], ..stop.clone() })
        };
        let stops: Vec<Stop> = visit(Errand::Expunge).chain(visit(Errand::Present)).collect();
        let looks = marked.len();
        let mut log = Log::default();
        let ended = self.remote.tour(&stops, &mut log, then_lists).await;
        let (mut did, mut is_clean) = (Did::Nothing, true);
        for (at, (_, items, stop)) in marked.into_iter().enumerate() {
            let is_met = [at, looks + at].iter().all(|at| {
                let selected = log.entered.get(at).and_then(|entered| entered.as_ref().ok());
                selected.is_some_and(|selected| selected.uid_validity == stop.uid_validity)
            });
            let (Some(Ok(_)), Some(Ok(Brought::Present(left)))) =
                (log.brought.remove(&(at, 0)), log.brought.remove(&(looks + at, 0)).filter(|_| is_met))
            else {
                is_clean = false;
                continue;
            };
            let (left, done): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| left.contains(item.uid));
            is_clean &= left.is_empty();
            self.report.expunged += done.len();
            did = Did::Something;
            self.write(move |txn| done.iter().try_for_each(|item| txn.expunged_upstream(item.message, &item.settles)))?;
        }
        ended?;
        Ok((did, is_clean))
    }

    /// What was moved or copied out of a mailbox that is another one than was meant goes back.
    async fn take_back(&mut self, source: &RemoteName, told: &CopyUid, moved: bool) -> Result<()> {
        tracing::warn!(account = %self.account, mailbox = %source.0, "it was replaced by another mailbox; putting messages back");
        let account = self.account;
        let known = self.read(|reader| reader.remote_mailboxes(account))?;
        let put: UidSet<RemoteUid> = told.uids.values().copied().collect();
        for target in known.into_iter().filter(|known| known.cursor.uid_validity == told.uid_validity) {
            let name = RemoteName(target.remote_name);
            let Ok(selected) = refusal(self.remote.select(&name, None).await)? else { continue };
            if Some(selected.uid_validity) != told.uid_validity {
                continue;
            }
            match moved {
                true => drop(refusal(self.remote.move_messages(&put, source).await)?),
                false => {
                    let is_marked = refusal(self.remote.add_flags(&put, &deleted()).await)?.is_ok();
                    if is_marked {
                        drop(refusal(self.remote.expunge(&put).await)?);
                    }
                }
            }
        }
        Ok(())
    }

    /// Flags that a stop's errand set or took off in a mailbox that is another one than was meant are as they were, but
    /// for messages that had them, or had them not, before.
    async fn unflag(&mut self, stop: &Stop, errand: usize) -> Result<()> {
        if refusal(self.remote.select(&stop.name, None).await)?.is_err() {
            return Ok(());
        }
        let undone = match &stop.errands[errand] {
            Errand::AddFlags { uids, flags } => self.remote.remove_flags(uids, flags).await,
            Errand::RemoveFlags { uids, flags } => self.remote.add_flags(uids, flags).await,
            _ => return Ok(()),
        };
        refusal(undone).map(drop)
    }
}

fn deleted() -> Flags {
    std::iter::once(Flag::from(SystemFlag::Deleted)).collect()
}

impl Route {
    fn expunged(&self) -> impl Iterator<Item = &Item> {
        let steps = self.tasks.iter().map(|task| &task.step);
        steps.flat_map(|step| if let Step::Expunge { items, .. } = step { items.as_slice() } else { &[] })
    }

    fn add(
        &mut self,
        mailbox: MailboxId,
        stop: Stop,
        step: Step,
        errand: Errand,
        evidence: Option<(EntryId, Evidence)>,
    ) {
        if self.mailboxes.last() != Some(&mailbox) {
            self.mailboxes.push(mailbox);
            self.stops.push(stop);
        }
        if let Step::AddFlags { flags, items, .. } | Step::RemoveFlags { flags, items, .. } = &step {
            for item in items {
                let before = self.flags.remove(&item.message).unwrap_or_else(|| item.base.clone());
                let after = match errand {
                    Errand::AddFlags { .. } => before.union(flags),
                    _ => before.difference(flags),
                };
                self.flags.insert(item.message, after);
            }
        }
        self.carriers.extend(evidence.as_ref().map(|(carrier, _)| *carrier));
        let at = self.stops.len() - 1;
        let errands = &mut self.stops[at].errands;
        errands.push(errand);
        self.tasks.push(Task { step, place: (at, errands.len() - 1), evidence });
    }
}

/// What a tour told.
#[derive(Default)]
struct Log {
    entered: BTreeMap<usize, std::result::Result<Selected, Refusal>>,
    brought: BTreeMap<(usize, usize), std::result::Result<Brought, Refusal>>,
}

impl Guide for Log {
    fn enter(
        &mut self,
        stop: usize,
        selected: std::result::Result<Selected, RemoteError>,
    ) -> std::result::Result<(), RemoteError> {
        self.entered.insert(stop, Refusal::or_wait(selected)?);
        Ok(())
    }

    fn done(
        &mut self,
        stop: usize,
        errand: usize,
        brought: std::result::Result<Brought, RemoteError>,
    ) -> std::result::Result<(), RemoteError> {
        self.brought.insert((stop, errand), Refusal::or_wait(brought)?);
        Ok(())
    }

    /// The next pull takes it in.
    fn news(&mut self, _stop: usize) {}
}

/// Nothing is fetched.
impl MessageSink for Log {
    fn begin(&mut self, _size_bytes: u64) -> io::Result<()> {
        Ok(())
    }

    fn write(&mut self, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn end(&mut self, _message: Fetched) -> io::Result<()> {
        Ok(())
    }

    fn absent(&mut self, _uid: RemoteUid) -> io::Result<()> {
        Ok(())
    }
}
