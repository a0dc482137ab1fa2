//! The order of SORT (RFC 5256 section 3; DISPLAYFROM, DISPLAYTO: RFC 5957), as a value.

use std::cmp::Ordering;

use super::Keyed;
use crate::types::LocalUid;

/// `sort-criterion = ["REVERSE" SP] sort-key`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criterion {
    pub key: SortKey,
    pub is_reverse: bool,
}

/// `sort-key`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortKey {
    Arrival,
    Cc,
    Date,
    From,
    Size,
    Subject,
    To,
    DisplayFrom,
    DisplayTo,
}

impl SortKey {
    /// Is it one of the texts of the header?
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::Arrival | Self::Date | Self::Size)
    }
}

/// A message to be sorted: of its keys only those that are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    uid: LocalUid,
    values: Vec<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Text(String),
}

impl Row {
    pub fn new(keyed: Keyed, criteria: &[Criterion]) -> Self {
        let values = criteria.iter().map(|criterion| match criterion.key {
            SortKey::Arrival => Value::Number(keyed.internal_date.unix_seconds()),
            SortKey::Date => Value::Number(keyed.sent_s()),
            SortKey::Size => Value::Number(keyed.size_bytes.cast_signed()),
            SortKey::Cc => Value::Text(keyed.keys.cc.clone()),
            SortKey::From => Value::Text(keyed.keys.from.clone()),
            SortKey::Subject => Value::Text(keyed.keys.subject.clone()),
            SortKey::To => Value::Text(keyed.keys.to.clone()),
            SortKey::DisplayFrom => Value::Text(keyed.keys.display_from.clone()),
            SortKey::DisplayTo => Value::Text(keyed.keys.display_to.clone()),
        });
        Self { uid: keyed.uid, values: values.collect() }
    }
}

/// The messages in order. "REVERSE only reverses a single criterion, and does not affect the implicit "sequence number" sort
/// criterion if all other criteria are identical."
pub fn sorted(mut rows: Vec<Row>, criteria: &[Criterion]) -> Vec<LocalUid> {
    rows.sort_by(|one, other| {
        let by_criteria = criteria
            .iter()
            .zip(one.values.iter().zip(&other.values))
            .map(|(criterion, (one, other))| if criterion.is_reverse { other.cmp(one) } else { one.cmp(other) });
        by_criteria.fold(Ordering::Equal, Ordering::then).then(one.uid.cmp(&other.uid))
    });
    rows.into_iter().map(|row| row.uid).collect()
}
