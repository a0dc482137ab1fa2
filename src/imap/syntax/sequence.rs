//! Sequence sets (RFC 3501 section 9), of message numbers or of UIDs; `*` and `$` are resolved by the session. Partial
//! ranges (RFC 9394).

use std::fmt;
use std::ops::Range;

use super::parser::{Parsed, Parser};
use crate::types::{LocalUid, UidSet};

/// `sequence-set = (seq-number / seq-range) *("," sequence-set)`, or `$`: what a search saved (RFC 5182 section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SequenceSet {
    Ranges(Vec<(SeqNumber, SeqNumber)>),
    Saved,
}

/// `seq-number = nz-number / "*"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeqNumber {
    Number(u32),
    /// The largest in use.
    Largest,
}

impl SequenceSet {
    /// Does it say the same whatever the mailbox holds?
    pub fn is_numbers_alone(&self) -> bool {
        let is_number = |number: &SeqNumber| matches!(number, SeqNumber::Number(_));
        matches!(self, Self::Ranges(ranges) if ranges.iter().all(|(first, last)| is_number(first) && is_number(last)))
    }

    /// The ranges in ascending order, merged, where `largest` stands for `*`; `None` for `$`. As RFC 3501 section 9
    /// wants it, the two ends of a range come in either order, and `*` is in the set even where it is lower than a
    /// range's other end.
    pub fn resolve(&self, largest: u32) -> Option<UidSet<LocalUid>> {
        let Self::Ranges(ranges) = self else { return None };
        let number = |number| match number {
            SeqNumber::Number(number) => number,
            SeqNumber::Largest => largest,
        };
        Some(UidSet::from_ranges(ranges.iter().map(|(first, last)| (number(*first), number(*last)))))
    }
}

/// Numbers in their given order, those that count on from the one before together with it: where a set must not be sorted.
pub fn runs(numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = Run> {
    let mut numbers = numbers.peekable();
    std::iter::from_fn(move || {
        let first = numbers.next()?;
        let mut last = first;
        while let Some(next) = numbers.next_if(|next| last.checked_add(1) == Some(*next)) {
            last = next;
        }
        Some(Run { first, last })
    })
}

/// `seq-number / seq-range`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    first: u32,
    last: u32,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}:{}", self.first, self.last),
        }
    }
}

/// `partial-range` (RFC 9394 section 4): places in a list of results, from its beginning or from its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialRange {
    first: u32,
    last: u32,
    from_end: bool,
}

impl PartialRange {
    /// The places among `count` results, from 0; empty where there are none.
    pub fn among(self, count: usize) -> Range<usize> {
        let place = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let (low, high) = (place(self.first.min(self.last)) - 1, place(self.first.max(self.last)));
        match self.from_end {
            false => low.min(count)..high.min(count),
            true => count.saturating_sub(high)..count.saturating_sub(low),
        }
    }
}

impl fmt::Display for PartialRange {
    /// As the client wrote it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minus = if self.from_end { "-" } else { "" };
        write!(f, "{minus}{}:{minus}{}", self.first, self.last)
    }
}

impl Parser<'_> {
    /// `sequence-set = (seq-number / seq-range) *("," sequence-set)`, `sequence-set =/ seq-last-command`
    pub fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        if self.skip(b'$') {
            return Ok(SequenceSet::Saved);
        }
        let mut ranges = Vec::new();
        loop {
            let first = self.seq_number()?;
            let last = if self.skip(b':') { self.seq_number()? } else { first };
            ranges.push((first, last));
            if !self.skip(b',') {
                return Ok(SequenceSet::Ranges(ranges));
            }
        }
    }

    /// `seq-number = nz-number / "*"`
    pub fn seq_number(&mut self) -> Parsed<SeqNumber> {
        if self.skip(b'*') { Ok(SeqNumber::Largest) } else { self.nz_number().map(SeqNumber::Number) }
    }

    /// `SP partial-range` where `partial-range-first = nz-number ":" nz-number` and
    /// `partial-range-last = MINUS nz-number ":" MINUS nz-number`
    pub fn partial_range(&mut self) -> Parsed<PartialRange> {
        self.sp()?;
        let from_end = self.skip(b'-');
        let first = self.nz_number()?;
        self.byte(b':', "\":\"")?;
        if from_end {
            self.byte(b'-', "\"-\"")?;
        }
        let last = self.nz_number()?;
        Ok(PartialRange { first, last, from_end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_resolves_against_the_largest_number() {
        let resolved = |wire: &[u8], largest| {
            let set = Parser::new(wire).sequence_set().expect("a valid set");
            set.resolve(largest).map(|set| set.to_string())
        };
        assert_eq!(resolved(b"1:3,7", 9).as_deref(), Some("1:3,7"));
        assert_eq!(resolved(b"*", 9).as_deref(), Some("9"));
        assert_eq!(resolved(b"12:*", 9).as_deref(), Some("9:12"));
        assert_eq!(resolved(b"*:4,2", 9).as_deref(), Some("2,4:9"));
        assert_eq!(resolved(b"$", 9), None);
        for wire in [&b""[..], b"0", b"1,", b":3", b"a", b"1:0", b"4294967296", b"$,1", b"1,$", b"$:2"] {
            let mut parser = Parser::new(wire);
            assert!(parser.sequence_set().and_then(|_| parser.end()).is_err(), "{}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn a_partial_range_counts_from_either_end() {
        let range = |wire: &[u8]| Parser::new(wire).partial_range().ok();
        for (wire, count, places) in [
            (&b" 1:3"[..], 10, 0..3),
            (b" 3:1", 10, 0..3),
            (b" 9:12", 10, 8..10),
            (b" 11:12", 10, 10..10),
            (b" -1:-3", 10, 7..10),
            (b" -500:-1", 10, 0..10),
            (b" -11:-12", 10, 0..0),
            (b" 4294967295:1", 2, 0..2),
        ] {
            let range = range(wire).unwrap_or_else(|| panic!("valid: {}", String::from_utf8_lossy(wire)));
            assert_eq!(range.among(count), places, "{}", String::from_utf8_lossy(wire));
            assert_eq!(format!(" {range}").as_bytes(), wire);
        }
        for wire in [&b" 0:3"[..], b" 1", b" -1:3", b" 1:-3", b" 1:*", b"1:2"] {
            assert_eq!(range(wire), None, "{}", String::from_utf8_lossy(wire));
        }
    }
}
