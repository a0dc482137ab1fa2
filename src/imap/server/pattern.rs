//! The patterns of LIST and LSUB (RFC 3501 section 6.3.8), and names held against them, some a step.

use std::collections::BTreeSet;
use std::collections::btree_set::IntoIter;

use crate::imap::syntax::{NameForm, utf7};
use crate::types::{MailboxName, limits};

/// Names held against patterns.
pub struct Matching {
    patterns: Vec<Pattern>,
    pattern_bytes: usize,
    rest: IntoIter<MailboxName>,
    goal: usize,
    /// Those that match so far.
    pub matching: BTreeSet<MailboxName>,
}

impl Matching {
    pub fn new(patterns: Vec<Pattern>, names: BTreeSet<MailboxName>) -> Self {
        let pattern_bytes = patterns.iter().map(|pattern| pattern.wire.len()).sum();
        let (goal, rest) = (names.len(), names.into_iter());
        Self { patterns, pattern_bytes, rest, goal, matching: BTreeSet::new() }
    }

    /// How many were looked at, and of how many.
    pub fn progress(&self) -> (usize, usize) {
        (self.goal - self.rest.len(), self.goal)
    }

    /// Looks at some names; false after the last.
    pub fn step(&mut self, form: NameForm) -> bool {
        let mut cost = 0;
        while cost < limits::IMAP_LIST_STEP_COST {
            let Some(name) = self.rest.next() else { return false };
            let encoded = Encoded::new(&name, form);
            cost += encoded.wire.len() * (self.pattern_bytes + 1);
            if self.patterns.iter().any(|pattern| pattern.matches(&encoded)) {
                self.matching.insert(name);
            }
        }
        true
    }
}

/// A name in the wire form.
struct Encoded {
    wire: String,
    /// How much of it is known in any case: INBOX, other names only in their own (RFC 3501 section 5.1).
    folded: usize,
}

impl Encoded {
    fn new(name: &MailboxName, form: NameForm) -> Self {
        let wire = match form {
            NameForm::ModifiedUtf7 => utf7::encode(name.as_str()),
            NameForm::Utf8 => name.as_str().to_owned(),
        };
        let folded = if name.components().next() == Some("INBOX") { "INBOX".len() } else { 0 };
        Self { wire, folded }
    }
}

/// Reference and pattern put together, in the wire form: so a pattern need not be valid modified UTF-7 as a whole.
pub struct Pattern {
    wire: Vec<u8>,
    pub ends_in_percent: bool,
}

impl Pattern {
    pub fn new(reference: &[u8], pattern: &[u8]) -> Self {
        let mut wire = [reference, pattern].concat();
        wire.dedup_by(|next, before| *next == b'*' && *before == b'*');
        let ends_in_percent = wire.last() == Some(&b'%');
        Self { wire, ends_in_percent }
    }

    /// `*` matches anything, `%` anything within one level. Takes time in proportion to name and pattern, whatever
    /// they hold: `reached` keeps every place of the pattern that the name read so far can stand at.
    fn matches(&self, name: &Encoded) -> bool {
        // Longer than any name can be in modified UTF-7, wildcards or not.
        if self.wire.len() > 4 * limits::MAILBOX_NAME_MAX_BYTES {
            return false;
        }
        let mut reached = vec![false; self.wire.len() + 1];
        reached[0] = true;
        self.pass_wildcards(&mut reached);
        let mut next = vec![false; self.wire.len() + 1];
        for (place, byte) in name.wire.bytes().enumerate() {
            next.fill(false);
            for (at, wanted) in self.wire.iter().enumerate().filter(|(at, _)| reached[*at]) {
                match wanted {
                    b'*' => next[at] = true,
                    b'%' => next[at] |= char::from(byte) != MailboxName::DELIMITER,
                    _ if place < name.folded => next[at + 1] |= wanted.eq_ignore_ascii_case(&byte),
                    _ => next[at + 1] |= *wanted == byte,
                }
            }
            self.pass_wildcards(&mut next);
            std::mem::swap(&mut reached, &mut next);
        }
        reached[self.wire.len()]
    }

    /// A wildcard may match nothing.
    fn pass_wildcards(&self, reached: &mut [bool]) {
        for (at, wanted) in self.wire.iter().enumerate() {
            if reached[at] && matches!(wanted, b'*' | b'%') {
                reached[at + 1] = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_the_standard_says() {
        let rows = [
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("a/%", "a/b", true),
            ("a/%", "a", false),
            ("%/%", "a/b", true),
            ("*b", "a/b", true),
            ("%b", "a/b", false),
            ("a*c", "a/b/c", true),
            ("inbox", "INBOX", true),
            ("iNbOx/a", "INBOX/a", true),
            ("INBOX/A", "INBOX/a", false),
            ("sent", "Sent", false),
            ("Entw&APw-r%", "Entwürfe", true),
            ("Entw&*", "Entwürfe", true),
            ("", "a", false),
        ];
        for (pattern, name, matches) in rows {
            let name = MailboxName::parse(name).expect("a valid name");
            let encoded = Encoded::new(&name, NameForm::ModifiedUtf7);
            assert_eq!(Pattern::new(b"", pattern.as_bytes()).matches(&encoded), matches, "{pattern} on {name}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let name = MailboxName::parse(&"a".repeat(1000)).expect("a valid name");
        let pattern = "*a".repeat(2000);
        let encoded = Encoded::new(&name, NameForm::ModifiedUtf7);
        assert!(!Pattern::new(b"", format!("{pattern}b").as_bytes()).matches(&encoded));
    }

    #[test]
    fn many_names_and_long_patterns_are_matched_in_steps() {
        let names = (0..20).map(|number| MailboxName::parse(&format!("{}{number:02}", "a".repeat(998))));
        let names: BTreeSet<MailboxName> = names.map(|name| name.expect("a valid name")).collect();
        let patterns = (0..4).map(|_| Pattern::new(b"", "*a".repeat(2000).as_bytes())).collect();
        let mut matching = Matching::new(patterns, names);
        let mut steps = 1;
        while matching.step(NameForm::ModifiedUtf7) {
            steps += 1;
        }
        assert!(steps >= 20, "{steps} steps");
        assert!(matching.matching.is_empty(), "none of the names ends in the letter");
    }
}
