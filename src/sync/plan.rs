//! From one run of the journal to the steps that do it: pure, sorted, printable.
//!
//! Rules: what adds comes before what takes away (appends and copies, then moves, then expunges), so a cut leaves too
//! much rather than too little; flags are stored where the message is now, before it moves, and travel along, but after
//! it was copied, so that a copy has exactly the flags that upstream was last seen to have; steps on one mailbox follow
//! each other, so it is selected once.

use std::collections::BTreeMap;
use std::fmt;

use crate::journal::{Made, Net, Place};
use crate::types::{EntryId, Flag, Flags, MailboxId, MessageId, RemoteUid, UidSet};

/// What is known of a message when a run is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Where it is here; `None` if it is gone.
    pub place: Option<MailboxId>,
    /// Its flags here.
    pub flags: Flags,
    pub upstream: Option<Upstream>,
    /// Where upstream has it as another message of ours, if mailboxes are labels ([`super::labels`]).
    pub twin: Option<Upstream>,
    /// Another open entry, parked or in flight, is still to bring it upstream.
    pub is_awaited: bool,
    /// Nobody could see whether it was sent, or where it is: nothing is done with it before that is seen.
    pub is_in_doubt: bool,
    /// Its bytes are not here, and a copy of it is still to be made upstream: it can be made of nothing else.
    pub is_needed: bool,
}

/// Where upstream has a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    pub mailbox: MailboxId,
    pub uid: RemoteUid,
    /// Its flags there, as last seen.
    pub base: Flags,
}

/// Which flags a mailbox keeps upstream (PERMANENTFLAGS, RFC 3501 section 7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeps {
    pub flags: Flags,
    pub any_keyword: bool,
}

impl Keeps {
    /// Those of `flags` that it keeps.
    pub fn of(&self, flags: &Flags) -> Flags {
        let keeps = |flag: &Flag| self.flags.contains(flag) || (self.any_keyword && matches!(flag, Flag::Keyword(_)));
        flags.iter().filter(keeps).collect()
    }

    /// What must be stored and what taken off where upstream has `base`, for it to have `flags` as far as it keeps them.
    pub fn changes(&self, base: &Flags, flags: &Flags) -> (Flags, Flags) {
        (self.of(&flags.difference(base)), base.difference(flags))
    }
}

impl Default for Keeps {
    /// A mailbox never looked into: it is taken to keep everything.
    fn default() -> Self {
        Self { flags: Flags::from_columns(u8::MAX, ""), any_keyword: true }
    }
}

/// Everything that [`plan`] looks at beside the run.
#[derive(Debug, Clone, Default)]
pub struct View {
    pub messages: BTreeMap<MessageId, Facts>,
    pub keeps: BTreeMap<MailboxId, Keeps>,
    /// Mailboxes are labels ([`super::labels`]): the same bytes appended twice are two messages, though they were one here.
    pub labels: bool,
}

/// A message of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub message: MessageId,
    /// Where it is upstream before the step; of a copy, its source; 0 if it is nowhere.
    pub uid: RemoteUid,
    /// Its flags upstream before the step; of a copy, its source's.
    pub base: Flags,
    /// The entry that holds the evidence of a step that must not be done twice.
    pub carrier: Option<EntryId>,
    /// The entries whose part for this message is done with the step; flags one of them wants may be refused before it.
    pub settles: Vec<EntryId>,
}

/// One step: at most a command or two to the server, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Upstream is as wanted already.
    Settle {
        message: MessageId,
        entries: Vec<EntryId>,
    },
    Append {
        to: MailboxId,
        items: Vec<Item>,
    },
    RemoveFlags {
        mailbox: MailboxId,
        flags: Flags,
        items: Vec<Item>,
    },
    AddFlags {
        mailbox: MailboxId,
        flags: Flags,
        items: Vec<Item>,
    },
    Copy {
        from: MailboxId,
        to: MailboxId,
        items: Vec<Item>,
    },
    Move {
        from: MailboxId,
        to: MailboxId,
        items: Vec<Item>,
    },
    Expunge {
        from: MailboxId,
        items: Vec<Item>,
    },
}

impl Step {
    /// The mailbox upstream in which it acts.
    pub const fn mailbox(&self) -> Option<MailboxId> {
        match self {
            Self::Settle { .. } | Self::Append { .. } => None,
            Self::RemoveFlags { mailbox, .. } | Self::AddFlags { mailbox, .. } => Some(*mailbox),
            Self::Copy { from, .. } | Self::Move { from, .. } | Self::Expunge { from, .. } => Some(*from),
        }
    }
}

/// The steps of a run. Messages that wait for something have none.
pub fn plan(run: &[Net], view: &View) -> Vec<Step> {
    let copied = run.iter().filter_map(|net| match net.made {
        Made::Copied { from } => Some((net.message, from)),
        Made::Before | Made::Appended => None,
    });
    let mut planner = Planner { run, view, copied: copied.collect(), steps: BTreeMap::new() };
    run.iter().for_each(|net| planner.add(net));
    planner.steps.into_iter().map(|(key, items)| key.into_step(items)).collect()
}

/// Steps in their order. Messages with an equal key go into one step.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Settle(MessageId),
    Append(MailboxId),
    On(MailboxId, Act),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    /// The number tells apart the copies of one message to one mailbox: a set of UIDs names each once.
    Copy(MailboxId, usize),
    /// The flags as text: a key must be ordered.
    RemoveFlags(String),
    AddFlags(String),
    Move(MailboxId),
    Expunge,
}

impl Key {
    fn into_step(self, items: Vec<Item>) -> Step {
        let settles = |mut items: Vec<Item>| items.pop().map(|item| item.settles).unwrap_or_default();
        let flags = |text: &str| text.split(' ').filter_map(Flag::parse).collect();
        match self {
            Self::Settle(message) => Step::Settle { message, entries: settles(items) },
            Self::Append(to) => Step::Append { to, items },
            Self::On(mailbox, Act::RemoveFlags(text)) => Step::RemoveFlags { mailbox, flags: flags(&text), items },
            Self::On(mailbox, Act::AddFlags(text)) => Step::AddFlags { mailbox, flags: flags(&text), items },
            Self::On(from, Act::Copy(to, _)) => Step::Copy { from, to, items },
            Self::On(from, Act::Move(to)) => Step::Move { from, to, items },
            Self::On(from, Act::Expunge) => Step::Expunge { from, items },
        }
    }
}

struct Planner<'a> {
    run: &'a [Net],
    view: &'a View,
    /// Of what is copied in the run, its source.
    copied: BTreeMap<MessageId, MessageId>,
    steps: BTreeMap<Key, Vec<Item>>,
}

impl<'a> Planner<'a> {
    fn add(&mut self, net: &Net) {
        let Some(facts) = self.view.messages.get(&net.message) else {
            return self.settle(net, net.entries());
        };
        match (&facts.upstream, net.place) {
            _ if facts.is_in_doubt => {}
            (Some(_), Place::Gone) if facts.is_needed => {}
            (Some(upstream), Place::Gone) => {
                self.push(Key::On(upstream.mailbox, Act::Expunge), net, Some(upstream), net.entries());
            }
            (Some(upstream), Place::In(to)) if to != upstream.mailbox => {
                self.flags(net, facts, upstream, net.flag_entries.clone());
                let key = Key::On(upstream.mailbox, Act::Move(to));
                self.push(key, net, Some(upstream), net.place_entries.clone());
            }
            (Some(upstream), Place::In(_) | Place::Unchanged) => {
                self.flags(net, facts, upstream, net.entries());
            }
            (None, Place::Gone) => self.settle(net, net.entries()),
            (None, Place::In(_) | Place::Unchanged) if facts.place.is_none() => {
                self.settle(net, net.entries());
            }
            (None, Place::In(_) | Place::Unchanged) if facts.is_awaited && net.made == Made::Before => {}
            (None, Place::In(to)) => self.make(net, facts, to),
            // Nothing of it is upstream, and nothing is to be: only its flags were changed.
            (None, Place::Unchanged) => self.settle(net, net.entries()),
        }
    }

    /// Brings a message upstream: by COPY if its source is there, or the message itself elsewhere, else by APPEND.
    fn make(&mut self, net: &Net, facts: &Facts, to: MailboxId) {
        let source = match net.made {
            Made::Copied { from } if self.view.labels && self.is_on_its_way(from) => return,
            Made::Copied { from } => self.source(from),
            Made::Before | Made::Appended => None,
        };
        match source.or(facts.twin.as_ref()) {
            Some(source) => {
                // The copy has its source's flags. If it is to have others, they are stored next, and only that ends
                // the entries.
                let is_same = self.keeps(to).of(&facts.flags) == self.keeps(to).of(&source.base);
                let settles = if is_same { net.entries() } else { Vec::new() };
                let is_taken = |key: &Key| {
                    self.steps.get(key).is_some_and(|items| items.iter().any(|item| item.uid == source.uid))
                };
                let mut keys = (0..).map(|nth| Key::On(source.mailbox, Act::Copy(to, nth)));
                let key = keys.find(|key| !is_taken(key)).expect("there are more numbers than steps");
                self.push(key, net, Some(source), settles);
            }
            None => self.push(Key::Append(to), net, None, net.entries()),
        }
    }

    /// Where upstream has a message, or, of a copy that is not there yet, what it is a copy of.
    fn source(&self, of: MessageId) -> Option<&'a Upstream> {
        let sources = std::iter::successors(Some(of), |message| self.copied.get(message).copied());
        let view = self.view;
        sources.filter_map(|message| view.messages.get(&message)?.upstream.as_ref()).next()
    }

    /// Does this run bring the message upstream?
    fn is_on_its_way(&self, message: MessageId) -> bool {
        let is_nowhere = |facts: &Facts| {
            facts.upstream.is_none() && facts.twin.is_none() && facts.place.is_some() && !facts.is_awaited
        };
        let is_made = |net: &Net| net.message == message && net.made != Made::Before && net.place != Place::Gone;
        self.view.messages.get(&message).is_some_and(is_nowhere) && self.run.iter().any(is_made)
    }

    /// The difference between the flags here and there; `settles` goes with the last part of it, as far as that is done.
    fn flags(&mut self, net: &Net, facts: &Facts, upstream: &Upstream, settles: Vec<EntryId>) {
        let keeps = self.keeps(upstream.mailbox);
        let (add, remove) = keeps.changes(&upstream.base, &facts.flags);
        let key = |act| Key::On(upstream.mailbox, act);
        match (remove.is_empty(), add.is_empty()) {
            (true, true) => self.settle(net, settles),
            (true, false) => self.push(key(Act::AddFlags(add.to_string())), net, Some(upstream), settles),
            (false, true) => self.push(key(Act::RemoveFlags(remove.to_string())), net, Some(upstream), settles),
            (false, false) => {
                self.push(key(Act::RemoveFlags(remove.to_string())), net, Some(upstream), Vec::new());
                self.push(key(Act::AddFlags(add.to_string())), net, Some(upstream), settles);
            }
        }
    }

    fn keeps(&self, mailbox: MailboxId) -> Keeps {
        self.view.keeps.get(&mailbox).cloned().unwrap_or_default()
    }

    fn settle(&mut self, net: &Net, entries: Vec<EntryId>) {
        if !entries.is_empty() {
            self.push(Key::Settle(net.message), net, None, entries);
        }
    }

    fn push(&mut self, key: Key, net: &Net, upstream: Option<&Upstream>, settles: Vec<EntryId>) {
        let (uid, base) = upstream.map_or((RemoteUid::new(0), Flags::none()), |known| (known.uid, known.base.clone()));
        let carrier = net.place_entries.first().copied();
        self.steps.entry(key).or_default().push(Item { message: net.message, uid, base, carrier, settles });
    }
}

/// The UIDs of `items`.
pub fn uids(items: &[Item]) -> UidSet<RemoteUid> {
    items.iter().map(|item| item.uid).collect()
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settle { message, .. } => write!(f, "settle {message}"),
            Self::Append { to, items } => {
                let messages: Vec<String> = items.iter().map(|item| item.message.to_string()).collect();
                write!(f, "append {} to mailbox {to}", messages.join(","))
            }
            Self::RemoveFlags { mailbox, flags, items } => write!(f, "in {mailbox}, {}: -({flags})", uids(items)),
            Self::AddFlags { mailbox, flags, items } => write!(f, "in {mailbox}, {}: +({flags})", uids(items)),
            Self::Copy { from, to, items } => write!(f, "in {from}, {}: copy to {to}", uids(items)),
            Self::Move { from, to, items } => write!(f, "in {from}, {}: move to {to}", uids(items)),
            Self::Expunge { from, items } => write!(f, "in {from}, {}: expunge", uids(items)),
        }
    }
}
