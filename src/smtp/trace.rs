//! Trace fields: what a server that takes responsibility for a message puts in front of it (RFC 5321 section 4.4).

use super::address::{self, Address};
use crate::types::{Timestamp, TlsFacts};

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// What the client called itself.
    pub helo: String,
    /// It said EHLO, not HELO.
    pub extended: bool,
    /// Its address, for instance `192.0.2.1` or `2001:db8::1`.
    pub peer: String,
    pub tls: Option<TlsFacts>,
    /// Who logged in.
    pub user: Option<String>,
    /// It came by LMTP.
    pub is_lmtp: bool,
    /// MAIL asked for SMTPUTF8.
    pub smtp_utf8: bool,
}

impl Trace {
    /// The protocol as registered (RFC 3848; RFC 6531 section 3.7.3).
    pub fn protocol(&self) -> String {
        let name = match (self.is_lmtp, self.smtp_utf8, self.extended) {
            (true, false, _) => "LMTP",
            (true, true, _) => "UTF8LMTP",
            (false, true, _) => "UTF8SMTP",
            (false, false, true) => "ESMTP",
            (false, false, false) => return "SMTP".to_owned(),
        };
        let tls = if self.tls.is_some() { "S" } else { "" };
        let login = if self.user.is_some() { "A" } else { "" };
        format!("{name}{tls}{login}")
    }

    /// The Received field, line ends included. The recipient is named only where there is one: to name several would
    /// show blind copies (RFC 5321 section 7.6).
    pub fn received(&self, by: &str, recipients: &[Address], now: Timestamp) -> String {
        let literal = if self.peer.contains(':') { format!("IPv6:{}", self.peer) } else { self.peer.clone() };
        let from = match self.helo.is_ascii() && address::is_domain_or_literal(&self.helo) {
            true => format!("{} ([{literal}])", self.helo),
            // What is no domain cannot stand there: the address does instead (RFC 5321 section 4.4). Nor can what a
            // client without UTF-8 would be shown as encoded-words, which Received has none of (RFC 2047 section 5).
            false => format!("[{literal}]"),
        };
        let tls = match &self.tls {
            Some(facts) if !facts.cipher_suite.is_empty() => {
                format!("\r\n\t({} {})", facts.version, facts.cipher_suite)
            }
            _ => String::new(),
        };
        let recipient = match recipients {
            [only] if only.is_ascii() => format!("\r\n\tfor <{only}>"),
            _ => String::new(),
        };
        format!(
            "Received: from {from}\r\n\tby {by} with {}{tls}{recipient};\r\n\t{}\r\n",
            self.protocol(),
            now.to_rfc5322()
        )
    }
}

/// The Return-Path field of final delivery, line end included.
pub fn return_path(sender: Option<&Address>) -> String {
    format!("Return-Path: <{}>\r\n", sender.map(Address::as_str).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blind_copy_is_not_told_in_the_trace() {
        let (helo, peer) = ("mx.example".to_owned(), "2001:db8::1".to_owned());
        let trace = Trace { helo, extended: true, peer, tls: None, user: None, is_lmtp: false, smtp_utf8: false };
        let [a, b] = ["a@x", "b@x"].map(|text| Address::parse(text).expect("valid"));
        let now = Timestamp::from_unix_ms(1_000_000_000_000);
        assert_eq!(
            trace.received("here", std::slice::from_ref(&a), now),
            "Received: from mx.example ([IPv6:2001:db8::1])\r\n\tby here with ESMTP\r\n\tfor <a@x>;\r\n\tSun, 09 Sep 2001 01:46:40 +0000\r\n"
        );
        assert!(!trace.received("here", &[a, b], now).contains(" for "));
    }

    #[test]
    fn the_protocol_is_told_and_the_trace_is_ascii() {
        let now = Timestamp::from_unix_ms(1_000_000_000_000);
        let user = Some("me".to_owned());
        let plain = Trace {
            helo: "\u{fc}.example".to_owned(),
            extended: true,
            peer: "192.0.2.1".to_owned(),
            tls: None,
            user: None,
            is_lmtp: false,
            smtp_utf8: true,
        };
        let to = Address::parse("\u{fc}@x.example").expect("valid");
        let received = plain.received("here", &[to], now);
        assert_eq!(
            received,
            "Received: from [192.0.2.1]\r\n\tby here with UTF8SMTP;\r\n\tSun, 09 Sep 2001 01:46:40 +0000\r\n"
        );
        let tls = Some(TlsFacts::default());
        for (trace, expected) in [
            (Trace { user: user.clone(), ..plain.clone() }, "UTF8SMTPA"),
            (Trace { tls: tls.clone(), user: user.clone(), ..plain.clone() }, "UTF8SMTPSA"),
            (Trace { is_lmtp: true, ..plain.clone() }, "UTF8LMTP"),
            (Trace { is_lmtp: true, smtp_utf8: false, tls: tls.clone(), ..plain.clone() }, "LMTPS"),
            (Trace { smtp_utf8: false, tls, user, ..plain.clone() }, "ESMTPSA"),
            (Trace { smtp_utf8: false, extended: false, ..plain }, "SMTP"),
        ] {
            assert_eq!(trace.protocol(), expected);
        }
    }
}
