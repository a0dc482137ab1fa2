//! One mailbox: what changed upstream since its cursor, taken in.
//!
//! Arrivals and flags are taken in at once. What vanished is only found out here; it is accounted for when all
//! arrivals of the round are known ([`super::vanish`]), and the cursor moves with it. What a server says is not
//! believed where it contradicts itself: then everything is looked at.

use std::collections::BTreeMap;

use super::guard::is_mass;
use super::identity::{self, Sought};
use super::pass::{Pass, from, refusal};
use super::remote::{Known, Remote, RemoteName, Scanned, Selected};
use super::vanish::Vanishing;
use super::{Error, Result};
use crate::store::{Bound, Cursor, bound_uids};
use crate::types::{Flags, MailboxId, MessageId, ModSeq, RemoteUid, UidSet};

/// How often a message is asked for that the server named but did not give.
pub(super) const GIVE_ATTEMPTS_MAX: u32 = 5;

/// UIDs in one FETCH of fingerprints.
const FINGERPRINTS_MAX: usize = 1000;

/// Flag changes in one commit.
const FLAGS_COMMIT_MAX: usize = 500;

/// What is different upstream.
struct Difference {
    /// Bound messages that upstream does not have any more.
    vanished: Vec<MessageId>,
    /// UIDs whose messages are to be fetched, ascending.
    new: Vec<RemoteUid>,
    /// Bound messages whose flags are not the base.
    flags: Vec<(MessageId, Flags)>,
    /// Skipped UIDs that upstream does not have any more.
    unskip: Vec<RemoteUid>,
    /// The greatest UID seen.
    last: Option<RemoteUid>,
}

impl<R: Remote> Pass<'_, R> {
    /// Takes in what changed in the mailbox. `None`: all of it, and the cursor has moved.
    pub(super) async fn cover(&mut self, mailbox: MailboxId, name: &RemoteName) -> Result<Option<Vanishing>> {
        let Some(known) = self.remote_mailbox(mailbox)? else { return Ok(None) };
        self.remote.take_vanished();
        let quick = known.cursor.uid_validity.filter(|_| known.cursor.highest_mod_seq.get() > 0);
        let quick = quick.filter(|_| self.remote.facts().qresync);
        let since = quick.map(|uid_validity| Known { uid_validity, highest_mod_seq: known.cursor.highest_mod_seq });
        let Some(selected) = self.select_to_read(name, since).await? else { return Ok(None) };
        let cursor = self.cursor_for(mailbox, known.cursor, &selected).await?;
        let bound = self.read(|reader| reader.bound(mailbox))?;
        let difference = self.difference(mailbox, &cursor, &selected, &bound).await?;
        self.take_flags(difference.flags)?;
        self.take_in(mailbox, &difference.new).await?;
        let after_last = |last: RemoteUid| RemoteUid::new(last.get().saturating_add(1));
        let seen = difference.last.map_or(cursor.uid_next, after_last);
        let cursor = Cursor {
            uid_validity: Some(selected.uid_validity),
            uid_next: selected.uid_next.unwrap_or(seen),
            highest_mod_seq: selected.highest_mod_seq.unwrap_or(ModSeq::new(0)),
            messages: selected.exists,
        };
        let unskip = difference.unskip;
        self.write(move |txn| unskip.iter().try_for_each(|uid| txn.unskip(mailbox, *uid)))?;
        let vanishing = Vanishing {
            mailbox,
            messages: difference.vanished,
            held: bound.len(),
            cursor: Some(cursor),
            is_suspect: false,
        };
        if !vanishing.messages.is_empty() || self.read(|reader| reader.quarantine(mailbox))?.is_some() {
            return Ok(Some(vanishing));
        }
        self.write(move |txn| txn.set_cursor(mailbox, &cursor))?;
        Ok(None)
    }

    /// Takes in only what arrived since the mailbox was covered a moment ago.
    pub(super) async fn cover_arrivals(&mut self, mailbox: MailboxId, name: &RemoteName) -> Result<()> {
        let Some(known) = self.remote_mailbox(mailbox)? else { return Ok(()) };
        let Some(selected) = self.select_to_read(name, None).await? else { return Ok(()) };
        if known.cursor.uid_validity != Some(selected.uid_validity) {
            return Ok(());
        }
        let scanned = self.remote.scan(&from(known.cursor.uid_next), None).await?;
        let bound = bound_uids(&self.read(|reader| reader.bound(mailbox))?);
        let skipped = self.read(|reader| reader.skipped(mailbox))?;
        let is_new = |uid: &RemoteUid| !bound.contains(*uid) && !skipped.iter().any(|(skipped, _)| skipped == uid);
        let mut new: Vec<RemoteUid> = scanned.iter().map(|scanned| scanned.uid).filter(is_new).collect();
        new.sort_unstable();
        self.take_in(mailbox, &new).await
    }

    /// Selects a mailbox; one that the server refuses is told and left as it is: that it cannot be opened does not mean
    /// that it is gone (QUIRKS.md row 35).
    async fn select_to_read(&mut self, name: &RemoteName, known: Option<Known>) -> Result<Option<Selected>> {
        self.selected = None;
        match refusal(self.remote.select(name, known).await)? {
            Ok(selected) => Ok(Some(selected)),
            Err(refused) => {
                self.report.refused.push((name.0.clone(), refused.text));
                Ok(None)
            }
        }
    }

    /// The cursor, if it is of this incarnation of the mailbox. Else a new one, after the messages were matched by
    /// identity.
    pub(super) async fn cursor_for(
        &mut self,
        mailbox: MailboxId,
        cursor: Cursor,
        selected: &Selected,
    ) -> Result<Cursor> {
        let (flags, any_keyword) = (selected.permanent_flags.clone(), selected.any_keyword);
        self.write(move |txn| txn.set_kept_flags(mailbox, &flags, any_keyword))?;
        if cursor.uid_validity == Some(selected.uid_validity) {
            return Ok(cursor);
        }
        let found = self.find_again(mailbox).await?;
        let uid_validity = selected.uid_validity;
        self.write(move |txn| txn.rematch(mailbox, uid_validity, &found))?;
        Ok(Cursor::start(Some(uid_validity)))
    }

    /// UIDVALIDITY of the selected mailbox changed: which UIDs its messages have now.
    async fn find_again(&mut self, mailbox: MailboxId) -> Result<Vec<(MessageId, RemoteUid)>> {
        let sought = self.read(|reader| {
            let mut facts = reader.bound_facts(mailbox)?;
            // Of equal messages those that are wanted are found first, and one to be expunged last.
            facts.sort_by_key(|facts| (facts.place.is_none(), facts.place != Some(mailbox)));
            let sought = facts.into_iter().map(|facts| {
                let fields = match facts.content {
                    Some(content) => identity::fields_of(&reader.summary(content)?.envelope),
                    None => Default::default(),
                };
                Ok(Sought {
                    message: facts.message,
                    hash: facts.hash,
                    size_bytes: facts.size_bytes,
                    internal_date: facts.internal_date,
                    email_id: facts.email_id,
                    fields,
                })
            });
            sought.collect::<crate::store::Result<Vec<_>>>()
        })?;
        if sought.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<RemoteUid> = self.remote.uids().await?.iter().collect();
        let mut shown = Vec::with_capacity(all.len());
        for uids in all.chunks(FINGERPRINTS_MAX) {
            shown.extend(self.remote.fingerprints(&uids.iter().copied().collect()).await?);
        }
        let found = identity::by_fingerprint(&sought, &shown);
        let mut pairs = found.pairs;
        let hashes = self.hashes(&found.doubtful).await?;
        let is_found = |message: MessageId| pairs.binary_search_by_key(&message, |(found, _)| *found).is_ok();
        let left: Vec<_> = sought.iter().filter(|sought| !is_found(sought.message)).collect();
        let left = left.into_iter().filter_map(|sought| Some((sought.message, sought.hash?)));
        let by_hash = identity::by_hash(left, &hashes);
        pairs.extend(by_hash);
        Ok(pairs)
    }

    /// Finds out what is different, by the quickest way that can be trusted.
    async fn difference(
        &mut self,
        mailbox: MailboxId,
        cursor: &Cursor,
        selected: &Selected,
        bound: &[Bound],
    ) -> Result<Difference> {
        let skipped: BTreeMap<RemoteUid, u32> = self.read(|reader| reader.skipped(mailbox))?.into_iter().collect();
        let by_uid: BTreeMap<RemoteUid, &Bound> = bound.iter().filter_map(|bound| Some((bound.uid?, bound))).collect();
        let is_new = |uid: &RemoteUid| !by_uid.contains_key(uid) && !skipped.contains_key(uid);
        let (scanned, mut gone, is_complete) = self.scan_since(cursor, selected).await?;
        gone = by_uid.keys().copied().filter(|uid| gone.contains(*uid)).collect();
        // Which UIDs exist, where that must be known.
        let mut all: Option<UidSet<RemoteUid>> = None;
        if is_complete {
            let seen: UidSet<RemoteUid> = scanned.iter().map(|scanned| scanned.uid).collect();
            // A list of flags that lacks some may be the server's mistake (QUIRKS.md row 19).
            let is_whole = seen.len() >= u64::from(selected.exists);
            all = match is_whole && by_uid.keys().chain(skipped.keys()).all(|uid| seen.contains(*uid)) {
                true => Some(seen),
                false => Some(self.remote.uids().await?),
            };
        } else {
            let arrived = scanned.iter().filter(|scanned| is_new(&scanned.uid)).count();
            let expected = by_uid.len() + skipped.len() + arrived - usize::try_from(gone.len()).unwrap_or(usize::MAX);
            let told = self.remote.take_vanished();
            let is_told = by_uid.keys().any(|uid| told.contains(*uid) && !gone.contains(*uid));
            let vanished = usize::try_from(gone.len()).unwrap_or(usize::MAX);
            if expected != selected.exists as usize || is_told || is_mass(vanished, bound.len()) {
                all = Some(self.remote.uids().await?);
            }
        }
        let (exists, mut new): (Box<dyn Fn(RemoteUid) -> bool + Send + Sync>, Vec<RemoteUid>) = match all {
            Some(all) => {
                let new = all.iter().filter(is_new).collect();
                (Box::new(move |uid| all.contains(uid)), new)
            }
            None => {
                let new = scanned.iter().map(|scanned| scanned.uid).filter(is_new).collect();
                (Box::new(move |uid| !gone.contains(uid)), new)
            }
        };
        let is_wanted_again =
            |(uid, attempts): (&RemoteUid, &u32)| (*attempts < GIVE_ATTEMPTS_MAX && exists(*uid)).then_some(*uid);
        new.extend(skipped.iter().filter_map(is_wanted_again));
        new.extend(by_uid.iter().filter(|(uid, bound)| !bound.has_bytes && exists(**uid)).map(|(uid, _)| *uid));
        new.sort_unstable();
        new.dedup();
        let vanished = bound.iter().filter(|bound| bound.uid.is_none_or(|uid| !exists(uid)));
        let vanished = vanished.map(|bound| bound.message).collect();
        let last = scanned.iter().map(|scanned| scanned.uid).max().max(new.last().copied());
        let flags = scanned.into_iter().filter_map(|scanned| {
            let bound = by_uid.get(&scanned.uid)?;
            (bound.base != scanned.flags).then_some((bound.message, scanned.flags))
        });
        let flags = flags.collect();
        let unskip = skipped.keys().copied().filter(|uid| !exists(*uid)).collect();
        Ok(Difference { vanished, new, flags, unskip, last })
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

    fn take_flags(&mut self, flags: Vec<(MessageId, Flags)>) -> Result<()> {
        for batch in flags.chunks(FLAGS_COMMIT_MAX) {
            let batch = batch.to_vec();
            let changed = self.write(move |txn| {
                let mut changed = 0;
                for (message, flags) in &batch {
                    changed += usize::from(txn.observe_flags(*message, flags)?);
                }
                Ok(changed)
            })?;
            self.report.flags_in += changed;
        }
        Ok::<(), Error>(())
    }
}

/// Can what happened since the cursor be told by mod-sequences? Not if the server has none, nor if they went back or
/// stood still while something else moved.
fn is_trusted(cursor: &Cursor, selected: &Selected) -> bool {
    let Some(now) = selected.highest_mod_seq else { return false };
    let was = cursor.highest_mod_seq;
    let went_back = now < was || selected.uid_next.is_some_and(|uid_next| uid_next < cursor.uid_next);
    let moved = selected.exists != cursor.messages || selected.uid_next.is_some_and(|next| next != cursor.uid_next);
    was.get() > 0 && !went_back && !(now == was && moved)
}
