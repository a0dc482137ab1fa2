//! What one client knows of the selected mailbox from what it was told, and what of that cannot be right. Written apart from
//! the library, whose judge it is.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::imap::{Line, Reply};

type Flags = BTreeSet<String>;

/// What is true for all clients at all times.
#[derive(Default)]
pub struct Truth {
    /// What never changes of the message that a UID names: its subject, and what is told of it beside its flags.
    subjects: BTreeMap<u32, String>,
    facts: BTreeMap<u32, String>,
    /// The one session in which it is recent (RFC 3501 section 2.3.2).
    recent_in: BTreeMap<u32, u64>,
    sessions: u64,
}

/// A client's knowledge.
#[derive(Default)]
pub struct Witness {
    /// The UIDs by sequence number, as far as they were told.
    uids: Vec<Option<u32>>,
    pub flags: BTreeMap<u32, Flags>,
    mod_seqs: BTreeMap<u32, u64>,
    /// What FLAGS named.
    known_flags: Flags,
    /// Of the mailbox selected, among all sessions.
    session: u64,
    uid_validity: u64,
    /// Every change up to here was told (RFC 7162).
    highest: u64,
    /// The mailbox is being selected with what was known of it before.
    resuming: Option<Resuming>,
    /// A keyword that only this client sets and clears, where it was last seen, and the message whose one is being changed.
    own_keyword: Option<String>,
    own: BTreeMap<u32, bool>,
    storing: Option<u32>,
    /// What cannot be right.
    pub violations: Vec<String>,
}

struct Resuming {
    known: BTreeSet<u32>,
    exists: usize,
    highest: u64,
    /// By number.
    told: Vec<(usize, u32)>,
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

    pub fn owner_of(own_keyword: Option<String>) -> Self {
        Self { own_keyword, ..Self::default() }
    }

    pub fn own_keyword(&self) -> Option<&str> {
        self.own_keyword.as_deref()
    }

    /// The first message of which no more is known than that it is there.
    pub fn unknown(&self) -> Option<usize> {
        self.uids.iter().position(Option::is_none)
    }

    /// From where on changes are to be told when the mailbox is selected again.
    pub fn known_up_to(&self) -> Option<(u64, u64)> {
        (self.highest > 0 && self.unknown().is_none()).then_some((self.uid_validity, self.highest))
    }

    /// The mailbox is selected anew: without what is known, or with that.
    pub fn select(&mut self, with_known: bool, truth: &mut Truth) {
        truth.sessions += 1;
        let old = std::mem::take(self);
        let kept = Self {
            session: truth.sessions,
            own_keyword: old.own_keyword,
            own: old.own,
            violations: old.violations,
            ..Self::default()
        };
        let known = old.uids.into_iter().flatten().collect();
        *self = match with_known {
            false => kept,
            true => Self {
                flags: old.flags,
                mod_seqs: old.mod_seqs,
                highest: old.highest,
                resuming: Some(Resuming { known, exists: 0, highest: 0, told: Vec::new() }),
                ..kept
            },
        };
    }

    /// Takes in the answer to a STORE of the client's own keyword. Whatever others do at the same time, it is done.
    pub fn hear_own(&mut self, sign: &str, uid: u32, command: &str, reply: &Reply, may: May, truth: &mut Truth) {
        self.storing = Some(uid);
        self.hear(command, reply, may, truth);
        self.storing = None;
        let keyword = self.own_keyword.clone().unwrap_or_default();
        if reply.status != "OK" || reply.text.contains("[EXPUNGEISSUED]") {
            self.own.remove(&uid);
        } else if self.flags.get(&uid).is_some_and(|flags| flags.contains(&keyword) != (sign == "+")) {
            self.violations.push(format!("{command}: {uid} has {:?}", self.flags[&uid]));
        }
    }

    /// Takes in the answer to a command, and holds it against what others were told.
    pub fn hear(&mut self, command: &str, reply: &Reply, may: May, truth: &mut Truth) {
        for line in &reply.untagged {
            if let Err(why) = self.line(line, may, truth) {
                self.violations.push(format!("{command}: {}: {why}", line.text));
            }
        }
        let ended = self.resumed().and_then(|()| self.code(&reply.text));
        if let Err(why) = ended {
            self.violations.push(format!("{command}: {}: {why}", reply.text));
        }
        let gone = reply.text.contains("[EXPUNGEISSUED]");
        if reply.status != "OK" && !gone {
            self.violations.push(format!("{command} was answered {} {}", reply.status, reply.text));
        }
    }

    fn line(&mut self, line: &Line, may: May, truth: &mut Truth) -> Result<(), String> {
        let Some(rest) = line.text.strip_prefix("* ") else { return Err("no untagged response".to_owned()) };
        if let Some(gone) = rest.strip_prefix("VANISHED (EARLIER) ") {
            return self.vanished_earlier(gone);
        }
        if let Some(gone) = rest.strip_prefix("VANISHED ") {
            return match may {
                May::Expunge => self.vanished(gone),
                May::NotExpunge => Err("told too early".to_owned()),
            };
        }
        if let Some(flags) = rest.strip_prefix("FLAGS (") {
            return self.flags_known(listed(flags));
        }
        let Some((number, rest)) = rest.split_once(' ') else { return Ok(()) };
        if number == "OK" {
            return self.code(rest);
        }
        let Ok(number) = number.parse::<usize>() else { return Ok(()) };
        let word = rest.split_once(' ').map_or(rest, |(word, _)| word);
        if let Some(resuming) = &mut self.resuming {
            match (word, uid_of(rest)) {
                ("EXISTS", _) => resuming.exists = number,
                ("FETCH", Some(uid)) => {
                    resuming.told.push((number, uid));
                    return self.message(uid, rest, &line.literals, truth);
                }
                ("RECENT", _) => {}
                _ => return Err("told before the mailbox is selected".to_owned()),
            }
            return Ok(());
        }
        match word {
            "EXISTS" if number < self.uids.len() => Err(format!("there were {}", self.uids.len())),
            "EXISTS" => {
                self.uids.resize(number, None);
                Ok(())
            }
            "RECENT" if number > self.uids.len() => Err(format!("there are {}", self.uids.len())),
            "EXPUNGE" if may == May::NotExpunge => Err("told too early".to_owned()),
            "EXPUNGE" if number == 0 || number > self.uids.len() => Err(format!("there are {}", self.uids.len())),
            "EXPUNGE" => {
                if let Some(uid) = self.uids.remove(number - 1) {
                    self.forget(uid);
                }
                Ok(())
            }
            "FETCH" if number == 0 || number > self.uids.len() => Err(format!("there are {}", self.uids.len())),
            "FETCH" => self.fetch(number - 1, rest, &line.literals, truth),
            _ => Ok(()),
        }
    }

    /// A keyword that a message bears is not dropped. While the mailbox is being selected again, what they bear is still to be
    /// told.
    fn flags_known(&mut self, named: Flags) -> Result<(), String> {
        let mut borne = self.flags.values().flatten().filter(|_| self.resuming.is_none());
        let borne = borne.find(|flag| !named.contains(*flag)).cloned();
        self.known_flags = named;
        borne.map_or(Ok(()), |flag| Err(format!("a message has {flag}")))
    }

    fn code(&mut self, text: &str) -> Result<(), String> {
        let number = |name: &str| text.strip_prefix(name)?.split(']').next()?.parse::<u64>().ok();
        if let Some(flags) = text.strip_prefix("[PERMANENTFLAGS (") {
            let unknown = listed(flags).into_iter().find(|flag| flag != "\\*" && !self.known_flags.contains(flag));
            return unknown.map_or(Ok(()), |flag| Err(format!("{flag} was not in FLAGS")));
        }
        if let Some(uid_validity) = number("[UIDVALIDITY ") {
            self.uid_validity = uid_validity;
        }
        // While it is being selected again, it is told for after that.
        let highest = number("[HIGHESTMODSEQ ");
        if let (Some(highest), Some(resuming)) = (highest, &mut self.resuming) {
            resuming.highest = highest;
        } else if let Some(highest) = highest {
            let before = std::mem::replace(&mut self.highest, highest);
            if highest < before {
                return Err(format!("it was {before}"));
            }
        }
        Ok(())
    }

    /// What the client knew, without what vanished and with what is new, is what is there (RFC 7162 section 3.2.5).
    fn resumed(&mut self) -> Result<(), String> {
        let Some(Resuming { mut known, exists, highest, told }) = self.resuming.take() else { return Ok(()) };
        let before = std::mem::replace(&mut self.highest, highest);
        if highest < before {
            return Err(format!("the highest mod-sequence is {highest}, and was {before}"));
        }
        known.extend(told.iter().map(|(_, uid)| *uid));
        self.uids = known.into_iter().map(Some).collect();
        if self.uids.len() != exists {
            return Err(format!("{exists} are there, and {:?} are known", self.uids));
        }
        match told.iter().find(|(number, uid)| self.uids.get(number - 1) != Some(&Some(*uid))) {
            Some((number, uid)) => Err(format!("{uid} is not number {number} of {:?}", self.uids)),
            None => Ok(()),
        }
    }

    fn vanished_earlier(&mut self, set: &str) -> Result<(), String> {
        for range in set.split(',') {
            let (first, last) = bounds(range)?;
            let resuming = self.resuming.as_mut().ok_or("the mailbox is not being selected")?;
            let gone: Vec<u32> = resuming.known.range(first..=last).copied().collect();
            resuming.known.retain(|uid| !gone.contains(uid));
            gone.into_iter().for_each(|uid| self.forget(uid));
        }
        Ok(())
    }

    fn forget(&mut self, uid: u32) {
        self.flags.remove(&uid);
        self.mod_seqs.remove(&uid);
    }

    /// A message whose UID was not told yet is one of those between its neighbours.
    fn vanished(&mut self, set: &str) -> Result<(), String> {
        for range in set.split(',') {
            let (first, last) = bounds(range)?;
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

    fn fetch(&mut self, place: usize, rest: &str, literals: &[Vec<u8>], truth: &mut Truth) -> Result<(), String> {
        if let Some(uid) = uid_of(rest) {
            match self.uids[place] {
                Some(known) if known != uid => return Err(format!("it was {known}")),
                Some(_) => {}
                None if !self.could_be(place, uid) => {
                    return Err(format!("it stands between {:?}", self.neighbours(place)));
                }
                None => self.uids[place] = Some(uid),
            }
        }
        match self.uids[place] {
            Some(uid) => self.message(uid, rest, literals, truth),
            None => Ok(()),
        }
    }

    fn message(&mut self, uid: u32, rest: &str, literals: &[Vec<u8>], truth: &mut Truth) -> Result<(), String> {
        let mod_seq = number_after(rest, "MODSEQ (");
        if let Some((_, flags)) = rest.split_once("FLAGS (") {
            let mut flags = listed(flags);
            // What is recent is each session's own, and no flag.
            let recent_in = flags.remove("\\Recent").then(|| *truth.recent_in.entry(uid).or_insert(self.session));
            if let Some(other) = recent_in.filter(|session| *session != self.session) {
                return Err(format!("it is recent in session {other} and in {}", self.session));
            }
            self.flags_of(uid, flags, mod_seq)?;
        }
        if let Some(mod_seq) = mod_seq {
            let before = self.mod_seqs.insert(uid, mod_seq).unwrap_or(0);
            if mod_seq < before {
                return Err(format!("its mod-sequence was {before}"));
            }
        }
        let subject = literals.first().map(|subject| String::from_utf8_lossy(subject).trim().to_owned());
        let facts = rest.split_once("INTERNALDATE ").map(|(_, facts)| facts.to_owned());
        for (told, known) in [(subject, &mut truth.subjects), (facts, &mut truth.facts)] {
            let Some(told) = told else { continue };
            let known = known.entry(uid).or_insert_with(|| told.clone());
            if *known != told {
                return Err(format!("UID {uid} named {known:?}, and names {told:?}"));
            }
        }
        Ok(())
    }

    fn flags_of(&mut self, uid: u32, flags: Flags, mod_seq: Option<u64>) -> Result<(), String> {
        if let Some(flag) = flags.difference(&self.known_flags).next() {
            return Err(format!("{flag} was not in FLAGS"));
        }
        if let Some(keyword) = &self.own_keyword {
            let has = flags.contains(keyword);
            if self.own.insert(uid, has).is_some_and(|had| had != has) && self.storing != Some(uid) {
                return Err(format!("{keyword} changed"));
            }
        }
        let before = self.flags.insert(uid, flags);
        let is_old = mod_seq.is_some_and(|mod_seq| mod_seq <= self.highest);
        match before.filter(|before| is_old && *before != self.flags[&uid]) {
            Some(before) => Err(format!("everything up to {} was told, and it was {before:?}", self.highest)),
            None => Ok(()),
        }
    }
}

/// What stands up to a closing parenthesis.
fn listed(text: &str) -> Flags {
    text.split(')').next().unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn number_after(text: &str, name: &str) -> Option<u64> {
    let (_, value) = text.split_once(name)?;
    value.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}

fn uid_of(fetch: &str) -> Option<u32> {
    number_after(fetch, "UID ").and_then(|uid| u32::try_from(uid).ok())
}

fn bounds(range: &str) -> Result<(u32, u32), String> {
    let (first, last) = range.split_once(':').unwrap_or((range, range));
    Ok((first.parse().map_err(|_| "no set")?, last.parse().map_err(|_| "no set")?))
}
