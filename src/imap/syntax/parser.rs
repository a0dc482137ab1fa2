//! The ground of the command parser: a cursor over one whole command, and the rules every command shares
//! (RFC 3501 section 9). The rules of single commands stand in the files beside this one.
//!
//! A command is handed in without its last line break; literals stand in it as they came. Each function bears the name
//! of its ABNF rule. Nothing here panics or recurses without counting.

use std::ops::RangeInclusive;

use chrono::NaiveDate;

use super::quote::{NameForm, is_astring_char, is_atom_char};
use super::utf7;
use crate::types::{Flag, Flags, InternalDate, MailboxName, ModSeq, limits};

/// A cursor over one command.
#[derive(Debug)]
pub struct Parser<'a> {
    input: &'a [u8],
    at: usize,
    depth: usize,
    /// What is searched for is in a charset that is not known here: it is read, for the command to be refused for that.
    pub(super) is_in_unknown_charset: bool,
}

/// Where a command leaves the grammar, and what was expected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at octet {at}")]
pub struct ParseError {
    pub at: usize,
    pub expected: &'static str,
}

/// The outcome of a rule.
pub type Parsed<T> = Result<T, ParseError>;

/// A mailbox argument as the client spelled it. Not every spelling is a name; that is no syntax error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxArgument(pub Vec<u8>);

impl MailboxArgument {
    /// The name; `None` where it is not in that form or no name this server can have. What is not US-ASCII is UTF-8
    /// even where modified UTF-7 is spoken: "MUST accept UTF8-quoted mailbox names" (RFC 6855 section 3).
    pub fn name(&self, form: NameForm) -> Option<MailboxName> {
        let text = match form {
            NameForm::ModifiedUtf7 if self.0.is_ascii() => utf7::decode(&self.0).ok()?,
            NameForm::ModifiedUtf7 | NameForm::Utf8 => String::from_utf8(self.0.clone()).ok()?,
        };
        MailboxName::parse(&text).ok()
    }
}

impl<'a> Parser<'a> {
    /// A cursor at the beginning of `command`.
    pub const fn new(command: &'a [u8]) -> Self {
        Self { input: command, at: 0, depth: 0, is_in_unknown_charset: false }
    }

    /// The next byte, not consumed.
    pub fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// What is not consumed.
    pub fn rest(&self) -> &'a [u8] {
        &self.input[self.at..]
    }

    /// Does the input end with the announcement of a literal, just consumed, whose bytes are still to come?
    pub fn is_behind_literal_head(&self) -> bool {
        self.rest().is_empty() && self.input.ends_with(b"\n")
    }

    /// Fails here.
    pub const fn fail<T>(&self, expected: &'static str) -> Parsed<T> {
        Err(ParseError { at: self.at, expected })
    }

    /// Consumes the byte if it is next.
    pub fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Consumes the byte.
    pub fn byte(&mut self, byte: u8, expected: &'static str) -> Parsed<()> {
        if self.skip(byte) { Ok(()) } else { self.fail(expected) }
    }

    /// `SP`
    pub fn sp(&mut self) -> Parsed<()> {
        self.byte(b' ', "a space")
    }

    /// Nothing may follow.
    pub fn end(&self) -> Parsed<()> {
        if self.at == self.input.len() { Ok(()) } else { self.fail("the end of the command") }
    }

    /// The bytes from here on for which `wanted` holds.
    pub fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.input[self.at..];
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Runs a rule that may contain itself, within [`limits::IMAP_NESTING_MAX`].
    pub fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth == limits::IMAP_NESTING_MAX {
            return self.fail("less nesting");
        }
        self.depth += 1;
        let parsed = rule(self);
        self.depth -= 1;
        parsed
    }

    /// `"(" item *(SP item) ")"`
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.byte(b'(', "\"(\"")?;
        let mut items = vec![item(self)?];
        while !self.skip(b')') {
            self.sp()?;
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// `"(" [item *(SP item)] ")"`
    pub fn list_or_empty<T>(&mut self, item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        if self.input[self.at..].starts_with(b"()") {
            self.at += 2;
            return Ok(Vec::new());
        }
        self.list(item)
    }

    /// A word of letters, digits, dots and hyphens in upper case: what commands and their items are called by.
    pub fn word(&mut self) -> Parsed<String> {
        let start = self.at;
        let word = self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'='));
        if word.is_empty() {
            return Err(ParseError { at: start, expected: "a word" });
        }
        Ok(String::from_utf8_lossy(word).to_ascii_uppercase())
    }

    /// Consumes the word if it is next, in any case.
    pub fn skip_word(&mut self, wanted: &str) -> bool {
        let start = self.at;
        let found = self.word().is_ok_and(|word| word == wanted);
        if !found {
            self.at = start;
        }
        found
    }

    /// Consumes the text if it is next, in any case.
    pub fn skip_text(&mut self, wanted: &str) -> bool {
        let next = self.input[self.at..].get(..wanted.len());
        let found = next.is_some_and(|next| next.eq_ignore_ascii_case(wanted.as_bytes()));
        self.at += if found { wanted.len() } else { 0 };
        found
    }

    /// `tag = 1*<any ASTRING-CHAR except "+">`
    pub fn tag(&mut self) -> Parsed<String> {
        let tag = self.take_while(|byte| is_astring_char(byte) && byte != b'+');
        if tag.is_empty() { self.fail("a tag") } else { Ok(String::from_utf8_lossy(tag).into_owned()) }
    }

    /// `atom = 1*ATOM-CHAR`
    pub fn atom(&mut self) -> Parsed<String> {
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() { self.fail("an atom") } else { Ok(String::from_utf8_lossy(atom).into_owned()) }
    }

    /// `astring = 1*ASTRING-CHAR / string`
    pub fn astring(&mut self) -> Parsed<Vec<u8>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string();
        }
        let atom = self.take_while(is_astring_char);
        if atom.is_empty() { self.fail("a string") } else { Ok(atom.to_vec()) }
    }

    /// `string = quoted / literal`
    pub fn string(&mut self) -> Parsed<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.fail("a quoted string or literal"),
        }
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`. Bytes above 127 are let through: clients that send UTF-8 mean it.
    fn quoted(&mut self) -> Parsed<Vec<u8>> {
        self.byte(b'"', "\"")?;
        let mut text = Vec::new();
        loop {
            text.extend_from_slice(self.take_while(|byte| !matches!(byte, b'"' | b'\\' | b'\r' | b'\n' | 0)));
            if self.skip(b'"') {
                return Ok(text);
            }
            self.byte(b'\\', "the end of the quoted string")?;
            match self.peek() {
                Some(byte @ (b'"' | b'\\')) => text.push(byte),
                _ => return self.fail("\" or \\ after \\"),
            }
            self.at += 1;
        }
    }

    /// `literal = "{" number ["+"] "}" CRLF *CHAR8` (RFC 7888 section 8). NUL is no CHAR8.
    fn literal(&mut self) -> Parsed<Vec<u8>> {
        let length = self.literal_head()?;
        let start = self.at;
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        match end.and_then(|end| self.input.get(start..end)) {
            Some(bytes) if !bytes.contains(&0) => {
                self.at += bytes.len();
                Ok(bytes.to_vec())
            }
            Some(_) => self.fail("a literal without NUL"),
            None => self.fail("the literal's bytes"),
        }
    }

    /// `"{" number ["+"] "}" CRLF`: the length of the literal that follows.
    pub fn literal_head(&mut self) -> Parsed<u64> {
        self.byte(b'{', "\"{\"")?;
        let length = self.number64()?;
        self.skip(b'+');
        self.byte(b'}', "\"}\"")?;
        self.skip(b'\r');
        self.byte(b'\n', "the line break before the literal")?;
        Ok(length)
    }

    /// `nstring = string / nil`
    pub fn nstring(&mut self) -> Parsed<Option<Vec<u8>>> {
        if self.skip_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }

    /// `nstring / literal8` (RFC 5464 section 5)
    pub fn nstring_or_literal8(&mut self) -> Parsed<Option<Vec<u8>>> {
        if !self.skip(b'~') {
            return self.nstring();
        }
        let length = self.literal_head()?;
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        match end.and_then(|end| self.input.get(self.at..end)) {
            Some(bytes) => {
                self.at += bytes.len();
                Ok(Some(bytes.to_vec()))
            }
            None => self.fail("the literal's bytes"),
        }
    }

    /// An `astring` that is a person's text: UTF-8, of which US-ASCII is part.
    pub fn text(&mut self) -> Parsed<String> {
        let at = self.at;
        String::from_utf8(self.astring()?).map_err(|_| ParseError { at, expected: "text in UTF-8" })
    }

    /// `mailbox = "INBOX" / astring`
    pub fn mailbox(&mut self) -> Parsed<MailboxArgument> {
        self.astring().map(MailboxArgument)
    }

    /// `number = 1*DIGIT`, 32 bits
    pub fn number(&mut self) -> Parsed<u32> {
        let at = self.at;
        let number = self.number64()?;
        u32::try_from(number).map_err(|_| ParseError { at, expected: "a number of 32 bits" })
    }

    /// `nz-number = digit-nz *DIGIT`
    pub fn nz_number(&mut self) -> Parsed<u32> {
        match self.peek() {
            Some(b'1'..=b'9') => self.number(),
            _ => self.fail("a number from 1"),
        }
    }

    /// `number64 = 1*DIGIT`, 63 bits (RFC 9051 section 9)
    pub fn number64(&mut self) -> Parsed<u64> {
        let at = self.at;
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
        match number {
            Some(number) if i64::try_from(number).is_ok() => Ok(number),
            _ => Err(ParseError { at, expected: "a number" }),
        }
    }

    /// `mod-sequence-valzer = "0" / mod-sequence-value` (RFC 7162 section 7)
    pub fn mod_sequence_valzer(&mut self) -> Parsed<ModSeq> {
        self.number64().map(ModSeq::new)
    }

    /// `flag-list = "(" [flag *(SP flag)] ")"`
    pub fn flag_list(&mut self) -> Parsed<Flags> {
        Ok(self.list_or_empty(Self::flag)?.into_iter().flatten().collect())
    }

    /// `flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword / flag-extension`
    ///
    /// `\Recent` is passed over: a client cannot set it, and some send back the list they were given.
    pub fn flag(&mut self) -> Parsed<Option<Flag>> {
        let start = self.at;
        self.skip(b'\\');
        self.take_while(is_astring_char);
        let text = String::from_utf8_lossy(&self.input[start..self.at]);
        if text.eq_ignore_ascii_case("\\Recent") {
            return Ok(None);
        }
        Flag::parse(&text).map(Some).ok_or(ParseError { at: start, expected: "a flag" })
    }

    /// `date = date-text / DQUOTE date-text DQUOTE` where `date-text = date-day "-" date-month "-" date-year`
    pub fn date(&mut self) -> Parsed<NaiveDate> {
        const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
        let quoted = self.skip(b'"');
        let at = self.at;
        let day = self.digits(1..=2)?;
        self.byte(b'-', "\"-\"")?;
        let month = self.take_while(|byte| byte.is_ascii_alphabetic()).to_ascii_uppercase();
        self.byte(b'-', "\"-\"")?;
        let year = self.digits(4..=4)?;
        if quoted {
            self.byte(b'"', "\"")?;
        }
        let month = MONTHS.iter().position(|name| name.as_bytes() == month).map(|index| index as u32 + 1);
        let year = i32::try_from(year).ok();
        year.zip(month)
            .and_then(|(year, month)| NaiveDate::from_ymd_opt(year, month, day))
            .ok_or(ParseError { at, expected: "a day such as 1-Feb-2003" })
    }

    /// So many digits: `date-day = 1*2DIGIT`, `date-year = 4DIGIT`.
    fn digits(&mut self, count: RangeInclusive<usize>) -> Parsed<u32> {
        let at = self.at;
        let number = self.number()?;
        if count.contains(&(self.at - at)) {
            Ok(number)
        } else {
            Err(ParseError { at, expected: "a day such as 1-Feb-2003" })
        }
    }

    /// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
    pub fn date_time(&mut self) -> Parsed<InternalDate> {
        let at = self.at;
        let text = self.quoted()?;
        std::str::from_utf8(&text)
            .ok()
            .and_then(InternalDate::parse_imap)
            .ok_or(ParseError { at, expected: "a date-time such as \" 1-Feb-2003 04:05:06 +0000\"" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_in_every_form() {
        let rows: [(&[u8], Option<&[u8]>); 12] = [
            (b"abc", Some(b"abc")),
            (b"a]b", Some(b"a]b")),
            (b"\"a b\"", Some(b"a b")),
            (b"\"a\\\"\\\\\"", Some(b"a\"\\")),
            (b"\"\"", Some(b"")),
            (b"{3}\r\na\r\n", Some(b"a\r\n")),
            (b"{3+}\r\na b", Some(b"a b")),
            (b"{0}\r\n", Some(b"")),
            (b"", None),
            (b"\"a", None),
            (b"\"a\\b\"", None),
            (b"{5}\r\nab", None),
        ];
        for (wire, text) in rows {
            let mut parser = Parser::new(wire);
            let parsed = parser.astring().and_then(|text| parser.end().map(|()| text));
            assert_eq!(parsed.ok().as_deref(), text, "{}", String::from_utf8_lossy(wire));
        }
        assert!(Parser::new(b"{1}\r\n\0").astring().is_err());
        assert!(Parser::new(b"{99999999999999999999}\r\n").astring().is_err());
    }

    #[test]
    fn dates_are_days_that_exist() {
        let day = NaiveDate::from_ymd_opt(2003, 2, 1);
        assert_eq!(Parser::new(b"1-Feb-2003").date().ok(), day);
        assert_eq!(Parser::new(b"\"01-FEB-2003\"").date().ok(), day);
        for wire in [
            &b"31-Feb-2003"[..],
            b"1-Foo-2003",
            b"\"1-Feb-2003",
            b"1-Feb-99999",
            b"0-Feb-2003",
            b"1-Feb-03",
            b"001-Feb-2003",
        ] {
            assert!(Parser::new(wire).date().is_err(), "{}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn a_flag_list_passes_over_recent_and_refuses_strange_flags() {
        let flags = |wire: &[u8]| Parser::new(wire).flag_list().map(|flags| flags.to_string());
        assert_eq!(flags(b"(\\seen \\Recent Work)").as_deref(), Ok("\\Seen Work"));
        assert_eq!(flags(b"()").as_deref(), Ok(""));
        assert!(flags(b"(\\Strange)").is_err());
        assert!(flags(b"(\\Seen").is_err());
        assert!(flags(b"( )").is_err());
    }

    #[test]
    fn an_error_says_where_and_what() {
        let error = Parser::new(b"x").number().map_err(|error| error.to_string());
        assert_eq!(error, Err("expected a number at octet 0".to_owned()));
    }
}
