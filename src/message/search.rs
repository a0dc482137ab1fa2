//! SEARCH as a value (RFC 3501 section 6.4.4), sequence numbers already resolved to UIDs by the session, and whether a
//! message matches.
//!
//! What is cheap is asked first: columns, then the summary, then the header, then the text. `Body` looks at the text
//! parts (nested messages' among them), `Text` at every header as well. Dates compare as days, each in the zone it was
//! written in; a message without a readable Date header was sent on no day.

use std::io;

use chrono::NaiveDate;

use super::header::{Field, fields};
use super::text::{folded, header_value, part_contains};
use super::{Body, Part, Summary};
use crate::types::{ByteSource, Flag, Flags, InternalDate, LocalUid, ModSeq, Timestamp, UidSet};

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
    /// That EMAILID, that THREADID (RFC 8474 section 6).
    EmailId(String),
    ThreadId(String),
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
    pub thread_id: Option<&'a str>,
    /// Needed where [`Query::needs_summary`].
    pub summary: Option<&'a Summary>,
    /// Read only as far as it takes to decide. `None`: not here, so that no header and no text matches.
    pub bytes: Option<&'a mut dyn ByteSource>,
}

impl Query {
    /// Does the candidate match?
    pub fn matches(&self, candidate: &mut Candidate<'_>) -> io::Result<bool> {
        Search { candidate, headers: Vec::new() }.matches(self)
    }

    /// Is more than columns asked for?
    pub fn needs_summary(&self) -> bool {
        self.cost() > Cost::Columns
    }

    fn cost(&self) -> Cost {
        match self {
            Self::And(all) => all.iter().map(Self::cost).max().unwrap_or(Cost::Columns),
            Self::Or(one, other) => one.cost().max(other.cost()),
            Self::Not(query) => query.cost(),
            Self::SentBefore(_) | Self::SentOn(_) | Self::SentSince(_) => Cost::Summary,
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

/// One evaluation; headers read once are kept for the keys that follow.
struct Search<'a, 'b> {
    candidate: &'a mut Candidate<'b>,
    headers: Vec<(u64, Vec<u8>)>,
}

impl Search<'_, '_> {
    fn matches(&mut self, query: &Query) -> io::Result<bool> {
        let received = self.candidate.internal_date.day();
        Ok(match query {
            Query::All => true,
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
            Query::Uids(uids) => uids.contains(self.candidate.uid),
            Query::Has(flag) => self.candidate.flags.contains(flag),
            Query::Before(day) => received < *day,
            Query::On(day) => received == *day,
            Query::Since(day) => received >= *day,
            Query::SentBefore(day) => self.sent().is_some_and(|sent| sent < *day),
            Query::SentOn(day) => self.sent().is_some_and(|sent| sent == *day),
            Query::SentSince(day) => self.sent().is_some_and(|sent| sent >= *day),
            Query::SavedBefore(day) => self.saved() < *day,
            Query::SavedOn(day) => self.saved() == *day,
            Query::SavedSince(day) => self.saved() >= *day,
            Query::ReceivedUntil(second) => self.candidate.internal_date.unix_seconds() <= *second,
            Query::ReceivedFrom(second) => self.candidate.internal_date.unix_seconds() >= *second,
            Query::EmailId(id) => self.candidate.email_id == id,
            Query::ThreadId(id) => self.candidate.thread_id == Some(id),
            Query::Larger(size) => self.candidate.size_bytes > *size,
            Query::Smaller(size) => self.candidate.size_bytes < *size,
            Query::ModSeq(mod_seq) => self.candidate.mod_seq >= *mod_seq,
            Query::Header { name, value } => self.header(name, &folded(value))?,
            Query::Body(text) => self.text(&folded(text), false)?,
            Query::Text(text) => self.text(&folded(text), true)?,
        })
    }

    fn sent(&self) -> Option<NaiveDate> {
        let (seconds, minutes_east) = self.candidate.summary?.envelope.sent?;
        Some(InternalDate::new(seconds, minutes_east).day())
    }

    fn saved(&self) -> NaiveDate {
        InternalDate::from(self.candidate.saved).day()
    }

    fn header(&mut self, name: &str, value: &str) -> io::Result<bool> {
        let Some(summary) = self.candidate.summary else { return Ok(false) };
        self.any_field(&summary.root, |field| {
            field.is(name) && (value.is_empty() || folded(&header_value(&field.unfolded())).contains(value))
        })
    }

    fn text(&mut self, text: &str, with_headers: bool) -> io::Result<bool> {
        match self.candidate.summary {
            Some(summary) => self.text_in(&summary.root, text, with_headers),
            None => Ok(false),
        }
    }

    fn text_in(&mut self, part: &Part, text: &str, with_headers: bool) -> io::Result<bool> {
        if with_headers && self.any_field(part, |field| field_contains(field, text))? {
            return Ok(true);
        }
        match &part.body {
            Body::Multipart(parts) if !parts.is_empty() => {
                for part in parts {
                    if self.text_in(part, text, with_headers)? {
                        return Ok(true);
                    }
                }
                Ok(text.is_empty())
            }
            Body::Message(_, root) => self.text_in(root, text, with_headers),
            // A reader of a multipart in which no parts can be found is shown all of it.
            Body::Multipart(_) => self.text_of(part, text),
            Body::Leaf if matches!(part.media_type.as_str(), "TEXT" | "MESSAGE") => self.text_of(part, text),
            Body::Leaf => Ok(text.is_empty()),
        }
    }

    fn text_of(&mut self, part: &Part, text: &str) -> io::Result<bool> {
        match &mut self.candidate.bytes {
            Some(bytes) => part_contains(part, *bytes, text),
            None => Ok(text.is_empty()),
        }
    }

    fn any_field(&mut self, part: &Part, wanted: impl Fn(&Field<'_>) -> bool) -> io::Result<bool> {
        let known = self.headers.iter().position(|(start, _)| *start == part.header_start);
        let place = match (known, &mut self.candidate.bytes) {
            (Some(place), _) => place,
            (None, None) => return Ok(false),
            (None, Some(bytes)) => {
                let header = read_header(part, *bytes)?;
                // Only the message's own is asked for again; the others are many.
                self.headers.truncate(1);
                self.headers.push((part.header_start, header));
                self.headers.len() - 1
            }
        };
        Ok(fields(&self.headers[place].1).any(|field| wanted(&field)))
    }
}

fn field_contains(field: &Field<'_>, text: &str) -> bool {
    let line = format!("{}: {}", String::from_utf8_lossy(field.name), header_value(&field.unfolded()));
    folded(&line).contains(text)
}

/// At most [`crate::types::limits::HEADER_MAX_BYTES`], by the way the scanner ends a header.
fn read_header(part: &Part, bytes: &mut dyn ByteSource) -> io::Result<Vec<u8>> {
    let length = usize::try_from(part.body_start - part.header_start).unwrap_or(usize::MAX);
    let mut header = Vec::new();
    while header.len() < length {
        let piece = bytes.read_at(part.header_start + header.len() as u64, length - header.len())?;
        if piece.is_empty() {
            break;
        }
        header.extend(piece);
    }
    Ok(header)
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
        let summary = Scanner::scan(MESSAGE.as_bytes());
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
            thread_id: None,
            summary: Some(&summary),
            bytes: Some(&mut MESSAGE.as_bytes().to_vec()),
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
            (Query::Uids(UidSet::range(LocalUid::new(1), LocalUid::new(7))), true),
            (Query::Uids(UidSet::range(LocalUid::new(8), LocalUid::new(9))), false),
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
    fn a_multipart_without_parts_is_searched_as_it_stands() {
        let message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\nNever divided\r\n";
        let summary = Scanner::scan(message);
        let part = &summary.root;
        assert!(matches!(&part.body, Body::Multipart(parts) if parts.is_empty()));
        let mut candidate = Candidate {
            uid: LocalUid::new(1),
            flags: &Flags::none(),
            mod_seq: ModSeq::new(1),
            internal_date: InternalDate::new(0, 0),
            saved: Timestamp::from_unix_ms(0),
            size_bytes: message.len() as u64,
            email_id: "M1",
            thread_id: None,
            summary: Some(&summary),
            bytes: Some(&mut message.to_vec()),
        };
        assert!(Query::Body("never DIVIDED".into()).matches(&mut candidate).expect("memory can be read"));
    }

    #[test]
    fn columns_alone_decide_where_they_can() {
        let column = Query::And(vec![Query::Larger(5), Query::Not(Box::new(Query::All))]);
        assert!(!column.needs_summary());
        assert!(Query::Or(Box::new(column), Box::new(Query::Text("x".into()))).needs_summary());
    }
}
