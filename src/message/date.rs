//! The Date header (RFC 5322 section 3.3), obsolete forms and usual mistakes included.

use chrono::NaiveDate;

/// Seconds since the epoch and minutes east, where the date can be read.
pub(super) fn parse(value: &[u8]) -> Option<(i64, i16)> {
    let text = String::from_utf8_lossy(value);
    // "If the time zone is invalid, the date and time SHOULD be treated as UTC. If the time is also invalid, the time SHOULD
    // be treated as 00:00:00" (RFC 5256 section 2.2).
    let words: Vec<&str> = text.split_whitespace().skip_while(|word| word.ends_with(',')).collect();
    let is_number = |place: usize| words.get(place).is_some_and(|word| word.parse::<u16>().is_ok());
    let first = |count: usize| words.get(..count).filter(|_| is_number(0) && is_number(2)).map(|words| words.join(" "));
    let without_zone = || valid(&format!("{} +0000", first(4)?));
    let without_time = || valid(&format!("{} 00:00:00 +0000", first(3)?));
    let date = valid(&text).or_else(without_zone).or_else(without_time)?;
    let minutes = i16::from(date.tz_hour) * 60 + i16::from(date.tz_minute);
    Some((date.to_timestamp(), if date.tz_before_gmt { -minutes } else { minutes }))
}

fn valid(text: &str) -> Option<mail_parser::DateTime> {
    let is_a_day = |date: &mail_parser::DateTime| {
        NaiveDate::from_ymd_opt(date.year.into(), date.month.into(), date.day.into()).is_some()
    };
    mail_parser::DateTime::parse_rfc822(text).filter(|date| date.is_valid() && is_a_day(date))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_people_write_them() {
        for (value, expected) in [
            ("Mon, 23 Nov 2026 13:49:00 +0100", Some((1_795_438_140, 60))),
            ("23 Nov 2026 13:49 -0730", Some((1_795_468_740, -450))),
            ("Sun, 9 Sep 01 01:46:40 GMT", Some((1_000_000_000, 0))),
            ("Sun, 9 Sep 2001 01:46:40 EST", Some((1_000_018_000, -300))),
            ("Sun (a comment), 9 Sep 2001 01:46:40 +0000 (UTC)", Some((1_000_000_000, 0))),
            ("Sun, 9 Sep 2001 01:46:40 XYZ", Some((1_000_000_000, 0))),
            ("Sun, 9 Sep 2001 01:46:40", Some((1_000_000_000, 0))),
            ("Sun, 9 Sep 2001 25:61:00 +0100", Some((999_993_600, 0))),
            ("9 Sep 2001", Some((999_993_600, 0))),
            ("Sat Sep 21 08:18:08 2002", None),
            ("31 Feb 2001", None),
            ("no date at all", None),
            ("", None),
        ] {
            assert_eq!(parse(value.as_bytes()), expected, "{value:?}");
        }
    }
}
