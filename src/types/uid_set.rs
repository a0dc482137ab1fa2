//! Sets of UIDs as sorted ranges, in either UID space.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::{LocalUid, RemoteUid};

/// A UID space: [`LocalUid`] or [`RemoteUid`].
pub trait Uid: Copy + Ord {
    /// The UID with this number.
    fn from_number(number: u32) -> Self;
    /// Its number.
    fn number(self) -> u32;
}

impl Uid for LocalUid {
    fn from_number(number: u32) -> Self {
        Self::new(number)
    }
    fn number(self) -> u32 {
        self.get()
    }
}
impl Uid for RemoteUid {
    fn from_number(number: u32) -> Self {
        Self::new(number)
    }
    fn number(self) -> u32 {
        self.get()
    }
}

/// A set of UIDs: disjoint inclusive ranges in ascending order, never adjacent. `Display` gives the shortest
/// uid-set of RFC 4315 section 4, in which `*` does not occur.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UidSet<U> {
    ranges: Vec<(u32, u32)>,
    #[serde(skip)]
    space: PhantomData<U>,
}

impl<U: Uid> UidSet<U> {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: Vec::new(), space: PhantomData }
    }

    /// `first..=last`; in either order, as RFC 3501 section 9 (seq-range) wants it.
    pub fn range(first: U, last: U) -> Self {
        let (low, high) = (first.min(last).number(), first.max(last).number());
        Self { ranges: vec![(low, high)], space: PhantomData }
    }

    /// Parses a uid-set without `*` (RFC 4315 section 4).
    pub fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| *number > 0 && !text.starts_with('+'));
        let range = |text: &str| match text.split_once(':') {
            Some((first, last)) => Some((number(first)?, number(last)?)),
            None => number(text).map(|only| (only, only)),
        };
        let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>()?;
        Some(Self::from_ranges(ranges))
    }

    /// From ranges in any order, each end inclusive.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut sorted: Vec<(u32, u32)> = ranges.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
        for (low, high) in sorted {
            match merged.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => merged.push((low, high)),
            }
        }
        Self { ranges: merged, space: PhantomData }
    }

    /// The ranges, ascending, both ends inclusive.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }

    /// Is it in the set?
    pub fn contains(&self, uid: U) -> bool {
        let number = uid.number();
        let after = self.ranges.partition_point(|(low, _)| *low <= number);
        after > 0 && self.ranges[after - 1].1 >= number
    }

    /// Is the set empty?
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many UIDs are in the set.
    pub fn len(&self) -> u64 {
        self.ranges.iter().map(|(low, high)| u64::from(high - low) + 1).sum()
    }

    /// Every UID, ascending. A foreign set may hold four thousand million: intersect before iterating.
    pub fn iter(&self) -> impl Iterator<Item = U> + '_ {
        self.ranges.iter().flat_map(|(low, high)| (*low..=*high).map(U::from_number))
    }

    /// The greatest.
    pub fn last(&self) -> Option<U> {
        self.ranges.last().map(|(_, high)| U::from_number(*high))
    }

    /// Those UIDs of the set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::new();
        let mut at = 0;
        for &(low, high) in &self.ranges {
            // The next number to be kept; `None` above the greatest.
            let mut next = Some(low);
            while let Some(&(from, to)) = other.ranges.get(at).filter(|(from, _)| *from <= high) {
                left.extend(next.filter(|next| *next < from).map(|next| (next, from - 1)));
                next = next.and_then(|next| Some(next.max(to.checked_add(1)?)));
                if to > high {
                    break;
                }
                at += 1;
            }
            left.extend(next.filter(|next| *next <= high).map(|next| (next, high)));
        }
        Self { ranges: left, space: PhantomData }
    }

    /// Those UIDs of the set that are in `other` too.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.difference(&self.difference(other))
    }

    /// Pieces whose text is at most `max_bytes` long each: servers limit the command line (QUIRKS.md row 40).
    pub fn split(&self, max_bytes: usize) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut piece = Vec::new();
        let mut bytes = 0;
        for range in &self.ranges {
            let cost = digits(range.0) + if range.0 == range.1 { 0 } else { 1 + digits(range.1) } + 1;
            if bytes + cost > max_bytes && !piece.is_empty() {
                pieces.push(Self { ranges: std::mem::take(&mut piece), space: PhantomData });
                bytes = 0;
            }
            bytes += cost;
            piece.push(*range);
        }
        if !piece.is_empty() {
            pieces.push(Self { ranges: piece, space: PhantomData });
        }
        pieces
    }
}

fn digits(number: u32) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

impl<U: Uid> Default for UidSet<U> {
    fn default() -> Self {
        Self::new()
    }
}
impl<U: Uid> FromIterator<U> for UidSet<U> {
    fn from_iter<I: IntoIterator<Item = U>>(uids: I) -> Self {
        Self::from_ranges(uids.into_iter().map(|uid| (uid.number(), uid.number())))
    }
}
impl<U: Uid> fmt::Display for UidSet<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.ranges.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match low == high {
                true => write!(f, "{comma}{low}")?,
                false => write!(f, "{comma}{low}:{high}")?,
            }
        }
        Ok(())
    }
}
impl<U: Uid> fmt::Debug for UidSet<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UidSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> UidSet<LocalUid> {
        UidSet::parse(text).expect("a valid set")
    }

    #[test]
    fn ranges_in_any_order_become_the_shortest_set() {
        assert_eq!(set("9,5:3,4,10:12,1").to_string(), "1,3:5,9:12");
        assert_eq!(set("9,5:3").len(), 4);
        assert!(set("1:3,7").contains(LocalUid::new(7)));
        assert!(!set("1:3,7").contains(LocalUid::new(6)));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for text in ["", "0", "1,", "a", "1:*", "+1", "4294967296", "1:2:3"] {
            assert_eq!(UidSet::<LocalUid>::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_difference_keeps_what_only_the_first_has() {
        let rows = [
            ("1:9", "3,5:6", "1:2,4,7:9"),
            ("5:6", "1:9", ""),
            ("1:3,7:9", "2:8", "1,9"),
            ("4:4294967295", "6:4294967295", "4:5"),
            ("1:4294967295", "1:4294967295", ""),
            ("2,4,6", "1,3,5,7", "2,4,6"),
            ("1:2,5,8:9", "5:8", "1:2,9"),
        ];
        for (first, second, left) in rows {
            assert_eq!(set(first).difference(&set(second)).to_string(), left, "{first} without {second}");
        }
    }

    #[test]
    fn a_split_set_fits_the_line_and_loses_nothing() {
        let whole: UidSet<LocalUid> = (1..400).step_by(2).map(LocalUid::new).collect();
        let pieces = whole.split(100);
        assert!(pieces.iter().all(|piece| piece.to_string().len() <= 100));
        assert_eq!(UidSet::from_ranges(pieces.iter().flat_map(|piece| piece.ranges().to_vec())), whole);
    }
}
