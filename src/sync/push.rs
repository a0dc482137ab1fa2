//! What the user did, done upstream: the journal, piece by piece.
//!
//! A piece is an act on a mailbox, or so many acts on messages before the next such. Each is planned on what the store holds
//! at that moment, and done step by step; what is refused is set aside and does not keep the rest from being done.
//!
//! What a piece costs depends on the piece, not on how much waits behind it; and after a cut the first pieces are small, so
//! that a line that never holds for long brings the journal on all the same.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::pass::Pass;
use super::plan::{Facts, Item, Keeps, Step, Upstream, View, plan};
use super::remote::Remote;
use super::send::Did;
use crate::journal::{Entry, Later, Made, Net, Op, Place, State, coalesce, end_where_they_are};
use crate::store::{self, Binding, Reader};
use crate::types::{AccountId, EntryId, Flags, MailboxId, MessageId};

/// Messages in one COPY or MOVE: bounds the evidence and what must be looked at after a cut.
const TRANSFER_MAX: usize = 1000;

/// Pieces done in one push: a journal that never ends does not keep the pull away for ever.
const PIECES_MAX: usize = 10_000;

/// Entries in one piece: bounds what is planned at one time, and what is on its way when the line is cut.
const ENTRIES_MAX: usize = 2000;

/// Entries in the first piece where the line was cut before an answer: what such a line carries is not known. Each that is
/// answered makes room for one twice as large.
const ENTRIES_AFTER_A_CUT: usize = 50;

/// The next thing to do.
enum Work {
    Steps(Vec<Step>),
    Folder(EntryId, Op),
}

/// A piece of the journal.
struct Piece {
    /// `None`: all of it waits for something.
    work: Option<Work>,
    last: EntryId,
}

impl<R: Remote> Pass<'_, R> {
    /// Does what is in the journal.
    pub(super) async fn push(&mut self) -> Result<()> {
        self.selected = None;
        let account = self.account;
        if self.read(|reader| reader.next_retry(account))?.is_some_and(|next| next <= self.now()) {
            self.write(move |txn| txn.retry_due(account))?;
        }
        let (start, labels) = (EntryId::new(0), self.remote.facts().labels);
        let mut entries_max = if self.report.recovered > 0 { ENTRIES_AFTER_A_CUT } else { ENTRIES_MAX };
        // Pieces that wait are passed over. What is done after them may be what they wait for: they are tried again, at once
        // where that was an act on a mailbox, else when the end is reached.
        let (mut after, mut has_waiting, mut has_done) = (start, false, false);
        for _ in 0..PIECES_MAX {
            self.renumbered.clear();
            let Some(piece) = self.read(|reader| next_piece(reader, account, labels, after, entries_max))? else {
                if !(has_waiting && has_done) {
                    break;
                }
                (after, has_waiting, has_done) = (start, false, false);
                continue;
            };
            let is_folder = matches!(piece.work, Some(Work::Folder(..)));
            let did = match piece.work {
                Some(Work::Steps(steps)) => self.perform(steps).await?,
                Some(Work::Folder(entry, op)) => self.change_folder(entry, op).await?,
                None => Did::Nothing,
            };
            entries_max = ENTRIES_MAX.min(entries_max * 2);
            match did {
                Did::Something if is_folder && has_waiting => (after, has_waiting, has_done) = (start, false, true),
                Did::Something => has_done = true,
                Did::Nothing => (after, has_waiting) = (piece.last, true),
            }
        }
        Ok(())
    }

    /// Does the steps: in a burst what can be done so, and the rest one by one. After a refusal in a burst all is planned
    /// anew, on what was done.
    async fn perform(&mut self, steps: Vec<Step>) -> Result<Did> {
        let (coincided, steps) = self.without_coinciding(steps)?;
        let (first, steps) = steps.into_iter().partition(|step| step.mailbox().is_none());
        let mut did = self.one_by_one(first).await?.or(coincided);
        let burst = self.burst(steps).await?;
        if !burst.is_clean {
            self.bursts = false;
            return Ok(Did::Something);
        }
        did = did.or(burst.did);
        Ok(self.one_by_one(burst.left).await?.or(did))
    }

    async fn one_by_one(&mut self, steps: Vec<Step>) -> Result<Did> {
        let mut did = Did::Nothing;
        for step in steps {
            tracing::debug!(account = %self.account, %step, "replaying");
            did = did.or(self.step(step).await?);
        }
        Ok(did)
    }

    async fn step(&mut self, step: Step) -> Result<Did> {
        match step {
            Step::Settle { message, entries } => {
                self.write(move |txn| txn.settle_parts(message, &entries))?;
                Ok(Did::Something)
            }
            Step::Append { to, items } => self.append(to, items).await,
            Step::RemoveFlags { mailbox, flags, items } => self.store_flags(mailbox, Flags::none(), flags, items).await,
            Step::AddFlags { mailbox, flags, items } => self.store_flags(mailbox, flags, Flags::none(), items).await,
            Step::Copy { from, to, items } => self.transfer_all(from, to, &items, false).await,
            Step::Move { from, to, items } => self.transfer_all(from, to, &items, true).await,
            Step::Expunge { from, items } => self.expunge(from, items).await,
        }
    }

    async fn transfer_all(&mut self, from: MailboxId, to: MailboxId, items: &[Item], moves: bool) -> Result<Did> {
        let mut did = Did::Nothing;
        for items in items.chunks(TRANSFER_MAX) {
            if self.transfer(from, to, items, moves).await? == Did::Something {
                did = Did::Something;
            }
        }
        Ok(did)
    }

    /// Which flags upstream keeps in a mailbox.
    pub(super) fn keeps(&self, mailbox: MailboxId) -> Result<Keeps> {
        self.read(|reader| keeps(reader, mailbox))
    }
}

/// The piece of the journal after that entry, of up to so many.
fn next_piece(
    reader: &Reader<'_>,
    account: AccountId,
    labels: bool,
    after: EntryId,
    entries_max: usize,
) -> store::Result<Option<Piece>> {
    let mut entries = reader.next_entries(account, after, entries_max)?;
    let Some(last) = entries.last().map(|entry| entry.id) else { return Ok(None) };
    if let Some(entry) = entries.pop_if(|entry| entry.op.is_barrier()) {
        return Ok(Some(Piece { work: Some(Work::Folder(entry.id, entry.op)), last }));
    }
    let messages: BTreeSet<MessageId> = entries.iter().flat_map(|entry| entry.open.iter().copied()).collect();
    let barrier = reader.next_barrier(account, last)?;
    let (mut later, mut places, mut set_aside) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for message in messages {
        let comes = match reader.last_placing(message)? {
            Some(placing) if placing > last && barrier.is_some_and(|barrier| placing > barrier) => Later::AfterBarrier,
            Some(placing) if placing > last => Later::SameRun,
            Some(_) | None => Later::None,
        };
        later.insert(message, comes);
        places.insert(message, reader.message_facts(message)?.and_then(|facts| facts.place));
        set_aside.extend(reader.set_aside_about(message)?.into_iter().map(|entry| (entry.id, entry)));
    }
    let mut all: Vec<&Entry> = entries.iter().chain(set_aside.values()).collect();
    all.sort_by_key(|entry| entry.id);
    let mut nets = coalesce(all);
    let mut gone = BTreeSet::new();
    for net in &nets {
        if let Place::In(to) = net.place
            && !reader.has_mailbox(to)?
        {
            gone.insert(to);
        }
    }
    end_where_they_are(
        &mut nets,
        |message| places.get(&message).copied().flatten(),
        |message| later.get(&message).copied().unwrap_or(Later::None),
        |mailbox| !gone.contains(&mailbox),
    );
    let steps = plan(&nets, &view(reader, &nets, labels)?);
    Ok(Some(Piece { work: (!steps.is_empty()).then_some(Work::Steps(steps)), last }))
}

/// What the plan of a run looks at.
fn view(reader: &Reader<'_>, nets: &[Net], labels: bool) -> store::Result<View> {
    let sources = nets.iter().filter_map(|net| match net.made {
        Made::Copied { from } => Some(from),
        Made::Before | Made::Appended => None,
    });
    let wanted: BTreeSet<MessageId> = nets.iter().map(|net| net.message).chain(sources).collect();
    let mut view = View { labels, ..View::default() };
    for message in wanted {
        let Some(facts) = reader.message_facts(message)? else { continue };
        // It vanished, and what that means is for the user to say.
        let is_missing = facts.upstream.as_ref().is_some_and(|binding| binding.uid.is_none());
        let upstream = facts.upstream.and_then(in_sight);
        let twin = if labels && upstream.is_none() { twin(reader, message)? } else { None };
        if let Some(upstream) = upstream.as_ref().filter(|upstream| !view.keeps.contains_key(&upstream.mailbox)) {
            view.keeps.insert(upstream.mailbox, keeps(reader, upstream.mailbox)?);
        }
        let about = reader.set_aside_about(message)?;
        let is_awaited = about.iter().any(|entry| !matches!(entry.op, Op::Flags { .. }));
        let is_in_doubt =
            is_missing || about.iter().any(|entry| matches!(entry.state, State::Parked { doubt: Some(_), .. }));
        let is_needed = facts.content.is_none() && reader.is_to_be_copied(message)?;
        let facts =
            Facts { place: facts.place, flags: facts.flags, upstream, twin, is_awaited, is_in_doubt, is_needed };
        view.messages.insert(message, facts);
    }
    Ok(view)
}

/// Where upstream has the message as another of ours.
fn twin(reader: &Reader<'_>, message: MessageId) -> store::Result<Option<Upstream>> {
    for twin in reader.twins_by_email_id(message)? {
        let facts = reader.message_facts(twin)?;
        if let Some(upstream) = facts.and_then(|facts| facts.upstream).and_then(in_sight) {
            return Ok(Some(upstream));
        }
    }
    Ok(None)
}

fn in_sight(binding: Binding) -> Option<Upstream> {
    Some(Upstream { mailbox: binding.mailbox, uid: binding.uid?, base: binding.base })
}

pub(super) fn keeps(reader: &Reader<'_>, mailbox: MailboxId) -> store::Result<Keeps> {
    let known = reader.remote_mailbox(mailbox)?.filter(|known| known.cursor.uid_validity.is_some());
    Ok(known
        .map_or_else(Keeps::default, |known| Keeps { flags: known.permanent_flags, any_keyword: known.any_keyword }))
}
