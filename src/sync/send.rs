//! The steps that must not be done twice: COPY, MOVE.
//!
//! Evidence durable, then the effect, then the outcome. UIDs come from COPYUID, or by looking ([`super::recover`]).

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::cover::tells_nothing;
use super::pass::{Pass, Refusal, Why, from, refusal, select};
use super::plan::{Item, uids};
use super::recover::Entered;
use super::remote::{CopyUid, RefusalCode, Remote, RemoteName};
use crate::journal::entry::EvidenceSource;
use crate::journal::{Evidence, Made, intent};
use crate::merge::ConflictKind;
use crate::store::{self, Landed, Parts};
use crate::types::mutant::mutant;
use crate::types::{EntryId, Flag, Flags, MailboxId, MessageId, RemoteUid, SystemFlag, UidSet, UidValidity};

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// Something is done, or set aside.
    Something,
    /// It waits for something else.
    Nothing,
}

impl Did {
    /// What came of two.
    pub(super) const fn or(self, other: Self) -> Self {
        match self {
            Self::Something => Self::Something,
            Self::Nothing => other,
        }
    }
}

/// After so many refusals in a row that are not about the message ([`Refusal::is_for_all`]) the others are not asked for: one
/// may be a coincidence.
const REFUSALS_MAX: usize = 2;

/// What came of COPY or MOVE.
enum Transferred {
    Did(Did),
    /// Of these messages it was refused.
    Refused(Vec<Item>, Refusal),
}

/// Where messages are about to go.
pub(super) struct Target {
    pub(super) mailbox: MailboxId,
    pub(super) name: RemoteName,
    pub(super) uid_validity: UidValidity,
    pub(super) uid_next: RemoteUid,
}

/// Whether a mailbox can be worked with.
pub(super) enum Ready<T> {
    Yes(T),
    /// Something else comes first: the mailbox's creation, or a pull.
    NotNow,
    Refused(Refusal),
}

impl<R: Remote> Pass<'_, R> {
    /// COPY, or MOVE where `moves`.
    pub(super) async fn transfer(
        &mut self,
        from: MailboxId,
        to: MailboxId,
        items: &[Item],
        moves: bool,
    ) -> Result<Did> {
        match self.try_transfer(from, to, items, moves).await? {
            Transferred::Did(did) => Ok(did),
            Transferred::Refused(left, refused) if left.len() == 1 => self.park_items(&left, refused),
            Transferred::Refused(left, _) => self.transfer_singly(from, to, left, moves).await,
        }
    }

    async fn try_transfer(
        &mut self,
        from: MailboxId,
        to: MailboxId,
        items: &[Item],
        moves: bool,
    ) -> Result<Transferred> {
        let target = match self.target(to).await? {
            Ready::Yes(target) => target,
            Ready::NotNow => return Ok(Transferred::Did(Did::Nothing)),
            Ready::Refused(refused) => return self.park_items(items, refused).map(Transferred::Did),
        };
        if self.select_source(from).await?.is_err() {
            return Ok(Transferred::Did(Did::Nothing));
        }
        let all = uids(items);
        let by_copy = !moves || !self.remote.facts().r#move;
        let is_safe = mutant!(OthersExpunged) || self.remote.facts().uid_plus || !moves || !by_copy;
        if !is_safe && !self.only_ours_are_deleted(from, &all).await? {
            return self.park_items(items, self.others_are_marked(from)?).map(Transferred::Did);
        }
        let carrier = items.iter().filter_map(|item| item.carrier).min();
        let Some((carrier, evidence)) = carrier.zip(self.evidence(from, &target, items, moves)?) else {
            return Ok(Transferred::Did(Did::Nothing));
        };
        if !self.mark_in_flight(carrier, &evidence)? {
            // What is left is planned anew.
            return Ok(Transferred::Did(Did::Something));
        }
        if mutant!(ExpungedBeforeCopied) && moves && by_copy {
            let _ = self.expunge_upstream(from, &all).await?;
        }
        let answer = match by_copy {
            true => self.remote.copy(&all, &target.name).await,
            false => self.remote.move_messages(&all, &target.name).await,
        };
        let answer = match refusal(answer)? {
            Ok(told) => Ok(self.believed(told, &evidence)?),
            Err(refused) => Err(refused),
        };
        let done = match answer {
            Ok(Some(told)) if told.uid_validity == Some(target.uid_validity) => {
                self.landed_as_told(carrier, &evidence, &told, items, by_copy).await?
            }
            // The target was numbered anew.
            Ok(Some(_)) => self.resolve(carrier, &evidence).await?,
            Ok(None) => self.resolve_untold(carrier, &evidence).await?,
            Err(refused) => {
                // A MOVE may have got half way (RFC 6851 section 4.3 asks for all or nothing, of COPY and of MOVE each).
                let done: BTreeSet<MessageId> = self.resolve(carrier, &evidence).await?.into_iter().collect();
                self.count(done.len(), moves);
                let left: Vec<Item> = items.iter().filter(|item| !done.contains(&item.message)).cloned().collect();
                return Ok(match is_absent(&refused) || left.is_empty() {
                    true => Transferred::Did(if done.is_empty() { Did::Nothing } else { Did::Something }),
                    false => Transferred::Refused(left, refused),
                });
            }
        };
        self.count(done.len(), moves);
        Ok(Transferred::Did(if done.is_empty() { Did::Nothing } else { Did::Something }))
    }

    /// What became of a COPY or MOVE that was answered OK without UIDs. A server with UIDPLUS tells them of all that it copies
    /// (RFC 4315 section 3), and passes over a UID that names nothing any more (RFC 3501 section 6.4.8): what is like it in the
    /// target is no copy then, though maybe the message itself, moved there by someone else.
    pub(super) async fn resolve_untold(&mut self, carrier: EntryId, evidence: &Evidence) -> Result<Vec<MessageId>> {
        let copies = evidence.source.as_ref().filter(|source| !source.moves && self.remote.facts().uid_plus);
        let Some(source) = copies else { return self.resolve(carrier, evidence).await };
        let bound = self.read(|reader| reader.bound(source.mailbox))?;
        let uid_of: BTreeMap<MessageId, RemoteUid> =
            bound.into_iter().filter_map(|bound| Some((bound.message, bound.uid?))).collect();
        let there = match self.select_source(source.mailbox).await? {
            Ok(()) => self.remote.present(&source.uids).await?,
            // By now it is another one, or cannot be seen.
            Err(()) => return self.resolve(carrier, evidence).await,
        };
        let mut copied = evidence.clone();
        let sources = self.read(|reader| {
            let made =
                |message| reader.entries_about(message).map(|about| Some((message, intent(&about, message)?.made)));
            evidence.messages.iter().map(|(message, ..)| made(*message)).collect::<store::Result<Vec<_>>>()
        })?;
        let sources: BTreeMap<MessageId, Made> = sources.into_iter().flatten().collect();
        // Of what a copy was made of; where that is not known any more it is looked for.
        let is_there = |message: MessageId| match sources.get(&message) {
            Some(Made::Copied { from }) => uid_of.get(from).is_none_or(|uid| there.contains(*uid)),
            Some(Made::Before | Made::Appended) | None => true,
        };
        copied.flags = evidence
            .messages
            .iter()
            .zip(&evidence.flags)
            .filter(|((message, ..), _)| is_there(*message))
            .map(|(_, flags)| flags.clone())
            .collect();
        copied.messages.retain(|(message, ..)| is_there(*message));
        if !copied.messages.is_empty() {
            return self.resolve(carrier, &copied).await;
        }
        self.write(move |txn| txn.not_in_flight(carrier))?;
        Ok(Vec::new())
    }

    /// Selects a mailbox to change it. `Err`: not now, a pull comes first.
    pub(super) async fn select_source(&mut self, mailbox: MailboxId) -> Result<std::result::Result<(), ()>> {
        if self.renumbered.contains(&mailbox) {
            return Ok(Err(()));
        }
        if self.selected == Some(mailbox) {
            return Ok(Ok(()));
        }
        self.selected = None;
        // Of one that could not be looked into the UIDs may be others by now.
        let known = self.remote_mailbox(mailbox)?.filter(|_| !self.unseen.contains_key(&mailbox));
        let Some(known) = known else { return Ok(Err(())) };
        let name = RemoteName(known.remote_name.clone());
        let Ok(selected) = select(self.remote, &name, None).await? else { return Ok(Err(())) };
        if known.cursor.uid_validity != Some(selected.uid_validity) {
            return Ok(Err(()));
        }
        if tells_nothing(selected.uid_validity) && self.cursor_for(&known, &selected).await? != known.cursor {
            return Ok(Err(()));
        }
        self.selected = Some(mailbox);
        Ok(Ok(()))
    }

    /// Messages that were copied stay in the selected source, marked deleted, for whoever expunges there next: they are
    /// shown so, and told.
    pub(super) async fn leave(&mut self, source: MailboxId, uids: &UidSet<RemoteUid>) -> Result<()> {
        let deleted: Flags = std::iter::once(Flag::from(SystemFlag::Deleted)).collect();
        // Refused, it is left without.
        let _ = refusal(self.remote.add_flags(uids, &deleted).await)?;
        let account = self.account;
        self.report.conflicts += 1;
        self.write(move |txn| {
            let name =
                txn.reader().remote_mailbox(source)?.and_then(|known| known.name).map(String::from).unwrap_or_default();
            txn.tell(account, ConflictKind::LeftMarkedDeleted, None, &name)
        })
    }

    /// The steps' parts for this message are set aside.
    pub(super) fn park(&mut self, message: MessageId, entries: &[EntryId], why: impl Into<Why>) -> Result<Did> {
        self.park_all(std::iter::once((message, entries.to_vec())), why)
    }

    pub(super) fn park_items(&mut self, items: &[Item], why: impl Into<Why>) -> Result<Did> {
        let entries = |item: &Item| item.settles.iter().copied().chain(item.carrier).collect();
        self.park_all(items.iter().map(|item| (item.message, entries(item))), why)
    }

    /// The same of several messages, in one commit.
    pub(super) fn park_all(
        &mut self,
        messages: impl Iterator<Item = (MessageId, Vec<EntryId>)>,
        why: impl Into<Why>,
    ) -> Result<Did> {
        let (mut parts, why) = (Parts::new(), why.into());
        for (message, entries) in messages {
            self.report.parked += 1;
            entries.into_iter().for_each(|entry| _ = parts.entry(entry).or_default().insert(message));
        }
        self.write(move |txn| txn.park_parts(&parts, &why.text, why.may_pass))?;
        Ok(Did::Something)
    }

    /// One after the other, since all together were refused; the smallest first, so that where there is no room for it there
    /// is none for the others. What the target refuses whatever comes is not asked for each.
    async fn transfer_singly(&mut self, from: MailboxId, to: MailboxId, items: Vec<Item>, moves: bool) -> Result<Did> {
        let mut todo = Vec::with_capacity(items.len());
        for item in items {
            let facts = self.read(|reader| reader.message_facts(item.message))?;
            todo.push((facts.map_or(0, |facts| facts.size_bytes), item));
        }
        todo.sort_by_key(|(size_bytes, _)| *size_bytes);
        let mut todo = todo.into_iter().map(|(_, item)| item);
        let (mut did, mut refusals) = (Did::Nothing, 0);
        while let Some(item) = todo.next() {
            let (mut left, refused) = match self.try_transfer(from, to, std::slice::from_ref(&item), moves).await? {
                Transferred::Did(done) => {
                    (did, refusals) = (did.or(done), 0);
                    continue;
                }
                Transferred::Refused(left, refused) => (left, refused),
            };
            refusals = if refused.is_for_all() { refusals + 1 } else { 0 };
            if refusals == REFUSALS_MAX {
                left.extend(todo.by_ref());
            }
            did = self.park_items(&left, refused)?;
        }
        Ok(did)
    }

    /// COPYUID, unless it names what cannot have come of the step: then it is as if nothing was told.
    pub(super) fn believed(&self, told: Option<CopyUid>, evidence: &Evidence) -> Result<Option<CopyUid>> {
        let Some(told) = told else { return Ok(None) };
        if told.uid_validity != Some(evidence.target_uid_validity) {
            return Ok(Some(told));
        }
        let mut made = BTreeSet::new();
        for uid in told.uids.values() {
            if !self.may_be_made(*uid, (evidence.target, evidence.target_uid_next), &mut made)? {
                return Ok(None);
            }
        }
        Ok(Some(told))
    }

    /// Can it be the UID of a message that was made in a mailbox since that UIDNEXT, and is none of `made`, which it joins? They
    /// only grow (RFC 3501 section 2.3.1.1), and some servers tell others (QUIRKS.md row 26). Where mailboxes are labels the
    /// message may have been there before.
    pub(super) fn may_be_made(
        &self,
        uid: RemoteUid,
        (mailbox, since): (MailboxId, RemoteUid),
        made: &mut BTreeSet<RemoteUid>,
    ) -> Result<bool> {
        if self.remote.facts().labels {
            return Ok(true);
        }
        let may_be = uid >= since && made.insert(uid) && !self.read(|reader| reader.is_bound(mailbox, uid))?;
        if !may_be {
            tracing::warn!(account = %self.account, %mailbox, %uid, "the server tells a UID that it gave out before");
        }
        Ok(may_be)
    }

    /// COPYUID tells where each message went. Those that were copied to be moved leave the source now.
    pub(super) async fn landed_as_told(
        &mut self,
        carrier: EntryId,
        evidence: &Evidence,
        told: &CopyUid,
        items: &[Item],
        by_copy: bool,
    ) -> Result<Vec<MessageId>> {
        let bases: BTreeMap<MessageId, &Flags> =
            evidence.messages.iter().map(|(message, ..)| *message).zip(&evidence.flags).collect();
        let landed = items.iter().filter_map(|item| {
            let uid = *told.uids.get(&item.uid)?;
            let base = bases.get(&item.message).map_or(&item.base, |base| base);
            let is_finished = !evidence.unfinished.contains(&item.message);
            Some(Landed { message: item.message, uid, sent: base.clone(), shown: base.clone(), is_finished })
        });
        let landed: Vec<Landed> = landed.collect();
        let done: Vec<MessageId> = landed.iter().map(|landed| landed.message).collect();
        if let Some(source) = evidence.source.as_ref().filter(|source| source.moves && by_copy)
            && self.finish_move(source.mailbox, &done.iter().copied().collect()).await?.is_err()
        {
            // The copies are there, and the source cannot be seen: it is looked for again, or set aside in doubt.
            return self.resolve(carrier, evidence).await;
        }
        let (target, settles) = (evidence.target, evidence.settles.clone());
        self.write(move |txn| {
            txn.landed(target, &landed, &settles)?;
            txn.not_in_flight(carrier)
        })?;
        Ok(done)
    }

    /// What must be known before messages are sent from one mailbox to another.
    pub(super) fn evidence(
        &self,
        from: MailboxId,
        target: &Target,
        items: &[Item],
        moves: bool,
    ) -> Result<Option<Evidence>> {
        let (mut messages, mut flags) = (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()));
        for item in items {
            let facts = self.read(|reader| reader.message_facts(item.message))?;
            let Some(facts) = facts.filter(|facts| facts.hash.is_some() || facts.outline.is_some()) else { continue };
            messages.push((item.message, facts.hash, facts.size_bytes));
            // Of a message that moves, what was stored a moment ago; a copy has its source's flags.
            flags.push(facts.upstream.map_or_else(|| item.base.clone(), |upstream| upstream.base));
        }
        let uid_validity = self.remote_mailbox(from)?.and_then(|known| known.cursor.uid_validity);
        let Some(uid_validity) = uid_validity else { return Ok(None) };
        let settles: BTreeSet<EntryId> = items.iter().flat_map(|item| item.settles.iter().copied()).collect();
        let by_move = moves && self.remote.facts().r#move;
        let source = EvidenceSource { mailbox: from, uid_validity, uids: uids(items), moves, by_move };
        let evidence = Evidence {
            target: target.mailbox,
            target_uid_validity: target.uid_validity,
            target_uid_next: target.uid_next,
            source: Some(source),
            messages,
            flags,
            settles: settles.into_iter().collect(),
            unfinished: items.iter().filter(|item| item.settles.is_empty()).map(|item| item.message).collect(),
        };
        Ok(Some(evidence))
    }

    /// `false`: the user took some of it back.
    fn mark_in_flight(&self, carrier: EntryId, evidence: &Evidence) -> Result<bool> {
        if mutant!(NoEvidence) {
            return Ok(true);
        }
        let evidence = evidence.clone();
        self.write_durably(move |txn| match txn.mark_together_in_flight(carrier, &evidence) {
            Ok(()) => Ok(true),
            Err(store::Error::NoSuchEntry) => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Where messages are to go, as it was listed and covered: all below its cursor was taken in, so what a step makes is
    /// not among it. `None`: it must be asked for.
    pub(super) fn target_as_listed(&self, mailbox: MailboxId) -> Result<Option<Target>> {
        let known = self.remote_mailbox(mailbox)?.filter(|_| !self.unseen.contains_key(&mailbox));
        let Some(known) = known else { return Ok(None) };
        // Where UIDVALIDITY tells nothing it is looked at first whether the mailbox is the one that is known.
        let is_it = |listed: &UidValidity| known.cursor.uid_validity == Some(*listed) && !tells_nothing(*listed);
        let listed = self.uid_validity_of(mailbox).filter(is_it);
        let Some(uid_validity) = listed else { return Ok(None) };
        let (name, uid_next) = (RemoteName(known.remote_name), known.cursor.uid_next);
        Ok(Some(Target { mailbox, name, uid_validity, uid_next }))
    }

    /// Where messages are to go: its name, UIDVALIDITY and UIDNEXT now.
    pub(super) async fn target(&mut self, mailbox: MailboxId) -> Result<Ready<Target>> {
        if self.unseen.contains_key(&mailbox) {
            return Ok(Ready::NotNow);
        }
        let name = match self.ensure_upstream(mailbox).await? {
            Ready::Yes(name) => name,
            Ready::NotNow => return Ok(Ready::NotNow),
            Ready::Refused(refused) => return Ok(Ready::Refused(refused)),
        };
        let Some(known) = self.remote_mailbox(mailbox)? else { return Ok(Ready::NotNow) };
        // STATUS is quick. Where it is refused, or does not tell enough (QUIRKS.md row 27), the mailbox is looked into.
        if let Some(Ok(status)) =
            self.remote.status(std::slice::from_ref(&name)).await?.pop().map(refusal).transpose()?
            && known.cursor.uid_validity == Some(status.uid_validity)
            && let Some(uid_next) = status.uid_next
        {
            return Ok(Ready::Yes(Target { mailbox, name, uid_validity: status.uid_validity, uid_next }));
        }
        let selected = match self.enter(&name).await? {
            Entered::In(selected) => selected,
            Entered::Gone => return Ok(Ready::NotNow),
            // Mailboxes below it keep its name. Made again it is another one, which the next listing shows.
            Entered::NameOnly => {
                return Ok(match self.make_upstream(mailbox).await? {
                    Ready::Yes(_) | Ready::NotNow => Ready::NotNow,
                    Ready::Refused(refused) => Ready::Refused(refused),
                });
            }
            Entered::Refused(refused) => return Ok(Ready::Refused(refused)),
        };
        let uid_validity = selected.uid_validity;
        if known.cursor.uid_validity.is_some_and(|known| known != uid_validity) {
            return Ok(Ready::NotNow);
        }
        self.cursor_for(&known, &selected).await?;
        let uid_next = match selected.uid_next {
            Some(uid_next) => uid_next,
            None => {
                let covered = known.cursor.uid_next;
                let last = self.remote.present(&from(covered)).await?.iter().last();
                last.map_or(covered, |last| RemoteUid::new(last.get().saturating_add(1)))
            }
        };
        Ok(Ready::Yes(Target { mailbox, name, uid_validity, uid_next }))
    }

    /// The mailbox's name upstream. One that is not there, and that no entry is to make, was deleted upstream while
    /// mail was put into it here: it is made again.
    async fn ensure_upstream(&mut self, mailbox: MailboxId) -> Result<Ready<RemoteName>> {
        if let Some(known) = self.remote_mailbox(mailbox)? {
            return Ok(Ready::Yes(RemoteName(known.remote_name)));
        }
        self.make_upstream(mailbox).await
    }

    /// Makes a mailbox upstream that no entry is to make.
    async fn make_upstream(&mut self, mailbox: MailboxId) -> Result<Ready<RemoteName>> {
        if self.is_to_be_created(mailbox)? {
            return Ok(Ready::NotNow);
        }
        let Some(name) = self.local_mailbox(mailbox)?.and_then(|local| local.name) else { return Ok(Ready::NotNow) };
        match self.create_upstream(mailbox, &name).await? {
            Ok(name) => Ok(Ready::Yes(name)),
            Err(refused) => Ok(Ready::Refused(refused)),
        }
    }

    /// Is everything that is marked deleted in the selected mailbox meant to go: `ours`, and what the user expunged?
    pub(super) async fn only_ours_are_deleted(&mut self, mailbox: MailboxId, ours: &UidSet<RemoteUid>) -> Result<bool> {
        let bound = self.read(|reader| reader.bound(mailbox))?;
        let gone: UidSet<RemoteUid> =
            bound.iter().filter(|bound| !bound.is_here).filter_map(|bound| bound.uid).collect();
        Ok(self.remote.deleted_uids().await?.iter().all(|uid| ours.contains(uid) || gone.contains(uid)))
    }

    pub(super) const fn count(&mut self, done: usize, moves: bool) {
        match moves {
            true => self.report.moved += done,
            false => self.report.copied += done,
        }
    }
}

/// Was it refused because the mailbox is not there? The next listing shows.
pub(super) const fn is_absent(refused: &Refusal) -> bool {
    matches!(refused.code, Some(RefusalCode::TryCreate | RefusalCode::NonExistent))
}
