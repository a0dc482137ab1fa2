//! APPEND's messages, piece by piece (RFC 3501 section 6.3.11; RFC 3502, 3516, 4469, 6855): a piece is what stands
//! between two literals of message bytes, or between them and the command's beginning or end.

use super::parser::{Parsed, Parser};
use crate::types::{Flags, InternalDate};

/// What a piece says, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendStep {
    /// `[SP flag-list] [SP date-time]`: a message begins.
    Message { flags: Flags, internal_date: Option<InternalDate>, catenated: bool },
    /// `"URL" SP astring`: a part of the message (RFC 4469).
    Url(String),
    /// The bytes of the message, or of a part of it, follow; always the piece's last.
    Literal { size_bytes: u64, form: LiteralForm },
    /// `")"`: all parts of the message were named.
    Catenated,
}

/// How bytes are announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LiteralForm {
    /// `literal`
    Plain,
    /// `literal8`: NUL is allowed (RFC 3516 section 4.4).
    Binary,
    /// `"UTF8" SP "(" literal8 ")"`: a closing parenthesis follows the bytes (RFC 6855 section 4).
    Utf8,
}

/// Where a piece begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendPlace {
    /// Before the first message, which must come.
    First,
    /// Behind a message: another may come.
    Behind,
    /// Behind the bytes of a message.
    BehindBytes(LiteralForm),
    /// Within the parts of a message, behind the bytes of one.
    BehindPart(LiteralForm),
}

impl Parser<'_> {
    /// `append-message = [SP flag-list] [SP date-time] SP append-data` and what follows, up to the next literal of
    /// message bytes (then where the next piece begins) or to the command's end.
    pub fn append_piece(&mut self, place: AppendPlace) -> Parsed<(Vec<AppendStep>, Option<AppendPlace>)> {
        let mut steps = Vec::new();
        let next = match place {
            AppendPlace::First => self.append_message(&mut steps)?,
            AppendPlace::Behind => None,
            AppendPlace::BehindBytes(form) => {
                self.behind_bytes(form)?;
                None
            }
            AppendPlace::BehindPart(form) => {
                self.behind_bytes(form)?;
                self.cat_parts(false, &mut steps)?
            }
        };
        if next.is_some() {
            return Ok((steps, next));
        }
        while self.peek().is_some() {
            if let Some(next) = self.append_message(&mut steps)? {
                return Ok((steps, Some(next)));
            }
        }
        Ok((steps, None))
    }

    /// `None`: the message is complete.
    fn append_message(&mut self, steps: &mut Vec<AppendStep>) -> Parsed<Option<AppendPlace>> {
        self.sp()?;
        let mut flags = Flags::none();
        if self.peek() == Some(b'(') {
            flags = self.flag_list()?;
            self.sp()?;
        }
        let mut internal_date = None;
        if self.peek() == Some(b'"') {
            internal_date = Some(self.date_time()?);
            self.sp()?;
        }
        let catenated = self.skip_text("CATENATE (");
        steps.push(AppendStep::Message { flags, internal_date, catenated });
        if catenated {
            return self.cat_parts(true, steps);
        }
        self.message_literal(steps).map(|form| Some(AppendPlace::BehindBytes(form)))
    }

    /// `cat-part *(SP cat-part) ")"` where `cat-part = "TEXT" SP literal / "URL" SP astring / utf8-literal`
    fn cat_parts(&mut self, mut first: bool, steps: &mut Vec<AppendStep>) -> Parsed<Option<AppendPlace>> {
        loop {
            if !first {
                if self.skip(b')') {
                    steps.push(AppendStep::Catenated);
                    return Ok(None);
                }
                self.sp()?;
            }
            first = false;
            if self.skip_text("URL ") {
                steps.push(AppendStep::Url(self.text()?));
                continue;
            }
            if !self.skip_text("TEXT ") && self.peek().map(|byte| byte.to_ascii_uppercase()) != Some(b'U') {
                return self.fail("TEXT, URL or UTF8");
            }
            return self.message_literal(steps).map(|form| Some(AppendPlace::BehindPart(form)));
        }
    }

    /// `literal / literal8 / utf8-literal` up to the end of its announcement, which is the end of the piece.
    fn message_literal(&mut self, steps: &mut Vec<AppendStep>) -> Parsed<LiteralForm> {
        let form = match (self.skip_text("UTF8 (~"), self.skip(b'~')) {
            (true, _) => LiteralForm::Utf8,
            (false, true) => LiteralForm::Binary,
            (false, false) => LiteralForm::Plain,
        };
        let size_bytes = self.literal_head()?;
        self.end()?;
        steps.push(AppendStep::Literal { size_bytes, form });
        Ok(form)
    }

    fn behind_bytes(&mut self, form: LiteralForm) -> Parsed<()> {
        match form {
            LiteralForm::Plain | LiteralForm::Binary => Ok(()),
            LiteralForm::Utf8 => self.byte(b')', "\")\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, place: AppendPlace) -> Option<(Vec<AppendStep>, Option<AppendPlace>)> {
        Parser::new(text.as_bytes()).append_piece(place).ok()
    }

    #[test]
    fn a_message_is_read_up_to_its_bytes() {
        let text = " (\\Seen) \" 1-Feb-2003 04:05:06 +0000\" {310+}\r\n";
        let (steps, next) = piece(text, AppendPlace::First).expect("a valid piece");
        assert_eq!(next, Some(AppendPlace::BehindBytes(LiteralForm::Plain)));
        let [AppendStep::Message { flags, internal_date, .. }, literal] = &steps[..] else { panic!("{steps:?}") };
        assert_eq!((flags.to_string().as_str(), internal_date.is_some()), ("\\Seen", true));
        assert_eq!(literal, &AppendStep::Literal { size_bytes: 310, form: LiteralForm::Plain });
        for (text, form) in [(" ~{5}\r\n", LiteralForm::Binary), (" () utf8 (~{5+}\r\n", LiteralForm::Utf8)] {
            let next = piece(text, AppendPlace::First).and_then(|(_, next)| next);
            assert_eq!(next, Some(AppendPlace::BehindBytes(form)), "{text}");
        }
        for text in ["", " \"yesterday\" {5}\r\n", " {5}\r\nabcde", " UTF8 ({5}\r\n", " CATENATE ()"] {
            assert_eq!(piece(text, AppendPlace::First), None, "{text}");
        }
    }

    #[test]
    fn what_follows_the_bytes_depends_on_their_form() {
        let behind = |form| AppendPlace::BehindBytes(form);
        assert_eq!(piece("", behind(LiteralForm::Plain)), Some((vec![], None)));
        assert_eq!(piece(")", behind(LiteralForm::Utf8)), Some((vec![], None)));
        assert_eq!(piece("", behind(LiteralForm::Utf8)), None);
        assert_eq!(piece(" rest", behind(LiteralForm::Plain)), None);
        let (steps, next) = piece(" {5}\r\n", behind(LiteralForm::Plain)).expect("another message");
        assert_eq!((steps.len(), next), (2, Some(behind(LiteralForm::Plain))));
    }

    #[test]
    fn parts_are_read_between_their_bytes() {
        let text = " (\\Draft) CATENATE (URL \"/Drafts/;UID=20/;section=HEADER\" TEXT {42}\r\n";
        let (steps, next) = piece(text, AppendPlace::First).expect("a valid piece");
        assert_eq!(next, Some(AppendPlace::BehindPart(LiteralForm::Plain)));
        assert_eq!(steps[1], AppendStep::Url("/Drafts/;UID=20/;section=HEADER".to_owned()));
        let behind = AppendPlace::BehindPart(LiteralForm::Plain);
        let (steps, next) = piece(" URL a URL b)", behind).expect("a valid piece");
        assert_eq!((steps.len(), next, steps.last()), (3, None, Some(&AppendStep::Catenated)));
        assert_eq!(piece(") CATENATE (URL a)", behind).map(|(steps, _)| steps.len()), Some(4));
        for text in ["", " ", " NONSENSE x)", " URL)", " TEXT x)", "URL a)"] {
            assert_eq!(piece(text, behind), None, "{text}");
        }
    }
}
