//! One mailbox: what changed upstream since its cursor, taken in.
//!
//! Arrivals and flags are taken in at once. What vanished is only found out here; it is accounted for when all
//! arrivals of the round are known ([`super::vanish`]), and the cursor moves with it. What a server says is not
//! believed where it contradicts itself: then everything is looked at.

use std::collections::{BTreeMap, BTreeSet};

use super::compare::{Difference, Sight};
use super::identity::{self, Sought, Wanted};
use super::pass::{Pass, from, refusal, select};
use super::remote::{Facts, Fingerprinted, Known, Remote, RemoteName, Scanned, Selected};
use super::survey::between;
use super::vanish::Vanishing;
use super::{Error, Result};
use crate::journal::Evidence;
use crate::store::{Bound, Cursor, RemoteMailbox, bound_uids};
use crate::types::mutant::mutant;
use crate::types::{EntryId, Flags, MailboxId, MessageId, ModSeq, RemoteUid, UidSet, UidValidity};

/// A message up to this size is fetched again where only its bytes tell whether it is the one that is known.
const RECOGNISE_MAX_BYTES: u64 = 1024 * 1024;

/// Flag changes in one commit.
const FLAGS_COMMIT_MAX: usize = 500;

impl<R: Remote> Pass<'_, R> {
    /// Takes in what changed in the mailbox. `None`: all of it, and the cursor has moved, or it could not be looked into.
    pub(super) async fn cover(&mut self, mailbox: MailboxId, name: &RemoteName) -> Result<Option<Vanishing>> {
        let covered = self.cover_whole(mailbox, name).await;
        Ok(self.unless_refused(mailbox, covered)?.unwrap_or(None))
    }

    async fn cover_whole(&mut self, mailbox: MailboxId, name: &RemoteName) -> Result<Option<Vanishing>> {
        let Some(mut known) = self.remote_mailbox(mailbox)? else { return Ok(None) };
        if self.recognises {
            known.cursor = known.cursor.after_a_cut();
        }
        self.remote.take_vanished();
        let quick = known.cursor.uid_validity.filter(|_| known.cursor.highest_mod_seq.get() > 0);
        let quick = quick.filter(|_| self.remote.facts().qresync);
        let since = quick.map(|uid_validity| Known { uid_validity, highest_mod_seq: known.cursor.highest_mod_seq });
        self.shut.remove(&mailbox);
        let Some(selected) = self.select_to_read(name, since).await? else {
            self.shut.insert(mailbox);
            let all: Vec<_> = self.read(|reader| reader.bound(mailbox))?.iter().map(|bound| bound.message).collect();
            let vanishing =
                Vanishing { mailbox, held: all.len(), messages: all, cursor: Some(known.cursor), is_suspect: false };
            return Ok(mutant!(RefusedIsGone).then_some(vanishing));
        };
        let cursor = self.cursor_for(&known, &selected).await?;
        let is_behind = selected.highest_mod_seq.is_some_and(|now| now < cursor.highest_mod_seq);
        self.went_back |= is_behind || (known.cursor.uid_validity.is_some() && cursor != known.cursor);
        let bound = self.read(|reader| reader.bound(mailbox))?;
        let difference = self.difference(mailbox, &cursor, &selected, &bound).await?;
        self.take_flags(mailbox, difference.flags)?;
        self.learn_identities(mailbox).await?;
        self.take_in(mailbox, &difference.new).await?;
        let after_last = |last: RemoteUid| RemoteUid::new(last.get().saturating_add(1));
        let seen = difference.last.map_or(cursor.uid_next, after_last);
        let covered = Cursor {
            uid_validity: Some(selected.uid_validity),
            uid_next: selected.uid_next.unwrap_or(seen),
            highest_mod_seq: selected
                .highest_mod_seq
                .map_or(ModSeq::new(0), |highest| ModSeq::new(highest.get() + u64::from(mutant!(CursorTooFar)))),
            messages: selected.exists,
            is_ahead: false,
        };
        // What came into one that is out of sight was not taken in.
        let is_in_sight = self.local_mailbox(mailbox)?.is_some_and(|local| local.name.is_some());
        let cursor = if is_in_sight { covered } else { cursor };
        self.close(mailbox, cursor, difference.unskip, difference.vanished, bound.len())
    }

    /// All that came and changed in the mailbox is here: its cursor moves, unless something vanished from it.
    pub(super) fn close(
        &self,
        mailbox: MailboxId,
        cursor: Cursor,
        unskip: Vec<RemoteUid>,
        vanished: Vec<MessageId>,
        held: usize,
    ) -> Result<Option<Vanishing>> {
        let is_quarantined = self.read(|reader| reader.quarantine(mailbox))?.is_some();
        let is_open = !vanished.is_empty() || is_quarantined;
        self.write(move |txn| {
            txn.unskip(mailbox, &unskip.into_iter().collect())?;
            if is_open { Ok(()) } else { txn.set_cursor(mailbox, &cursor) }
        })?;
        let vanishing = Vanishing { mailbox, messages: vanished, held, cursor: Some(cursor), is_suspect: false };
        Ok(is_open.then_some(vanishing))
    }

    /// Takes in only what arrived since the mailbox was covered a moment ago, or made.
    pub(super) async fn cover_arrivals(&mut self, mailbox: MailboxId, name: &RemoteName) -> Result<()> {
        let covered = self.cover_newer(mailbox, name).await;
        self.unless_refused(mailbox, covered).map(drop)
    }

    async fn cover_newer(&mut self, mailbox: MailboxId, name: &RemoteName) -> Result<()> {
        let Some(known) = self.remote_mailbox(mailbox)? else { return Ok(()) };
        let Some(selected) = self.select_to_read(name, None).await? else { return Ok(()) };
        let cursor = match known.cursor.uid_validity {
            Some(was) if was != selected.uid_validity => return Ok(()),
            Some(_) => known.cursor,
            None => self.cursor_for(&known, &selected).await?,
        };
        // A list of flags may lack some (QUIRKS.md row 19).
        let newer = self.remote.present(&from(cursor.uid_next)).await?;
        let bound = bound_uids(&self.read(|reader| reader.bound(mailbox))?);
        let skipped = self.read(|reader| reader.skipped(mailbox))?.into_iter().map(|(uid, _)| uid).collect();
        let new: Vec<RemoteUid> = newer.difference(&bound).difference(&skipped).iter().collect();
        self.take_in(mailbox, &new).await
    }

    /// Selects a mailbox; one that the server refuses is told and left as it is: that it cannot be opened does not mean
    /// that it is gone (QUIRKS.md row 35).
    async fn select_to_read(&mut self, name: &RemoteName, known: Option<Known>) -> Result<Option<Selected>> {
        self.selected = None;
        match select(self.remote, name, known).await? {
            Ok(selected) => Ok(Some(selected)),
            Err(refused) => {
                self.report.refused.push((name.0.clone(), refused.text));
                Ok(None)
            }
        }
    }

    /// The cursor, if it is of this incarnation of the mailbox. Else a new one, after the messages were matched by
    /// identity.
    pub(super) async fn cursor_for(&mut self, known: &RemoteMailbox, selected: &Selected) -> Result<Cursor> {
        let (mailbox, cursor) = (known.mailbox, known.cursor);
        let (flags, any_keyword) = (selected.permanent_flags.clone(), selected.any_keyword);
        if (&known.permanent_flags, known.any_keyword) != (&flags, any_keyword) {
            self.write(move |txn| txn.set_kept_flags(mailbox, &flags, any_keyword))?;
        }
        let read_only = selected.read_only;
        if self.local_mailbox(mailbox)?.is_some_and(|local| local.read_only != read_only) {
            self.write(move |txn| txn.set_read_only(mailbox, read_only))?;
        }
        if cursor.uid_validity == Some(selected.uid_validity)
            && !self.went_back(known, selected.uid_next)?
            && !self.is_another(known, selected).await?
        {
            return Ok(cursor);
        }
        let found = self.find_again(mailbox).await?;
        let is_renumbered = cursor.uid_validity.is_some_and(|was| was != selected.uid_validity);
        if found.is_empty() && is_renumbered && known.remote_name.eq_ignore_ascii_case("INBOX") {
            self.is_strange |= !self.read(|reader| reader.bound(mailbox))?.is_empty();
        }
        self.is_familiar |= !found.is_empty();
        let uid_validity = selected.uid_validity;
        self.renumbered.insert(mailbox);
        self.write(move |txn| txn.rematch(mailbox, uid_validity, &found))?;
        Ok(Cursor::start(Some(uid_validity)))
    }

    /// Is UIDNEXT below what is known of the mailbox? UIDs only grow (RFC 3501 section 2.3.1.1): the server was restored from
    /// an older backup, and gives those that came since to other messages.
    fn went_back(&self, known: &RemoteMailbox, uid_next: Option<RemoteUid>) -> Result<bool> {
        let Some(uid_next) = uid_next else { return Ok(false) };
        let last = bound_uids(&self.read(|reader| reader.bound(known.mailbox))?).last();
        Ok(uid_next < known.cursor.uid_next || last.is_some_and(|last| uid_next <= last))
    }

    /// Does a UID that is known name another message? Where UIDVALIDITY tells nothing ([`tells_nothing`]) a mailbox that was
    /// deleted and made again looks the same; and so does one of a server that was restored from an older backup, once as much
    /// came as was undone.
    async fn is_another(&mut self, known: &RemoteMailbox, selected: &Selected) -> Result<bool> {
        let mailbox = known.mailbox;
        let tells_nothing = tells_nothing(selected.uid_validity);
        if !tells_nothing && (!self.recognises || self.recognised.contains(&mailbox)) {
            return Ok(false);
        }
        let bound = self.read(|reader| reader.bound(mailbox))?;
        let sample = match tells_nothing {
            true => samples(&bound),
            false => telling(&bound, &known.cursor, self.since),
        };
        if sample.is_empty() {
            return Ok(false);
        }
        let is_another = self.shows_another(&sample).await?;
        if !is_another {
            self.recognised.insert(mailbox);
        }
        Ok(is_another)
    }

    /// Does the selected mailbox have other messages under these UIDs? What is not shown tells nothing.
    pub(super) async fn shows_another(&mut self, sample: &[(RemoteUid, MessageId)]) -> Result<bool> {
        let uids: Vec<RemoteUid> = sample.iter().map(|(uid, _)| *uid).collect();
        let (shown, refused) = self.show_each(&uids).await?;
        if refused.is_some() && shown.is_empty() {
            return self.seems_another(sample, &uids.into_iter().collect()).await;
        }
        for shown in shown {
            let Some(sought) = self.sampled(sample, shown.uid)? else { continue };
            if self.is_certainly_other(&sought, &shown).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The same, where the server does not give the headers (QUIRKS.md row 19): a UID that it gave out again names what came at
    /// another time.
    async fn seems_another(&mut self, sample: &[(RemoteUid, MessageId)], uids: &UidSet<RemoteUid>) -> Result<bool> {
        for told in refusal(self.remote.identify(uids).await)?.into_iter().flatten() {
            let sought = self.sampled(sample, told.uid)?;
            if sought.is_some_and(|sought| identity::seems_other(&sought, &told)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sampled(&self, sample: &[(RemoteUid, MessageId)], uid: RemoteUid) -> Result<Option<Sought>> {
        let message = sample.iter().find(|(sampled, _)| *sampled == uid).map(|(_, message)| *message);
        Ok(message.map(|message| self.sought(message)).transpose()?.flatten())
    }

    /// Is it another message? By the bytes where they may be had for that.
    async fn is_certainly_other(&mut self, sought: &Sought, shown: &Fingerprinted) -> Result<bool> {
        if !identity::may_be_other(sought, shown) {
            return Ok(false);
        }
        let Some(hash) = sought.hash.filter(|_| shown.size_bytes <= RECOGNISE_MAX_BYTES) else {
            return Ok(identity::is_other(sought, shown));
        };
        let hashes = self.hashes(&std::iter::once(shown.uid).collect()).await?;
        Ok(hashes.get(&shown.uid).is_some_and(|theirs| *theirs != hash))
    }

    /// A message of ours, to be known again.
    pub(super) fn sought(&self, message: MessageId) -> Result<Option<Sought>> {
        self.read(|reader| {
            let facts = reader.message_facts(message)?;
            facts.map(|facts| Sought::of(reader, &facts)).transpose()
        })
    }

    /// UIDVALIDITY of the selected mailbox changed, or UIDNEXT went back: which UIDs its messages have now.
    async fn find_again(&mut self, mailbox: MailboxId) -> Result<Vec<(MessageId, RemoteUid)>> {
        let account = self.account;
        let sought = self.read(|reader| {
            let mut facts = reader.bound_facts(mailbox)?;
            let taken = being_taken(&reader.unresolved(account)?);
            // Of equal messages those that are wanted are found first, and one to be expunged last: as we may have marked it.
            facts.sort_by_key(|facts| {
                (facts.place.is_none(), taken.contains(&facts.message), facts.place != Some(mailbox))
            });
            facts.iter().map(|facts| Sought::of(reader, facts)).collect::<crate::store::Result<Vec<_>>>()
        })?;
        if sought.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<RemoteUid> = self.remote.uids().await?.iter().collect();
        let (shown, refused) = self.show_each(&all).await?;
        let found = identity::by_fingerprint(&sought, &shown);
        let mut pairs = found.pairs;
        let hashes = self.hashes(&found.doubtful).await?;
        let is_found = |message: MessageId| pairs.binary_search_by_key(&message, |(found, _)| *found).is_ok();
        let left: Vec<_> = sought.iter().filter(|sought| !is_found(sought.message)).collect();
        let left = left.into_iter().filter_map(Wanted::of);
        let by_hash = identity::by_hash(left, &hashes, &shown, &BTreeMap::new());
        pairs.extend(by_hash);
        match refused {
            // What is not shown may be what is not found.
            Some(error) if pairs.len() < sought.len() => Err(error.into()),
            _ => Ok(pairs),
        }
    }

    /// Finds out what is different, by the quickest way that can be trusted.
    async fn difference(
        &mut self,
        mailbox: MailboxId,
        cursor: &Cursor,
        selected: &Selected,
        bound: &[Bound],
    ) -> Result<Difference> {
        let skipped = self.read(|reader| reader.skipped(mailbox))?.into_iter().collect();
        let (scanned, gone, is_complete) = self.scan_since(cursor, selected).await?;
        let told = if is_complete { UidSet::new() } else { self.remote.take_vanished() };
        let mut sight =
            Sight { bound, skipped, now: self.now(), exists: selected.exists, scanned, is_complete, gone, told };
        // Where it is not told what is gone, one that came and is left out of the list (QUIRKS.md row 19) hides one that went.
        let newer = between(cursor.uid_next, selected.uid_next.unwrap_or(cursor.uid_next));
        let may_hide = !is_complete && selected.since.is_none() && {
            let listed = sight.scanned.iter().map(|scanned| scanned.uid).collect();
            leaves_untold(cursor, self.remote.facts()) || !newer.difference(&listed).is_empty()
        };
        if let Some(difference) = sight.difference().filter(|_| !may_hide) {
            return Ok(difference);
        }
        let all = self.remote.uids().await?;
        if is_complete {
            // Of what was left out of the list (QUIRKS.md row 19) the flags are not known yet.
            let listed = sight.scanned.iter().map(|scanned| scanned.uid).collect();
            let left_out = bound_uids(bound).intersection(&all).difference(&listed);
            sight.scanned.extend(self.scan_each(&left_out).await?);
        }
        Ok(sight.difference_from(&all))
    }

    /// Flags that changed and messages that came since the cursor, UIDs that are told to be gone, and whether it is
    /// a list of everything there is.
    async fn scan_since(
        &mut self,
        cursor: &Cursor,
        selected: &Selected,
    ) -> Result<(Vec<Scanned>, UidSet<RemoteUid>, bool)> {
        if !is_trusted(cursor, selected) {
            return Ok((self.remote.scan(&from(RemoteUid::new(1)), None).await?, UidSet::new(), true));
        }
        let mut scanned = self.remote.scan(&from(cursor.uid_next), None).await?;
        if let Some(since) = &selected.since {
            scanned.extend(since.changed.iter().filter(|changed| changed.uid < cursor.uid_next).cloned());
            return Ok((scanned, since.vanished.clone(), false));
        }
        if selected.highest_mod_seq != Some(cursor.highest_mod_seq) && cursor.uid_next.get() > 1 {
            let covered = UidSet::range(RemoteUid::new(1), RemoteUid::new(cursor.uid_next.get() - 1));
            scanned.extend(self.remote.scan(&covered, Some(cursor.highest_mod_seq)).await?);
        }
        Ok((scanned, UidSet::new(), false))
    }

    pub(super) fn take_flags(&mut self, mailbox: MailboxId, flags: Vec<(MessageId, Flags)>) -> Result<()> {
        for batch in flags.chunks(FLAGS_COMMIT_MAX) {
            let batch = batch.to_vec();
            let changed = self.write(move |txn| {
                let mut changed = 0;
                for (message, flags) in &batch {
                    changed += usize::from(txn.observe_flags(*message, flags)?);
                }
                txn.goes_ahead(mailbox)?;
                Ok(changed)
            })?;
            self.report.flags_in += changed;
        }
        Ok::<(), Error>(())
    }
}

/// A few of the messages of a mailbox, by UID.
fn samples(bound: &[Bound]) -> Vec<(RemoteUid, MessageId)> {
    let mut held: Vec<_> = bound.iter().filter_map(|bound| Some((bound.uid?, bound.message))).collect();
    held.sort_unstable();
    let places = [0, held.len() / 2, held.len().saturating_sub(1)];
    places.iter().filter_map(|at| held.get(*at).copied()).collect()
}

/// The messages by which a mailbox is recognised: the last one that was there when it was covered, and the last of those that we
/// put there since; `since` is the newest message of before this round. If a server that was restored gave any UID out again, then
/// one of these.
pub(super) fn telling(bound: &[Bound], cursor: &Cursor, since: MessageId) -> Vec<(RemoteUid, MessageId)> {
    let held = || bound.iter().filter_map(|bound| Some((bound.uid?, bound.message)));
    let covered = held().filter(|(uid, _)| *uid < cursor.uid_next).max();
    let put = held().filter(|(uid, message)| *uid >= cursor.uid_next && *message <= since).max();
    covered.into_iter().chain(put).collect()
}

/// Messages that a move is taking away that may have got as far as to mark them.
fn being_taken(unresolved: &[(EntryId, Evidence)]) -> BTreeSet<MessageId> {
    let evidence = unresolved.iter().map(|(_, evidence)| evidence);
    let moves = evidence.filter(|evidence| evidence.source.as_ref().is_some_and(|source| source.moves));
    moves.flat_map(|evidence| &evidence.messages).map(|(message, ..)| *message).collect()
}

/// Is it the UIDVALIDITY of a server that has the same everywhere and always (DavMail, QUIRKS.md row 31)?
pub(super) const fn tells_nothing(uid_validity: UidValidity) -> bool {
    uid_validity.get() == 1
}

/// Where mailboxes are labels of one message, it leaves one, or stays in it, by what is done in another; after acts of our own
/// the count may be right by chance.
pub(super) const fn leaves_untold(cursor: &Cursor, facts: &Facts) -> bool {
    facts.labels && cursor.is_ahead
}

/// Can what happened since the cursor be told by mod-sequences? Not if the server has none, nor if they went back or
/// stood still while something else moved, be it by our own doing.
pub(super) fn is_trusted(cursor: &Cursor, selected: &Selected) -> bool {
    let Some(now) = selected.highest_mod_seq else { return false };
    let was = cursor.highest_mod_seq;
    let went_back = now < was || selected.uid_next.is_some_and(|uid_next| uid_next < cursor.uid_next);
    let moved = cursor.is_ahead
        || selected.exists != cursor.messages
        || selected.uid_next.is_some_and(|next| next != cursor.uid_next);
    was.get() > 0 && !went_back && !(now == was && moved)
}
