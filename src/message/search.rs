//! SEARCH as a value (RFC 3501 section 6.4.4), sequence numbers already resolved to UIDs by the session, and whether a
//! message matches.
//!
//! What is cheap is asked first: columns, then the summary, then the header, then the text. `Body` looks at the text
//! parts (nested messages' among them), `Text` at every header as well. Dates compare as days, each in the zone it was
//! written in; a message without a readable Date header was sent on no day.

use std::io;
use std::sync::Arc;

use chrono::NaiveDate;

use super::fold::folded;
use super::header::fields;
use super::{Body, Part, Summary, searched};
use crate::types::{ByteSource, Flag, Flags, InternalDate, LocalUid, ModSeq, Timestamp, UidSet};

/// A search program. Texts are UTF-8, matched as substrings without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    All,
    And(Vec<Query>),
    Or(Box<Query>, Box<Query>),
    Not(Box<Query>),
    /// Shared, as one set may be named many times.
    Uids(Arc<UidSet<LocalUid>>),
    Has(Flag),
    /// INTERNALDATE's day is before / on / since.
    Before(NaiveDate),
    On(NaiveDate),
    Since(NaiveDate),
    /// The Date header's day is before / on / since.
    SentBefore(NaiveDate),
    SentOn(NaiveDate),
    SentSince(NaiveDate),
    /// It came into its mailbox before / on / since that day (RFC 8514 section 4.3).
    SavedBefore(NaiveDate),
    SavedOn(NaiveDate),
    SavedSince(NaiveDate),
    /// INTERNALDATE is at or before / at or after that second since the epoch (RFC 5032).
    ReceivedUntil(i64),
    ReceivedFrom(i64),
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
    /// That EMAILID (RFC 8474 section 6).
    EmailId(String),
    /// That THREADID: the engine turns it into UIDs before anybody is asked.
    ThreadId(String),
    /// Some part is there to be saved rather than read.
    HasAttachment,
}

/// A message to be searched.
pub struct Candidate<'a> {
    pub uid: LocalUid,
    pub flags: &'a Flags,
    pub mod_seq: ModSeq,
    pub internal_date: InternalDate,
    pub saved: Timestamp,
    pub size_bytes: u64,
    pub email_id: &'a str,
    /// Needed where [`Self::says`] does not decide.
    pub summary: Option<&'a Summary>,
    /// Read only as far as it takes to decide. `None`: not here, so that no header and no text matches.
    pub bytes: Option<&'a mut dyn ByteSource>,
    /// What an index says of keys that read text.
    pub indexed: &'a dyn Fn(&Query) -> Option<bool>,
}

/// No index.
pub const UNINDEXED: &dyn Fn(&Query) -> Option<bool> = &|_| None;

impl Query {
    /// Does the candidate match?
    pub fn matches(&self, candidate: &mut Candidate<'_>) -> io::Result<bool> {
        Search { candidate, header: None }.matches(self)
    }

    /// What follows from what is known of its keys.
    pub fn decided_by(&self, known: &dyn Fn(&Self) -> Option<bool>) -> Option<bool> {
        match self {
            Self::All => Some(true),
            Self::And(all) => {
                let parts = || all.iter().map(|query| query.decided_by(known));
                let decided = parts().try_fold(true, |so_far, part| match part {
                    Some(false) => Err(()),
                    part => Ok(so_far && part.is_some()),
                });
                decided.map_or(Some(false), |all| all.then_some(true))
            }
            Self::Or(one, other) => match (one.decided_by(known), other.decided_by(known)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(query) => query.decided_by(known).map(|matches| !matches),
            key => known(key),
        }
    }

    /// Its keys that read text, each once.
    pub fn text_keys(&self) -> Vec<&Self> {
        let mut keys = match self {
            Self::And(all) => all.iter().flat_map(Self::text_keys).collect(),
            Self::Or(one, other) => [one.text_keys(), other.text_keys()].concat(),
            Self::Not(query) => query.text_keys(),
            Self::Header { .. } | Self::Body(_) | Self::Text(_) => vec![self],
            _ => Vec::new(),
        };
        let mut before = Vec::new();
        keys.retain(|key| {
            !before.contains(key) && {
                before.push(*key);
                true
            }
        });
        keys
    }

    fn cost(&self) -> Cost {
        match self {
            Self::And(all) => all.iter().map(Self::cost).max().unwrap_or(Cost::Columns),
            Self::Or(one, other) => one.cost().max(other.cost()),
            Self::Not(query) => query.cost(),
            Self::SentBefore(_) | Self::SentOn(_) | Self::SentSince(_) | Self::HasAttachment => Cost::Summary,
            Self::Header { .. } => Cost::Header,
            Self::Body(_) | Self::Text(_) => Cost::Text,
            Self::All
            | Self::Uids(_)
            | Self::Has(_)
            | Self::Before(_)
            | Self::On(_)
            | Self::Since(_)
            | Self::SavedBefore(_)
            | Self::SavedOn(_)
            | Self::SavedSince(_)
            | Self::ReceivedUntil(_)
            | Self::ReceivedFrom(_)
            | Self::EmailId(_)
            | Self::ThreadId(_)
            | Self::Larger(_)
            | Self::Smaller(_)
            | Self::ModSeq(_) => Cost::Columns,
        }
    }
}

/// What must be looked at, from cheap to dear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cost {
    Columns,
    Summary,
    Header,
    Text,
}

impl Candidate<'_> {
    /// What its columns, or the index, say of a key.
    pub fn says(&self, key: &Query) -> Option<bool> {
        let received = self.internal_date.day();
        let saved = || InternalDate::from(self.saved).day();
        Some(match key {
            Query::Uids(uids) => uids.contains(self.uid),
            Query::Has(flag) => self.flags.contains(flag),
            Query::Before(day) => received < *day,
            Query::On(day) => received == *day,
            Query::Since(day) => received >= *day,
            Query::SavedBefore(day) => saved() < *day,
            Query::SavedOn(day) => saved() == *day,
            Query::SavedSince(day) => saved() >= *day,
            Query::ReceivedUntil(second) => self.internal_date.unix_seconds() <= *second,
            Query::ReceivedFrom(second) => self.internal_date.unix_seconds() >= *second,
            Query::EmailId(id) => self.email_id == id,
            // Of none, as far as a message by itself can tell.
            Query::ThreadId(_) => false,
            Query::Larger(size) => self.size_bytes > *size,
            Query::Smaller(size) => self.size_bytes < *size,
            Query::ModSeq(mod_seq) => self.mod_seq >= *mod_seq,
            Query::Header { .. } | Query::Body(_) | Query::Text(_) => return (self.indexed)(key),
            Query::SentBefore(_) | Query::SentOn(_) | Query::SentSince(_) | Query::HasAttachment => return None,
            Query::All | Query::And(_) | Query::Or(..) | Query::Not(_) => return None,
        })
    }
}

/// One evaluation; the header, once read, is kept for the keys that follow.
struct Search<'a, 'b> {
    candidate: &'a mut Candidate<'b>,
    header: Option<Vec<u8>>,
}

impl Search<'_, '_> {
    fn matches(&mut self, query: &Query) -> io::Result<bool> {
        if let Some(known) = self.candidate.says(query) {
            return Ok(known);
        }
        Ok(match query {
            Query::And(all) => {
                let mut cheap_first: Vec<&Query> = all.iter().collect();
                cheap_first.sort_by_key(|query| query.cost());
                for query in cheap_first {
                    if !self.matches(query)? {
                        return Ok(false);
                    }
                }
                true
            }
            Query::Or(one, other) => {
                let (first, second) = if one.cost() <= other.cost() { (one, other) } else { (other, one) };
                self.matches(first)? || self.matches(second)?
            }
            Query::Not(query) => !self.matches(query)?,
            Query::SentBefore(day) => self.sent().is_some_and(|sent| sent < *day),
            Query::SentOn(day) => self.sent().is_some_and(|sent| sent == *day),
            Query::SentSince(day) => self.sent().is_some_and(|sent| sent >= *day),
            Query::HasAttachment => self.candidate.summary.is_some_and(|summary| has_attachment(&summary.root)),
            Query::Header { name, value } => self.header(name, &folded(value))?,
            Query::Body(text) => self.text(&folded(text), false)?,
            Query::Text(text) => self.text(&folded(text), true)?,
            // Columns say all of the others.
            _ => true,
        })
    }

    fn sent(&self) -> Option<NaiveDate> {
        let (seconds, minutes_east) = self.candidate.summary?.envelope.sent?;
        Some(InternalDate::new(seconds, minutes_east).day())
    }

    fn header(&mut self, name: &str, value: &str) -> io::Result<bool> {
        let Some(summary) = self.candidate.summary else { return Ok(false) };
        let header = match (self.header.take(), &mut self.candidate.bytes) {
            (Some(header), _) => header,
            (None, Some(bytes)) => searched::header(&summary.root, *bytes)?,
            (None, None) => return Ok(false),
        };
        let is_found = fields(&header)
            .any(|field| field.is(name) && (value.is_empty() || searched::value(&field).contains(value)));
        self.header = Some(header);
        Ok(is_found)
    }

    fn text(&mut self, text: &str, with_headers: bool) -> io::Result<bool> {
        let Some(summary) = self.candidate.summary else { return Ok(false) };
        match &mut self.candidate.bytes {
            // It is in every text, an empty one included.
            _ if text.is_empty() => Ok(true),
            Some(bytes) => searched::contains(summary, *bytes, with_headers, text),
            None => Ok(false),
        }
    }
}

/// What says so itself, messages within the message, and what is no text and not shown within one.
fn has_attachment(part: &Part) -> bool {
    let disposition = part.disposition.as_ref().map(|disposition| disposition.kind.as_str());
    match &part.body {
        _ if disposition == Some("ATTACHMENT") => true,
        // What is related to the first part is shown within it (RFC 2387).
        Body::Multipart(parts) if part.media_subtype == "RELATED" => parts.first().is_some_and(has_attachment),
        Body::Multipart(parts) => parts.iter().any(has_attachment),
        Body::Message(..) => true,
        Body::Leaf => {
            let is_signature = part.media_subtype.ends_with("SIGNATURE");
            part.media_type != "TEXT" && part.media_type != "MESSAGE" && disposition.is_none() && !is_signature
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scanner;
    use crate::types::SystemFlag;

    const MESSAGE: &str = concat!(
        "From: Alpha <a@example.org>\r\n",
        "Subject: =?utf-8?Q?gr=C3=BCn?= topic\r\n",
        "Date: Mon, 23 Nov 2026 23:30:00 -0500\r\n",
        "X-Empty:\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n",
        "\r\n",
        "preamble\r\n",
        "--b\r\n",
        "Content-Type: text/plain; name=\"named.txt\"; charset=utf-8\r\n",
        "\r\n",
        "plain text\r\n",
        "--b\r\n",
        "Content-Type: application/octet-stream\r\n",
        "\r\n",
        "binary\r\n",
        "--b\r\n",
        "Content-Type: message/rfc822\r\n",
        "\r\n",
        "Subject: inner\r\n",
        "\r\n",
        "nested text\r\n",
        "--b--\r\n",
    );

    fn matches(query: &Query) -> bool {
        found_in(MESSAGE.as_bytes(), query)
    }

    fn found_in(message: &[u8], query: &Query) -> bool {
        let summary = Scanner::scan(message);
        let mut flags = Flags::none();
        flags.insert(Flag::System(SystemFlag::Seen));
        let mut candidate = Candidate {
            uid: LocalUid::new(7),
            flags: &flags,
            mod_seq: ModSeq::new(5),
            internal_date: InternalDate::new(1_000_000_000, 0),
            saved: Timestamp::from_unix_ms(1_000_000_000_000),
            size_bytes: 1000,
            email_id: "M1",
            summary: Some(&summary),
            bytes: Some(&mut message.to_vec()),
            indexed: UNINDEXED,
        };
        query.matches(&mut candidate).expect("memory can be read")
    }

    fn day(year: i32, month: u32, day: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(year, month, day).expect("a valid day")
    }

    fn header(name: &str, value: &str) -> Query {
        Query::Header { name: name.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn each_key_says_what_it_should() {
        let seen = || Query::Has(Flag::System(SystemFlag::Seen));
        let received = day(2001, 9, 9);
        let sent = day(2026, 11, 23);
        for (query, expected) in [
            (Query::All, true),
            (Query::And(vec![]), true),
            (Query::And(vec![Query::Body("absent".into()), seen()]), false),
            (Query::Or(Box::new(Query::Body("absent".into())), Box::new(seen())), true),
            (Query::Not(Box::new(seen())), false),
            (Query::Uids(Arc::new(UidSet::range(LocalUid::new(1), LocalUid::new(7)))), true),
            (Query::Uids(Arc::new(UidSet::range(LocalUid::new(8), LocalUid::new(9)))), false),
            (Query::Before(received), false),
            (Query::Before(day(2001, 9, 10)), true),
            (Query::On(received), true),
            (Query::Since(received), true),
            (Query::Since(day(2001, 9, 10)), false),
            (Query::SavedOn(received), true),
            (Query::SavedBefore(received), false),
            (Query::SavedSince(day(2001, 9, 10)), false),
            (Query::ReceivedUntil(1_000_000_000), true),
            (Query::ReceivedUntil(999_999_999), false),
            (Query::ReceivedFrom(1_000_000_000), true),
            (Query::ReceivedFrom(1_000_000_001), false),
            (Query::EmailId("M1".into()), true),
            (Query::EmailId("m1".into()), false),
            (Query::ThreadId("T1".into()), false),
            (Query::SentOn(sent), true),
            (Query::SentBefore(sent), false),
            (Query::SentSince(day(2026, 11, 24)), false),
            (Query::HasAttachment, true),
            (Query::Larger(1000), false),
            (Query::Larger(999), true),
            (Query::Smaller(1000), false),
            (Query::ModSeq(ModSeq::new(5)), true),
            (Query::ModSeq(ModSeq::new(6)), false),
            (header("SUBJECT", "GRÜN Topic"), true),
            (header("subject", "inner"), false),
            (header("X-Empty", ""), true),
            (header("X-Absent", ""), false),
            (header("from", "alpha <A@"), true),
            (Query::Body("Plain".into()), true),
            (Query::Body("nested".into()), true),
            (Query::Body("binary".into()), false),
            (Query::Body("preamble".into()), false),
            (Query::Body("inner".into()), false),
            (Query::Body("named.txt".into()), false),
            (Query::Body(String::new()), true),
            (Query::Text("named.txt".into()), true),
            (Query::Text("subject: inner".into()), true),
            (Query::Text("nested".into()), true),
            (Query::Text("absent".into()), false),
        ] {
            assert_eq!(matches(&query), expected, "{query:?}");
        }
    }

    #[test]
    fn an_address_is_found_as_envelope_has_it_and_as_it_is_written() {
        let message = concat!(
            "From: \"a \\\"b\\\" c\" <\"first..last\" (at) @ (a) example . org>\r\n",
            "To: friends: \"x\"@one.example, y (=?utf-8?Q?gr=C3=BCn?=)@two.example;\r\n",
            "Subject: \"z\"@three.example\r\n",
            "\r\n",
        );
        for (name, value, expected) in [
            ("From", "first..last@EXAMPLE.org", true),
            ("From", "a \"b\" c", true),
            ("From", "last\" (at) @ (a)", true),
            ("From", "c <first", false),
            ("To", "x@one.example", true),
            ("To", "y@two.example", true),
            ("To", "friends: \"x", true),
            ("To", "x@one.example, y", false),
            ("Subject", "z@three.example", false),
        ] {
            let is_found = found_in(message.as_bytes(), &header(name, value));
            assert_eq!(is_found, expected, "{value} in {name}");
            assert!(!is_found || found_in(message.as_bytes(), &Query::Text(value.into())), "{value}");
        }
    }

    #[test]
    fn a_multipart_without_parts_is_searched_as_it_stands() {
        let message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\nNever divided\r\n";
        assert!(matches!(&Scanner::scan(message).root.body, Body::Multipart(parts) if parts.is_empty()));
        assert!(found_in(message, &Query::Body("never DIVIDED".into())));
    }

    #[test]
    fn what_is_known_of_keys_decides_where_it_can() {
        let (yes, no, open) = (|| Query::Larger(1), || Query::Smaller(1), || Query::Text("x".into()));
        let known = |key: &Query| match key {
            Query::Larger(_) => Some(true),
            Query::Smaller(_) => Some(false),
            _ => None,
        };
        let not = |query| Query::Not(Box::new(query));
        let or = |one, other| Query::Or(Box::new(one), Box::new(other));
        for (query, expected) in [
            (Query::All, Some(true)),
            (Query::And(vec![]), Some(true)),
            (Query::And(vec![yes(), open()]), None),
            (Query::And(vec![open(), no()]), Some(false)),
            (Query::And(vec![yes(), not(no())]), Some(true)),
            (or(open(), yes()), Some(true)),
            (or(no(), open()), None),
            (or(no(), no()), Some(false)),
            (not(open()), None),
        ] {
            assert_eq!(query.decided_by(&known), expected, "{query:?}");
        }
    }
}
