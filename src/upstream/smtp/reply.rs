//! SMTP replies (RFC 5321 section 4.2) and what EHLO tells (section 4.1.1.1).

use std::collections::BTreeMap;

use super::shares::Limits;
use crate::outbox::sender::Reply;

/// A reply as it came, its lines apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawReply {
    pub code: u16,
    /// Without code and control characters.
    pub lines: Vec<String>,
}

/// What the first digit says (RFC 5321 section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Done,
    GoOn,
    NotNow,
    Never,
}

/// How much of a reply's text is kept.
const TEXT_MAX_CHARS: usize = 500;

/// How much of a line that is no reply an error shows.
const SHOWN_MAX_CHARS: usize = 100;

impl RawReply {
    /// `Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF`
    pub(super) fn parse(lines: &[Vec<u8>]) -> Result<Self, String> {
        let mut code = None;
        let mut texts = Vec::new();
        for line in lines {
            let (digits, text) = line.split_at_checked(3).unwrap_or((line, b""));
            let parsed = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u16>().ok());
            match parsed.filter(|code| (200..600).contains(code) && matches!(text.first(), None | Some(b' ' | b'-'))) {
                Some(parsed) if *code.get_or_insert(parsed) == parsed => {
                    texts.push(printable(text.get(1..).unwrap_or_default()))
                }
                Some(_) => return Err("a reply whose lines disagree about its code".to_owned()),
                None => {
                    let shown: String = printable(line).chars().take(SHOWN_MAX_CHARS).collect();
                    return Err(format!("what is no SMTP: {shown:?}"));
                }
            }
        }
        code.map(|code| Self { code, lines: texts }).ok_or_else(|| "an empty reply".to_owned())
    }

    pub(super) const fn verdict(&self) -> Verdict {
        match self.code {
            0..300 => Verdict::Done,
            300..400 => Verdict::GoOn,
            400..500 => Verdict::NotNow,
            500.. => Verdict::Never,
        }
    }

    /// The same verdict in the one form that async-smtp reads without fail.
    pub(super) fn for_async_smtp(&self) -> Vec<u8> {
        format!("{}50 .\r\n", self.code / 100).into_bytes()
    }

    /// The reply as the outbox keeps it, its enhanced code apart (RFC 2034 section 3).
    pub(super) fn said_by(&self, host: &str) -> Reply {
        let enhanced = self.lines.first().and_then(|line| enhanced_code(line)).map(str::to_owned);
        Reply { code: self.code, enhanced, text: self.text(), by: Some(host.to_owned()) }
    }

    /// What it says beside its codes.
    pub(super) fn text(&self) -> String {
        let text = |line: &String| match enhanced_code(line) {
            Some(code) => line[code.len()..].trim_start().to_owned(),
            None => line.clone(),
        };
        let text = self.lines.iter().map(text).collect::<Vec<_>>().join(" ");
        text.chars().take(TEXT_MAX_CHARS).collect()
    }
}

fn printable(text: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

/// `status-code = class "." subject "." detail` (RFC 3463 section 2) at the start of a line.
fn enhanced_code(line: &str) -> Option<&str> {
    let word = line.split(' ').next()?;
    let parts: Vec<&str> = word.split('.').collect();
    let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = parts.len() == 3 && matches!(parts[0], "2" | "4" | "5") && parts.iter().all(is_number);
    fits.then_some(word)
}

/// What a server offers, by upper-case keyword with its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extensions(BTreeMap<String, String>);

impl Extensions {
    /// `ehlo-line = ehlo-keyword *( SP ehlo-param )`; the first line is the greeting.
    pub(super) fn parse(reply: &RawReply) -> Self {
        let mut offered = BTreeMap::new();
        for line in reply.lines.iter().skip(1) {
            // Old servers write "AUTH=LOGIN PLAIN" beside or instead of "AUTH LOGIN PLAIN".
            let line = line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1);
            let (keyword, parameters) = line.split_once(' ').unwrap_or((&line, ""));
            let known: &mut String = offered.entry(keyword.to_owned()).or_default();
            known.push(' ');
            known.push_str(parameters);
        }
        Self(offered)
    }

    pub(super) fn has(&self, keyword: &str) -> bool {
        self.0.contains_key(keyword)
    }

    /// Is the mechanism offered?
    pub(super) fn has_auth(&self, mechanism: &str) -> bool {
        self.0.get("AUTH").is_some_and(|offered| offered.split(' ').any(|word| word == mechanism))
    }

    /// How much is taken at once (RFC 9422).
    pub(super) fn limits(&self) -> Limits {
        Limits::parse(self.0.get("LIMITS").map_or("", String::as_str))
    }

    /// The largest message taken (RFC 1870 section 4); 0 and none mean that there is no fixed limit.
    pub(super) fn size_limit(&self) -> Option<u64> {
        self.0.get("SIZE")?.trim().parse().ok().filter(|limit| *limit > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> Result<RawReply, String> {
        RawReply::parse(&text.lines().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn replies_are_read_in_every_form_seen() {
        let shown = |text: &str| {
            let reply = reply(text).expect("a reply").said_by("mx");
            (reply.code, reply.enhanced.unwrap_or_default(), reply.text)
        };
        let rows = [
            ("250 2.1.5 Ok", (250, "2.1.5", "Ok")),
            ("250", (250, "", "")),
            ("571-5.7.1 No\n571 5.7.1 relaying", (571, "5.7.1", "No relaying")),
            ("554 5.7 odd", (554, "", "5.7 odd")),
            ("421 \u{1b}[1m", (421, "", "[1m")),
        ];
        for (text, (code, enhanced, rest)) in rows {
            assert_eq!(shown(text), (code, enhanced.to_owned(), rest.to_owned()), "{text}");
        }
        for text in ["* OK IMAP", "25", "250x", "650 what", "250-a\n251 b"] {
            assert!(reply(text).is_err(), "{text}");
        }
    }

    #[test]
    fn extensions_are_known_in_any_case() {
        let text = "250-mx at your service\n250-size 1000\n250-Auth=LOGIN\n250-AUTH plain\n250 8BITMIME";
        let offered = Extensions::parse(&reply(text).expect("a reply"));
        assert_eq!(offered.size_limit(), Some(1000));
        assert!(offered.has_auth("PLAIN") && offered.has_auth("LOGIN") && !offered.has_auth("CRAM-MD5"));
        assert!(offered.has("8BITMIME") && !offered.has("MX"));
    }
}
