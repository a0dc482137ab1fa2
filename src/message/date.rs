//! The Date header (RFC 5322 section 3.3), obsolete forms and usual mistakes included.

/// Seconds since the epoch and minutes east, where the date can be read.
pub(super) fn parse(value: &[u8]) -> Option<(i64, i16)> {
    let date = mail_parser::DateTime::parse_rfc822(&String::from_utf8_lossy(value))?;
    if !date.is_valid() {
        return None;
    }
    let minutes = i16::from(date.tz_hour) * 60 + i16::from(date.tz_minute);
    Some((date.to_timestamp(), if date.tz_before_gmt { -minutes } else { minutes }))
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
            ("31 Feb 2001", None),
            ("no date at all", None),
            ("", None),
        ] {
            assert_eq!(parse(value.as_bytes()), expected, "{value:?}");
        }
    }
}
