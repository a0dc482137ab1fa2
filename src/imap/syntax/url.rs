//! URLs that name a message of this session, or a part of one (RFC 5092 section 11, in the relative forms of RFC 4469
//! section 3): `/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.MIME`, or `;UID=20/;SECTION=1.MIME` of the selected mailbox.

use super::parser::Parser;
use crate::message::{Section, SectionText};
use crate::types::{LocalUid, MailboxName, UidValidity};

/// A message or a section of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUrl {
    /// `None`: the selected one.
    pub mailbox: Option<MailboxName>,
    pub uid_validity: Option<UidValidity>,
    pub uid: LocalUid,
    pub section: Section,
    /// Of that, where it begins and how long it is at most.
    pub partial: Option<(u32, u32)>,
}

impl MessageUrl {
    /// `["/" enc-mailbox [";UIDVALIDITY=" nz-number] "/"] ";UID=" nz-number ["/;SECTION=" enc-section]
    /// ["/;PARTIAL=" partial-range]`, names in any case; `None` for every other URL.
    pub fn parse(text: &str) -> Option<Self> {
        let (mailbox, rest) = match text.strip_prefix('/') {
            Some(rest) => split_at(rest, "/;UID=").map(|(mailbox, rest)| (Some(mailbox), rest))?,
            None => split_at(text, ";UID=").filter(|(before, _)| before.is_empty()).map(|(_, rest)| (None, rest))?,
        };
        let (rest, partial) = match split_at(rest, "/;PARTIAL=") {
            Some((rest, range)) => (rest, Some(partial_range(range)?)),
            None => (rest, None),
        };
        let (uid, section) = match split_at(rest, "/;SECTION=") {
            Some((uid, section)) => (uid, section_spec(&decoded(section)?)?),
            None => (rest, Section { part: Vec::new(), text: SectionText::Whole }),
        };
        let (mailbox, uid_validity) = match mailbox.and_then(|mailbox| split_at(mailbox, ";UIDVALIDITY=")) {
            Some((mailbox, validity)) => (Some(mailbox), Some(UidValidity::new(nz_number(validity)?))),
            None => (mailbox, None),
        };
        let mailbox = match mailbox {
            Some(mailbox) => Some(MailboxName::parse(&String::from_utf8(decoded(mailbox)?).ok()?).ok()?),
            None => None,
        };
        Some(Self { mailbox, uid_validity, uid: LocalUid::new(nz_number(uid)?), section, partial })
    }
}

/// What stands before and behind the last `separator`, which is in upper case.
fn split_at<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let place = text.to_ascii_uppercase().rfind(separator)?;
    Some((&text[..place], &text[place + separator.len()..]))
}

fn nz_number(text: &str) -> Option<u32> {
    let mut parser = Parser::new(text.as_bytes());
    parser.nz_number().ok().filter(|_| parser.end().is_ok())
}

/// `number ["." nz-number]`: without a length it goes to the end, and no message is so long that the greatest length ended it.
fn partial_range(text: &str) -> Option<(u32, u32)> {
    let mut parser = Parser::new(text.as_bytes());
    let origin = parser.number().ok()?;
    let length = if parser.skip(b'.') { parser.nz_number().ok()? } else { u32::MAX };
    parser.end().is_ok().then_some((origin, length))
}

fn section_spec(text: &[u8]) -> Option<Section> {
    let bracketed = [b"[", text, b"]"].concat();
    let mut parser = Parser::new(&bracketed);
    parser.section().ok().filter(|_| parser.end().is_ok())
}

/// `%xx` stands for a byte (RFC 5092 section 11, pct-encoded).
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        bytes.push(u8::try_from(digit(digits[0])? << 4 | digit(digits[1])?).ok()?);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_or_a_section_is_named() {
        let url = |text| MessageUrl::parse(text).unwrap_or_else(|| panic!("{text} is valid"));
        let whole = url("/INBOX;UIDVALIDITY=785799047/;UID=11467");
        let name = |url: MessageUrl| url.mailbox.map(|name| name.as_str().to_owned());
        assert_eq!((name(whole.clone()), whole.uid), (Some("INBOX".to_owned()), LocalUid::new(11467)));
        assert_eq!(whole.uid_validity, Some(UidValidity::new(785_799_047)));
        assert_eq!(whole.section.text, SectionText::Whole);
        assert_eq!(name(url("/Drafts/;UID=3002")).as_deref(), Some("Drafts"));
        assert_eq!(name(url("/a%2Fb%C3%BC/;uid=1/;section=1.5.9")).as_deref(), Some("a/bü"));
        let here = url(";UID=20/;SECTION=1.MIME");
        assert_eq!((here.mailbox, here.uid, here.section.part), (None, LocalUid::new(20), vec![1]));
        assert_eq!(url("/a/;UID=1/;section=1.5.9").section.part, [1, 5, 9]);
        let fields = url("/a/;UID=1/;section=HEADER.FIELDS%20(From%20To)");
        assert!(matches!(fields.section.text, SectionText::HeaderFields { not: false, .. }));
        assert_eq!((whole.partial, url("/a/;UID=1/;partial=0.1024").partial), (None, Some((0, 1024))));
        let piece = url(";UID=1/;SECTION=TEXT/;PARTIAL=7");
        assert_eq!((piece.section.text, piece.partial), (SectionText::Text, Some((7, u32::MAX))));
    }

    #[test]
    fn every_other_url_names_nothing() {
        for text in [
            "",
            "/",
            "/INBOX",
            "INBOX/;UID=1",
            "x;UID=1",
            ";UIDVALIDITY=1/;UID=1",
            "imap://host/INBOX/;UID=1",
            "/INBOX/;UID=0",
            "/INBOX/;UID=x",
            "/INBOX;UIDVALIDITY=x/;UID=1",
            "/INBOX/;UID=1/;section=NONSENSE",
            "/INBOX/;UID=1/;section=1]x[2",
            "/INBOX/;UID=1/;PARTIAL=",
            "/INBOX/;UID=1/;PARTIAL=1.0",
            "/INBOX/;UID=1/;PARTIAL=0.1/;SECTION=1",
            "/a%/;UID=1",
            "/a%zz/;UID=1",
            "/%00/;UID=1",
        ] {
            assert_eq!(MessageUrl::parse(text), None, "{text}");
        }
    }
}
