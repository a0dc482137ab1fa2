//! What one client knows of the selected mailbox from what it was told, and what of that cannot be right. Written apart from
//! the library, whose judge it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::imap::{Line, Reply};

/// What is true of a message for all clients at all times: what its UID names.
pub type Subjects = BTreeMap<u32, String>;

/// A client's knowledge.
#[derive(Default)]
pub struct Witness {
    /// The UIDs by sequence number, as far as they were told.
    uids: Vec<Option<u32>>,
    pub flags: BTreeMap<u32, BTreeSet<String>>,
    mod_seqs: BTreeMap<u32, u64>,
    /// What cannot be right.
    pub violations: Vec<String>,
}

/// Whether EXPUNGE may be told in the answer: never while the client may have named messages by their numbers (RFC 3501 section
/// 7.4.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum May {
    Expunge,
    NotExpunge,
}

impl Witness {
    pub fn count(&self) -> usize {
        self.uids.len()
    }

    pub fn uid(&self, place: usize) -> Option<u32> {
        self.uids[place]
    }

    /// The mailbox is selected anew.
    pub fn forget_all(&mut self) {
        *self = Self { violations: std::mem::take(&mut self.violations), ..Self::default() };
    }

    /// Takes in the answer to a command; its subjects are held against what others saw.
    pub fn hear(&mut self, command: &str, reply: &Reply, may: May, subjects: &mut Subjects) {
        for line in &reply.untagged {
            if let Err(why) = self.line(line, may, subjects) {
                self.violations.push(format!("{command}: {}: {why}", line.text));
            }
        }
        let gone = reply.text.contains("[EXPUNGEISSUED]");
        if reply.status != "OK" && !gone {
            self.violations.push(format!("{command} was answered {} {}", reply.status, reply.text));
        }
    }

    fn line(&mut self, line: &Line, may: May, subjects: &mut Subjects) -> Result<(), String> {
        let Some(rest) = line.text.strip_prefix("* ") else { return Err("no untagged response".to_owned()) };
        if let Some(gone) = rest.strip_prefix("VANISHED ") {
            return match may {
                May::Expunge => self.vanished(gone),
                May::NotExpunge => Err("told too early".to_owned()),
            };
        }
        let Some((number, rest)) = rest.split_once(' ') else { return Ok(()) };
        let Ok(number) = number.parse::<usize>() else { return Ok(()) };
        match rest.split_once(' ').map_or(rest, |(word, _)| word) {
            "EXISTS" if number < self.uids.len() => Err(format!("there were {}", self.uids.len())),
            "EXISTS" => {
                self.uids.resize(number, None);
                Ok(())
            }
            "EXPUNGE" if may == May::NotExpunge => Err("told too early".to_owned()),
            "EXPUNGE" if number == 0 || number > self.uids.len() => Err(format!("there are {}", self.uids.len())),
            "EXPUNGE" => {
                if let Some(uid) = self.uids.remove(number - 1) {
                    self.forget(uid);
                }
                Ok(())
            }
            "FETCH" if number == 0 || number > self.uids.len() => Err(format!("there are {}", self.uids.len())),
            "FETCH" => self.fetch(number - 1, rest, &line.literals, subjects),
            _ => Ok(()),
        }
    }

    fn forget(&mut self, uid: u32) {
        self.flags.remove(&uid);
        self.mod_seqs.remove(&uid);
    }

    /// A message whose UID was not told yet is one of those between its neighbours.
    fn vanished(&mut self, set: &str) -> Result<(), String> {
        for range in set.split(',') {
            let (first, last) = range.split_once(':').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().map_err(|_| "no set")?, last.parse().map_err(|_| "no set")?);
            for uid in first..=last {
                let known = self.uids.iter().position(|known| *known == Some(uid));
                let place = known.or_else(|| (0..self.uids.len()).find(|place| self.could_be(*place, uid)));
                let Some(place) = place else { return Err(format!("{uid} was never there")) };
                self.uids.remove(place);
                self.forget(uid);
            }
        }
        Ok(())
    }

    fn could_be(&self, place: usize, uid: u32) -> bool {
        let (before, after) = self.neighbours(place);
        let fits = before.is_none_or(|before| before < uid) && after.is_none_or(|after| uid < after);
        self.uids[place].is_none() && fits
    }

    /// The nearest messages whose UIDs are known.
    fn neighbours(&self, place: usize) -> (Option<u32>, Option<u32>) {
        let before = self.uids[..place].iter().rev().find_map(|uid| *uid);
        (before, self.uids[place + 1..].iter().find_map(|uid| *uid))
    }

    fn fetch(&mut self, place: usize, rest: &str, literals: &[Vec<u8>], subjects: &mut Subjects) -> Result<(), String> {
        let number = |name: &str| -> Option<u64> {
            let (_, value) = rest.split_once(name)?;
            value.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
        };
        if let Some(uid) = number("UID ").and_then(|uid| u32::try_from(uid).ok()) {
            match self.uids[place] {
                Some(known) if known != uid => return Err(format!("it was {known}")),
                Some(_) => {}
                None if !self.could_be(place, uid) => {
                    return Err(format!("it stands between {:?}", self.neighbours(place)));
                }
                None => self.uids[place] = Some(uid),
            }
        }
        let Some(uid) = self.uids[place] else { return Ok(()) };
        if let Some((flags, _)) = rest.split_once("FLAGS (").and_then(|(_, flags)| flags.split_once(')')) {
            // What is recent is each session's own, and no flag.
            let flags = flags.split_whitespace().filter(|flag| *flag != "\\Recent").map(str::to_owned);
            self.flags.insert(uid, flags.collect());
        }
        if let Some(mod_seq) = number("MODSEQ (") {
            let before = self.mod_seqs.insert(uid, mod_seq).unwrap_or(0);
            if mod_seq < before {
                return Err(format!("its mod-sequence was {before}"));
            }
        }
        if let Some(subject) = literals.first() {
            let subject = String::from_utf8_lossy(subject).trim().to_owned();
            let known = subjects.entry(uid).or_insert_with(|| subject.clone());
            if *known != subject {
                return Err(format!("UID {uid} named {known:?}, and names {subject:?}"));
            }
        }
        Ok(())
    }
}
