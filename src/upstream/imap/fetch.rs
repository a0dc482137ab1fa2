//! FETCH: what a server sends is written anew in the one strict form that imap-proto reads without fail, and what
//! imap-proto read is taken over into our own types.
//!
//! Only the items we ask for are kept. So a form on which imap-proto panics (`INTERNALDATE NIL`), overflows its stack
//! (nested BODYSTRUCTURE) or gives up (unknown items) never reaches it. The bytes of a message are not in the line: they
//! were streamed, and [`BODY_STREAMED`] stands for them.

use async_imap::imap_proto::{AttributeValue, Response};

use super::frame::is_body;
use super::structure::structure;
use super::token::{Malformed, Token, Tokens, number};
use crate::message::Part;
use crate::types::{Flag, Flags, InternalDate, ModSeq, RemoteUid};

/// What is given to imap-proto in place of a message's bytes.
const BODY_STREAMED: &[u8] = b"streamed";

/// A FETCH response rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// For imap-proto, `* ` and CRLF included; empty if the response held nothing we know.
    pub line: Vec<u8>,
    /// A message that came as a quoted string: to be handed over as if it had been a literal.
    pub inline_body: Option<Vec<u8>>,
    /// BODYSTRUCTURE, which imap-proto is not given.
    pub structure: Option<Part>,
}

/// What one FETCH response told of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FetchedItems {
    pub uid: Option<RemoteUid>,
    pub flags: Option<Flags>,
    pub mod_seq: Option<ModSeq>,
    pub internal_date: Option<InternalDate>,
    pub size_bytes: Option<u64>,
    pub email_id: Option<String>,
    pub header: Option<Vec<u8>>,
    pub body: Body,
}

/// What became of `BODY[..]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Body {
    /// Not in the response.
    #[default]
    Unmentioned,
    /// NIL: the server has no bytes for it.
    Nil,
    /// Handed over before the response.
    Streamed,
}

/// Rewrites a response; `line` begins behind `* `. `None`: not a FETCH.
pub(super) fn rewrite(line: &[u8]) -> Option<Result<Rewritten, Malformed>> {
    let mut tokens = Tokens::new(line);
    let number = tokens.atom().ok().and_then(number)?;
    let is_fetch = tokens.atom().is_ok_and(|word| word.eq_ignore_ascii_case(b"FETCH"));
    is_fetch.then(|| items(u32::try_from(number).unwrap_or(u32::MAX), &mut tokens))
}

/// `msg-att = "(" (msg-att-dynamic / msg-att-static) *(SP ..) ")"`
fn items(number: u32, tokens: &mut Tokens<'_>) -> Result<Rewritten, Malformed> {
    if tokens.next()? != Some(Token::Open) {
        return Err(Malformed("a FETCH list is missing"));
    }
    let mut line = format!("* {number} FETCH (").into_bytes();
    let (empty, mut inline_body, mut parts) = (line.len(), None, None);
    loop {
        let mut ahead = *tokens;
        match ahead.next()? {
            Some(Token::Close) => break,
            None => return Err(Malformed("a FETCH list does not end")),
            Some(_) => {}
        }
        let name = tokens.item_name()?.to_ascii_uppercase();
        let value = *tokens;
        tokens.skip_value()?;
        if name == b"BODYSTRUCTURE" {
            // A message that cannot be described is one of which nothing was told.
            parts = structure(&mut value.clone()).ok();
        }
        if let Some(item) = item(&name, value, &mut inline_body)? {
            if line.len() > empty {
                line.push(b' ');
            }
            line.extend_from_slice(&item);
        }
    }
    match line.len() > empty {
        true => line.extend_from_slice(b")\r\n"),
        false => line.clear(),
    }
    Ok(Rewritten { line, inline_body, structure: parts })
}

/// One item in its strict form; `None` where it is not one of ours or its value is of no use.
fn item(name: &[u8], mut value: Tokens<'_>, inline_body: &mut Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Malformed> {
    Ok(match name {
        b"UID" => {
            value.number().ok().filter(|uid| (1..=u64::from(u32::MAX)).contains(uid)).map(|uid| write("UID", uid))
        }
        // imap-proto reads 32 bits; what is larger is larger than any message taken.
        b"RFC822.SIZE" => value.number().ok().map(|size| write("RFC822.SIZE", size.min(u64::from(u32::MAX)))),
        b"MODSEQ" => mod_seq(&mut value).ok().map(|mod_seq| format!("MODSEQ ({mod_seq})").into_bytes()),
        b"X-GM-MSGID" => value.number().ok().map(|id| write("X-GM-MSGID", id)),
        b"EMAILID" => object_id(&mut value).map(|id| [b"EMAILID (", id, b")"].concat()),
        b"INTERNALDATE" => match value.next()? {
            Some(Token::String(date)) => std::str::from_utf8(&date)
                .ok()
                .and_then(InternalDate::parse_imap)
                .map(|date| format!("INTERNALDATE \"{}\"", date.to_imap()).into_bytes()),
            _ => None,
        },
        b"FLAGS" => {
            let flags: Vec<String> = value
                .flat_list()?
                .iter()
                .filter_map(|word| Flag::parse(std::str::from_utf8(word).ok()?))
                .map(String::from)
                .collect();
            Some(format!("FLAGS ({})", flags.join(" ")).into_bytes())
        }
        name if is_body(name) => match value.next()? {
            Some(Token::Streamed) => Some(body(Some(BODY_STREAMED))),
            Some(Token::String(bytes)) => {
                *inline_body = Some(bytes.into_owned());
                Some(body(Some(BODY_STREAMED)))
            }
            Some(Token::Atom(atom)) if atom.eq_ignore_ascii_case(b"NIL") => Some(body(None)),
            _ => return Err(Malformed("BODY[] is neither a string nor NIL")),
        },
        name if name.starts_with(b"BODY[HEADER") => match value.next()? {
            Some(Token::String(header)) => {
                Some([format!("BODY[HEADER] {{{}}}\r\n", header.len()).as_bytes(), &header].concat())
            }
            _ => None,
        },
        _ => None,
    })
}

fn write(name: &str, number: u64) -> Vec<u8> {
    format!("{name} {number}").into_bytes()
}

fn body(token: Option<&[u8]>) -> Vec<u8> {
    match token {
        Some(token) => [b"BODY[] \"", token, b"\""].concat(),
        None => b"BODY[] NIL".to_vec(),
    }
}

/// `"MODSEQ" SP "(" permsg-modsequence ")"` (RFC 7162 section 7)
fn mod_seq(value: &mut Tokens<'_>) -> Result<u64, Malformed> {
    match value.next()? {
        Some(Token::Open) => value.number(),
        _ => Err(Malformed("a mod-sequence is missing")),
    }
}

/// `"EMAILID" SP "(" objectid ")"`, `objectid = 1*255(ALPHA / DIGIT / "_" / "-")` (RFC 8474 section 7)
fn object_id<'a>(value: &mut Tokens<'a>) -> Option<&'a [u8]> {
    let Ok(Some(Token::Open)) = value.next() else { return None };
    let id = value.atom().ok()?;
    let valid = id.len() <= 255 && id.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    valid.then_some(id)
}

impl FetchedItems {
    /// What imap-proto read; `None`: not a FETCH.
    pub(super) fn of(response: &Response<'_>) -> Option<Self> {
        let Response::Fetch(_, attributes) = response else { return None };
        let mut items = Self::default();
        for attribute in attributes {
            match attribute {
                AttributeValue::Uid(uid) => items.uid = Some(RemoteUid::new(*uid)),
                AttributeValue::Flags(flags) => {
                    let mut set = Flags::none();
                    flags.iter().filter_map(|flag| Flag::parse(flag)).for_each(|flag| {
                        set.insert(flag);
                    });
                    items.flags = Some(set);
                }
                AttributeValue::ModSeq(mod_seq) => items.mod_seq = Some(ModSeq::new(*mod_seq)).filter(|m| m.get() > 0),
                AttributeValue::InternalDate(date) => items.internal_date = InternalDate::parse_imap(date),
                AttributeValue::Rfc822Size(size) => items.size_bytes = Some(u64::from(*size)),
                AttributeValue::EmailId(id) => items.email_id = Some(id.to_string()),
                AttributeValue::GmailMsgId(id) => items.email_id = Some(id.to_string()),
                AttributeValue::BodySection { section: None, data: Some(_), .. } => items.body = Body::Streamed,
                AttributeValue::BodySection { section: None, data: None, .. } => items.body = Body::Nil,
                AttributeValue::BodySection { section: Some(_), data: Some(header), .. } => {
                    items.header = Some(header.to_vec());
                }
                _ => {}
            }
        }
        Some(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> Result<String, Malformed> {
        let rewritten = rewrite(line.as_bytes()).expect("a FETCH")?;
        Ok(String::from_utf8(rewritten.line).expect("ASCII"))
    }

    #[test]
    fn only_what_we_ask_for_is_left_and_in_strict_form() {
        let rows = [
            ("1 FETCH (FLAGS (\\seen \\Recent a] [x] \\Odd) UID 7)", "* 1 FETCH (FLAGS (\\Seen a] [x]) UID 7)\r\n"),
            ("1 FETCH (UID 7 INTERNALDATE NIL)", "* 1 FETCH (UID 7)\r\n"),
            (
                "1 fetch  ( UID 7 INTERNALDATE \" 1-Feb-2003 04:05:06 -0730\" )",
                "* 1 FETCH (UID 7 INTERNALDATE \" 1-Feb-2003 04:05:06 -0730\")\r\n",
            ),
            ("1 FETCH (INTERNALDATE \"é\" MODSEQ (9) MODSEQ NIL)", "* 1 FETCH (MODSEQ (9))\r\n"),
            ("1 FETCH (BODYSTRUCTURE ((((\"TEXT\" {1}\r\n)())))) UID 7)", "* 1 FETCH (UID 7)\r\n"),
            ("1 FETCH (RFC822.SIZE 5000000000 X-NEW (a (b)))", "* 1 FETCH (RFC822.SIZE 4294967295)\r\n"),
            ("1 FETCH (BODY[] \0 UID 7)", "* 1 FETCH (BODY[] \"streamed\" UID 7)\r\n"),
            ("1 FETCH (UID 7 BODY[] NIL)", "* 1 FETCH (UID 7 BODY[] NIL)\r\n"),
            ("1 FETCH (BODY[HEADER.FIELDS (DATE)] \"a\")", "* 1 FETCH (BODY[HEADER] {1}\r\na)\r\n"),
            ("1 FETCH (EMAILID (M6d99-ac) UID 0)", "* 1 FETCH (EMAILID (M6d99-ac))\r\n"),
            (
                "1 FETCH (EMAILID (é) X-GM-MSGID 18446744073709551615)",
                "* 1 FETCH (X-GM-MSGID 18446744073709551615)\r\n",
            ),
            ("1 FETCH (THREADID NIL)", ""),
            ("1 FETCH ()", ""),
        ];
        for (line, strict) in rows {
            assert_eq!(rewritten(line).as_deref(), Ok(strict), "{line}");
        }
        for line in ["1 FETCH (UID 7", "1 FETCH UID 7", "1 FETCH (UID", "1 FETCH (BODY[] 7)", "1 FETCH (FLAGS NIL)"] {
            assert!(rewritten(line).is_err(), "{line}");
        }
        assert_eq!(rewrite(b"1 EXISTS"), None);
        assert_eq!(rewrite(b"OK FETCH (x)"), None);
    }

    #[test]
    fn imap_proto_reads_what_is_left() {
        let line =
            b"1 FETCH (UID 7 FLAGS (\\Seen $x]) MODSEQ (12345678901) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" \
            RFC822.SIZE 5 EMAILID (M1) BODY[HEADER.FIELDS (DATE)] \"Date: x\" BODY[] \"a\\\"b\")";
        let rewritten = rewrite(line).expect("a FETCH").expect("well-formed");
        assert_eq!(rewritten.inline_body.as_deref(), Some(&b"a\"b"[..]));
        let (rest, response) = Response::parse(&rewritten.line).expect("imap-proto reads it");
        assert!(rest.is_empty());
        let items = FetchedItems::of(&response).expect("a FETCH");
        assert_eq!(items.uid, Some(RemoteUid::new(7)));
        assert_eq!(items.flags.map(|flags| flags.to_string()), Some("\\Seen $x]".to_owned()));
        assert_eq!(items.mod_seq, Some(ModSeq::new(12_345_678_901)));
        assert_eq!(items.internal_date.map(InternalDate::offset_minutes), Some(-420));
        assert_eq!((items.size_bytes, items.email_id.as_deref()), (Some(5), Some("M1")));
        assert_eq!((items.header.as_deref(), items.body), (Some(&b"Date: x"[..]), Body::Streamed));
    }
}
