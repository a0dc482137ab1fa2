//! What became of a step whose answer was lost, or named no UIDs: found out by looking.
//!
//! In the target, from the UIDNEXT that was recorded before the step: messages that are bound to none of ours and have
//! the size and the bytes of one that was sent. Each is one message at most. In the source: whether a message that was
//! to be moved is there still. Then each is done, half done (copied, not expunged: that is finished), or not done.
//!
//! If something came into the target since and is there no more, it may have been the new message, and someone may have
//! moved it on: then what is new in the other mailboxes is looked at as well. Not for a message that was to be moved: it
//! is in its source still; nor for one of which another like it is not where it was upstream, for what is new may be that. A
//! copy too many is better than one too few.
//!
//! A mailbox that cannot be selected tells nothing, whatever the server says of it; only the list tells that it is gone.
//! What cannot be seen is neither done nor to be done again: it is set aside, in doubt, and looked for again by every sync.
//! Until it is seen nothing is taken in from where it may be.

use std::collections::{BTreeMap, BTreeSet};

use elsewhere::landed_elsewhere;

use super::Result;
use super::cover::telling;
use super::identity::{self, Wanted};
use super::pass::{Pass, Refusal, from, refusal};
use super::remote::{Fingerprinted, Remote, RemoteName, Scanned, Selected};
use crate::journal::entry::EvidenceSource;
use crate::journal::{Evidence, State};
use crate::store::{self, Landed, Reader, RemoteMailbox, bound_uids};
use crate::types::mutant::mutant;
use crate::types::{
    ContentHash, EntryId, Flag, Flags, MailboxId, MessageId, RemoteUid, SystemFlag, UidSet, UidValidity,
};

mod elsewhere;

/// How often a mailbox in which must be looked is selected, if the server refuses (QUIRKS.md row 35).
const SELECTS_MAX: usize = 3;

/// How often it is looked for a mailbox that somebody may be giving other names.
const LOOKS_MAX: usize = 3;

/// A message that is looked for: its bytes' hash, where they are here, and its size.
type Sought = (MessageId, Option<ContentHash>, u64);

/// What was seen in a mailbox.
enum Look {
    Seen {
        landed: Vec<Landed>,
        /// Something came since the recorded UIDNEXT, and is there no more.
        has_holes: bool,
    },
    /// It has not this name any more.
    Gone,
    Refused(Refusal),
}

impl Look {
    /// Is nothing there that was looked for?
    fn is_empty(&self) -> bool {
        matches!(self, Self::Seen { landed, .. } if landed.is_empty())
    }
}

/// What came of selecting a mailbox to look in it.
pub(super) enum Entered {
    In(Selected),
    /// It is not there any more.
    Gone,
    /// It is a name in the list, and holds no messages.
    NameOnly,
    Refused(Refusal),
}

impl<R: Remote> Pass<'_, R> {
    /// Finds out what became of everything that was in flight.
    pub(super) async fn recover(&mut self) -> Result<()> {
        let open = self.read(|reader| reader.unresolved(self.account))?;
        if !open.is_empty() {
            // A mailbox may have another name by now, and another mailbox its own.
            self.take_listing().await?;
        }
        // What was appended at one time is looked for at one time.
        for flights in open.chunk_by(|(_, one), (_, next)| one.is_beside(next)) {
            if self.resolve_all(flights, true).await?.is_some() {
                self.report.recovered += flights.len();
            }
        }
        Ok(())
    }

    /// Finds out what became of one step that was answered, and records it. Returns the messages for which it is done. What was
    /// to be moved and was not is not marked yet.
    pub(super) async fn resolve(&mut self, carrier: EntryId, evidence: &Evidence) -> Result<Vec<MessageId>> {
        Ok(self.resolve_all(&[(carrier, evidence.clone())], false).await?.unwrap_or_default())
    }

    /// The same of several entries whose messages went to one place at one time; `None`: it cannot be seen. `may_be_marked`: the
    /// line was cut, maybe behind the mark.
    pub(super) async fn resolve_all(
        &mut self,
        flights: &[(EntryId, Evidence)],
        may_be_marked: bool,
    ) -> Result<Option<Vec<MessageId>>> {
        let Some(evidence) = &together(flights) else { return Ok(Some(Vec::new())) };
        let (home, look) = self.look_in_homes(evidence).await?;
        let (landed, has_holes) = match look {
            Look::Seen { landed, has_holes } => (landed, has_holes),
            Look::Gone => (Vec::new(), false),
            Look::Refused(refused) => {
                self.give_up(flights, &refused, may_be_marked).await?;
                return Ok(None);
            }
        };
        let mut landed = if mutant!(AssumedNotDone) { Vec::new() } else { landed };
        let mut done: BTreeSet<MessageId> = landed.iter().map(|landed| landed.message).collect();
        if mutant!(AssumedDone) {
            done.extend(evidence.messages.iter().map(|(message, ..)| *message));
        }
        if let Some(source) = evidence.source.as_ref().filter(|source| source.moves) {
            let left = match source.by_move {
                // What MOVE takes leaves the source (RFC 6851 section 3.3): what is like it in the target is another's copy.
                true => self.still_in(source.mailbox, done.clone()).await?.map(|there| there.into_keys().collect()),
                false => self.finish_move(source.mailbox, &done).await?.map(|()| BTreeSet::new()),
            };
            let left: BTreeSet<MessageId> = match left {
                Ok(left) => left,
                Err(refused) => {
                    self.unseen.insert(home, refused.clone());
                    self.give_up(flights, &refused, may_be_marked).await?;
                    return Ok(None);
                }
            };
            landed.retain(|landed| !left.contains(&landed.message));
            done.retain(|message| !left.contains(message));
        }
        self.tell_found(&landed);
        let sent = evidence.clone();
        self.write(move |txn| match home == sent.target {
            true => txn.landed(home, &landed, &sent.settles),
            false => landed.iter().try_for_each(|landed| landed_elsewhere(txn, home, landed, &sent)),
        })?;
        if mutant!(AssumedDone) {
            let (all, settles) = (evidence.messages.clone(), evidence.settles.clone());
            self.write(move |txn| all.iter().try_for_each(|(message, ..)| txn.settle_parts(*message, &settles)))?;
        }
        let missing: Vec<Sought> =
            evidence.messages.iter().filter(|(message, ..)| !done.contains(message)).copied().collect();
        match evidence.source.as_ref().filter(|source| source.moves) {
            Some(source) if may_be_marked => self.unmark(source, evidence, &missing).await?,
            Some(_) => {}
            None if has_holes && !missing.is_empty() => {
                if let Err(refused) = self.look_elsewhere(evidence, home, missing).await? {
                    self.give_up(flights, &refused, may_be_marked).await?;
                    return Ok(None);
                }
            }
            None => {}
        }
        if mutant!(EntryDropped) {
            let open: Vec<MessageId> = evidence.messages.iter().map(|(message, ..)| *message).collect();
            let carriers: Vec<EntryId> = flights.iter().map(|(carrier, _)| *carrier).collect();
            self.write(move |txn| open.iter().try_for_each(|message| txn.settle_parts(*message, &carriers)))?;
        }
        let carriers: Vec<EntryId> = flights.iter().map(|(carrier, _)| *carrier).collect();
        self.write(move |txn| carriers.iter().try_for_each(|carrier| txn.not_in_flight(*carrier)))?;
        Ok(Some(done.into_iter().collect()))
    }

    /// Looks where messages may have gone, and returns where they are, or where it was looked last.
    async fn look_in_homes(&mut self, evidence: &Evidence) -> Result<(MailboxId, Look)> {
        let known = Some((evidence.target_uid_validity, evidence.target_uid_next));
        for _ in 0..LOOKS_MAX {
            let (mut home, mut last, mut is_gone) = (evidence.target, Look::Gone, false);
            for mailbox in self.homes(evidence) {
                match self.look_in(mailbox, known, evidence, &evidence.messages).await? {
                    Look::Gone => is_gone = true,
                    seen @ Look::Seen { .. } if seen.is_empty() => (home, last) = (mailbox, seen),
                    found => return Ok((mailbox, found)),
                }
            }
            if !is_gone {
                return Ok((home, last));
            }
            // Somebody gave it another name, under which it is known again.
            self.take_listing().await?;
        }
        Ok((evidence.target, Look::Gone))
    }

    /// Where messages may have gone: to the target, or, if that is not what it was, to what has its UIDVALIDITY now: the
    /// target may have another name, and another mailbox its own.
    fn homes(&self, evidence: &Evidence) -> Vec<MailboxId> {
        let target = evidence.target;
        let is_it = |mailbox: &MailboxId| self.uid_validity_of(*mailbox) == Some(evidence.target_uid_validity);
        let others = self.listed.keys().copied().filter(|mailbox| is_it(mailbox) && *mailbox != target);
        match self.uid_validity_of(target) {
            Some(_) if is_it(&target) => vec![target],
            Some(_) => others.chain([target]).collect(),
            None => [target].into_iter().chain(others).collect(),
        }
    }

    /// Is the mailbox that is selected another one than the target of a step was?
    async fn is_not_target(&mut self, mailbox: MailboxId, target: MailboxId) -> Result<bool> {
        let Some(known) = self.remote_mailbox(target)?.filter(|_| mailbox != target) else { return Ok(false) };
        let sample = telling(&self.read(|reader| reader.bound(target))?, &known.cursor, self.since);
        Ok(!sample.is_empty() && self.shows_another(&sample).await?)
    }

    /// What cannot be seen is set aside. A mark for expunging that was ours comes off meanwhile, lest the pull take it for
    /// another's.
    async fn give_up(&mut self, flights: &[(EntryId, Evidence)], refused: &Refusal, may_be_marked: bool) -> Result<()> {
        let why = format!("it cannot be seen whether the server did it: {}", refused.text);
        for (carrier, evidence) in flights.iter().cloned() {
            if let Some(source) = evidence.source.as_ref().filter(|source| source.moves && may_be_marked) {
                self.unmark(source, &evidence, &evidence.messages).await?;
            }
            // One that is set aside already is no news.
            let is_new = self.read(|reader| match reader.entry(carrier) {
                Ok(entry) => Ok(matches!(entry.state, State::InFlight { .. })),
                Err(store::Error::NoSuchEntry) => Ok(false),
                Err(error) => Err(error),
            })?;
            self.report.parked += usize::from(is_new);
            let why = why.clone();
            self.write(move |txn| txn.park_in_doubt(carrier, &evidence, &why))?;
        }
        Ok(())
    }

    /// Those messages that a mailbox has, among what came into it since `known`, or since it was covered.
    async fn look_in(
        &mut self,
        mailbox: MailboxId,
        known: Option<(UidValidity, RemoteUid)>,
        evidence: &Evidence,
        sought: &[Sought],
    ) -> Result<Look> {
        const NOTHING: Look = Look::Seen { landed: Vec::new(), has_holes: false };
        let Some(row) = self.remote_mailbox(mailbox)? else { return Ok(NOTHING) };
        if let Some(refused) = self.unseen.get(&mailbox) {
            return Ok(Look::Refused(refused.clone()));
        }
        let selected = match self.enter(&RemoteName(row.remote_name.clone())).await? {
            Entered::In(selected) => selected,
            Entered::Gone => return Ok(Look::Gone),
            Entered::NameOnly => return Ok(NOTHING),
            Entered::Refused(refused) => {
                self.unseen.insert(mailbox, refused.clone());
                return Ok(Look::Refused(refused));
            }
        };
        if known.is_some() && self.is_not_target(mailbox, evidence.target).await? {
            return Ok(NOTHING);
        }
        let looked = self.look_among(&row, &selected, known, evidence, sought).await;
        Ok(self.unless_refused(mailbox, looked)?.unwrap_or_else(Look::Refused))
    }

    /// The same, in the mailbox that is selected.
    async fn look_among(
        &mut self,
        row: &RemoteMailbox,
        selected: &Selected,
        known: Option<(UidValidity, RemoteUid)>,
        evidence: &Evidence,
        sought: &[Sought],
    ) -> Result<Look> {
        let cursor = self.cursor_for(row, selected).await?;
        let first = match known {
            Some((uid_validity, first)) if uid_validity == selected.uid_validity => first,
            Some(_) => RemoteUid::new(1),
            None => cursor.uid_next,
        };
        let bound = bound_uids(&self.read(|reader| reader.bound(row.mailbox))?);
        let mut flags = flags_of(self.remote.scan(&from(first), None).await?);
        let free = |flags: &BTreeMap<RemoteUid, Flags>| -> UidSet<RemoteUid> {
            flags.keys().copied().filter(|uid| !bound.contains(*uid)).collect()
        };
        let sizes: BTreeSet<u64> = sought.iter().filter_map(|(_, hash, size)| hash.map(|_| *size)).collect();
        let mut shown = match free(&flags) {
            free if free.is_empty() => Vec::new(),
            free => self.remote.fingerprints(&free).await?,
        };
        let mut alike = self.alike(sought, &shown)?;
        // Those of which the bytes are not here are known by that alone.
        let is_alike = |shown: &&Fingerprinted| {
            sizes.contains(&shown.size_bytes) && !alike.iter().any(|(_, alike)| *alike == shown.uid)
        };
        let mut hashed: UidSet<RemoteUid> = shown.iter().filter(is_alike).map(|shown| shown.uid).collect();
        let mut hashes = self.hashes(&hashed).await?;
        let ours: BTreeSet<MessageId> = sought.iter().map(|(message, ..)| *message).collect();
        let wanted = self.read(|reader| {
            let mut wanted = wanted(reader, sought, evidence)?;
            // What came may be what else was under way there: of equal messages each is the one with its flags.
            let hashes: BTreeSet<ContentHash> = wanted.iter().map(|wanted| wanted.hash).collect();
            for (_, other) in
                reader.unresolved(self.account)?.iter().filter(|(_, other)| other.target == evidence.target)
            {
                let is_rival = |(message, hash, _): &&Sought| {
                    !ours.contains(message) && hash.is_some_and(|hash| hashes.contains(&hash))
                };
                wanted.extend(self::wanted(reader, other.messages.iter().filter(is_rival), other)?);
            }
            Ok(wanted)
        })?;
        let find = |hashes: &BTreeMap<_, _>, shown: &[_], flags: &BTreeMap<_, _>, alike: &[_]| {
            let mut found = identity::by_hash(wanted.iter().cloned(), hashes, shown, flags);
            found.retain(|(message, _)| ours.contains(message));
            found.extend(alike);
            found
        };
        let mut found = find(&hashes, &shown, &flags, &alike);
        if found.len() < sought.len() {
            // RFC822.SIZE may be a lie (QUIRKS.md row 14), and FETCH may leave messages out (row 19): all that SEARCH tells
            // of is asked for, and the bytes decide where they are here, lest it be sent again and again.
            let there = self.remote.present(&from(first)).await?;
            flags = flags_of(self.scan_each(&there).await?);
            let known: UidSet<RemoteUid> = shown.iter().map(|shown| shown.uid).collect();
            let unshown: Vec<RemoteUid> = free(&flags).difference(&known).iter().collect();
            if sought.iter().any(|(_, hash, _)| hash.is_none()) {
                let (more, refused) = self.show_each(&unshown).await?;
                refused.map_or(Ok(()), Err)?;
                shown.extend(more);
                alike = self.alike(sought, &shown)?;
            }
            if sought.iter().any(|(_, hash, _)| hash.is_some()) {
                hashed = free(&flags).difference(&hashed);
                hashes.extend(self.hashes(&hashed).await?);
                hashes.retain(|uid, _| !alike.iter().any(|(_, alike)| alike == uid));
            }
            found = find(&hashes, &shown, &flags, &alike);
        }
        let is_same = known.is_some_and(|(uid_validity, _)| uid_validity == selected.uid_validity);
        let came = selected.uid_next.filter(|_| is_same).map_or(0, |next| next.get().saturating_sub(first.get()));
        let has_holes = came as usize > flags.len();
        let landed = found.into_iter().map(|(message, uid)| {
            let shown = flags.get(&uid).cloned().unwrap_or_default();
            let sent = sent_flags(evidence, message).unwrap_or_else(|| shown.clone());
            Landed { message, uid, sent, shown, is_finished: !evidence.unfinished.contains(&message) }
        });
        Ok(Look::Seen { landed: landed.collect(), has_holes })
    }

    /// Which of those whose bytes are not here are shown.
    fn alike(&self, sought: &[Sought], shown: &[Fingerprinted]) -> Result<Vec<(MessageId, RemoteUid)>> {
        let without_bytes = sought.iter().filter(|(_, hash, _)| hash.is_none());
        let known = self.read(|reader| {
            let mut known = Vec::new();
            for (message, ..) in without_bytes {
                if let Some(facts) = reader.message_facts(*message)? {
                    // They may have come meanwhile.
                    known.push(identity::Sought { hash: None, ..identity::Sought::of(reader, &facts)? });
                }
            }
            Ok(known)
        })?;
        Ok(identity::by_fingerprint(&known, shown).pairs)
    }

    /// Selects a mailbox to look in it.
    pub(super) async fn enter(&mut self, name: &RemoteName) -> Result<Entered> {
        self.selected = None;
        let mut selects = 1;
        loop {
            let refused = match refusal(self.remote.select(name, None).await)? {
                Ok(selected) => return Ok(Entered::In(selected)),
                Err(refused) => refused,
            };
            match self.look_up(name).await? {
                None => return Ok(Entered::Gone),
                Some(listed) if !listed.selectable => return Ok(Entered::NameOnly),
                Some(_) if selects == SELECTS_MAX => return Ok(Entered::Refused(refused)),
                Some(_) => selects += 1,
            }
        }
    }

    fn tell_found(&self, landed: &[Landed]) {
        for Landed { message, uid, .. } in landed {
            tracing::debug!(account = %self.account, %message, %uid, "what was sent is there, though no answer told");
        }
    }

    /// Messages that have reached the target leave the source, if they are there still.
    pub(super) async fn finish_move(
        &mut self,
        source: MailboxId,
        messages: &BTreeSet<MessageId>,
    ) -> Result<std::result::Result<(), Refusal>> {
        let there = match self.still_in(source, messages.clone()).await? {
            Ok(there) => there,
            Err(refused) => return Ok(Err(refused)),
        };
        let there: UidSet<RemoteUid> = there.into_values().map(|scanned| scanned.uid).collect();
        if there.is_empty() {
            return Ok(Ok(()));
        }
        if self.expunge_upstream(source, &there).await?.is_err() {
            self.leave(source, &there).await?;
        }
        Ok(Ok(()))
    }

    /// Messages that were to be moved by copying, and whose copies are not there (any more): a mark for expunging that was
    /// set in their source since the evidence was recorded is ours, and comes off. That someone else set one in the same
    /// while cannot be told from it, and theirs comes off too: they see that and can set it again, while ours left standing
    /// would let anyone's EXPUNGE destroy the only copy, and bar a mailbox without UIDPLUS from ours.
    async fn unmark(&mut self, source: &EvidenceSource, evidence: &Evidence, missing: &[Sought]) -> Result<()> {
        let is_marked = |flags: &Flags| flags.has(SystemFlag::Deleted);
        let was_unmarked = |message: &MessageId| sent_flags(evidence, *message).is_some_and(|flags| !is_marked(&flags));
        let messages: BTreeSet<MessageId> = missing.iter().map(|(message, ..)| *message).filter(was_unmarked).collect();
        if messages.is_empty() || self.remote.facts().r#move {
            return Ok(());
        }
        // A mailbox that cannot be selected: the pull sees the mark as it sees anyone's.
        let there = self.still_in(source.mailbox, messages).await?.unwrap_or_default();
        let marked = there.into_values().filter(|scanned| is_marked(&scanned.flags)).map(|scanned| scanned.uid);
        let marked: UidSet<RemoteUid> = marked.collect();
        if !marked.is_empty() {
            let deleted: Flags = std::iter::once(Flag::from(SystemFlag::Deleted)).collect();
            // Refused, it stays.
            let _ = refusal(self.remote.remove_flags(&marked, &deleted).await)?;
        }
        Ok(())
    }

    /// Those of the messages that a mailbox still has upstream, as they are there. It is selected then.
    async fn still_in(
        &mut self,
        mailbox: MailboxId,
        messages: BTreeSet<MessageId>,
    ) -> Result<std::result::Result<BTreeMap<MessageId, Scanned>, Refusal>> {
        let row = self.remote_mailbox(mailbox)?.filter(|_| !messages.is_empty());
        let Some(row) = row else { return Ok(Ok(BTreeMap::new())) };
        if self.selected != Some(mailbox) {
            let selected = match self.enter(&RemoteName(row.remote_name.clone())).await? {
                Entered::In(selected) => selected,
                // With its messages.
                Entered::Gone | Entered::NameOnly => return Ok(Ok(BTreeMap::new())),
                Entered::Refused(refused) => return Ok(Err(refused)),
            };
            self.cursor_for(&row, &selected).await?;
            self.selected = Some(mailbox);
        }
        let bound = self.read(|reader| reader.bound(mailbox))?;
        let wanted = bound.into_iter().filter(|bound| messages.contains(&bound.message));
        let wanted: BTreeMap<MessageId, RemoteUid> =
            wanted.filter_map(|bound| Some((bound.message, bound.uid?))).collect();
        if wanted.is_empty() {
            return Ok(Ok(BTreeMap::new()));
        }
        let scanned = self.scan_each(&wanted.values().copied().collect()).await?;
        let mut there: BTreeMap<RemoteUid, Scanned> =
            scanned.into_iter().map(|scanned| (scanned.uid, scanned)).collect();
        Ok(Ok(wanted.into_iter().filter_map(|(message, uid)| Some((message, there.remove(&uid)?))).collect()))
    }
}

/// The evidence of all of them.
fn together(flights: &[(EntryId, Evidence)]) -> Option<Evidence> {
    let mut all = flights.first()?.1.clone();
    for (_, evidence) in &flights[1..] {
        all.target_uid_next = all.target_uid_next.min(evidence.target_uid_next);
        all.messages.extend_from_slice(&evidence.messages);
        all.flags.extend_from_slice(&evidence.flags);
        all.settles.extend_from_slice(&evidence.settles);
        all.unfinished.extend(&evidence.unfinished);
    }
    Some(all)
}

fn flags_of(scanned: Vec<Scanned>) -> BTreeMap<RemoteUid, Flags> {
    scanned.into_iter().map(|scanned| (scanned.uid, scanned.flags)).collect()
}

/// Those of the messages whose bytes are here, to be known by them.
fn wanted<'s>(
    reader: &Reader<'_>,
    sought: impl IntoIterator<Item = &'s Sought>,
    evidence: &Evidence,
) -> store::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for (message, hash, _) in sought {
        // Its flags may have been stored before it went, and be others here by now.
        wanted.extend(reader.message_facts(*message)?.zip(*hash).map(|(facts, hash)| Wanted {
            message: *message,
            hash,
            internal_date: facts.internal_date,
            flags: std::iter::once(facts.flags).chain(sent_flags(evidence, *message)).collect(),
        }));
    }
    Ok(wanted)
}

/// The flags with which a message was sent.
fn sent_flags(evidence: &Evidence, message: MessageId) -> Option<Flags> {
    let place = evidence.messages.iter().position(|(sent, ..)| *sent == message)?;
    evidence.flags.get(place).cloned()
}
