//! The selected mailbox as the client knows it: which message bears which sequence number (RFC 3501 section 2.3.1.2).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::backend::{Changed, Changes, Opened};
use super::config::Capability;
use super::reply::{Context, Enabled, Refusal};
use crate::imap::syntax::code::Code;
use crate::imap::syntax::sequence::{PartialRange, SequenceSet};
use crate::types::{
    Flag, Flags, LocalUid, MailboxId, MailboxName, ModSeq, Right, Rights, SystemFlag, Uid, UidSet, limits,
};

/// How a command names messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Sequence,
    Uid,
}

/// The view. It changes only by [`View::apply`] and [`View::forget_gone`], which `telling` calls.
#[derive(Debug)]
pub struct View {
    pub mailbox: MailboxId,
    /// The name by which it was selected; it may have another by now.
    pub name: MailboxName,
    /// Messages that this session itself put here, and has not heard of as new ones.
    own: BTreeSet<LocalUid>,
    /// EXAMINE, or a mailbox that cannot be changed.
    pub read_only: bool,
    /// The latter.
    pub is_fixed: bool,
    /// What the user may do.
    rights: Rights,
    /// The messages that no session has seen become this session's recent ones.
    pub claim_recent: bool,
    uids: Arc<Vec<LocalUid>>,
    recent: UidSet<LocalUid>,
    keywords: Flags,
    mod_seq: ModSeq,
    /// Messages that went and whose EXPUNGE is not told yet, ascending.
    gone: Vec<LocalUid>,
    /// Where the view stood before the first of those went.
    gone_since: Option<ModSeq>,
    /// What the last search with SAVE found: `$` (RFC 5182), where the session has it. Messages that went meanwhile are
    /// no places any more.
    saved: Option<Arc<UidSet<LocalUid>>>,
    /// Flags the client was told since `mod_seq`, by the mod-sequence they had: not to be told again.
    told: BTreeMap<LocalUid, ModSeq>,
}

/// What is new in the view.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    pub arrived: Vec<LocalUid>,
    /// Messages whose flags the client does not know.
    pub flags: Vec<Changed>,
}

impl View {
    pub fn new(name: MailboxName, opened: Opened, read_only: bool, claim_recent: bool, context: &Context) -> Self {
        Self {
            mailbox: opened.id,
            name,
            own: BTreeSet::new(),
            read_only: read_only || opened.read_only,
            is_fixed: opened.read_only,
            rights: opened.rights,
            claim_recent,
            recent: recent_between(opened.recent_from, opened.uid_next),
            keywords: told_keywords(&opened.keywords),
            mod_seq: opened.highest_mod_seq,
            uids: opened.uids,
            gone: Vec::new(),
            gone_since: None,
            saved: context.has(Capability::SearchRes).then(Arc::default),
            told: BTreeMap::new(),
        }
    }

    /// May the user do that here?
    pub const fn permits(&self, right: Right) -> bool {
        self.rights.has(right) && !self.read_only
    }

    /// "READ-ONLY ... if none of the following rights is granted to the current user: "i", "e", and "shared flag rights"" (RFC
    /// 4314 section 5.2). `\Seen` is shared with nobody.
    pub fn is_told_read_only(&self) -> bool {
        let changes = [Right::Insert, Right::Expunge, Right::Write, Right::DeleteMessages];
        self.read_only || !self.rights.has_any(&changes)
    }

    /// What the user may do is something else now; true if it was not before.
    pub fn has_new_rights(&mut self, rights: Rights) -> bool {
        std::mem::replace(&mut self.rights, rights) != rights
    }

    /// Every message, in the order of the sequence numbers.
    pub fn uids(&self) -> &[LocalUid] {
        &self.uids
    }

    /// How far the view is brought up to date.
    pub const fn mod_seq(&self) -> ModSeq {
        self.mod_seq
    }

    pub fn is_recent(&self, uid: LocalUid) -> bool {
        // A session without recent messages is the rule: spare it the search.
        !self.recent.ranges().is_empty() && self.recent.contains(uid)
    }

    /// The recent messages; some may be gone.
    pub const fn recent(&self) -> &UidSet<LocalUid> {
        &self.recent
    }

    pub fn recent_count(&self) -> usize {
        self.recent.ranges().iter().map(|(low, high)| self.places_between(*low, *high).len()).sum()
    }

    /// The sequence number of a message.
    pub fn number(&self, uid: LocalUid) -> Option<usize> {
        self.uids.binary_search(&uid).ok().map(|place| place + 1)
    }

    /// The number by which a command names a message.
    pub fn number_by(&self, by: By, uid: LocalUid) -> Option<u32> {
        match by {
            By::Uid => Some(uid.get()),
            By::Sequence => self.number(uid).and_then(|number| u32::try_from(number).ok()),
        }
    }

    /// The numbers by which a command names those of the messages that the view has, in their order.
    pub fn numbers_by(&self, by: By, uids: &[LocalUid]) -> Vec<u32> {
        uids.iter().filter_map(|uid| self.number_by(by, *uid)).collect()
    }

    /// This session itself put messages into that mailbox.
    pub fn note_own(&mut self, mailbox: MailboxId, uids: impl IntoIterator<Item = LocalUid>) {
        if mailbox == self.mailbox {
            self.own.extend(uids);
        }
    }

    /// Those of these new messages that others put here.
    pub fn of_others(&mut self, mut arrived: Vec<LocalUid>) -> Vec<LocalUid> {
        let own = std::mem::take(&mut self.own);
        arrived.retain(|uid| !own.contains(uid));
        arrived
    }

    /// The places of these messages.
    pub fn places_of(&self, uids: &[LocalUid]) -> Places {
        let set: UidSet<LocalUid> = uids.iter().copied().collect();
        Places { ranges: set.ranges().iter().map(|(low, high)| self.places_between(*low, *high)).collect() }
    }

    /// `$` stands for these from now on.
    pub fn save(&mut self, uids: UidSet<LocalUid>) {
        self.saved = Some(Arc::new(uids));
    }

    /// The messages a set names. A sequence number that no message has is the client's error; a UID is not
    /// (RFC 3501 section 6.4.8).
    pub fn select(&self, set: &SequenceSet, by: By) -> Result<Places, Refusal> {
        if *set == SequenceSet::Saved && self.saved.is_none() {
            return Err(Refusal::bad("Unknown set $"));
        }
        let count = self.uids.len();
        let numbers = set.resolve(u32::try_from(count).unwrap_or(u32::MAX));
        let ranges = match (by, numbers) {
            (By::Uid, _) | (By::Sequence, None) => {
                let set = self.uids_of_uids(set);
                set.ranges().iter().map(|(low, high)| self.places_between(*low, *high)).collect()
            }
            (By::Sequence, Some(set)) => {
                let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
                // "This includes "*" if the selected mailbox is empty" (RFC 9051 section 9, seq-number).
                if count == 0 || set.ranges().last().is_some_and(|(_, high)| place(*high) > count) {
                    return Err(Refusal::bad("No message has that sequence number"));
                }
                let within =
                    |(low, high): &(u32, u32)| place(*low).saturating_sub(1).min(count)..place(*high).min(count);
                set.ranges().iter().map(within).collect()
            }
        };
        Ok(Places { ranges })
    }

    /// The UIDs a set of sequence numbers names; numbers that no message has name nothing.
    pub fn uids_of_sequence(&self, set: &SequenceSet) -> Arc<UidSet<LocalUid>> {
        let count = self.uids.len();
        let Some(set) = set.resolve(u32::try_from(count).unwrap_or(u32::MAX)) else {
            return self.saved.clone().unwrap_or_default();
        };
        let uid = |number: u32| self.uids.get(usize::try_from(number).ok()?.checked_sub(1)?).map(|uid| uid.get());
        let last = self.uids.last().map(|uid| uid.get());
        // The messages between two neighbours of the view are no gaps: the set is used within the view only.
        let ranges = set.ranges().iter().filter_map(|(low, high)| Some((uid(*low)?, uid(*high).or(last)?)));
        Arc::new(UidSet::from_ranges(ranges))
    }

    /// The UIDs a set of UIDs names.
    pub fn uids_of_uids(&self, set: &SequenceSet) -> Arc<UidSet<LocalUid>> {
        self.resolved(set, self.uids.last().map_or(0, |uid| uid.get()))
    }

    /// `$` is shared by all that name it, however often they do.
    fn resolved(&self, set: &SequenceSet, largest: u32) -> Arc<UidSet<LocalUid>> {
        set.resolve(largest).map(Arc::new).or_else(|| self.saved.clone()).unwrap_or_default()
    }

    /// The UIDs a set of UIDs names, those of messages that went among them: `*` is the last one that was given. In an empty
    /// mailbox it is none that any message has (RFC 9051 section 9, seq-number); in any other, a client that asks for `1:*`
    /// means to hear of those at the end as well.
    pub fn uids_ever_named(&self, set: &SequenceSet, uid_next: LocalUid) -> Arc<UidSet<LocalUid>> {
        let last = self.uids.last().map_or(0, |uid| uid.get()).max(uid_next.get().saturating_sub(1));
        self.resolved(set, last)
    }

    fn places_between(&self, low: u32, high: u32) -> Range<usize> {
        let first = self.uids.partition_point(|uid| uid.get() < low);
        let end = self.uids.partition_point(|uid| uid.get() <= high);
        first..end.max(first)
    }

    /// Takes in what changed, all but the removal of messages that went.
    pub fn apply(&mut self, changes: Changes) -> News {
        let mut news = News::default();
        let vanished = changes.vanished.into_iter().filter(|uid| self.uids.binary_search(uid).is_ok());
        self.gone.extend(vanished.collect::<Vec<_>>());
        self.gone.sort_unstable();
        self.gone.dedup();
        if !self.gone.is_empty() {
            self.gone_since.get_or_insert(self.mod_seq);
        }
        for changed in changes.changed {
            if self.uids.last().is_none_or(|last| changed.uid > *last) {
                Arc::make_mut(&mut self.uids).push(changed.uid);
                news.arrived.push(changed.uid);
            } else if self.uids.binary_search(&changed.uid).is_ok()
                && self.told.get(&changed.uid).is_none_or(|told| *told < changed.mod_seq)
            {
                news.flags.push(changed);
            }
        }
        if changes.recent_from < changes.uid_next {
            let ranges = self.recent.ranges().iter().copied();
            let more = recent_between(changes.recent_from, changes.uid_next);
            self.recent = UidSet::from_ranges(ranges.chain(more.ranges().iter().copied()));
        }
        self.mod_seq = self.mod_seq.max(changes.highest_mod_seq);
        self.told.clear();
        news
    }

    /// Messages that went and whose EXPUNGE is not told yet.
    pub fn gone(&self) -> &[LocalUid] {
        &self.gone
    }

    /// Where the view stood before the first message went whose EXPUNGE is not told yet.
    pub const fn delayed_since(&self) -> Option<ModSeq> {
        self.gone_since
    }

    /// Removes the messages that went and gives their UIDs with the numbers they had, ascending; and where the view
    /// stands now, if there were any.
    pub fn forget_gone(&mut self) -> (Vec<(usize, LocalUid)>, Option<ModSeq>) {
        let stands = self.gone_since.take().map(|_| self.mod_seq);
        let gone = std::mem::take(&mut self.gone);
        let numbered = gone.iter().filter_map(|uid| Some((self.number(*uid)?, *uid))).collect();
        if !gone.is_empty() {
            Arc::make_mut(&mut self.uids).retain(|uid| gone.binary_search(uid).is_err());
        }
        (numbered, stands)
    }

    /// The session itself made the change that took this mod-sequence, and the client knows of it; true if the view stood right
    /// before it, and is up to date with it.
    pub fn follows(&mut self, taken: ModSeq) -> bool {
        let is_next = taken.get() == self.mod_seq.get() + 1;
        self.mod_seq = if is_next { taken } else { self.mod_seq };
        is_next
    }

    /// Remembers that the client knows the flags this message had at that mod-sequence.
    pub fn told(&mut self, uid: LocalUid, mod_seq: ModSeq) {
        if mod_seq > self.mod_seq {
            self.told.insert(uid, mod_seq);
        }
    }

    /// Tells of keywords the client has not heard of, before a FETCH shows them (RFC 3501 section 7.2.6).
    pub fn announce_keywords<'a>(&mut self, context: &mut Context, flags: impl IntoIterator<Item = &'a Flags>) {
        let known = self.keywords.keywords().count();
        let mut count = known;
        for keyword in flags.into_iter().flat_map(Flags::keywords) {
            if count < limits::IMAP_KEYWORDS_TOLD_MAX {
                count += usize::from(self.keywords.insert(Flag::Keyword(keyword.clone())));
            }
        }
        if count > known {
            self.write_flags(context);
        }
    }

    /// Writes FLAGS and PERMANENTFLAGS.
    pub fn write_flags(&self, context: &mut Context) {
        let system = SystemFlag::ALL.map(SystemFlag::as_str).join(" ");
        let known = match self.keywords.is_empty() {
            true => system,
            false => format!("{system} {}", self.keywords),
        };
        context.untagged(format_args!("FLAGS ({known})"));
        if self.read_only {
            return context.untagged_ok(&Code::PermanentFlags(String::new()), "Nothing can be changed");
        }
        let system: Flags = SystemFlag::ALL.into_iter().map(Flag::System).collect();
        let kept = self.rights.allowed(&system.union(&self.keywords));
        // In the order in which they are known, and any new keyword.
        let kept = known.split(' ').filter(|flag| Flag::parse(flag).is_some_and(|flag| kept.contains(&flag)));
        // Within a response code a `]` would end it.
        let kept = kept.filter(|flag| !flag.contains(']'));
        let any = self.rights.has(Right::Write).then_some("\\*");
        let kept = kept.chain(any).collect::<Vec<_>>().join(" ");
        context.untagged_ok(&Code::PermanentFlags(kept), "Flags are kept");
    }

    /// Writes `FLAGS (...)`. To a client of IMAP4rev2 nothing is recent (RFC 9051 appendix E item 12).
    pub fn write_message_flags(&self, out: &mut Vec<u8>, enabled: Enabled, uid: LocalUid, flags: &Flags) {
        out.extend_from_slice(b"FLAGS (");
        for (place, name) in flags.names().enumerate() {
            if place > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(name.as_bytes());
        }
        if !enabled.rev2 && self.is_recent(uid) {
            out.extend_from_slice(if flags.is_empty() { b"\\Recent" } else { b" \\Recent" });
        }
        out.push(b')');
    }
}

fn told_keywords(in_use: &Flags) -> Flags {
    in_use.keywords().take(limits::IMAP_KEYWORDS_TOLD_MAX).cloned().map(Flag::Keyword).collect()
}

fn recent_between(from: LocalUid, next: LocalUid) -> UidSet<LocalUid> {
    match next.get().checked_sub(1) {
        Some(last) if from.get() <= last => UidSet::range(from, LocalUid::from_number(last)),
        _ => UidSet::new(),
    }
}

/// Places in the view, to be walked in batches.
#[derive(Debug)]
pub struct Places {
    ranges: Vec<Range<usize>>,
}

impl Places {
    /// The UIDs of the next places, at most `max`; empty at the end.
    pub fn next_batch(&mut self, view: &View, max: usize) -> Vec<LocalUid> {
        let mut batch = Vec::new();
        // Ranges are used up from the front; there are few, or each holds few.
        let mut used = 0;
        for range in &mut self.ranges {
            let end = range.end.min(range.start.saturating_add(max - batch.len()));
            batch.extend_from_slice(view.uids.get(range.start..end).unwrap_or_default());
            range.start = end;
            if range.start >= range.end {
                used += 1;
            }
            if batch.len() == max {
                break;
            }
        }
        self.ranges.drain(..used);
        batch
    }

    /// Those of them that a partial range names (RFC 9394 section 3.3).
    pub fn partial(mut self, range: PartialRange) -> Self {
        let wanted = range.among(self.ranges.iter().map(Range::len).sum());
        let mut before = 0;
        for range in &mut self.ranges {
            let length = range.len();
            let start = range.start + wanted.start.saturating_sub(before).min(length);
            let end = range.start + wanted.end.saturating_sub(before).min(length);
            (*range, before) = (start..end, before + length);
        }
        self
    }

    /// Those of them where these messages (ascending) are.
    pub fn among(self, view: &View, uids: &[LocalUid]) -> Self {
        let mut ranges = self.ranges.into_iter().peekable();
        let mut met = Vec::new();
        for place in uids.iter().filter_map(|uid| view.uids.binary_search(uid).ok()) {
            while ranges.next_if(|range| range.end <= place).is_some() {}
            if ranges.peek().is_some_and(|range| range.contains(&place)) {
                met.push(place..place + 1);
            }
        }
        Self { ranges: met }
    }

    /// All of them.
    pub fn all(mut self, view: &View) -> Vec<LocalUid> {
        self.next_batch(view, usize::MAX)
    }
}
