//! Untagged responses that are read here and not by imap-proto, which cannot parse them all or gets some wrong:
//! an answer it cannot parse ends the connection, a quoted name keeps its backslashes, a name spelt otherwise is lost.

use super::allowance;
use super::code::{StatusLine, nz_number, texts, uid_ranges, words};
use super::namespace::Namespaces;
use super::token::{Malformed, Token, Tokens};
use crate::types::{ModSeq, QuotaUse, RemoteUid, Rights, UidSet, UidValidity, limits};

/// An untagged response, FETCH and VANISHED apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Untagged {
    Status(StatusLine),
    Capability(Vec<String>),
    Enabled(Vec<String>),
    List(ListLine),
    Lsub(ListLine),
    MailboxStatus(MailboxStatus),
    /// SEARCH (RFC 3501 section 7.2.5) or ESEARCH (RFC 4731).
    Search(UidSet<RemoteUid>),
    Exists(u32),
    Expunge,
    /// The pairs of ID, names in lower case (RFC 2971).
    Id(Vec<(String, String)>),
    Namespaces(Namespaces),
    /// The resources of a quota root (RFC 9208 section 4.2.1).
    Quota(Vec<QuotaUse>),
    /// What the user may do with the mailbox of that name (RFC 4314 section 3.8).
    MyRights(Vec<u8>, Rights),
    /// One that nothing here depends on.
    Other,
    /// One that something depends on, and that cannot be read.
    Unusable(&'static str),
}

/// LIST or LSUB (RFC 3501 section 7.2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListLine {
    pub attributes: Vec<String>,
    pub delimiter: Option<char>,
    pub name: Vec<u8>,
}

/// STATUS (RFC 3501 section 7.2.4). What is not told is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MailboxStatus {
    pub name: Vec<u8>,
    pub messages: Option<u32>,
    pub uid_next: Option<RemoteUid>,
    pub uid_validity: Option<UidValidity>,
    pub highest_mod_seq: Option<ModSeq>,
}

impl Untagged {
    /// Reads a response, `* ` taken off.
    pub(super) fn parse(line: &[u8]) -> Self {
        if let Some(status) = StatusLine::parse(line).or_else(|| StatusLine::bare_code(line)) {
            return Self::Status(status);
        }
        let mut tokens = Tokens::new(line);
        let Ok(Some(Token::Atom(first))) = tokens.next() else { return Self::Other };
        if first[0].is_ascii_digit() {
            let number = super::token::number(first).and_then(|number| u32::try_from(number).ok());
            let name = tokens.atom().unwrap_or_default().to_ascii_uppercase();
            return match (name.as_slice(), number) {
                (b"EXISTS", Some(count)) => Self::Exists(count),
                (b"EXISTS", None) => Self::Unusable("EXISTS"),
                (b"EXPUNGE", _) => Self::Expunge,
                _ => Self::Other,
            };
        }
        let (what, parsed) = match first.to_ascii_uppercase().as_slice() {
            b"CAPABILITY" => ("CAPABILITY", words(&mut tokens).map(Self::Capability)),
            b"ENABLED" => ("ENABLED", words(&mut tokens).map(Self::Enabled)),
            b"LIST" => ("LIST", ListLine::parse(&mut tokens).map(Self::List)),
            b"LSUB" => ("LSUB", ListLine::parse(&mut tokens).map(Self::Lsub)),
            b"STATUS" => ("STATUS", MailboxStatus::parse(&mut tokens).map(Self::MailboxStatus)),
            b"SEARCH" => ("SEARCH", search(&mut tokens).map(Self::Search)),
            b"ESEARCH" => ("ESEARCH", esearch(&mut tokens).map(Self::Search)),
            // Unreadable it is as if it were not offered.
            b"NAMESPACE" => ("NAMESPACE", Ok(Self::Namespaces(Namespaces::parse(&mut tokens).unwrap_or_default()))),
            // Unreadable they are as if they were not told.
            b"QUOTA" => ("QUOTA", Ok(allowance::quota(&mut tokens).map_or(Self::Other, Self::Quota))),
            b"MYRIGHTS" => {
                let told = allowance::my_rights(&mut tokens);
                ("MYRIGHTS", Ok(told.map_or(Self::Other, |(name, rights)| Self::MyRights(name, rights))))
            }
            b"ID" => ("ID", Ok(Self::Id(id(&mut tokens).unwrap_or_default()))),
            _ => ("", Ok(Self::Other)),
        };
        parsed.unwrap_or(Self::Unusable(what))
    }
}

impl ListLine {
    /// `mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox`; what RFC 5258 puts
    /// behind the name is not read.
    fn parse(tokens: &mut Tokens<'_>) -> Result<Self, Malformed> {
        let attributes = tokens.flat_list()?;
        let attributes = texts(&attributes[..attributes.len().min(limits::UPSTREAM_LIST_ATTRIBUTES_MAX)]);
        let delimiter = match tokens.next()? {
            Some(Token::Atom(atom)) if atom.eq_ignore_ascii_case(b"NIL") => None,
            Some(Token::String(text)) => String::from_utf8_lossy(&text).chars().next(),
            _ => return Err(Malformed("a hierarchy delimiter is missing")),
        };
        // Exchange leaves names with tabs unquoted (QUIRKS.md row 16), others names with spaces: an atom reaches to the
        // end, unless extended data follow.
        let mut ahead = *tokens;
        let name = match ahead.next()? {
            Some(Token::String(text)) => text.into_owned(),
            Some(Token::Atom(atom)) => match ahead.next()? {
                None | Some(Token::Open) => atom.to_vec(),
                Some(_) => tokens.rest().trim_ascii_end().to_vec(),
            },
            _ => return Err(Malformed("a mailbox name is missing")),
        };
        Ok(Self { attributes, delimiter, name })
    }

    /// Has it this attribute, in any case?
    pub(super) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|given| given.eq_ignore_ascii_case(attribute))
    }
}

impl MailboxStatus {
    /// `"STATUS" SP mailbox SP "(" [status-att-list] ")"`, with any items (RFC 4466 section 3).
    fn parse(tokens: &mut Tokens<'_>) -> Result<Self, Malformed> {
        let name = tokens.astring()?.into_owned();
        if tokens.next()? != Some(Token::Open) {
            return Err(Malformed("a STATUS list is missing"));
        }
        let mut status = Self { name, ..Self::default() };
        loop {
            let item = match tokens.next()? {
                Some(Token::Atom(item)) => item.to_ascii_uppercase(),
                Some(Token::Close) => return Ok(status),
                _ => return Err(Malformed("a STATUS list does not end")),
            };
            let mut value = *tokens;
            tokens.skip_value()?;
            match item.as_slice() {
                b"MESSAGES" => status.messages = value.number().ok().and_then(|count| u32::try_from(count).ok()),
                b"UIDNEXT" => status.uid_next = nz_number(&mut value).ok().map(RemoteUid::new),
                b"UIDVALIDITY" => status.uid_validity = nz_number(&mut value).ok().map(UidValidity::new),
                b"HIGHESTMODSEQ" => {
                    status.highest_mod_seq = value.number().ok().filter(|number| *number > 0).map(ModSeq::new);
                }
                _ => {}
            }
        }
    }
}

/// `"SEARCH" *(SP nz-number)`, then `(MODSEQ n)` where that was a criterion (RFC 7162 section 3.1.5).
fn search(tokens: &mut Tokens<'_>) -> Result<UidSet<RemoteUid>, Malformed> {
    let mut uids = Vec::new();
    while !tokens.rest().is_empty() {
        let mut ahead = *tokens;
        if ahead.next()? == Some(Token::Open) {
            tokens.skip_value()?;
            continue;
        }
        let uid = nz_number(tokens)?;
        uids.push((uid, uid));
    }
    Ok(UidSet::from_ranges(uids))
}

/// `esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)` (RFC 4731 section 3.1).
/// Without ALL nothing was found.
fn esearch(tokens: &mut Tokens<'_>) -> Result<UidSet<RemoteUid>, Malformed> {
    let mut found = Vec::new();
    loop {
        match tokens.next()? {
            None => return Ok(UidSet::from_ranges(found)),
            Some(Token::Open) => while !matches!(tokens.next()?, Some(Token::Close) | None) {},
            Some(Token::Atom(name)) if name.eq_ignore_ascii_case(b"UID") => {}
            Some(Token::Atom(name)) if name.eq_ignore_ascii_case(b"ALL") => found.extend(uid_ranges(tokens.atom()?)?),
            Some(Token::Atom(_)) => tokens.skip_value()?,
            Some(_) => return Err(Malformed("an ESEARCH response is malformed")),
        }
    }
}

/// `id-response = "ID" SP id-params-list` (RFC 2971 section 4)
fn id(tokens: &mut Tokens<'_>) -> Result<Vec<(String, String)>, Malformed> {
    let text = |word: &std::borrow::Cow<'_, [u8]>| super::code::printable(word);
    let words = tokens.flat_list()?;
    Ok(words.as_chunks::<2>().0.iter().map(|[name, value]| (text(name).to_ascii_lowercase(), text(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(attributes: &[&str], delimiter: Option<char>, name: &str) -> Untagged {
        let attributes = attributes.iter().map(|attribute| (*attribute).to_owned()).collect();
        Untagged::List(ListLine { attributes, delimiter, name: name.as_bytes().to_vec() })
    }

    #[test]
    fn responses_are_read_in_every_form_seen() {
        let set = |text| UidSet::parse(text).expect("a valid set");
        let status = |messages, uid_next: Option<u32>, mod_seq: Option<u64>| {
            Untagged::MailboxStatus(MailboxStatus {
                name: b"a b".to_vec(),
                messages,
                uid_next: uid_next.map(RemoteUid::new),
                uid_validity: Some(UidValidity::new(3)),
                highest_mod_seq: mod_seq.map(ModSeq::new),
            })
        };
        let rows: Vec<(&str, Untagged)> = vec![
            ("12 EXISTS", Untagged::Exists(12)),
            ("4294967296 EXISTS", Untagged::Unusable("EXISTS")),
            ("3 expunge", Untagged::Expunge),
            ("1 RECENT", Untagged::Other),
            ("SEARCH", Untagged::Search(UidSet::new())),
            ("SEARCH 5 3 4 ", Untagged::Search(set("3:5"))),
            ("SEARCH 2 (MODSEQ 917162500)", Untagged::Search(set("2"))),
            ("SEARCH 2 x", Untagged::Unusable("SEARCH")),
            ("SEARCH 0", Untagged::Unusable("SEARCH")),
            ("ESEARCH (TAG \"A1\") UID ALL 1:3,9 COUNT 4", Untagged::Search(set("1:3,9"))),
            ("ESEARCH (TAG \"A1\") UID", Untagged::Search(UidSet::new())),
            ("ESEARCH (TAG \"A1\") UID ALL *", Untagged::Unusable("ESEARCH")),
            ("STATUS \"a b\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY 3 HIGHESTMODSEQ 4 )", status(Some(1), Some(2), Some(4))),
            ("STATUS \"a b\" (UIDVALIDITY 3 MAILBOXID (x (y)) SIZE 9999999999 UIDNEXT 0)", status(None, None, None)),
            ("STATUS \"a b\" (UIDVALIDITY", Untagged::Unusable("STATUS")),
            ("LIST () \"/\" INBOX", list(&[], Some('/'), "INBOX")),
            ("LIST (\\Noselect) NIL {3}\r\na\"b", list(&["\\Noselect"], None, "a\"b")),
            (r#"LIST () "\\" "a\"b\\c""#, list(&[], Some('\\'), r#"a"b\c"#)),
            ("LIST () \"/\" a\tb c", list(&[], Some('/'), "a\tb c")),
            ("LIST () \"/\" a (CHILDINFO (\"SUBSCRIBED\"))", list(&[], Some('/'), "a")),
            ("LIST () \"/\"", Untagged::Unusable("LIST")),
            ("NAMESPACE ((\"\" \"/\") NIL", Untagged::Namespaces(Namespaces::default())),
            ("ENABLED", Untagged::Enabled(vec![])),
            ("ID (\"Name\" \"Dovecot\")", Untagged::Id(vec![("name".into(), "Dovecot".into())])),
            ("ID NIL", Untagged::Id(vec![])),
            ("MYRIGHTS \"a b\" lrsx", Untagged::MyRights(b"a b".to_vec(), Rights::told("lrsx"))),
            ("MYRIGHTS a", Untagged::Other),
            ("X-SOMETHING \"unclosed", Untagged::Other),
            ("", Untagged::Other),
            ("\"", Untagged::Other),
        ];
        for (line, expected) in rows {
            assert_eq!(Untagged::parse(line.as_bytes()), expected, "{line}");
        }
    }
}
