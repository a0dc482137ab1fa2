//! The tokens that structured fields are made of (RFC 5322 section 3.2, RFC 2045 section 5.1), read leniently: every
//! call moves forward or says that it cannot, so that any bytes are read in one pass.

/// A place in an unfolded field value.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes the next byte.
    pub(super) fn bump(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Takes the next byte if it is `byte`.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.bump();
        }
        there
    }

    /// Takes bytes as long as `wanted` says so.
    pub(super) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !wanted(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// Takes white space and comments (RFC 5322 section 3.2.2, CFWS). Returns whether there was any, and puts the text
    /// of the last comment in `comment`.
    pub(super) fn skip_cfws(&mut self, comment: &mut Option<Vec<u8>>) -> bool {
        let before = self.rest.len();
        loop {
            self.take_while(|byte| byte.is_ascii_whitespace());
            match self.peek() {
                Some(b'(') => *comment = Some(self.comment()),
                _ => return self.rest.len() != before,
            }
        }
    }

    /// [`Self::skip_cfws`] where comments are of no interest.
    pub(super) fn skip_blank(&mut self) -> bool {
        self.skip_cfws(&mut None)
    }

    /// Takes a comment, nested ones included, and gives its text with quoting removed. One that never ends goes to the
    /// end of the value.
    fn comment(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut depth = 0_usize;
        while let Some(byte) = self.bump() {
            match byte {
                b'(' => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        break;
                    }
                }
                b'\\' => {
                    text.extend(self.bump());
                    continue;
                }
                _ => {}
            }
            text.push(byte);
        }
        super::header::trim(&text).to_vec()
    }

    /// Takes a quoted string, which must be next, and gives its content with quoting removed. One that never ends goes
    /// to the end of the value.
    pub(super) fn quoted_string(&mut self) -> Vec<u8> {
        let mut content = Vec::new();
        self.take(b'"');
        while let Some(byte) = self.bump() {
            match byte {
                b'"' => break,
                b'\\' => content.extend(self.bump()),
                _ => content.push(byte),
            }
        }
        content
    }

    /// Skips to the next byte that `wanted` accepts outside quoted strings and comments, and leaves it there.
    pub(super) fn skip_to(&mut self, wanted: impl Fn(u8) -> bool) {
        while let Some(byte) = self.peek() {
            match byte {
                _ if wanted(byte) => return,
                b'"' => drop(self.quoted_string()),
                b'(' => drop(self.comment()),
                _ => drop(self.bump()),
            }
        }
    }
}
