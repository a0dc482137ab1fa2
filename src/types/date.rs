//! Points in time as values. Nothing here reads a clock.

use chrono::format::{self, Fixed, Item, Numeric, Pad, Parsed};
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeZone, Utc};
use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `ms` milliseconds after the epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment `ms` milliseconds later.
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Parses a moment of RFC 3339 in any zone.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(|moment| Self(moment.timestamp_millis()))
    }

    /// RFC 3339 in UTC, to the second: `2026-11-23T13:49:00Z`.
    pub fn to_rfc3339(self) -> String {
        utc(self).format("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// RFC 5322 section 3.3 in UTC: `Mon, 23 Nov 2026 13:49:00 +0000`.
    pub fn to_rfc5322(self) -> String {
        utc(self).format("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }
}

fn utc(moment: Timestamp) -> DateTime<Utc> {
    Utc.timestamp_millis_opt(moment.0).single().unwrap_or(DateTime::<Utc>::UNIX_EPOCH)
}

/// `date-time` of RFC 3501 section 9, without the quotes.
const DATE_TIME: [Item<'static>; 13] = [
    Item::Numeric(Numeric::Day, Pad::Space),
    Item::Literal("-"),
    Item::Fixed(Fixed::ShortMonthName),
    Item::Literal("-"),
    Item::Numeric(Numeric::Year, Pad::Zero),
    Item::Space(" "),
    Item::Numeric(Numeric::Hour, Pad::Zero),
    Item::Literal(":"),
    Item::Numeric(Numeric::Minute, Pad::Zero),
    Item::Literal(":"),
    Item::Numeric(Numeric::Second, Pad::Zero),
    Item::Space(" "),
    Item::Fixed(Fixed::TimezoneOffset),
];

/// INTERNALDATE: seconds since the epoch with the zone it was written in (RFC 3501 section 2.3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InternalDate {
    unix_seconds: i64,
    offset_minutes: i16,
}

impl InternalDate {
    /// A date from its parts; an offset outside a day is taken as UTC.
    pub const fn new(unix_seconds: i64, offset_minutes: i16) -> Self {
        let offset_minutes = if offset_minutes.unsigned_abs() < 24 * 60 { offset_minutes } else { 0 };
        Self { unix_seconds, offset_minutes }
    }

    /// Seconds since the epoch.
    pub const fn unix_seconds(self) -> i64 {
        self.unix_seconds
    }

    /// Minutes east of UTC.
    pub const fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// The date-time of RFC 3501 section 9, without the quotes: `23-Nov-2026 13:49:00 +0000`, the day padded by a space.
    pub fn to_imap(self) -> String {
        self.zoned().format_with_items(DATE_TIME.iter()).to_string()
    }

    /// Parses the date-time of RFC 3501 section 9, without the quotes. The day may be padded by space or zero, or not.
    pub fn parse_imap(text: &str) -> Option<Self> {
        // `date-year = 4DIGIT`; chrono takes fewer.
        text.split('-').nth(2)?.split(' ').next().filter(|year| year.len() == 4)?;
        let mut parsed = Parsed::new();
        format::parse(&mut parsed, text.trim_start(), DATE_TIME.iter()).ok()?;
        let parsed = parsed.to_datetime().ok()?;
        Some(Self::new(parsed.timestamp(), (parsed.offset().local_minus_utc() / 60) as i16))
    }

    /// The calendar day in the zone it was written in: what SEARCH BEFORE, ON and SINCE compare
    /// ("disregarding time and timezone", RFC 3501 section 6.4.4).
    pub fn day(self) -> NaiveDate {
        let zoned = self.zoned();
        NaiveDate::from_ymd_opt(zoned.year(), zoned.month(), zoned.day()).unwrap_or(NaiveDate::MIN)
    }

    fn zoned(self) -> DateTime<FixedOffset> {
        let offset = FixedOffset::east_opt(i32::from(self.offset_minutes) * 60)
            .unwrap_or_else(|| FixedOffset::east_opt(0).expect("zero is a valid offset"));
        let moment = DateTime::<Utc>::from_timestamp(self.unix_seconds, 0).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
        moment.with_timezone(&offset)
    }
}

impl From<Timestamp> for InternalDate {
    fn from(moment: Timestamp) -> Self {
        Self::new(moment.unix_seconds(), 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_date_keeps_its_zone() {
        let date = InternalDate::parse_imap(" 1-Feb-2003 04:05:06 -0730").expect("a valid date");
        assert_eq!(date.to_imap(), " 1-Feb-2003 04:05:06 -0730");
        assert_eq!(InternalDate::parse_imap("01-Feb-2003 04:05:06 -0730"), Some(date));
        assert_eq!(date.day(), NaiveDate::from_ymd_opt(2003, 2, 1).expect("a valid day"));
        assert_eq!(InternalDate::parse_imap("31-Feb-2003 04:05:06 +0000"), None);
        assert_eq!(InternalDate::parse_imap("01-Feb-03 04:05:06 +0000"), None);
    }

    #[test]
    fn a_timestamp_prints_both_ways() {
        let moment = Timestamp::from_unix_ms(1_000_000_000_999);
        assert_eq!(moment.to_rfc3339(), "2001-09-09T01:46:40Z");
        assert_eq!(moment.to_rfc5322(), "Sun, 09 Sep 2001 01:46:40 +0000");
    }
}
