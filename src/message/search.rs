//! SEARCH as a value (RFC 3501 section 6.4.4), sequence numbers already resolved to UIDs by the session.

use chrono::NaiveDate;

use crate::types::{Flag, LocalUid, ModSeq, UidSet};

/// A search program. Texts are UTF-8, matched as substrings without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    All,
    And(Vec<Query>),
    Or(Box<Query>, Box<Query>),
    Not(Box<Query>),
    Uids(UidSet<LocalUid>),
    Has(Flag),
    /// INTERNALDATE's day is before / on / since.
    Before(NaiveDate),
    On(NaiveDate),
    Since(NaiveDate),
    /// The Date header's day is before / on / since.
    SentBefore(NaiveDate),
    SentOn(NaiveDate),
    SentSince(NaiveDate),
    Larger(u64),
    Smaller(u64),
    /// A header field of that name exists and its decoded value holds the text; an empty text asks for existence only.
    Header {
        name: String,
        value: String,
    },
    /// The decoded text of the body parts.
    Body(String),
    /// Header or body.
    Text(String),
    /// The mod-sequence is at least this (RFC 7162 section 3.1.5).
    ModSeq(ModSeq),
}
