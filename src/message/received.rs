//! When a message came to the server that has it, as that server wrote it into the message.

use super::{date, header};
use crate::types::InternalDate;

/// The moment in the topmost Received field of a header: the one that the last server added
/// (`received = "Received:" [1*received-token] ";" date-time CRLF`, RFC 5322 section 3.6.7).
pub fn received_at(header: &[u8]) -> Option<InternalDate> {
    let field = header::fields(header).find(|field| field.is("Received"))?.unfolded();
    // A comment may hold a semicolon; a date holds none.
    let (seconds, offset_minutes) = date::parse(field.rsplit(|byte| *byte == b';').next()?)?;
    Some(InternalDate::new(seconds, offset_minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_received_field_tells_when_a_message_came() {
        let top = "Received: from a (b; c) by d\r\n\twith ESMTP; Sun, 9 Sep 2001\r\n 01:46:40 +0200 (CEST)\r\n";
        for (header, expected) in [
            (format!("Return-Path: <>\r\n{top}Received: by e; 1 Jan 2000 00:00:00 +0000\r\n\r\n"), Some(999_992_800)),
            ("RECEIVED: by d; 9 Sep 2001 01:46:40 +0000".to_owned(), Some(1_000_000_000)),
            ("Received: by d\r\nReceived: by e; 9 Sep 2001 01:46:40 +0000\r\n\r\n".to_owned(), None),
            ("Received: by d; some day\r\n\r\n".to_owned(), None),
            ("Date: 9 Sep 2001 01:46:40 +0000\r\n\r\nReceived: by d; 9 Sep 2001 01:46:40 +0000\r\n".to_owned(), None),
            (String::new(), None),
        ] {
            let received = received_at(header.as_bytes());
            assert_eq!(received.map(InternalDate::unix_seconds), expected, "{header}");
        }
        assert_eq!(received_at(top.as_bytes()).map(InternalDate::offset_minutes), Some(120));
    }
}
