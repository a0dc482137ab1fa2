//! What is left to do once acts that cancel are gone. Pure: from the open entries of a run, in order, to what became of
//! each message.
//!
//! Acts on mailboxes are barriers ([`Op::is_barrier`]): they are done in the order of the journal. Acts on messages that
//! follow each other without one are a run, in which each message counts once, with what became of it: a flag set and unset
//! again cancels, a move from A to B to C is one from A to C and back to A is none, an append or a copy that was expunged
//! again never happened, flags set after an append ride on it.
//!
//! Entries that are parked or in flight are not work. Where a message's place is decided anew, its parked acts about
//! its place are obsolete, and are settled with the new one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, Op, State};
use crate::types::{EntryId, MailboxId, MessageId};

/// What became of one message within a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
    pub message: MessageId,
    pub made: Made,
    pub place: Place,
    /// The entries about its place: done when it is there.
    pub place_entries: Vec<EntryId>,
    /// The entries about its flags: done when upstream has them.
    pub flag_entries: Vec<EntryId>,
}

/// How a message came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It was there before the run.
    Before,
    /// It was appended in the run.
    Appended,
    /// It was copied in the run.
    Copied { from: MessageId },
}

/// Where a message is to be after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where it was.
    Unchanged,
    In(MailboxId),
    Gone,
}

impl Net {
    /// Every entry that is done with it.
    pub fn entries(&self) -> Vec<EntryId> {
        let both: BTreeSet<EntryId> = self.place_entries.iter().chain(&self.flag_entries).copied().collect();
        both.into_iter().collect()
    }
}

/// Coalesces the open entries of one run, given in the order of their ids, with those about its messages that are set aside.
/// By message.
pub fn coalesce<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Vec<Net> {
    let mut run = Run::default();
    let mut parked: BTreeMap<MessageId, Vec<EntryId>> = BTreeMap::new();
    for entry in entries {
        match &entry.state {
            State::Pending => run.add(entry, &mut parked),
            State::Parked { .. } if decides_place(&entry.op) => {
                entry.open.iter().for_each(|message| parked.entry(*message).or_default().push(entry.id));
            }
            State::Parked { .. } | State::InFlight { .. } => {}
        }
    }
    run.nets.into_values().map(|draft| draft.net).collect()
}

/// What became of `message` in all of `entries`, barriers or not, parked or not: what the user wants of it.
pub fn intent<'e>(entries: impl IntoIterator<Item = &'e Entry>, message: MessageId) -> Option<Net> {
    let mut run = Run::default();
    for entry in entries.into_iter().filter(|entry| entry.open.binary_search(&message).is_ok()) {
        run.add_for(entry, &[message]);
    }
    run.nets.into_values().next().map(|draft| draft.net)
}

/// Which acts come after a run that are to put a message somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    None,
    /// Only such as follow without a barrier.
    SameRun,
    AfterBarrier,
}

/// Lets a run end where its messages are now, `place_of`, as far as no act after a barrier puts them there. Usually that is
/// what its acts say; not after an entry was parked, overtaken by later acts and retried, nor for a message that went with its
/// mailbox, nor where one that was moved away and back is elsewhere upstream. One that is gone by a later act goes by that: it
/// may be copied before. A mailbox that is no more, which a message only passed through, is left out.
pub fn end_where_they_are(
    nets: &mut [Net],
    place_of: impl Fn(MessageId) -> Option<MailboxId>,
    later: impl Fn(MessageId) -> Later,
    is_here: impl Fn(MailboxId) -> bool,
) {
    for net in nets.iter_mut().filter(|net| !net.place_entries.is_empty()) {
        match (later(net.message), place_of(net.message)) {
            (Later::None | Later::SameRun, Some(place)) => net.place = Place::In(place),
            (Later::None, None) => net.place = Place::Gone,
            (Later::SameRun, None) | (Later::AfterBarrier, _) => {
                if matches!(net.place, Place::In(passed) if !is_here(passed)) {
                    net.place = Place::Unchanged;
                }
            }
        }
    }
}

const fn decides_place(op: &Op) -> bool {
    !op.is_barrier() && !matches!(op, Op::Flags { .. })
}

/// A run in the making.
#[derive(Default)]
struct Run {
    nets: BTreeMap<MessageId, Draft>,
}

/// A net with the place that the first act of the run found the message in.
struct Draft {
    net: Net,
    first_place: Option<MailboxId>,
}

impl Run {
    fn add(&mut self, entry: &Entry, parked: &mut BTreeMap<MessageId, Vec<EntryId>>) {
        if decides_place(&entry.op) {
            for message in &entry.open {
                if let Some(obsolete) = parked.remove(message) {
                    self.draft(*message).net.place_entries.extend(obsolete);
                }
            }
        }
        self.add_for(entry, &entry.open);
    }

    /// The entry's part for those of `among` that it is about.
    fn add_for(&mut self, entry: &Entry, among: &[MessageId]) {
        let open: BTreeSet<MessageId> = among.iter().copied().collect();
        match &entry.op {
            Op::Flags { messages, .. } => {
                for message in messages.iter().filter(|message| open.contains(message)) {
                    self.draft(*message).net.flag_entries.push(entry.id);
                }
            }
            Op::Move { messages, from, to } => {
                for message in messages.iter().filter(|message| open.contains(message)) {
                    self.place(*message, entry.id, Some(*from), Place::In(*to));
                }
            }
            Op::Expunge { messages, from } => {
                for message in messages.iter().filter(|message| open.contains(message)) {
                    self.place(*message, entry.id, Some(*from), Place::Gone);
                }
            }
            Op::Append { message, mailbox } => {
                if open.contains(message) {
                    self.draft(*message).net.made = Made::Appended;
                    self.place(*message, entry.id, None, Place::In(*mailbox));
                }
            }
            Op::Copy { copies, to, .. } => {
                for (from, copy) in copies.iter().filter(|(_, copy)| open.contains(copy)) {
                    self.draft(*copy).net.made = Made::Copied { from: *from };
                    self.place(*copy, entry.id, None, Place::In(*to));
                }
            }
            Op::CreateMailbox { .. } | Op::RenameMailbox { .. } | Op::DeleteMailbox { .. } | Op::Subscribe { .. } => {}
        }
    }

    fn place(&mut self, message: MessageId, entry: EntryId, from: Option<MailboxId>, to: Place) {
        let draft = self.draft(message);
        draft.net.place_entries.push(entry);
        if draft.net.made == Made::Before {
            draft.first_place = draft.first_place.or(from);
        }
        let is_back = matches!(to, Place::In(to) if draft.first_place == Some(to));
        draft.net.place = if is_back { Place::Unchanged } else { to };
    }

    fn draft(&mut self, message: MessageId) -> &mut Draft {
        self.nets.entry(message).or_insert_with(|| Draft {
            net: Net {
                message,
                made: Made::Before,
                place: Place::Unchanged,
                place_entries: Vec::new(),
                flag_entries: Vec::new(),
            },
            first_place: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AccountId, Flags, Timestamp};

    const A: MailboxId = MailboxId::new(1);
    const B: MailboxId = MailboxId::new(2);
    const C: MailboxId = MailboxId::new(3);
    const M: MessageId = MessageId::new(7);
    const N: MessageId = MessageId::new(8);

    fn flags(message: MessageId) -> Op {
        Op::Flags { messages: vec![message], add: Flags::none(), remove: Flags::none() }
    }
    fn moved(from: MailboxId, to: MailboxId) -> Op {
        Op::Move { messages: vec![M], from, to }
    }
    fn expunge(message: MessageId, from: MailboxId) -> Op {
        Op::Expunge { messages: vec![message], from }
    }

    fn entries(ops: Vec<Op>) -> Vec<Entry> {
        let entry = |(place, op): (usize, Op)| Entry {
            id: EntryId::new(place as i64 + 1),
            account: AccountId::new(1),
            created: Timestamp::from_unix_ms(0),
            open: op.messages(),
            op,
            state: State::Pending,
            attempts: 0,
        };
        ops.into_iter().enumerate().map(entry).collect()
    }

    fn only_net(ops: Vec<Op>) -> Net {
        coalesce(&entries(ops)).swap_remove(0)
    }

    #[test]
    fn moves_end_where_the_last_one_went() {
        for (ops, place) in [
            (vec![moved(A, B), moved(B, C)], Place::In(C)),
            (vec![moved(A, B), moved(B, A)], Place::Unchanged),
            (vec![moved(A, B), moved(B, A), moved(A, C)], Place::In(C)),
            (vec![moved(A, B), expunge(M, B)], Place::Gone),
            (vec![flags(M)], Place::Unchanged),
        ] {
            assert_eq!(only_net(ops.clone()).place, place, "{ops:?}");
        }
    }

    #[test]
    fn flags_ride_on_the_append_they_follow() {
        let net = only_net(vec![Op::Append { message: M, mailbox: A }, flags(M), moved(A, B)]);
        assert_eq!((net.made, net.place), (Made::Appended, Place::In(B)));
        assert_eq!(net.entries(), [1, 2, 3].map(EntryId::new));
    }

    #[test]
    fn an_appended_message_moved_away_and_back_is_still_to_be_appended() {
        let net = only_net(vec![Op::Append { message: M, mailbox: A }, moved(A, B), moved(B, A)]);
        assert_eq!((net.made, net.place), (Made::Appended, Place::In(A)));
    }

    #[test]
    fn a_parked_act_on_the_place_is_settled_by_the_next_one() {
        let mut entries = entries(vec![moved(A, B), moved(B, C), flags(N)]);
        entries[0].state = State::Parked { why: "over quota".to_owned(), doubt: None, retry: None };
        let nets = coalesce(&entries);
        assert_eq!(nets[0].place_entries, [EntryId::new(1), EntryId::new(2)]);
        assert_eq!(nets[0].place, Place::In(C));
    }

    #[test]
    fn the_parts_that_are_done_are_no_work() {
        let mut entries = entries(vec![Op::Flags { messages: vec![M, N], add: Flags::none(), remove: Flags::none() }]);
        entries[0].open = vec![N];
        let nets = coalesce(&entries);
        assert_eq!(nets.iter().map(|net| net.message).collect::<Vec<_>>(), [N]);
    }

    #[test]
    fn a_run_ends_where_its_messages_are_unless_later_acts_put_them_there() {
        for (later, now, place) in [
            (Later::None, Some(C), Place::In(C)),
            (Later::None, None, Place::Gone),
            (Later::SameRun, Some(C), Place::In(C)),
            (Later::SameRun, None, Place::In(B)),
            (Later::AfterBarrier, Some(C), Place::In(B)),
            (Later::AfterBarrier, None, Place::In(B)),
        ] {
            let mut nets = coalesce(&entries(vec![moved(A, B)]));
            end_where_they_are(&mut nets, |_| now, |_| later, |_| true);
            assert_eq!(nets[0].place, place, "{later:?} {now:?}");
        }
    }

    #[test]
    fn a_mailbox_that_is_no_more_is_not_passed_through() {
        for later in [Later::SameRun, Later::AfterBarrier] {
            let mut nets = coalesce(&entries(vec![moved(A, B)]));
            end_where_they_are(&mut nets, |_| None, |_| later, |mailbox| mailbox != B);
            assert_eq!(nets[0].place, Place::Unchanged, "{later:?}");
        }
    }
}
