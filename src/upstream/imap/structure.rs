//! BODYSTRUCTURE read (RFC 3501 section 7.4.2, section 9), as tolerantly as servers need: counts that are no numbers are 0,
//! values that are no strings are left out, what follows is passed over. Of each part's range only the length is told.

use super::token::{Malformed, Token, Tokens};
use crate::message::{Address, Body, Disposition, Envelope, Parameters, Part};
use crate::types::limits;

/// `body`, whose first parenthesis comes next.
pub(super) fn structure(tokens: &mut Tokens<'_>) -> Result<Part, Malformed> {
    let mut reading = Reading { parts_left: limits::MIME_PARTS_MAX };
    open(tokens)?;
    reading.body(tokens, limits::MIME_NESTING_MAX)
}

/// How much more is taken.
struct Reading {
    parts_left: usize,
}

impl Reading {
    /// `(body-type-1part / body-type-mpart) ")"`
    fn body(&mut self, tokens: &mut Tokens<'_>, depth: usize) -> Result<Part, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed("parts nest too deep"))?;
        self.parts_left = self.parts_left.checked_sub(1).ok_or(Malformed("too many parts"))?;
        match next_is_open(tokens) {
            true => self.multipart(tokens, depth),
            false => self.one_part(tokens, depth),
        }
    }

    /// `body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]`
    fn multipart(&mut self, tokens: &mut Tokens<'_>, depth: usize) -> Result<Part, Malformed> {
        let mut parts = Vec::new();
        while next_is_open(tokens) {
            open(tokens)?;
            parts.push(self.body(tokens, depth)?);
        }
        let mut part = blank("MULTIPART".to_owned(), upper(nstring(tokens)?));
        part.body = Body::Multipart(parts);
        if !at_close(tokens) {
            part.parameters = parameters(tokens)?;
        }
        extension(&mut part, tokens)?;
        Ok(part)
    }

    /// `body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]`
    fn one_part(&mut self, tokens: &mut Tokens<'_>, depth: usize) -> Result<Part, Malformed> {
        let mut part = blank(upper(nstring(tokens)?), upper(nstring(tokens)?));
        part.parameters = parameters(tokens)?;
        part.content_id = nstring(tokens)?;
        part.description = nstring(tokens)?;
        if let Some(encoding) = nstring(tokens)? {
            part.encoding = upper(Some(encoding));
        }
        part.end = count(tokens)?;
        let is_message = part.media_type == "MESSAGE" && matches!(part.media_subtype.as_str(), "RFC822" | "GLOBAL");
        if is_message && next_is_open(tokens) {
            let envelope = envelope(tokens)?;
            open(tokens)?;
            let root = self.body(tokens, depth)?;
            part.lines = count(tokens)?;
            part.body = Body::Message(Box::new(envelope), Box::new(root));
        } else if part.media_type == "TEXT" {
            part.lines = count(tokens)?;
        }
        if !at_close(tokens) {
            part.md5 = nstring(tokens)?;
        }
        extension(&mut part, tokens)?;
        Ok(part)
    }
}

fn blank(media_type: String, media_subtype: String) -> Part {
    Part {
        header_start: 0,
        body_start: 0,
        end: 0,
        lines: 0,
        media_type,
        media_subtype,
        parameters: Vec::new(),
        content_id: None,
        description: None,
        encoding: "7BIT".to_owned(),
        md5: None,
        disposition: None,
        language: Vec::new(),
        location: None,
        body: Body::Leaf,
    }
}

/// `[SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc *(SP body-extension)]]] ")"`
fn extension(part: &mut Part, tokens: &mut Tokens<'_>) -> Result<(), Malformed> {
    if !at_close(tokens) {
        part.disposition = disposition(tokens)?;
    }
    if !at_close(tokens) {
        part.language = languages(tokens)?;
    }
    if !at_close(tokens) {
        part.location = nstring(tokens)?;
    }
    close(tokens)
}

/// `body-fld-dsp = "(" string SP body-fld-param ")" / nil`
fn disposition(tokens: &mut Tokens<'_>) -> Result<Option<Disposition>, Malformed> {
    if !next_is_open(tokens) {
        tokens.skip_value()?;
        return Ok(None);
    }
    open(tokens)?;
    let kind = upper(nstring(tokens)?);
    let parameters = if at_close(tokens) { Vec::new() } else { parameters(tokens)? };
    close(tokens)?;
    Ok(Some(Disposition { kind, parameters }))
}

/// `body-fld-lang = nstring / "(" string *(SP string) ")"`
fn languages(tokens: &mut Tokens<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    match next_is_open(tokens) {
        true => Ok(tokens.flat_list()?.into_iter().map(std::borrow::Cow::into_owned).collect()),
        false => Ok(nstring(tokens)?.into_iter().collect()),
    }
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn parameters(tokens: &mut Tokens<'_>) -> Result<Parameters, Malformed> {
    if !next_is_open(tokens) {
        tokens.skip_value()?;
        return Ok(Vec::new());
    }
    open(tokens)?;
    let mut parameters = Parameters::new();
    while !at_close(tokens) {
        let name = upper(nstring(tokens)?);
        // ("boundary" NIL) has been seen (QUIRKS.md row 32).
        let value = if at_close(tokens) { None } else { nstring(tokens)? };
        if parameters.len() < limits::MIME_PARAMETERS_MAX {
            parameters.push((name, value.unwrap_or_default()));
        }
    }
    close(tokens)?;
    Ok(parameters)
}

/// `envelope`
fn envelope(tokens: &mut Tokens<'_>) -> Result<Envelope, Malformed> {
    open(tokens)?;
    let mut envelope = Envelope { date: nstring(tokens)?, subject: nstring(tokens)?, ..Envelope::default() };
    for list in [
        &mut envelope.from,
        &mut envelope.sender,
        &mut envelope.reply_to,
        &mut envelope.to,
        &mut envelope.cc,
        &mut envelope.bcc,
    ] {
        *list = addresses(tokens)?;
    }
    envelope.in_reply_to = nstring(tokens)?;
    envelope.message_id = nstring(tokens)?;
    close(tokens)?;
    Ok(envelope)
}

/// `"(" 1*address ")" / nil`
fn addresses(tokens: &mut Tokens<'_>) -> Result<Vec<Address>, Malformed> {
    if !next_is_open(tokens) {
        tokens.skip_value()?;
        return Ok(Vec::new());
    }
    open(tokens)?;
    let mut addresses = Vec::new();
    while next_is_open(tokens) {
        open(tokens)?;
        let [name, route, mailbox, host] = [nstring(tokens)?, nstring(tokens)?, nstring(tokens)?, nstring(tokens)?];
        close(tokens)?;
        addresses.push(Address { name, route, mailbox, host });
    }
    close(tokens)?;
    Ok(addresses)
}

fn next(tokens: &Tokens<'_>, wanted: &Token<'_>) -> bool {
    let mut ahead = *tokens;
    ahead.next().is_ok_and(|token| token.as_ref() == Some(wanted))
}

fn next_is_open(tokens: &Tokens<'_>) -> bool {
    next(tokens, &Token::Open)
}

fn at_close(tokens: &Tokens<'_>) -> bool {
    next(tokens, &Token::Close)
}

fn open(tokens: &mut Tokens<'_>) -> Result<(), Malformed> {
    match tokens.next()? {
        Some(Token::Open) => Ok(()),
        _ => Err(Malformed("a parenthesis is missing")),
    }
}

/// The end of a list, whatever else is in it.
fn close(tokens: &mut Tokens<'_>) -> Result<(), Malformed> {
    while !at_close(tokens) {
        tokens.skip_value()?;
    }
    tokens.next().map(drop)
}

fn nstring(tokens: &mut Tokens<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    match tokens.next()? {
        Some(Token::Atom(atom)) if atom.eq_ignore_ascii_case(b"NIL") => Ok(None),
        Some(Token::Atom(atom)) => Ok(Some(atom.to_vec())),
        Some(Token::String(text)) => Ok(Some(text.into_owned())),
        Some(Token::Open | Token::Close | Token::Streamed) | None => Err(Malformed("a string is missing")),
    }
}

/// Dovecot has been seen to count -1 lines (QUIRKS.md row 25).
fn count(tokens: &mut Tokens<'_>) -> Result<u64, Malformed> {
    let word = nstring(tokens)?.unwrap_or_default();
    Ok(super::token::number(&word).unwrap_or(0).min(limits::MESSAGE_MAX_BYTES))
}

fn upper(text: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&text.unwrap_or_default()).to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::syntax::body::{BodyForm, write_body};

    /// Read and written again.
    fn again(text: &str) -> Result<String, Malformed> {
        let part = structure(&mut Tokens::new(text.as_bytes()))?;
        let mut out = Vec::new();
        write_body(&mut out, &part, BodyForm::STRUCTURE);
        Ok(String::from_utf8(out).expect("ASCII"))
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        for text in [
            r#"("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "QUOTED-PRINTABLE" 1234 56 NIL NIL NIL NIL)"#,
            r#"(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 1 1 NIL NIL NIL NIL)("IMAGE" "PNG" ("NAME" "a \"b\"") "<c@d>" "desc" "BASE64" 99 "md5" ("ATTACHMENT" ("FILENAME" "a.png")) ("en" "de") "loc") "MIXED" ("BOUNDARY" "x") NIL NIL NIL)"#,
            r#"("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 80 ("date" "subject" (("N" NIL "m" "h")) NIL NIL NIL NIL NIL NIL "<id>") ("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1 NIL NIL NIL NIL) 4 NIL NIL NIL NIL)"#,
        ] {
            assert_eq!(again(text).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_servers_get_wrong_is_read_all_the_same() {
        for (text, expected) in [
            (
                r#"(text plain ("boundary" NIL ) nil nil nil 7 -1)"#,
                r#"("TEXT" "PLAIN" ("BOUNDARY" "") NIL NIL "7BIT" 7 0 NIL NIL NIL NIL)"#,
            ),
            (
                r#"(("a" "b" NIL NIL NIL NIL NIL "x" NIL NIL NIL (future ("y"))) "mixed")"#,
                r#"(("A" "B" NIL NIL NIL "7BIT" 0 "x" NIL NIL NIL) "MIXED" NIL NIL NIL NIL)"#,
            ),
        ] {
            assert_eq!(again(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn hostile_structures_are_refused_in_bounded_work() {
        assert!(again(&"(".repeat(100_000)).is_err());
        let many = format!("({} \"MIXED\")", "(\"A\" \"B\" NIL NIL NIL NIL 1)".repeat(limits::MIME_PARTS_MAX + 1));
        assert!(again(&many).is_err());
        for cut in ["", "(", "(\"TEXT\"", "(\"TEXT\" \"PLAIN\" (", "((", "(\"TEXT\" \"PLAIN\" NIL NIL NIL NIL 1 1"] {
            assert!(again(cut).is_err(), "{cut}");
        }
    }
}
