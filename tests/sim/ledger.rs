//! What everyone was promised: every message that was ever acknowledged to anyone, and what became of it by the words of
//! those who acted. Knows nothing of how the agent works.

use std::collections::BTreeMap;

/// Where someone acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// At the agent.
    Here,
    /// At the server.
    There,
}

/// One message and its copies.
#[derive(Debug, Clone)]
pub struct Entry {
    pub bytes: Vec<u8>,
    /// It came or went by SMTP: servers put trace headers in front of it.
    pub by_smtp: bool,
    /// How many of it there must be at least, and may be at most.
    pub least: i32,
    pub most: i32,
    /// How many there might be if no server were ever restored from a backup.
    pub most_made: i32,
    /// How many acknowledged deletions there were.
    pub deleted: i32,
    /// Someone wanted it, or a copy of it, deleted.
    pub is_unwanted: bool,
    /// Someone moved it.
    pub is_moved: bool,
    /// It may be made anew where it was moved.
    pub is_made_anew: bool,
    /// Each change of a flag, in order.
    pub flags: BTreeMap<String, Vec<(Side, bool)>>,
    /// Something happened by which more than one outcome is right for its flags and its place.
    pub is_contested: bool,
    /// The agent held it when the server was restored from an older backup.
    pub must_be_recoverable: bool,
}

/// A message handed to the agent to be sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub number: u32,
    /// It was acknowledged; else it may or may not go out.
    pub is_acknowledged: bool,
    /// Whose mail it goes to, if it is mirrored.
    pub to: Option<usize>,
    /// It was delivered, and the server has been what it was before that since.
    pub is_undone: bool,
    /// It was tried so long ago that the server knows nothing of it any more.
    pub is_forgotten: bool,
}

#[derive(Debug, Default)]
pub struct Ledger {
    pub messages: BTreeMap<u32, Entry>,
    pub sent: Vec<Sent>,
    next: u32,
}

impl Ledger {
    pub fn next_number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// A new message, `count` of which are there for sure and `most` perhaps.
    pub fn make(&mut self, number: u32, bytes: Vec<u8>, by_smtp: bool, least: i32, most: i32) {
        let entry = Entry {
            bytes,
            by_smtp,
            least,
            most,
            most_made: most,
            deleted: 0,
            is_unwanted: false,
            is_moved: false,
            is_made_anew: false,
            flags: BTreeMap::new(),
            is_contested: false,
            must_be_recoverable: false,
        };
        self.messages.insert(number, entry);
    }

    pub fn entry(&mut self, number: u32) -> Option<&mut Entry> {
        self.messages.get_mut(&number)
    }

    /// Someone was told that a message of this number cannot go on, and let it go.
    pub fn let_go(&mut self, number: u32) {
        if let Some(entry) = self.entry(number) {
            entry.deleted(true);
        }
    }

    /// Whether it was taken when it was tried, nobody knows any more.
    pub fn may_come_twice(&mut self, number: u32) {
        for sent in self.sent.iter_mut().filter(|sent| sent.number == number && !sent.is_forgotten) {
            sent.is_forgotten = true;
            if let Some(entry) = self.messages.get_mut(&number).filter(|_| sent.to.is_some()) {
                entry.may_be_one_more();
            }
        }
    }

    /// Are these the bytes of the message?
    pub fn is_intact(&self, number: u32, bytes: &[u8]) -> bool {
        self.messages.get(&number).is_some_and(|entry| match entry.by_smtp {
            true => bytes.ends_with(&entry.bytes),
            false => bytes == entry.bytes,
        })
    }
}

impl Entry {
    pub fn may_be_one_more(&mut self) {
        self.most += 1;
        self.most_made += 1;
    }

    /// Once, however often that is seen.
    pub fn may_be_made_anew(&mut self) {
        if !std::mem::replace(&mut self.is_made_anew, true) {
            self.may_be_one_more();
        }
    }

    pub fn copied(&mut self, is_certain: bool) {
        self.least += i32::from(is_certain);
        self.may_be_one_more();
        self.is_contested = true;
    }

    pub fn deleted(&mut self, is_certain: bool) {
        self.least -= 1;
        self.is_unwanted = true;
        self.deleted += i32::from(is_certain);
        self.is_contested = true;
    }

    pub fn flagged(&mut self, side: Side, flag: &str, set: bool, is_certain: bool) {
        self.flags.entry(flag.to_owned()).or_default().push((side, set));
        self.is_contested |= !is_certain;
    }

    /// Is it where it came, for all that anybody did?
    pub const fn is_untouched(&self) -> bool {
        !self.is_unwanted && !self.is_moved && !self.is_contested
    }

    /// What the flag must be in the end, where only one side ever touched it.
    pub fn must_have(&self, flag: &str) -> Option<bool> {
        let acts = self.flags.get(flag)?;
        let side = acts.first()?.0;
        let one_sided = acts.iter().all(|(other, _)| *other == side);
        (one_sided && !self.is_contested).then(|| acts.last().is_some_and(|(_, set)| *set))
    }
}
