//! The quick way through a pull: every changed mailbox of which the listing tells enough is covered in one tour, its
//! new messages fetched in the same burst.
//!
//! It takes in only what adds up. A mailbox that is another one than was listed, that changed meanwhile, or of which the
//! server contradicts itself is left to be covered one by one ([`super::cover`]), which asks until it knows.

use std::collections::BTreeSet;
use std::io;

use super::Result;
use super::compare::{Difference, Sight};
use super::cover::{is_trusted, leaves_untold, telling, tells_nothing};
use super::fetch::ArrivalSink;
use super::identity;
use super::pass::{Pass, Refusal};
use super::pull::Folder;
use super::remote::{
    Facts, Fetched, Fingerprinted, Known, MessageSink, Remote, RemoteError, Scanned, Selected, Status,
};
use super::tour::{Brought, Errand, Guide, Stop};
use super::vanish::Vanishing;
use crate::store::{self, Bound, Cursor, Origin, Reader, Store, bound_uids};
use crate::types::{MailboxId, MessageId, ModSeq, RemoteUid, Timestamp, UidSet, UidValidity};

type Answered = std::result::Result<(), RemoteError>;

/// What is to be done in a mailbox.
struct Plan {
    status: Status,
    cursor: Cursor,
    errands: Vec<Errand>,
    /// Whether every message is scanned.
    is_whole: bool,
    /// The messages by which the mailbox is recognised.
    telling: Vec<(RemoteUid, MessageId)>,
}

/// A mailbox on the tour.
struct Visit {
    folder: Folder,
    plan: Plan,
    seen: Seen,
}

/// What was seen there.
#[derive(Default)]
struct Seen {
    /// `None`: not entered, or it was refused, or too little was told, or it is another mailbox.
    selected: Option<Selected>,
    scanned: Vec<Scanned>,
    fetched: BTreeSet<RemoteUid>,
    /// The messages by which the mailbox is recognised.
    shown: Vec<Fingerprinted>,
    /// Of those that may have come, those that are there.
    there: UidSet<RemoteUid>,
    /// How many errands were done, or refused.
    done: usize,
    /// Something was refused, or changed while we looked.
    is_unsteady: bool,
}

impl<R: Remote> Pass<'_, R> {
    /// Covers what can be covered at one go. Returns what vanished, and the mailboxes that are left.
    pub(super) async fn survey(&mut self, folders: Vec<Folder>) -> Result<(Vec<Vanishing>, Vec<Folder>)> {
        self.selected = None;
        let (mut visits, mut left) = (Vec::new(), Vec::new());
        for folder in folders {
            let outlines = self.outlines(folder.mailbox)?;
            match self.read(|reader| Plan::of(reader, &folder, self.remote.facts(), outlines, self.recognises))? {
                Some(mut plan) => {
                    if self.recognises {
                        self.read(|reader| plan.recognise(reader, folder.mailbox, self.since))?;
                    }
                    visits.push(Visit { folder, plan, seen: Seen::default() });
                }
                None => left.push(folder),
            }
        }
        if visits.is_empty() {
            return Ok((Vec::new(), left));
        }
        let stops: Vec<Stop> = visits.iter().map(Visit::stop).collect();
        let mut surveyor = Surveyor {
            store: self.store.clone(),
            now: self.now(),
            since: self.since,
            visits,
            sink: None,
            arrived: 0,
            at: 0,
        };
        let outcome = self.remote.tour(&stops, &mut surveyor, false).await;
        let committed = surveyor.commit();
        self.report.arrived += surveyor.arrived;
        committed?;
        let mut vanishing = Vec::new();
        // What was seen before a cut need not be looked at again.
        let is_over = |visit: &Visit| outcome.is_ok() || visit.seen.done == visit.plan.errands.len();
        for visit in surveyor.visits.into_iter().filter(is_over) {
            match self.take_visit(&visit)? {
                Some(Some(vanished)) => vanishing.push(vanished),
                Some(None) => self.covered.note(visit.folder.mailbox, visit.folder.status, self.now()),
                None => left.push(visit.folder),
            }
        }
        outcome?;
        Ok((vanishing, left))
    }

    /// What was seen at a stop, taken in. `None`: it does not add up.
    fn take_visit(&mut self, visit: &Visit) -> Result<Option<Option<Vanishing>>> {
        let mailbox = visit.folder.mailbox;
        let mut is_recognised = false;
        for (uid, message) in &visit.plan.telling {
            let Some(shown) = visit.seen.shown.iter().find(|shown| shown.uid == *uid) else {
                // One that is left out, and is not said to be gone (QUIRKS.md row 19), is asked for by itself.
                match visit.says_gone(*uid) {
                    true => continue,
                    false => return Ok(None),
                }
            };
            if self.sought(*message)?.is_some_and(|sought| identity::may_be_other(&sought, shown)) {
                return Ok(None);
            }
            is_recognised = true;
        }
        if is_recognised {
            self.recognised.insert(mailbox);
        }
        let bound = self.read(|reader| reader.bound(mailbox))?;
        let skipped = self.read(|reader| reader.skipped(mailbox))?;
        let Some((cursor, difference)) = visit.difference(&bound, skipped, self.now()) else { return Ok(None) };
        self.take_flags(mailbox, difference.flags)?;
        self.close(mailbox, cursor, difference.unskip, difference.vanished, bound.len()).map(Some)
    }
}

impl Plan {
    /// `None`: the listing does not tell enough.
    fn of(
        reader: &Reader<'_>,
        folder: &Folder,
        facts: &Facts,
        outlines: bool,
        is_first_round: bool,
    ) -> store::Result<Option<Self>> {
        let Some(mut known) = reader.remote_mailbox(folder.mailbox)? else { return Ok(None) };
        if is_first_round {
            known.cursor = known.cursor.after_a_cut();
        } else if leaves_untold(&known.cursor, facts) {
            return Ok(None);
        }
        let Some((status, uid_next)) = folder.status.and_then(|status| Some((status, status.uid_next?))) else {
            return Ok(None);
        };
        let bound = bound_uids(&reader.bound(folder.mailbox)?);
        let skipped = reader.skipped(folder.mailbox)?.into_iter().map(|(uid, _)| uid).collect();
        let mut plan = Self { status, cursor: known.cursor, errands: Vec::new(), is_whole: false, telling: Vec::new() };
        let is_first = plan.is_first() && bound.is_empty();
        // Where UIDNEXT went back, UIDs that are known may name other messages.
        let goes_on = plan.cursor.uid_next <= uid_next && bound.last().is_none_or(|last| last < uid_next);
        let is_same = plan.cursor.uid_validity == Some(status.uid_validity) && goes_on;
        let is_known = is_same && !plan.is_first();
        let is_unsure = !is_first && tells_nothing(status.uid_validity);
        if reader.quarantine(folder.mailbox)?.is_some() || is_unsure || !(is_first || is_known) {
            return Ok(None);
        }
        if status.messages > 0 || is_known {
            let arrived = between(plan.cursor.uid_next, uid_next).difference(&bound).difference(&skipped);
            // Its bytes may be here: that is asked first.
            let may_be_here = facts.labels && !folder.name.0.eq_ignore_ascii_case("INBOX");
            if may_be_here && !(arrived.is_empty() && reader.bound_without_email_id(folder.mailbox)?.is_empty()) {
                return Ok(None);
            }
            // Where it is not told what is gone, one that came and is left out (QUIRKS.md row 19) hides one that went.
            let may_hide = is_known && !facts.qresync && !arrived.is_empty();
            let asked = may_hide.then(|| Errand::Present(arrived.clone()));
            plan.fetch(arrived, outlines);
            plan.errands.extend(asked);
        }
        if is_known {
            plan.scan(uid_next, &bound, facts);
        }
        Ok(Some(plan))
    }

    /// The messages by which the mailbox is recognised are asked for as well.
    fn recognise(&mut self, reader: &Reader<'_>, mailbox: MailboxId, since: MessageId) -> store::Result<()> {
        self.telling = telling(&reader.bound(mailbox)?, &self.cursor, since);
        let uids: UidSet<RemoteUid> = self.telling.iter().map(|(uid, _)| *uid).collect();
        self.errands.extend((!uids.is_empty()).then_some(Errand::Fingerprint(uids)));
        Ok(())
    }

    /// Is the mailbox looked into for the first time?
    fn is_first(&self) -> bool {
        self.cursor.is_start()
    }

    fn fetch(&mut self, arrived: UidSet<RemoteUid>, outlines: bool) {
        if !arrived.is_empty() {
            self.errands.push(if outlines { Errand::Outline(arrived) } else { Errand::Fetch(arrived) });
        }
    }

    /// How changes to the messages that are here already are learnt.
    fn scan(&mut self, uid_next: RemoteUid, bound: &UidSet<RemoteUid>, facts: &Facts) {
        let was = self.cursor.highest_mod_seq;
        let now = self.status.highest_mod_seq.filter(|now| now.get() > 0);
        self.is_whole = was.get() == 0 || now.is_none() || (self.cursor.is_ahead && now == Some(was));
        if self.is_whole {
            return self.push_scan(between(RemoteUid::new(1), uid_next), None);
        }
        // Those that we put there ourselves are not told among what changed.
        let newer = between(self.cursor.uid_next, uid_next);
        self.push_scan(newer.difference(&newer.difference(bound)), None);
        if !facts.qresync && now != Some(was) {
            self.push_scan(between(RemoteUid::new(1), self.cursor.uid_next), Some(was));
        }
    }

    fn push_scan(&mut self, uids: UidSet<RemoteUid>, changed_since: Option<ModSeq>) {
        if !uids.is_empty() {
            self.errands.push(Errand::Scan { uids, changed_since });
        }
    }
}

/// UIDs from `first` up to one below `next`.
pub(super) fn between(first: RemoteUid, next: RemoteUid) -> UidSet<RemoteUid> {
    match first < next {
        true => UidSet::range(first, RemoteUid::new(next.get() - 1)),
        false => UidSet::new(),
    }
}

impl Visit {
    /// Was the message under this UID, which was known, said to be there no more?
    fn says_gone(&self, uid: RemoteUid) -> bool {
        let since = self.seen.selected.as_ref().and_then(|selected| selected.since.as_ref());
        let is_vanished = since.is_some_and(|since| since.vanished.contains(uid));
        is_vanished || self.plan.is_whole && !self.seen.scanned.iter().any(|scanned| scanned.uid == uid)
    }

    fn stop(&self) -> Stop {
        let Plan { status, cursor, errands, .. } = &self.plan;
        let known = cursor.uid_validity.filter(|_| cursor.highest_mod_seq.get() > 0);
        Stop {
            name: self.folder.name.clone(),
            uid_validity: status.uid_validity,
            known: known.map(|uid_validity| Known { uid_validity, highest_mod_seq: cursor.highest_mod_seq }),
            errands: errands.clone(),
        }
    }

    /// Where the cursor goes and what is different, now that arrivals are here. `None`: it does not add up.
    fn difference(
        &self,
        bound: &[Bound],
        skipped: Vec<(RemoteUid, Timestamp)>,
        now: Timestamp,
    ) -> Option<(Cursor, Difference)> {
        let Plan { status, cursor, errands, is_whole, .. } = &self.plan;
        let selected = self.seen.selected.as_ref().filter(|_| !self.seen.is_unsteady)?;
        let since = selected.since.as_ref().filter(|_| !is_whole);
        let asked_since = |errand: &Errand| matches!(errand, Errand::Scan { changed_since: Some(_), .. });
        let has_told = since.is_some()
            || errands.iter().any(asked_since)
            || selected.highest_mod_seq == Some(cursor.highest_mod_seq);
        let is_complete = self.plan.is_first() || *is_whole;
        let is_enough = is_complete || (has_told && is_trusted(cursor, selected));
        let is_all_here = self.seen.there.is_empty() || {
            let skipped = skipped.iter().map(|(uid, _)| *uid).collect();
            self.seen.there.difference(&bound_uids(bound)).difference(&skipped).is_empty()
        };
        if selected.uid_next != status.uid_next || !is_enough || !is_all_here {
            return None;
        }
        let mut scanned = self.seen.scanned.clone();
        let newer: BTreeSet<RemoteUid> = scanned.iter().map(|scanned| scanned.uid).collect();
        // What was fetched or scanned since has flags newer than these.
        let is_newest = |uid: RemoteUid| !self.seen.fetched.contains(&uid) && !newer.contains(&uid);
        let changed = since.iter().flat_map(|since| &since.changed).filter(|changed| is_newest(changed.uid));
        scanned.extend(changed.cloned());
        let sight = Sight {
            bound,
            skipped: skipped.into_iter().collect(),
            now,
            exists: selected.exists,
            scanned,
            is_complete: *is_whole,
            gone: since.map(|since| since.vanished.clone()).unwrap_or_default(),
            told: UidSet::new(),
        };
        let difference = sight.difference().filter(|difference| difference.new.is_empty())?;
        let cursor = Cursor {
            uid_validity: Some(selected.uid_validity),
            uid_next: status.uid_next?,
            highest_mod_seq: selected.highest_mod_seq.unwrap_or(ModSeq::new(0)),
            messages: selected.exists,
            is_ahead: false,
        };
        Some((cursor, difference))
    }
}

/// Takes in what the tour brings.
struct Surveyor {
    store: Store,
    now: Timestamp,
    since: MessageId,
    visits: Vec<Visit>,
    /// Where the messages of the stop go; none where it is another mailbox than was listed.
    sink: Option<ArrivalSink>,
    arrived: usize,
    at: usize,
}

impl Surveyor {
    /// Commits what has come.
    fn commit(&mut self) -> store::Result<()> {
        let Some(mut sink) = self.sink.take() else { return Ok(()) };
        let committed = sink.commit();
        self.arrived += sink.arrived;
        self.visits[self.at].seen.fetched = std::mem::take(&mut sink.came);
        committed
    }

    /// A mailbox's first UIDVALIDITY, and what it keeps, are recorded before its messages.
    fn open(&self, mailbox: MailboxId, selected: &Selected, was: Option<UidValidity>) -> store::Result<()> {
        let (flags, any_keyword) = (selected.permanent_flags.clone(), selected.any_keyword);
        let (uid_validity, read_only) = (selected.uid_validity, selected.read_only);
        self.store.write(Origin::Upstream, self.now, move |txn| {
            txn.set_read_only(mailbox, read_only)?;
            txn.set_kept_flags(mailbox, &flags, any_keyword)?;
            if was == Some(uid_validity) { Ok(()) } else { txn.rematch(mailbox, uid_validity, &[]) }
        })
    }
}

impl Guide for Surveyor {
    fn enter(&mut self, stop: usize, selected: std::result::Result<Selected, RemoteError>) -> Answered {
        self.commit().map_err(local)?;
        self.at = stop;
        let visit = &self.visits[stop];
        let (mailbox, was) = (visit.folder.mailbox, visit.plan.cursor.uid_validity);
        match Refusal::or_wait(selected)? {
            Ok(selected) if selected.uid_validity == visit.plan.status.uid_validity => {
                match self.open(mailbox, &selected, was) {
                    Ok(()) => self.sink = Some(ArrivalSink::new(self.store.clone(), mailbox, self.now, self.since)),
                    Err(store::Error::NoSuchMailbox) => {}
                    Err(error) => return Err(local(error)),
                }
                self.visits[stop].seen.selected = Some(selected);
            }
            // It is left to be covered alone, which tells why it cannot be, if so.
            Ok(_) | Err(_) => {}
        }
        Ok(())
    }

    fn done(&mut self, stop: usize, _errand: usize, brought: std::result::Result<Brought, RemoteError>) -> Answered {
        let seen = &mut self.visits[stop].seen;
        let brought = Refusal::or_wait(brought)?;
        seen.done += 1;
        match brought {
            Ok(Brought::Scanned(scanned)) => seen.scanned.extend(scanned),
            Ok(Brought::Fingerprinted(shown)) => seen.shown = shown,
            Ok(Brought::Present(there)) => seen.there = there,
            Ok(Brought::Nothing | Brought::Placed(_)) => {}
            Err(_) => seen.is_unsteady = true,
        }
        Ok(())
    }

    fn news(&mut self, stop: usize) {
        self.visits[stop].seen.is_unsteady = true;
    }
}

impl MessageSink for Surveyor {
    fn begin(&mut self, size_bytes: u64) -> io::Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.begin(size_bytes))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.write(bytes))
    }

    fn end(&mut self, message: Fetched) -> io::Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.end(message))
    }

    fn absent(&mut self, uid: RemoteUid) -> io::Result<()> {
        self.sink.as_mut().map_or(Ok(()), |sink| sink.absent(uid))
    }
}

fn local(error: store::Error) -> RemoteError {
    RemoteError::Local(error.to_string())
}
