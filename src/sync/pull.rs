//! What upstream has, taken in: first the list of mailboxes, then each that changed.

use std::collections::{BTreeMap, BTreeSet};

use super::guard::is_mass;
use super::names;
use super::pass::Pass;
use super::recover::Entered;
use super::remote::{Listed, Remote, RemoteError, RemoteName, Status};
use super::vanish::Vanishing;
use super::{Error, Result};
use crate::journal::{Op, State};
use crate::store::{Cursor, ListedMailbox, RemoteMailbox, Verdict};
use crate::types::{MailboxId, MessageId, RemoteUid};

/// How often it is looked for what arrived meanwhile: where there is always more, what vanished is accounted for all the same.
const CATCH_UPS_MAX: usize = 5;

/// How often it is looked again for what vanished while that was done.
const LOOKS_MAX: usize = 5;

/// How long what arrived waits for a mailbox that cannot be looked into and may have lost it: a lock is gone in minutes, and
/// mail is not to be kept out of sight for half a day.
const WAITS_MAX_MS: i64 = 60 * 60 * 1000;

/// A mailbox that is mirrored, as the server listed it.
pub(super) struct Folder {
    pub(super) mailbox: MailboxId,
    pub(super) name: RemoteName,
    pub(super) status: Option<Status>,
}

impl<R: Remote> Pass<'_, R> {
    /// Takes in everything that changed upstream.
    pub(super) async fn pull(&mut self) -> Result<()> {
        let (mut folders, mut vanishing) = self.take_listing().await?;
        folders.retain(|folder| !self.unseen.contains_key(&folder.mailbox));
        let restless = self.read(|reader| reader.restless_mailboxes(self.account, self.now()))?;
        let restless: BTreeSet<MailboxId> = restless.into_iter().collect();
        let known = self.known()?;
        self.is_familiar |= known
            .values()
            .any(|known| known.cursor.uid_validity.is_some_and(|was| self.uid_validity_of(known.mailbox) == Some(was)));
        // Whether it may still be only read is told by selecting it alone.
        let mailboxes = self.read(|reader| reader.mailboxes(self.account))?;
        let fixed: BTreeSet<MailboxId> = mailboxes.iter().filter(|it| it.read_only).map(|it| it.id).collect();
        let is_quiet = |folder: &Folder| {
            let is_covered = |known: &RemoteMailbox| {
                is_unchanged(&known.cursor, folder) || self.covered.has(folder.mailbox, folder.status)
            };
            !fixed.contains(&folder.mailbox) && known.get(&folder.mailbox).is_some_and(is_covered)
        };
        let (restless, steady): (Vec<Folder>, Vec<Folder>) =
            folders.into_iter().partition(|folder| restless.contains(&folder.mailbox));
        let changed = steady.into_iter().filter(|folder| !is_quiet(folder)).collect();
        let (vanished, left) = self.survey(changed).await?;
        vanishing.extend(vanished);
        for folder in left.into_iter().chain(restless) {
            match self.cover(folder.mailbox, &folder.name).await? {
                Some(vanished) => vanishing.push(vanished),
                None if self.shut.contains(&folder.mailbox) || self.unseen.contains_key(&folder.mailbox) => {}
                None => self.covered.note(folder.mailbox, folder.status, self.now()),
            }
        }
        if !vanishing.is_empty() {
            self.catch_up().await?;
            self.settle_doubts(&vanishing).await?;
        }
        if self.is_half_seen {
            // What vanished is accounted for when it is known what arrived.
            return Ok(());
        }
        self.account_for_all(vanishing)?;
        for _ in 0..LOOKS_MAX {
            let left = self.left_lately()?;
            if left.is_empty() {
                return self.close_round();
            }
            let arrived = self.count_fresh_arrivals()?;
            let vanished = self.look_again(&left).await?;
            if !vanished.is_empty() {
                self.catch_up().await?;
                self.settle_doubts(&vanished).await?;
            }
            if self.is_half_seen || self.waits_for(&left)? {
                break;
            }
            // What came while it was looked may be what left a mailbox that was looked at before.
            if vanished.is_empty() && self.count_fresh_arrivals()? == arrived {
                return self.close_round();
            }
            self.account_for_all(vanished)?;
        }
        // Arrivals that still wait do so in the next round as well.
        Ok(())
    }

    /// Does what arrived wait for one of these mailboxes, which cannot be looked into (QUIRKS.md row 35)? It may be what was in
    /// it, and then both are one.
    fn waits_for(&self, left: &BTreeSet<MailboxId>) -> Result<bool> {
        if !left.iter().any(|mailbox| self.shut.contains(mailbox) || self.unseen.contains_key(mailbox)) {
            return Ok(false);
        }
        let first = self.read(|reader| reader.first_fresh_arrival(self.account))?;
        Ok(first.is_some_and(|first| self.now() < first.plus_ms(WAITS_MAX_MS)))
    }

    fn close_round(&self) -> Result<()> {
        let account = self.account;
        if self.count_fresh_arrivals()? > 0 {
            self.write(move |txn| txn.close_round(account))?;
        }
        Ok(())
    }

    fn count_fresh_arrivals(&self) -> Result<usize> {
        self.read(|reader| reader.count_fresh_arrivals(self.account))
    }

    fn account_for_all(&mut self, mut vanishing: Vec<Vanishing>) -> Result<()> {
        let all = vanishing.iter().flat_map(|vanishing| vanishing.messages.iter().copied()).collect();
        self.suspect(&mut vanishing, &all)?;
        let mut lost = all.clone();
        vanishing.into_iter().try_for_each(|vanishing| self.account_for(vanishing, &all, &mut lost))
    }

    /// What vanished from many mailboxes may be a mass though none of them lost many, and all that another server under the same
    /// name does not have is one. A mailbox in quarantine stays there
    /// until the user decides, or nothing is missing any more.
    fn suspect(&self, vanishing: &mut [Vanishing], all: &BTreeSet<MessageId>) -> Result<()> {
        let account = self.account;
        let (quarantined, arrived, held) = self.read(|reader| {
            let quarantined = reader.quarantined(account)?;
            Ok((quarantined, reader.count_fresh_arrivals(account)?, reader.count_bound(account)?))
        })?;
        let verdict_of = |mailbox| quarantined.iter().find(|one| one.mailbox == mailbox).map(|one| one.verdict);
        let (mut lost, mut mailboxes) = (0, 0);
        for vanishing in vanishing.iter_mut() {
            match verdict_of(vanishing.mailbox) {
                Some(verdict) => vanishing.is_suspect |= verdict == Verdict::Open,
                None => {
                    lost += self.count_lost(vanishing, all)?;
                    mailboxes += usize::from(!vanishing.messages.is_empty());
                }
            }
        }
        // What arrived may be what vanished, moved.
        if (self.is_strange && !self.is_familiar) || mailboxes > 1 && is_mass(lost.saturating_sub(arrived), held) {
            let free = vanishing.iter_mut().filter(|vanishing| verdict_of(vanishing.mailbox).is_none());
            free.for_each(|vanishing| vanishing.is_suspect = true);
        }
        Ok(())
    }

    /// The mailboxes that messages may have left since they were covered. Arrivals that still wait are copies, or such messages;
    /// and so are those that are like another that came in this round, but where mailboxes are labels, that is how mail comes.
    fn left_lately(&self) -> Result<BTreeSet<MailboxId>> {
        let (account, labels) = (self.account, self.remote.facts().labels);
        self.read(|reader| {
            let late = if labels { Vec::new() } else { reader.mailboxes_of_late_twins(account)? };
            Ok(reader.mailboxes_of_twins(account)?.into_iter().chain(late).collect())
        })
    }

    /// Covers those once more: they tell.
    async fn look_again(&mut self, left: &BTreeSet<MailboxId>) -> Result<Vec<Vanishing>> {
        let (mut vanishing, mut shut) = (Vec::new(), BTreeMap::new());
        for mailbox in left.iter().copied() {
            if let Some(known) = self.remote_mailbox(mailbox)?.filter(|_| !self.unseen.contains_key(&mailbox)) {
                let name = RemoteName(known.remote_name);
                vanishing.extend(self.cover(mailbox, &name).await?);
                if self.shut.contains(&mailbox) {
                    shut.insert(mailbox, name);
                }
            }
        }
        if shut.is_empty() {
            return Ok(vanishing);
        }
        // Since it was listed it may have been deleted, after its messages were moved, or got another name.
        let (folders, gone) = self.take_listing().await?;
        vanishing.extend(gone.into_iter().filter(|gone| shut.contains_key(&gone.mailbox)));
        for Folder { mailbox, name, .. } in folders {
            if shut.get(&mailbox).is_some_and(|was| *was != name) {
                vanishing.extend(self.cover(mailbox, &name).await?);
            }
        }
        Ok(vanishing)
    }

    /// Arrivals in all mailboxes once more. What vanished did so before this; if it was moved, it has arrived by now: maybe in
    /// a mailbox that the user deleted, which is back then. While that is looked at it may be moved on, or its mailbox renamed:
    /// so until nothing more came.
    async fn catch_up(&mut self) -> Result<()> {
        let mut caught_up: BTreeMap<MailboxId, (RemoteName, Option<RemoteUid>)> = BTreeMap::new();
        for _ in 0..CATCH_UPS_MAX {
            // What came a moment ago may be what is moved on.
            self.since = self.read(|reader| reader.last_message())?;
            let (mut folders, _) = self.take_listing().await?;
            folders.extend(self.restore_refilled().await?);
            folders.retain(|folder| !self.unseen.contains_key(&folder.mailbox));
            let known = self.known()?;
            folders.retain(|folder| {
                let now = folder.status.and_then(|status| status.uid_next);
                let covered = known.get(&folder.mailbox).map(|known| known.cursor.uid_next);
                let this = (folder.name.clone(), now);
                let is_looked_at = caught_up.get(&folder.mailbox) == Some(&this);
                caught_up.insert(folder.mailbox, this);
                !is_looked_at && (now.is_none() || now != covered)
            });
            if folders.is_empty() {
                break;
            }
            for folder in folders {
                self.cover_arrivals(folder.mailbox, &folder.name).await?;
            }
        }
        Ok(())
    }

    /// The list of mailboxes with the status of each. Mailboxes that are gone have lost all their messages.
    pub(super) async fn take_listing(&mut self) -> Result<(Vec<Folder>, Vec<Vanishing>)> {
        let listed = self.with_status().await?;
        let delimiter = listed.iter().find_map(|(listed, _)| listed.delimiter);
        let shown: Vec<(RemoteName, Option<Status>, bool, ListedMailbox)> =
            listed.into_iter().filter_map(|(listed, status)| self.shown(listed, status)).collect();
        let (account, choice, quota) = (self.account, self.filter.to_string(), self.remote.take_quota());
        let taken: Vec<ListedMailbox> = shown.iter().map(|(.., shown)| shown.clone()).collect();
        let listing = self.write(move |txn| {
            if txn.reader().account(account)?.delimiter != delimiter {
                txn.set_delimiter(account, delimiter)?;
            }
            if let Some(quota) = &quota {
                txn.take_quota(account, quota)?;
            }
            txn.take_listing(account, &taken, &choice)
        })?;
        self.report.take_mirrored(&listing.mirrored);
        self.report.conflicts += listing.conflicts;
        self.listed.clear();
        let mut folders = Vec::new();
        let mut vanishing = Vec::new();
        for ((name, status, selectable, _), mailbox) in shown.into_iter().zip(&listing.mailboxes) {
            let Some(mailbox) = *mailbox else { continue };
            if let Some(status) = status {
                self.listed.insert(mailbox, status);
            }
            match selectable {
                true => folders.push(Folder { mailbox, name, status }),
                // Deleted, but mailboxes below it keep its name.
                false => vanishing.extend(self.emptied(mailbox, Some(Cursor::start(None)))?),
            }
        }
        // Every server has an INBOX (RFC 3501 section 5.1): a list without it is no list.
        if folders.iter().any(|folder| folder.name.0.eq_ignore_ascii_case("INBOX")) {
            vanishing.extend(self.gone(listing.gone)?);
        } else {
            self.report.refused.push(("LIST".to_owned(), "INBOX is not listed".to_owned()));
        }
        self.leave_out_deleted(&mut folders)?;
        folders.sort_by_key(|folder| {
            let messages = folder.status.map_or(u32::MAX, |status| status.messages);
            (!folder.name.0.eq_ignore_ascii_case("INBOX"), messages, folder.name.clone())
        });
        Ok((folders, vanishing))
    }

    /// LIST with the status of every mailbox that can be selected; `None` for one that the server refuses.
    async fn with_status(&mut self) -> Result<Vec<(Listed, Option<Status>)>> {
        // Asking may leave the selected mailbox.
        self.selected = None;
        let listed = self.remote.list().await?;
        let lacks = |listed: &&Listed| listed.selectable && listed.status.is_none();
        let names: Vec<RemoteName> = listed.iter().filter(lacks).map(|listed| listed.name.clone()).collect();
        let mut asked = BTreeMap::new();
        if !names.is_empty() {
            let answers = self.remote.status(&names).await?;
            for (name, answer) in names.into_iter().zip(answers) {
                match answer {
                    Ok(status) => {
                        asked.insert(name, status);
                    }
                    Err(RemoteError::Refused { .. }) => {}
                    Err(error) => return Err(Error::Remote(error)),
                }
            }
        }
        let status = |listed: &Listed| listed.status.or_else(|| asked.get(&listed.name).copied());
        Ok(listed
            .into_iter()
            .map(|listed| {
                let status = status(&listed);
                (listed, status)
            })
            .collect())
    }

    fn shown(
        &self,
        listed: Listed,
        status: Option<Status>,
    ) -> Option<(RemoteName, Option<Status>, bool, ListedMailbox)> {
        let name = names::shown(&listed.components)?;
        let shown = ListedMailbox {
            remote_name: listed.name.0.clone(),
            is_wanted: self.filter.includes(&name),
            name,
            special_use: listed.special_use,
            selectable: listed.selectable,
            subscribed: listed.subscribed,
            uid_validity: status.map(|status| status.uid_validity),
            uid_next: status.and_then(|status| status.uid_next),
            rights: listed.rights,
        };
        Some((listed.name, status, listed.selectable, shown))
    }

    /// Mailboxes that are gone with their messages. Many small ones together are a mass as well.
    fn gone(&self, mailboxes: Vec<MailboxId>) -> Result<Vec<Vanishing>> {
        let mut gone = Vec::with_capacity(mailboxes.len());
        for mailbox in mailboxes {
            let nothing = Vanishing { mailbox, messages: Vec::new(), held: 0, cursor: None, is_suspect: false };
            gone.push(self.emptied(mailbox, None)?.unwrap_or(nothing));
        }
        let lost: usize = gone.iter().map(|gone| gone.held).sum();
        if gone.len() > 1 && is_mass(lost, self.read(|reader| reader.count_bound(self.account))?) {
            gone.iter_mut().for_each(|gone| gone.is_suspect = true);
        }
        Ok(gone)
    }

    /// A mailbox whose messages are all gone with it; `None` if it has none.
    fn emptied(&self, mailbox: MailboxId, cursor: Option<Cursor>) -> Result<Option<Vanishing>> {
        let bound = self.read(|reader| reader.bound(mailbox))?;
        let messages: Vec<_> = bound.iter().map(|bound| bound.message).collect();
        let vanishing = Vanishing { mailbox, held: messages.len(), messages, cursor, is_suspect: false };
        Ok((!vanishing.messages.is_empty()).then_some(vanishing))
    }

    /// Mailboxes that the user deleted, and into which mail came upstream since: their deletion is off.
    async fn restore_refilled(&mut self) -> Result<Vec<Folder>> {
        let mut restored = Vec::new();
        for entry in self.read(|reader| reader.folder_entries(self.account))? {
            let (Op::DeleteMailbox { mailbox, name }, State::Pending) = (entry.op, entry.state) else { continue };
            let Some(known) = self.remote_mailbox(mailbox)? else { continue };
            let status = self.listed.get(&mailbox).copied();
            let held = self.read(|reader| reader.bound(mailbox))?.len();
            let is_as_it_was = |status: Status| {
                Some(status.uid_validity) == known.cursor.uid_validity
                    && status.uid_next == Some(known.cursor.uid_next)
                    && status.messages as usize == held
            };
            if status.is_some_and(is_as_it_was) {
                continue;
            }
            let name_upstream = RemoteName(known.remote_name.clone());
            let Entered::In(selected) = self.enter(&name_upstream).await? else { continue };
            if self.holds_unknown(&known, &selected).await? {
                let back = self.restore(entry.id, mailbox, &name)?;
                restored.extend(back.map(|back| Folder { mailbox: back.mailbox, name: name_upstream, status }));
            }
        }
        Ok(restored)
    }

    /// A mailbox that the user deleted is only looked into before it is deleted upstream.
    fn leave_out_deleted(&self, folders: &mut Vec<Folder>) -> Result<()> {
        let known = self.known()?;
        let entries = self.read(|reader| reader.folder_entries(self.account))?;
        let deleted = entries.iter().filter_map(|entry| match (&entry.op, &entry.state) {
            (Op::DeleteMailbox { mailbox, .. }, State::Pending) => Some(*mailbox),
            _ => None,
        });
        // It may have a name all the same: there are mailboxes below it, or it was made again.
        let deleted: BTreeSet<MailboxId> = deleted.collect();
        folders.retain(|folder| {
            let is_shown = |known: &RemoteMailbox| known.name.is_some() && known.selectable;
            known.get(&folder.mailbox).is_some_and(is_shown) && !deleted.contains(&folder.mailbox)
        });
        Ok(())
    }

    fn known(&self) -> Result<BTreeMap<MailboxId, RemoteMailbox>> {
        let known = self.read(|reader| reader.remote_mailboxes(self.account))?;
        Ok(known.into_iter().map(|known| (known.mailbox, known)).collect())
    }
}

/// Does the status show what was covered last? Without mod-sequences it cannot: flags change unseen.
fn is_unchanged(cursor: &Cursor, folder: &Folder) -> bool {
    folder.status.is_some_and(|status| {
        cursor.uid_validity == Some(status.uid_validity)
            && !cursor.is_ahead
            && status.uid_next == Some(cursor.uid_next)
            && status.messages == cursor.messages
            && cursor.highest_mod_seq.get() > 0
            && status.highest_mod_seq == Some(cursor.highest_mod_seq)
    })
}
