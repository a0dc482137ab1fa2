//! Message flags: the five settable system flags as bits, keywords as a sorted set (RFC 3501 section 2.3.2).
//!
//! `\Recent` is not a flag of a message but of a session's view and never stored.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::limits;

/// A settable system flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SystemFlag {
    Seen = 1,
    Answered = 2,
    Flagged = 4,
    Deleted = 8,
    Draft = 16,
}

impl SystemFlag {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Answered, Self::Flagged, Self::Deleted, Self::Seen, Self::Draft];

    /// As on the wire, with the backslash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "\\Seen",
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Draft => "\\Draft",
        }
    }
}

/// A keyword: an atom (RFC 3501 section 9, flag-keyword). Keywords compare without regard to ASCII case
/// (RFC 5788 section 3) but keep the case in which they were first seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Keyword(String);

impl Keyword {
    /// Parses an atom. Some servers send `]` in keywords (Gmail), so it is allowed.
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte > b' ' && byte < 0x7f && !b"(){%*\"\\".contains(&byte);
        let fits = !text.is_empty() && text.len() <= limits::KEYWORD_MAX_BYTES;
        (fits && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    /// As it was first written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for Keyword {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for Keyword {}
impl PartialOrd for Keyword {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Keyword {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.folded().cmp(other.folded())
    }
}
impl std::hash::Hash for Keyword {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        state.write_u8(0xff);
    }
}
impl TryFrom<String> for Keyword {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("not a keyword")
    }
}
impl From<Keyword> for String {
    fn from(keyword: Keyword) -> Self {
        keyword.0
    }
}

/// One flag of either kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Flag {
    System(SystemFlag),
    Keyword(Keyword),
}

impl Flag {
    /// Parses `\Seen` and the like in any case, or a keyword. `\Recent` and unknown system flags are `None`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('\\') {
            Some(_) => {
                SystemFlag::ALL.into_iter().find(|flag| flag.as_str().eq_ignore_ascii_case(text)).map(Self::System)
            }
            None => Keyword::new(text).map(Self::Keyword),
        }
    }

    /// As on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::System(flag) => flag.as_str(),
            Self::Keyword(keyword) => keyword.as_str(),
        }
    }
}

impl From<SystemFlag> for Flag {
    fn from(flag: SystemFlag) -> Self {
        Self::System(flag)
    }
}
impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl TryFrom<String> for Flag {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not a flag")
    }
}
impl From<Flag> for String {
    fn from(flag: Flag) -> Self {
        flag.as_str().to_owned()
    }
}

/// The flags of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<Flag>", into = "Vec<Flag>")]
pub struct Flags {
    system: u8,
    keywords: Keywords,
}

/// The keywords of a message. Many messages have the same: a clone shares them. `None`: it has none; a set is never empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Keywords(Option<Arc<BTreeSet<Keyword>>>);

impl Keywords {
    fn of(keywords: BTreeSet<Keyword>) -> Self {
        Self(Some(keywords).filter(|keywords| !keywords.is_empty()).map(Arc::new))
    }

    fn set(&self) -> &BTreeSet<Keyword> {
        const NONE: &BTreeSet<Keyword> = &BTreeSet::new();
        self.0.as_deref().unwrap_or(NONE)
    }

    /// Adds one; true if it was not among them.
    fn insert(&mut self, keyword: Keyword) -> bool {
        !self.set().contains(&keyword) && Arc::make_mut(self.0.get_or_insert_default()).insert(keyword)
    }

    /// Takes one out; true if it was among them.
    fn remove(&mut self, keyword: &Keyword) -> bool {
        let Some(keywords) = self.0.as_mut().filter(|keywords| keywords.contains(keyword)) else { return false };
        Arc::make_mut(keywords).remove(keyword);
        self.0 = self.0.take().filter(|keywords| !keywords.is_empty());
        true
    }
}

impl Flags {
    /// No flag.
    pub const fn none() -> Self {
        Self { system: 0, keywords: Keywords(None) }
    }

    /// Rebuilds what [`Self::system_bits`] and [`Self::keywords_text`] gave; unknown bits and words are dropped.
    pub fn from_columns(system_bits: u8, keywords_text: &str) -> Self {
        let known = SystemFlag::ALL.into_iter().fold(0, |bits, flag| bits | flag as u8);
        let keywords = match keywords_text.is_empty() {
            true => Keywords(None),
            false => Keywords::of(keywords_text.split(' ').filter_map(Keyword::new).collect()),
        };
        Self { system: system_bits & known, keywords }
    }

    /// The system flags as bits, see [`SystemFlag`].
    pub const fn system_bits(&self) -> u8 {
        self.system
    }

    /// The keywords, sorted, joined by spaces.
    pub fn keywords_text(&self) -> String {
        self.keywords().map(Keyword::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Has it the same keywords, to the letter? They are equal in any case, and each message keeps its own.
    pub fn has_keywords_of(&self, other: &Self) -> bool {
        self.keywords().map(Keyword::as_str).eq(other.keywords().map(Keyword::as_str))
    }

    /// Its keywords, beside these system flags.
    pub fn with_system_bits(&self, system_bits: u8) -> Self {
        Self { keywords: self.keywords.clone(), ..Self::from_columns(system_bits, "") }
    }

    /// Is it set?
    pub fn contains(&self, flag: &Flag) -> bool {
        match flag {
            Flag::System(flag) => self.system & *flag as u8 != 0,
            Flag::Keyword(keyword) => self.keywords.set().contains(keyword),
        }
    }

    /// Is it set?
    pub const fn has(&self, flag: SystemFlag) -> bool {
        self.system & flag as u8 != 0
    }

    /// Sets it; true if it was not set.
    pub fn insert(&mut self, flag: Flag) -> bool {
        match flag {
            Flag::System(flag) => {
                let was = self.system;
                self.system |= flag as u8;
                was != self.system
            }
            Flag::Keyword(keyword) => self.keywords.insert(keyword),
        }
    }

    /// Unsets it; true if it was set.
    pub fn remove(&mut self, flag: &Flag) -> bool {
        match flag {
            Flag::System(flag) => {
                let was = self.system;
                self.system &= !(*flag as u8);
                was != self.system
            }
            Flag::Keyword(keyword) => self.keywords.remove(keyword),
        }
    }

    /// Every flag set: system flags first, then keywords in order.
    pub fn iter(&self) -> impl Iterator<Item = Flag> + '_ {
        let system = SystemFlag::ALL.into_iter().filter(|flag| self.has(*flag)).map(Flag::System);
        system.chain(self.keywords().cloned().map(Flag::Keyword))
    }

    /// Their names as on the wire, in the same order.
    pub fn names(&self) -> impl Iterator<Item = &str> + '_ {
        let system = SystemFlag::ALL.into_iter().filter(|flag| self.has(*flag)).map(|flag| -> &str { flag.as_str() });
        system.chain(self.keywords().map(Keyword::as_str))
    }

    /// The keywords set, in order.
    pub fn keywords(&self) -> impl Iterator<Item = &Keyword> {
        self.keywords.set().iter()
    }

    /// Is none set?
    pub fn is_empty(&self) -> bool {
        self.system == 0 && self.keywords.0.is_none()
    }

    /// Sets those of `other` as well.
    pub fn add_all(&mut self, other: &Self) {
        *self = self.union(other);
    }

    /// The flags of `self` that are not in `other`.
    pub fn difference(&self, other: &Self) -> Self {
        let (ours, theirs) = (self.keywords.set(), other.keywords.set());
        let keywords = match ours.is_disjoint(theirs) {
            true => self.keywords.clone(),
            false => Keywords::of(ours.difference(theirs).cloned().collect()),
        };
        Self { system: self.system & !other.system, keywords }
    }

    /// The flags of either.
    pub fn union(&self, other: &Self) -> Self {
        let (ours, theirs) = (self.keywords.set(), other.keywords.set());
        let keywords = match (ours.is_empty(), theirs.is_subset(ours)) {
            (_, true) => self.keywords.clone(),
            (true, false) => other.keywords.clone(),
            (false, false) => Keywords::of(ours.union(theirs).cloned().collect()),
        };
        Self { system: self.system | other.system, keywords }
    }
}

impl FromIterator<Flag> for Flags {
    fn from_iter<I: IntoIterator<Item = Flag>>(flags: I) -> Self {
        flags.into_iter().fold(Self::none(), |mut set, flag| {
            set.insert(flag);
            set
        })
    }
}
impl From<Vec<Flag>> for Flags {
    fn from(flags: Vec<Flag>) -> Self {
        flags.into_iter().collect()
    }
}
impl From<Flags> for Vec<Flag> {
    fn from(flags: Flags) -> Self {
        flags.iter().collect()
    }
}
impl fmt::Display for Flags {
    /// Space-separated, as between the parentheses of a FLAGS list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Flags {
        text.split_whitespace().filter_map(Flag::parse).collect()
    }

    #[test]
    fn keywords_are_equal_in_any_case_and_keep_the_first() {
        let mut set = flags("$Forwarded \\seen");
        assert!(!set.insert(Flag::parse("$FORWARDED").expect("a keyword")));
        assert_eq!(set.to_string(), "\\Seen $Forwarded");
    }

    #[test]
    fn columns_give_back_the_same_set() {
        let set = flags("\\Draft \\Answered work $Junk");
        assert_eq!(Flags::from_columns(set.system_bits(), &set.keywords_text()), set);
    }

    #[test]
    fn what_is_changed_is_changed_in_no_other_and_without_keywords_all_are_equal() {
        let work = Flag::parse("work").expect("a keyword");
        let (mut one, other) = (flags("\\Seen work"), flags("\\Seen WORK"));
        let before = one.clone();
        assert_eq!(one, other);
        assert!(one.remove(&work) && !one.remove(&work));
        assert_eq!((&one, before.to_string().as_str()), (&flags("\\Seen"), "\\Seen work"));
        assert_eq!(before.difference(&other), Flags::none());
        assert!(before.difference(&other).is_empty());
        assert!(one.insert(work.clone()) && !one.insert(work));
        assert_eq!(one, before);
        assert_eq!(flags("a b").union(&flags("b c")).to_string(), "a b c");
        assert_eq!(flags("a b").difference(&flags("B c")).to_string(), "a");
    }

    #[test]
    fn what_is_no_flag_is_refused() {
        for text in ["", "a b", "\\Recent", "\\Strange", "par(en", "quo\"te", "é"] {
            assert_eq!(Flag::parse(text), None, "{text:?}");
        }
    }
}
