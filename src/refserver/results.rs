//! What was found out about a sender, as an Authentication-Results field (RFC 8601 section 2.2). Pure.
//!
//! Rules: every value is ASCII, and a token, a quoted string, or an address of both that needs no quoting; what a stranger
//! wrote goes nowhere else. So nothing has to be converted for a client without UTF-8 (RFC 6857), and no value can end early.

use mail_auth::common::to_a_label;
use mail_auth::dmarc::Policy;
use mail_auth::{DkimResult, DmarcOutput, DmarcResult, SpfResult};

use super::author::NoAuthor;
use super::senders::Client;

/// A field under construction.
pub(super) struct Results(String);

impl Results {
    /// By whom.
    pub(super) fn of(hostname: &str) -> Self {
        Self(format!("Authentication-Results: {}", value(&to_a_label(hostname))))
    }

    /// The null reverse-path is checked by the name in EHLO, and says so (RFC 8601 section 2.7.2).
    pub(super) fn spf(self, result: &SpfResult, client: &Client) -> Self {
        let word = match result {
            SpfResult::Pass => "pass",
            SpfResult::Fail => "fail",
            SpfResult::SoftFail => "softfail",
            SpfResult::Neutral => "neutral",
            SpfResult::TempError => "temperror",
            SpfResult::PermError => "permerror",
            SpfResult::None => "none",
        };
        let identity = match client.mail_from.rsplit_once('@') {
            None => format!("smtp.helo={}", value(&to_a_label(&client.helo))),
            Some((local, domain)) => {
                let domain = to_a_label(domain);
                let local = Some(local).filter(|local| !local.is_empty() && local.bytes().all(is_plain));
                match local.filter(|_| domain.bytes().all(is_plain)) {
                    Some(local) => format!("smtp.mailfrom={local}@{domain}"),
                    // The domain is what was checked.
                    None => format!("smtp.mailfrom={}", value(&domain)),
                }
            }
        };
        self.add(&format!("spf={word} {identity}"))
    }

    /// Of one signature; without one there is `None`.
    pub(super) fn dkim(self, result: &DkimResult, signed: Option<(&str, &str)>) -> Self {
        let (word, reason) = match result {
            DkimResult::Pass => ("pass", None),
            DkimResult::Neutral(error) => ("neutral", Some(error)),
            DkimResult::Fail(error) => ("fail", Some(error)),
            DkimResult::PermError(error) => ("permerror", Some(error)),
            DkimResult::TempError(error) => ("temperror", Some(error)),
            DkimResult::None => ("none", None),
        };
        let reason = reason.map(|error| because(&error.to_string())).unwrap_or_default();
        let signed = signed.map(|(domain, selector)| {
            format!(" header.d={} header.s={}", value(&to_a_label(domain)), value(&to_a_label(selector)))
        });
        self.add(&format!("dkim={word}{reason}{}", signed.unwrap_or_default()))
    }

    /// Of one domain in From.
    pub(super) fn dmarc(self, output: &DmarcOutput, domain: &str) -> Self {
        let word = match output.result() {
            DmarcResult::Pass => "pass",
            DmarcResult::Fail(_) => "fail",
            DmarcResult::TempError(_) => "temperror",
            DmarcResult::PermError(_) => "permerror",
            DmarcResult::None => "none",
        };
        let policy = match output.policy() {
            Policy::Reject => "reject",
            Policy::Quarantine => "quarantine",
            Policy::None | Policy::Unspecified => "none",
        };
        self.add(&format!("dmarc={word} header.from={} policy.dmarc={policy}", value(domain)))
    }

    /// There is no domain whose policy could be asked for.
    pub(super) fn no_author(self, why: NoAuthor) -> Self {
        self.add(&format!("dmarc=permerror{}", because(&why.to_string())))
    }

    /// DNS did not tell in time.
    pub(super) fn nothing_known(self) -> Self {
        self.add("spf=temperror").add("dkim=temperror").add("dmarc=temperror")
    }

    /// The field, line end included.
    pub(super) fn finish(mut self) -> String {
        self.0.push_str("\r\n");
        self.0
    }

    fn add(mut self, result: &str) -> Self {
        self.0.push_str(";\r\n\t");
        self.0.push_str(result);
        self
    }
}

/// `reasonspec`.
fn because(reason: &str) -> String {
    format!(" reason={}", quoted(reason))
}

/// `value`: a token, or else a quoted string.
fn value(text: &str) -> String {
    match !text.is_empty() && text.bytes().all(is_plain) {
        true => text.to_owned(),
        false => quoted(text),
    }
}

/// What is no ASCII or not visible becomes a question mark.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            ' '..='~' => quoted.push(character),
            _ => quoted.push('?'),
        }
    }
    quoted + "\""
}

/// Stands in tokens (RFC 2045 section 5.1), in dot-atoms, and nowhere with a meaning of its own.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+')
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn what_a_stranger_wrote_stays_within_its_value() {
        for (helo, mail_from, expected) in [
            ("h.example", "a+b@x.example", "smtp.mailfrom=a+b@x.example"),
            ("h.example", "", "smtp.helo=h.example"),
            ("[192.0.2.1]", "", "smtp.helo=\"[192.0.2.1]\""),
            ("\u{fc}.example", "", "smtp.helo=xn--tda.example"),
            ("(;\"\\\u{1} ", "", "smtp.helo=\"(;\\\"\\\\? \""),
            ("h.example", "\u{fc}@x.example", "smtp.mailfrom=x.example"),
            ("h.example", "\"a;b\"@x.example", "smtp.mailfrom=x.example"),
            ("h.example", "a@b\u{fc}cher.example", "smtp.mailfrom=a@xn--bcher-kva.example"),
            ("h.example", "a@[192.0.2.1]", "smtp.mailfrom=\"[192.0.2.1]\""),
        ] {
            let (helo, mail_from) = (helo.to_owned(), mail_from.to_owned());
            let client = Client { address: IpAddr::V4(Ipv4Addr::LOCALHOST), helo, mail_from };
            let field = Results::of("mx.example").spf(&SpfResult::Pass, &client).finish();
            assert_eq!(field, format!("Authentication-Results: mx.example;\r\n\tspf=pass {expected}\r\n"));
        }
        assert_eq!(
            Results::of("mx.example").no_author(NoAuthor::Several).finish(),
            "Authentication-Results: mx.example;\r\n\tdmarc=permerror reason=\"there are several From fields\"\r\n"
        );
    }
}
