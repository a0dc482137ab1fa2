//! Sequence sets (RFC 3501 section 9), of message numbers or of UIDs; `*` is resolved by the session.

use super::parser::{Parsed, Parser};
use crate::types::{LocalUid, UidSet};

/// `sequence-set = (seq-number / seq-range) *("," sequence-set)`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceSet {
    ranges: Vec<(SeqNumber, SeqNumber)>,
}

/// `seq-number = nz-number / "*"`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeqNumber {
    Number(u32),
    /// The largest in use.
    Largest,
}

impl SequenceSet {
    /// The ranges in ascending order, merged, where `largest` stands for `*`. As RFC 3501 section 9 wants it, the two
    /// ends of a range come in either order, and `*` is in the set even where it is lower than a range's other end.
    pub fn resolve(&self, largest: u32) -> UidSet<LocalUid> {
        let number = |number| match number {
            SeqNumber::Number(number) => number,
            SeqNumber::Largest => largest,
        };
        UidSet::from_ranges(self.ranges.iter().map(|(first, last)| (number(*first), number(*last))))
    }
}

impl Parser<'_> {
    /// `sequence-set = (seq-number / seq-range) *("," sequence-set)`
    pub fn sequence_set(&mut self) -> Parsed<SequenceSet> {
        let mut ranges = Vec::new();
        loop {
            let first = self.seq_number()?;
            let last = if self.skip(b':') { self.seq_number()? } else { first };
            ranges.push((first, last));
            if !self.skip(b',') {
                return Ok(SequenceSet { ranges });
            }
        }
    }

    /// `seq-number = nz-number / "*"`
    fn seq_number(&mut self) -> Parsed<SeqNumber> {
        if self.skip(b'*') { Ok(SeqNumber::Largest) } else { self.nz_number().map(SeqNumber::Number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_resolves_against_the_largest_number() {
        let resolved =
            |wire: &[u8], largest| Parser::new(wire).sequence_set().map(|set| set.resolve(largest).to_string());
        assert_eq!(resolved(b"1:3,7", 9).as_deref(), Ok("1:3,7"));
        assert_eq!(resolved(b"*", 9).as_deref(), Ok("9"));
        assert_eq!(resolved(b"12:*", 9).as_deref(), Ok("9:12"));
        assert_eq!(resolved(b"*:4,2", 9).as_deref(), Ok("2,4:9"));
        for wire in [&b""[..], b"0", b"1,", b":3", b"a", b"1:0", b"4294967296"] {
            let mut parser = Parser::new(wire);
            assert!(parser.sequence_set().and_then(|_| parser.end()).is_err(), "{}", String::from_utf8_lossy(wire));
        }
    }
}
