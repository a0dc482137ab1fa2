//! The words of a server's response, told apart without knowing the response (RFC 3501 section 9).
//!
//! More tolerant than the grammar where servers differ: runs of spaces and tabs separate, a backslash in a quoted string
//! escapes anything. Never recursive, so no nesting overflows a stack.

use std::borrow::Cow;

use crate::types::limits;

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// Neither quoted nor a literal: an atom, a number, a flag, NIL.
    Atom(&'a [u8]),
    /// A quoted string, unescaped, or a literal.
    String(Cow<'a, [u8]>),
    /// A literal that was handed over while it arrived (see [`super::frame`]).
    Streamed,
    Open,
    Close,
}

/// A response that cannot be told apart, with what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed(pub &'static str);

/// Stands in a frame where a streamed literal was. The framer lets no other NUL through.
pub(in crate::upstream) const STREAMED: u8 = 0;

/// What is left of a response.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The bytes not read yet, leading spaces taken off.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.skip_spaces();
        self.rest
    }

    /// The next word; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        self.skip_spaces();
        let Some((first, after)) = self.rest.split_first() else { return Ok(None) };
        match *first {
            b'(' => {
                self.rest = after;
                Ok(Some(Token::Open))
            }
            b')' => {
                self.rest = after;
                Ok(Some(Token::Close))
            }
            STREAMED => {
                self.rest = after;
                Ok(Some(Token::Streamed))
            }
            b'"' => self.quoted().map(|text| Some(Token::String(text))),
            _ => match self.literal()? {
                Some(bytes) => Ok(Some(Token::String(Cow::Borrowed(bytes)))),
                None => {
                    let end = self.rest.iter().position(|byte| is_separator(*byte)).unwrap_or(self.rest.len());
                    Ok(Some(Token::Atom(self.take(end))))
                }
            },
        }
    }

    /// The next word if it is an atom.
    pub(super) fn atom(&mut self) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            Some(Token::Atom(atom)) => Ok(atom),
            _ => Err(Malformed("an atom is missing")),
        }
    }

    /// The next word as a string of any form.
    pub(super) fn astring(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        match self.next()? {
            Some(Token::Atom(atom)) => Ok(Cow::Borrowed(atom)),
            Some(Token::String(text)) => Ok(text),
            _ => Err(Malformed("a string is missing")),
        }
    }

    /// The next word as a number.
    pub(super) fn number(&mut self) -> Result<u64, Malformed> {
        number(self.atom()?).ok_or(Malformed("a number is missing"))
    }

    /// The name of a FETCH item: an atom in which brackets may hold spaces, as in `BODY[HEADER.FIELDS (DATE)]<0>`.
    pub(super) fn item_name(&mut self) -> Result<&'a [u8], Malformed> {
        self.skip_spaces();
        let mut within = false;
        let end = self.rest.iter().position(|byte| match byte {
            b'[' => {
                within = true;
                false
            }
            b']' => {
                within = false;
                false
            }
            _ => !within && is_separator(*byte),
        });
        match self.take(end.unwrap_or(self.rest.len())) {
            b"" => Err(Malformed("the name of a FETCH item is missing")),
            name => Ok(name),
        }
    }

    /// Reads past one value of any kind, a parenthesised one as a whole.
    pub(super) fn skip_value(&mut self) -> Result<(), Malformed> {
        let mut depth = 0;
        loop {
            match self.next()? {
                Some(Token::Open) => depth += 1,
                Some(Token::Close) if depth > 0 => depth -= 1,
                Some(Token::Close) | None => return Err(Malformed("a value is missing")),
                Some(_) => {}
            }
            if depth > limits::UPSTREAM_NESTING_MAX {
                return Err(Malformed("parentheses nest too deep"));
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// The atoms and strings of one parenthesised list without further parentheses.
    pub(super) fn flat_list(&mut self) -> Result<Vec<Cow<'a, [u8]>>, Malformed> {
        if self.next()? != Some(Token::Open) {
            return Err(Malformed("a list is missing"));
        }
        let mut words = Vec::new();
        loop {
            match self.next()? {
                Some(Token::Atom(atom)) => words.push(Cow::Borrowed(atom)),
                Some(Token::String(text)) => words.push(text),
                Some(Token::Close) => return Ok(words),
                _ => return Err(Malformed("a list does not end")),
            }
        }
    }

    fn skip_spaces(&mut self) {
        let spaces = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.rest = &self.rest[spaces..];
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }

    /// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`
    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        let body = &self.rest[1..];
        let mut unescaped: Option<Vec<u8>> = None;
        let mut place = 0;
        while let Some(byte) = body.get(place) {
            match byte {
                b'"' => {
                    self.rest = &body[place + 1..];
                    return Ok(unescaped.map_or(Cow::Borrowed(&body[..place]), Cow::Owned));
                }
                b'\\' => {
                    let text = unescaped.get_or_insert_with(|| body[..place].to_vec());
                    text.extend(body.get(place + 1));
                    place += 2;
                }
                _ => {
                    if let Some(text) = &mut unescaped {
                        text.push(*byte);
                    }
                    place += 1;
                }
            }
        }
        Err(Malformed("a quoted string does not end"))
    }

    /// `literal = "{" number "}" CRLF *CHAR8`, also with the `~` of RFC 3516 before it.
    fn literal(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let text = self.rest.strip_prefix(b"~").unwrap_or(self.rest);
        let Some(text) = text.strip_prefix(b"{") else { return Ok(None) };
        let Some(close) = text.iter().position(|byte| *byte == b'}') else { return Ok(None) };
        let Some(size) = number(&text[..close]) else { return Ok(None) };
        let Some(bytes) = text[close + 1..].strip_prefix(b"\r\n") else { return Ok(None) };
        let size = usize::try_from(size).map_err(|_| Malformed("a literal is cut off"))?;
        let (literal, rest) = bytes.split_at_checked(size).ok_or(Malformed("a literal is cut off"))?;
        self.rest = rest;
        Ok(Some(literal))
    }
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'(' | b')' | b'"' | STREAMED)
}

/// Decimal digits and nothing else.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8]) -> Result<Vec<Token<'_>>, Malformed> {
        let mut tokens = Tokens::new(text);
        std::iter::from_fn(|| tokens.next().transpose()).collect()
    }

    #[test]
    fn words_are_told_apart() {
        let string = |text: &'static [u8]| Token::String(Cow::Borrowed(text));
        let rows: [(&[u8], Vec<Token<'_>>); 6] = [
            (b"a (b)", vec![Token::Atom(b"a"), Token::Open, Token::Atom(b"b"), Token::Close]),
            (br#""a \"b\\" NIL"#, vec![string(br#"a "b\"#), Token::Atom(b"NIL")]),
            (b"{3}\r\na)b x", vec![string(b"a)b"), Token::Atom(b"x")]),
            (b"~{0}\r\n", vec![string(b"")]),
            (b"\t a \t b ", vec![Token::Atom(b"a"), Token::Atom(b"b")]),
            (b"[x] $y] {z", vec![Token::Atom(b"[x]"), Token::Atom(b"$y]"), Token::Atom(b"{z")]),
        ];
        for (text, tokens) in rows {
            assert_eq!(all(text), Ok(tokens), "{}", String::from_utf8_lossy(text));
        }
        assert!(all(b"\"a").is_err());
        assert!(all(b"\"a\\").is_err());
        assert!(all(b"{4}\r\nabc").is_err());
    }

    #[test]
    fn a_value_is_skipped_as_a_whole_however_deep() {
        let mut tokens = Tokens::new(b"(a (b \"c)\") {1}\r\n() d");
        assert_eq!(tokens.skip_value(), Ok(()));
        assert_eq!(tokens.atom(), Ok(&b"d"[..]));
        let deep = b"(".repeat(1_000_000);
        assert_eq!(Tokens::new(&deep).skip_value(), Err(Malformed("parentheses nest too deep")));
    }

    #[test]
    fn a_section_name_may_hold_spaces() {
        let mut tokens = Tokens::new(b"BODY[HEADER.FIELDS (DATE FROM)]<0> NIL FLAGS()");
        assert_eq!(tokens.item_name(), Ok(&b"BODY[HEADER.FIELDS (DATE FROM)]<0>"[..]));
        assert_eq!(tokens.skip_value(), Ok(()));
        assert_eq!(tokens.item_name(), Ok(&b"FLAGS"[..]));
    }
}
