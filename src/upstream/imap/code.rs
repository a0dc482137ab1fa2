//! Status responses and their codes (RFC 3501 section 7.1, RFC 4315, RFC 5530, RFC 7162).
//!
//! Read here for tagged and untagged lines alike: imap-proto leaves most codes as text and panics on some of them.

use super::token::{Malformed, Token, Tokens, number};
use crate::types::{ModSeq, RemoteUid, UidValidity};

/// `OK`, `NO`, `BAD`, `BYE`, `PREAUTH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    Ok,
    No,
    Bad,
    Bye,
    PreAuth,
}

/// A status response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub condition: Condition,
    pub code: Option<Code>,
    /// For people: printable, of bounded length.
    pub text: String,
}

/// A response code that something depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Code {
    ReadOnly,
    UidNext(RemoteUid),
    UidValidity(UidValidity),
    HighestModSeq(ModSeq),
    NoModSeq,
    /// The flags as they stand, `\*` among them.
    PermanentFlags(Vec<String>),
    Capability(Vec<String>),
    /// In the order in which the messages were sent (RFC 4315 section 3).
    AppendUid(UidValidity, Vec<(u32, u32)>),
    /// The sets in the order given: it pairs them (RFC 4315 section 3).
    CopyUid(UidValidity, Vec<(u32, u32)>, Vec<(u32, u32)>),
    /// Any other, by its upper-case name.
    Other(String),
}

/// How much of a server's text is kept: errors and logs show it.
const TEXT_MAX_CHARS: usize = 300;

impl StatusLine {
    /// `resp-cond-state = ("OK" / "NO" / "BAD") SP resp-text`, and the other two. `None`: another response.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let condition = Condition::parse(&line[..end])?;
        let (code, text) = split_code(line[end..].trim_ascii());
        Some(Self { condition, code, text: printable(text) })
    }

    /// Exchange sends a code without a status: `* [COPYUID ...]` (QUIRKS.md rows 16 and 32).
    pub(super) fn bare_code(line: &[u8]) -> Option<Self> {
        let (code, text) = split_code(line);
        code.map(|code| Self { condition: Condition::Ok, code: Some(code), text: printable(text) })
    }

    /// The upper-case name of a code that says why, or how much more can be asked.
    pub(super) fn code_name(&self) -> Option<&str> {
        match &self.code {
            Some(Code::Other(name)) => Some(name),
            Some(Code::ReadOnly) => Some("READ-ONLY"),
            _ => None,
        }
    }
}

impl Condition {
    const ALL: [(Self, &str); 5] =
        [(Self::Ok, "OK"), (Self::No, "NO"), (Self::Bad, "BAD"), (Self::Bye, "BYE"), (Self::PreAuth, "PREAUTH")];

    fn parse(word: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(condition, _)| *condition)
    }

    /// As on the wire.
    pub(super) fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(condition, _)| *condition == self).map_or("OK", |(_, name)| name)
    }
}

/// Text of a server as people may see it: no control characters, no more than fits a line or two.
pub(super) fn printable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX_CHARS).collect()
}

/// `resp-text = ["[" resp-text-code "]" SP] text`. The text and its space may be missing (QUIRKS.md row 8).
fn split_code(text: &[u8]) -> (Option<Code>, &[u8]) {
    let Some(inside) = text.strip_prefix(b"[") else { return (None, text) };
    // Flags may hold "]": where a list is open, the bracket that counts is behind it.
    let list_end = match inside.iter().position(|byte| matches!(byte, b'(' | b']')) {
        Some(place) if inside[place] == b'(' => inside.iter().position(|byte| *byte == b')').unwrap_or(place),
        _ => 0,
    };
    let Some(close) = inside[list_end..].iter().position(|byte| *byte == b']') else { return (None, text) };
    let (code, rest) = inside.split_at(list_end + close);
    (Code::parse(code), &rest[1..])
}

impl Code {
    /// `resp-text-code`. A known code with unusable arguments is none.
    fn parse(text: &[u8]) -> Option<Self> {
        let mut tokens = Tokens::new(text);
        let name = String::from_utf8_lossy(tokens.atom().ok()?).to_ascii_uppercase();
        let parsed = match name.as_str() {
            "READ-ONLY" => Ok(Self::ReadOnly),
            "NOMODSEQ" => Ok(Self::NoModSeq),
            "UIDNEXT" => nz_number(&mut tokens).map(|uid| Self::UidNext(RemoteUid::new(uid))),
            "UIDVALIDITY" => nz_number(&mut tokens).map(|validity| Self::UidValidity(UidValidity::new(validity))),
            "HIGHESTMODSEQ" => tokens.number().map(|mod_seq| match mod_seq {
                0 => Self::NoModSeq,
                _ => Self::HighestModSeq(ModSeq::new(mod_seq)),
            }),
            "PERMANENTFLAGS" => tokens.flat_list().map(|flags| Self::PermanentFlags(texts(&flags))),
            "CAPABILITY" => words(&mut tokens).map(Self::Capability),
            "APPENDUID" => append_uid(&mut tokens),
            "COPYUID" => copy_uid(&mut tokens),
            _ => Ok(Self::Other(name.chars().take(TEXT_MAX_CHARS).collect())),
        };
        parsed.ok()
    }
}

/// Every further atom, as text; what is no atom says nothing (iCloud puts its own words in, QUIRKS.md row 4).
pub(super) fn words(tokens: &mut Tokens<'_>) -> Result<Vec<String>, Malformed> {
    let mut words = Vec::new();
    while let Some(token) = tokens.next()? {
        if let Token::Atom(atom) = token {
            words.push(String::from_utf8_lossy(atom).into_owned());
        }
    }
    Ok(words)
}

/// The words as text; one that is not ASCII names nothing we know.
pub(super) fn texts(words: &[std::borrow::Cow<'_, [u8]>]) -> Vec<String> {
    words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// `nz-number`, 32 bits.
pub(super) fn nz_number(tokens: &mut Tokens<'_>) -> Result<u32, Malformed> {
    let number = u32::try_from(tokens.number()?).map_err(|_| Malformed("a number has more than 32 bits"))?;
    if number == 0 { Err(Malformed("a number is zero")) } else { Ok(number) }
}

/// `resp-code-apnd = "APPENDUID" SP nz-number SP append-uid`, `append-uid = uniqueid / uid-set` (RFC 4315 section 4)
fn append_uid(tokens: &mut Tokens<'_>) -> Result<Code, Malformed> {
    let validity = UidValidity::new(nz_number(tokens)?);
    Ok(Code::AppendUid(validity, uid_ranges(tokens.atom()?)?))
}

/// `resp-code-copy = "COPYUID" SP nz-number SP uid-set SP uid-set` (RFC 4315 section 4)
fn copy_uid(tokens: &mut Tokens<'_>) -> Result<Code, Malformed> {
    let validity = UidValidity::new(nz_number(tokens)?);
    let from = uid_ranges(tokens.atom()?)?;
    let to = uid_ranges(tokens.atom()?)?;
    Ok(Code::CopyUid(validity, from, to))
}

/// `uid-set`, its ranges as given, each from low to high: "4:2" means 2, 3, 4 (RFC 4315 section 4).
pub(super) fn uid_ranges(text: &[u8]) -> Result<Vec<(u32, u32)>, Malformed> {
    let uid = |text: &[u8]| number(text).and_then(|uid| u32::try_from(uid).ok()).filter(|uid| *uid > 0);
    let range = |text: &[u8]| match text.iter().position(|byte| *byte == b':') {
        Some(colon) => Some((uid(&text[..colon])?, uid(&text[colon + 1..])?)).map(|(a, b)| (a.min(b), a.max(b))),
        None => uid(text).map(|only| (only, only)),
    };
    text.split(|byte| *byte == b',').map(range).collect::<Option<_>>().ok_or(Malformed("a UID set is malformed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_in_every_form_seen() {
        let uid = RemoteUid::new;
        let flags = |flags: &[&str]| Code::PermanentFlags(flags.iter().map(|flag| (*flag).to_owned()).collect());
        let other = |name: &str| Some(Code::Other(name.to_owned()));
        let rows: [(&str, Option<Code>, &str); 17] = [
            ("OK done", None, "done"),
            ("OK", None, ""),
            ("OK [UIDNEXT 7] x", Some(Code::UidNext(uid(7))), "x"),
            ("OK [HIGHESTMODSEQ 9]", Some(Code::HighestModSeq(ModSeq::new(9))), ""),
            ("OK [HIGHESTMODSEQ 0] none", Some(Code::NoModSeq), "none"),
            ("OK [PERMANENTFLAGS (\\Seen [x] a] \\*)] y", Some(flags(&["\\Seen", "[x]", "a]", "\\*"])), "y"),
            ("NO [OVERQUOTA] full", other("OVERQUOTA"), "full"),
            ("no [overquota]full", other("OVERQUOTA"), "full"),
            ("OK [ALERT]é", other("ALERT"), "é"),
            ("OK [UIDNEXT 0] x", None, "x"),
            ("OK [UIDNEXT 4294967296] x", None, "x"),
            ("OK [APPENDUID 5 6] x", Some(Code::AppendUid(UidValidity::new(5), vec![(6, 6)])), "x"),
            ("OK [APPENDUID 5 6:7,9]", Some(Code::AppendUid(UidValidity::new(5), vec![(6, 7), (9, 9)])), ""),
            ("OK [APPENDUID 5 6:*] x", None, "x"),
            (
                "OK [COPYUID 1 4:2,9 5,7:9] x",
                Some(Code::CopyUid(UidValidity::new(1), vec![(2, 4), (9, 9)], vec![(5, 5), (7, 9)])),
                "x",
            ),
            ("OK [COPYUID 1 4:* 5] x", None, "x"),
            ("OK [unclosed x", None, "[unclosed x"),
        ];
        for (line, code, text) in rows {
            let status = StatusLine::parse(line.as_bytes()).expect("a status line");
            assert_eq!((status.code, status.text.as_str()), (code, text), "{line}");
        }
        assert_eq!(StatusLine::parse(b"OKAY x"), None);
    }

    #[test]
    fn text_of_a_server_is_made_harmless() {
        assert_eq!(printable(b"a\x1b[31m\0b\r"), "a [31m b");
        assert_eq!(printable(&vec![b'x'; 5000]).len(), TEXT_MAX_CHARS);
    }
}
