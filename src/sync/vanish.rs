//! What vanished upstream is accounted for, message by message, as the policy says.
//!
//! All arrivals of the round are here by now: a message that vanished in one mailbox and arrived in another was moved.
//! Everything is decided within the transaction that does it, on what the transaction sees.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::arrivals::Arrivals;
use super::guard::is_mass;
use super::pass::Pass;
use super::remote::Remote;
use crate::journal::{Entry, Op, Place, intent};
use crate::merge::ConflictKind;
use crate::merge::policy::{self, Decision, FolderDecision, FolderHere, FolderThere, Here, There};
use crate::store::{self, Cursor, FlagChange, MessageFacts, Origin, Txn, Verdict};
use crate::types::{AccountId, Flag, MailboxId, MailboxName, MessageId, SystemFlag};

/// Messages that one mailbox had upstream and has no more.
#[derive(Debug, Clone)]
pub(super) struct Vanishing {
    pub(super) mailbox: MailboxId,
    pub(super) messages: Vec<MessageId>,
    /// How many it had.
    pub(super) held: usize,
    /// Where the cursor goes with it; `None`: the mailbox itself is gone.
    pub(super) cursor: Option<Cursor>,
    /// It is part of a mass, however few they are.
    pub(super) is_suspect: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
struct Outcome {
    gone: usize,
    /// Those that were found in another mailbox.
    moved: Vec<MessageId>,
    conflicts: usize,
    is_blocked: bool,
}

impl<R: Remote> Pass<'_, R> {
    /// Accounts for what vanished from one mailbox, and moves its cursor. `all` is what vanished from any: it is no
    /// arrival, though it may have been one before. `lost` are those of it that were not found elsewhere (yet).
    pub(super) fn account_for(
        &mut self,
        vanishing: Vanishing,
        all: &BTreeSet<MessageId>,
        lost: &mut BTreeSet<MessageId>,
    ) -> Result<()> {
        let (account, mailbox) = (self.account, vanishing.mailbox);
        let quarantine = self.read(|reader| reader.quarantine(mailbox))?;
        if quarantine.is_some_and(|quarantine| quarantine.verdict == Verdict::Rejected) {
            let rejected = vanishing.clone();
            self.write_durably(move |txn| bring_back_upstream(txn, account, &rejected))?;
        }
        let (all, still_lost, labels) = (all.clone(), lost.clone(), self.remote.facts().labels);
        let told_sizes = self.told_sizes.clone();
        // What upstream did not let the user rename it would not let them make anew; and where access was only taken away it
        // would be there twice once that is given again.
        let is_anew = vanishing.cursor.is_none() && self.read(|reader| reader.is_to_be_renamed(account, mailbox))?;
        let work = move |txn: &mut Txn<'_>| {
            Accounting::new(txn, account, &vanishing, (&all, &still_lost), labels, &told_sizes)?.run()
        };
        // What is made anew goes into the journal.
        let outcome = if is_anew { self.write_durably(work)? } else { self.write(work)? };
        self.report.gone += outcome.gone;
        self.report.moved_in += outcome.moved.len();
        for message in &outcome.moved {
            lost.remove(message);
        }
        self.report.conflicts += outcome.conflicts;
        Ok(())
    }
}

/// The user wants the messages back upstream, and not to go with the next EXPUNGE: what marked them for it is taken off.
fn bring_back_upstream(txn: &mut Txn<'_>, account: AccountId, vanishing: &Vanishing) -> store::Result<()> {
    let deleted: Flag = SystemFlag::Deleted.into();
    let mut marked = Vec::new();
    for message in &vanishing.messages {
        let Some(here) = txn.reader().message(*message)?.filter(|here| here.content.is_some()) else { continue };
        txn.append_anew(*message)?;
        marked.extend(here.flags.contains(&deleted).then_some((here.mailbox, here.uid)));
    }
    for (mailbox, uid) in marked {
        match txn.store_flags(mailbox, &[uid], &FlagChange::Remove([deleted.clone()].into_iter().collect()), None) {
            // What may not be changed there may not be put there either, and that is told where it is refused.
            Ok(_) | Err(store::Error::ReadOnly | store::Error::NoPermission) => {}
            Err(error) => return Err(error),
        }
    }
    txn.lift_quarantine(account, vanishing.mailbox)
}

/// The work of one transaction.
struct Accounting<'t, 'c> {
    txn: &'t mut Txn<'c>,
    account: AccountId,
    vanishing: &'t Vanishing,
    /// What vanished, from any mailbox, and was not found elsewhere.
    lost: &'t BTreeSet<MessageId>,
    /// A message is one thing in several mailboxes ([`super::labels`]).
    labels: bool,
    arrivals: Arrivals<'t>,
    outcome: Outcome,
}

/// A message that vanished, with the arrival that it is, if any.
struct Case {
    facts: MessageFacts,
    arrival: Option<MessageFacts>,
    here: Here,
    /// Its bytes arrived elsewhere, but a client has acted on the arrival already.
    is_elsewhere: bool,
}

impl<'t, 'c> Accounting<'t, 'c> {
    fn new(
        txn: &'t mut Txn<'c>,
        account: AccountId,
        vanishing: &'t Vanishing,
        (all, lost): (&'t BTreeSet<MessageId>, &'t BTreeSet<MessageId>),
        labels: bool,
        told_sizes: &'t BTreeMap<MessageId, u64>,
    ) -> store::Result<Self> {
        let mut arrivals = match vanishing.messages.is_empty() {
            true => Vec::new(),
            false => txn.reader().fresh_arrivals(account)?,
        };
        // One whose mailbox was renumbered and that was not found again is nowhere.
        let is_there = |arrival: &MessageFacts| arrival.upstream.as_ref().is_some_and(|binding| binding.uid.is_some());
        arrivals.retain(|arrival| is_there(arrival) && !all.contains(&arrival.message));
        let arrivals = Arrivals::new(arrivals, told_sizes);
        Ok(Self { txn, account, vanishing, lost, labels, arrivals, outcome: Outcome::default() })
    }

    fn run(mut self) -> store::Result<Outcome> {
        let cases = self.cases()?;
        if self.vanishing.cursor.is_none() && self.txn.origin() == Origin::LocalUser {
            return self.run_anew(cases);
        }
        let mut lost = 0;
        for case in cases.iter().filter(|case| case.arrival.is_none() && case.facts.place.is_some()) {
            let is_held = self.labels && self.txn.reader().is_held_elsewhere(case.facts.message, self.lost)?;
            lost += usize::from(!is_held);
        }
        let verdict = self.txn.reader().quarantine(self.vanishing.mailbox)?.map(|quarantine| quarantine.verdict);
        let is_mass = is_mass(lost, self.vanishing.held) || (self.vanishing.is_suspect && lost > 0);
        // What is left out of the mirror concerns nobody here.
        let is_shown = self.txn.reader().mailbox(self.vanishing.mailbox)?.name.is_some();
        let is_blocked = is_mass && is_shown && verdict != Some(Verdict::Confirmed);
        for case in cases {
            if !is_blocked || case.arrival.is_some() {
                self.decide(case)?;
            }
        }
        self.outcome.is_blocked = is_blocked;
        if is_blocked {
            let lost = u32::try_from(lost).unwrap_or(u32::MAX);
            self.txn.set_quarantine(self.account, self.vanishing.mailbox, lost)?;
            return Ok(self.outcome);
        }
        self.txn.lift_quarantine(self.account, self.vanishing.mailbox)?;
        match &self.vanishing.cursor {
            Some(cursor) => self.txn.set_cursor(self.vanishing.mailbox, cursor)?,
            None => {
                self.txn.forget_mailbox(self.vanishing.mailbox)?;
            }
        }
        Ok(self.outcome)
    }

    /// The mailbox is gone upstream, but the user renamed it: what is in it stays, and all of it is made there anew.
    fn run_anew(mut self, cases: Vec<Case>) -> store::Result<Outcome> {
        let (decision, conflict) = policy::folder(FolderHere::Renamed, FolderThere::Gone);
        debug_assert_eq!(decision, FolderDecision::MadeAnew);
        for case in cases {
            let has_moved = case.arrival.is_some() || case.is_elsewhere;
            if has_moved || case.facts.place != Some(self.vanishing.mailbox) {
                self.decide(case)?;
            }
        }
        self.txn.make_anew(self.vanishing.mailbox)?;
        self.txn.lift_quarantine(self.account, self.vanishing.mailbox)?;
        if let Some(kind) = conflict {
            let name = self.txn.reader().mailbox(self.vanishing.mailbox)?.name;
            self.txn.tell(self.account, kind, None, name.as_ref().map_or("", MailboxName::as_str))?;
            self.outcome.conflicts += 1;
        }
        Ok(self.outcome)
    }

    /// Each message that is still bound where it vanished from, with what the user did to it and what arrived for it.
    fn cases(&mut self) -> store::Result<Vec<Case>> {
        let mut vanished = Vec::new();
        for message in &self.vanishing.messages {
            vanished.extend(self.txn.reader().message_facts(*message)?);
        }
        // Of equal messages one that is here takes an arrival first, and one to be expunged last.
        vanished.sort_by_key(|facts| facts.place.is_none());
        let mut cases = Vec::new();
        for facts in vanished {
            let message = &facts.message;
            if facts.upstream.as_ref().is_none_or(|upstream| upstream.mailbox != self.vanishing.mailbox) {
                continue;
            }
            if facts.waits {
                // Where it moved on to it arrives again; the message that it may be finds it there.
                self.txn.forget(facts.message)?;
                continue;
            }
            let found = self.arrivals.take(&self.txn.reader(), &facts)?;
            let is_elsewhere = match &found {
                Some(arrival) => self.txn.reader().is_pending(arrival.message)?,
                None => false,
            };
            let arrival = found.filter(|_| !is_elsewhere);
            let net = intent(&self.txn.reader().entries_about(*message)?, *message);
            let place = net.as_ref().map_or(Place::Unchanged, |net| net.place);
            let here = match (place, facts.place) {
                (Place::Gone, _) | (_, None) if self.is_draft_replaced_here(&facts)? => Here::DraftReplaced,
                (Place::Gone, _) | (_, None) => Here::Deleted,
                (Place::In(_), Some(_)) => Here::Moved,
                (Place::Unchanged, Some(_)) if net.is_some() => Here::Flags,
                (Place::Unchanged, Some(_)) => Here::Nothing,
            };
            cases.push(Case { facts, arrival, here, is_elsewhere });
        }
        Ok(cases)
    }

    fn decide(&mut self, case: Case) -> store::Result<()> {
        let message = case.facts.message;
        let target = case.arrival.as_ref().and_then(place_of);
        let (Some(arrival), Some(target)) = (&case.arrival, target) else { return self.decide_expunged(&case) };
        if case.facts.place == Some(target) {
            // Both put it there; or its mailbox got new UIDs, and it was not known again but by its bytes.
            self.txn.absorb_binding(message, arrival.message)?;
            self.settle_place(message)?;
            self.outcome.moved.push(message);
            return Ok(());
        }
        let (decision, conflict) = policy::message(case.here, There::Moved);
        match decision {
            Decision::Follow => self.txn.absorb(message, arrival.message)?,
            Decision::Revive => {
                self.txn.absorb(message, arrival.message)?;
                self.txn.undelete(message)?;
                self.settle_place(message)?;
            }
            Decision::StaysHere => self.txn.absorb_binding(message, arrival.message)?,
            Decision::MergeFlags | Decision::AppendAnew | Decision::Gone | Decision::Delete => {
                unreachable!("the policy never answers a move with {decision:?}")
            }
        }
        self.outcome.moved.push(message);
        self.tell(conflict, message)
    }

    fn decide_expunged(&mut self, case: &Case) -> store::Result<()> {
        let message = case.facts.message;
        if let (true, Here::Moved, Some(place)) = (self.labels, case.here, case.facts.place)
            && self.txn.reader().is_in(message, place)?
        {
            // It was where the user put it before, and the server named no other.
            self.outcome.gone += 1;
            return self.txn.coincide(message);
        }
        let there = if self.is_draft_replaced_there(&case.facts) { There::DraftReplaced } else { There::Expunged };
        let (decision, conflict) = policy::message(case.here, there);
        let has_bytes = case.facts.content.is_some();
        let is_anew = decision == Decision::AppendAnew && !case.is_elsewhere && has_bytes;
        let conflict = conflict.map(|kind| if has_bytes { kind } else { kind.without_bytes() });
        // What is elsewhere is one thing with it: only a label was taken off.
        let twins = if self.labels { self.txn.reader().twins_by_email_id(message)? } else { Vec::new() };
        let twin = twins.into_iter().find(|twin| !self.lost.contains(twin));
        let conflict = conflict.filter(|_| twin.is_none());
        if let (Some(twin), Some(was)) = (twin.filter(|_| is_anew), &case.facts.upstream)
            && let Some(is) = self.txn.reader().message_facts(twin)?.and_then(|facts| facts.upstream)
        {
            // And so flags that were set on it may have been seen on the other.
            self.txn.observe_flags(message, &was.base.union(&is.base))?;
        }
        self.txn.unbind(message)?;
        if !is_anew {
            if let Some(twin) = twin.filter(|_| case.here == Here::Flags) {
                self.txn.hand_on_flags(message, twin)?;
            }
            self.txn.goes(message, "deleted upstream")?;
            self.txn.settle_message(message)?;
            self.outcome.gone += usize::from(case.facts.place.is_some());
        }
        self.tell(conflict, message)
    }

    fn tell(&mut self, conflict: Option<ConflictKind>, message: MessageId) -> store::Result<()> {
        let Some(kind) = conflict else { return Ok(()) };
        let name = self.txn.reader().mailbox(self.vanishing.mailbox)?.name;
        let name = name.map(String::from).unwrap_or_default();
        self.txn.tell(self.account, kind, Some(message), &name)?;
        self.outcome.conflicts += 1;
        Ok(())
    }

    /// The message is where the user wants it, on both sides.
    fn settle_place(&mut self, message: MessageId) -> store::Result<()> {
        let about_place = |entry: &Entry| !matches!(entry.op, Op::Flags { .. });
        let about = self.txn.reader().entries_about(message)?.into_iter();
        let entries: Vec<_> = about.filter(about_place).map(|entry| entry.id).collect();
        self.txn.settle_parts(message, &entries)
    }

    /// Was it a draft, and is another one to be appended to its mailbox?
    fn is_draft_replaced_here(&self, facts: &MessageFacts) -> store::Result<bool> {
        Ok(facts.flags.has(SystemFlag::Draft)
            && self.txn.reader().is_appended_to(self.account, self.vanishing.mailbox)?)
    }

    /// Was it a draft, and did another one arrive in its mailbox?
    fn is_draft_replaced_there(&self, facts: &MessageFacts) -> bool {
        let is_draft = |arrival: &MessageFacts| {
            arrival.flags.has(SystemFlag::Draft) && place_of(arrival) == Some(self.vanishing.mailbox)
        };
        facts.flags.has(SystemFlag::Draft) && self.arrivals.left().any(is_draft)
    }
}

/// Where an arrival is here, or will be.
fn place_of(arrival: &MessageFacts) -> Option<MailboxId> {
    let awaited = arrival.upstream.as_ref().filter(|_| arrival.waits).map(|binding| binding.mailbox);
    arrival.place.or(awaited)
}
