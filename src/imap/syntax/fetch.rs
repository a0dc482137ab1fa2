//! FETCH and STORE arguments (RFC 3501 sections 6.4.5, 6.4.6; RFC 3516, 8474, 8514, 8970, 9394; RFC 7162 section 3.1).

use super::parser::{Parsed, Parser};
use super::quote::write_astring;
use super::sequence::{PartialRange, SequenceSet};
use crate::message::{Section, SectionText};
use crate::types::{Flags, ModSeq, limits};

/// `fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")")
/// [fetch-modifiers]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    pub set: SequenceSet,
    pub items: Vec<FetchItem>,
    pub changed_since: Option<ModSeq>,
    /// VANISHED (RFC 7162 section 3.2.6)
    pub vanished: bool,
    /// PARTIAL (RFC 9394 section 3.3)
    pub partial: Option<PartialRange>,
}

/// `fetch-att`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    Envelope,
    Flags,
    InternalDate,
    Rfc822Size,
    /// BODY without extension data.
    Body,
    BodyStructure,
    Uid,
    ModSeq,
    Content(Content),
    /// BINARY.SIZE of the part with these numbers.
    BinarySize(Vec<u32>),
    SaveDate,
    EmailId,
    ThreadId,
    /// X-GM-MSGID, X-GM-THRID, X-GM-LABELS (Gmail's X-GM-EXT-1).
    GmailMessageId,
    GmailThreadId,
    GmailLabels,
    /// With LAZY only what costs nothing need be told.
    Preview {
        lazy: bool,
    },
}

/// Bytes of the message: `BODY[...]` and its old names, and `BINARY[...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub name: ContentName,
    pub section: Section,
    /// Fetching it sets `\Seen`.
    pub sets_seen: bool,
    /// `"<" number "." nz-number ">"`: offset and length.
    pub partial: Option<(u32, u32)>,
}

/// By which name the bytes were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentName {
    Body,
    /// The transfer encoding is taken off (RFC 3516).
    Binary,
    Rfc822,
    Rfc822Header,
    Rfc822Text,
}

impl Content {
    /// The item's name as in the response: `BODY[1.MIME]<0>`.
    pub fn write_name(&self, out: &mut Vec<u8>) {
        match self.name {
            ContentName::Rfc822 => return out.extend_from_slice(b"RFC822"),
            ContentName::Rfc822Header => return out.extend_from_slice(b"RFC822.HEADER"),
            ContentName::Rfc822Text => return out.extend_from_slice(b"RFC822.TEXT"),
            ContentName::Body => out.extend_from_slice(b"BODY["),
            ContentName::Binary => out.extend_from_slice(b"BINARY["),
        }
        let part = part_numbers(&self.section.part);
        out.extend_from_slice(part.as_bytes());
        if !part.is_empty() && self.section.text != SectionText::Whole {
            out.push(b'.');
        }
        match &self.section.text {
            SectionText::Whole => {}
            SectionText::Header => out.extend_from_slice(b"HEADER"),
            SectionText::Mime => out.extend_from_slice(b"MIME"),
            SectionText::Text => out.extend_from_slice(b"TEXT"),
            SectionText::HeaderFields { not, names } => {
                out.extend_from_slice(if *not { b"HEADER.FIELDS.NOT (" } else { b"HEADER.FIELDS (" });
                for (index, name) in names.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    write_astring(out, name.as_bytes());
                }
                out.push(b')');
            }
        }
        out.push(b']');
        if let Some((origin, _)) = self.partial {
            out.extend_from_slice(format!("<{origin}>").as_bytes());
        }
    }
}

/// `section-part = nz-number *("." nz-number)`
pub fn part_numbers(part: &[u32]) -> String {
    part.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// `store = "STORE" SP sequence-set [store-modifiers] SP store-att-flags`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub set: SequenceSet,
    pub action: StoreAction,
    pub flags: Flags,
    pub silent: bool,
    pub unchanged_since: Option<ModSeq>,
}

/// FLAGS, +FLAGS, -FLAGS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    Replace,
    Add,
    Remove,
}

impl Parser<'_> {
    /// The arguments of FETCH after its name.
    pub fn fetch(&mut self) -> Parsed<Fetch> {
        self.sp()?;
        let set = self.sequence_set()?;
        self.sp()?;
        let items = match self.peek() {
            Some(b'(') => self.list(Self::fetch_att)?,
            _ => self.fetch_macro_or_att()?,
        };
        if items.len() > limits::IMAP_FETCH_ITEMS_MAX {
            return self.fail("fewer items");
        }
        let mut fetch = Fetch { set, items, changed_since: None, vanished: false, partial: None };
        if self.skip(b' ') {
            self.fetch_modifiers(&mut fetch)?;
        }
        self.end()?;
        Ok(fetch)
    }

    /// `fetch-modifiers = "(" fetch-modifier *(SP fetch-modifier) ")"` (RFC 4466 section 2.4, RFC 7162 section 7)
    fn fetch_modifiers(&mut self, fetch: &mut Fetch) -> Parsed<()> {
        self.list(|parser| {
            if parser.skip_word("CHANGEDSINCE") {
                parser.sp()?;
                // QUIRKS.md row 39: iOS asks for changes since 0, which RFC 7162 does not allow and every server takes.
                fetch.changed_since = Some(parser.mod_sequence_valzer()?);
                return Ok(());
            }
            if parser.skip_word("VANISHED") {
                fetch.vanished = true;
                return Ok(());
            }
            if fetch.partial.is_none() && parser.skip_word("PARTIAL") {
                fetch.partial = Some(parser.partial_range()?);
                return Ok(());
            }
            parser.fail("CHANGEDSINCE, VANISHED or PARTIAL")
        })?;
        Ok(())
    }

    /// `"ALL" / "FULL" / "FAST" / fetch-att`
    fn fetch_macro_or_att(&mut self) -> Parsed<Vec<FetchItem>> {
        use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
        let items = [Flags, InternalDate, Rfc822Size, Envelope, Body];
        for (name, count) in [("FAST", 3), ("ALL", 4), ("FULL", 5)] {
            if self.skip_word(name) {
                return Ok(items[..count].to_vec());
            }
        }
        self.fetch_att().map(|item| vec![item])
    }

    /// `fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822" [".HEADER" / ".SIZE" / ".TEXT"] /
    /// "BODY" ["STRUCTURE"] / "UID" / "BODY" section ["<" number "." nz-number ">"] / "BODY.PEEK" section ...`
    pub(super) fn fetch_att(&mut self) -> Parsed<FetchItem> {
        let content = |name, text, sets_seen| {
            let section = Section { part: Vec::new(), text };
            Ok(FetchItem::Content(Content { name, section, sets_seen, partial: None }))
        };
        match self.word()?.as_str() {
            "ENVELOPE" => Ok(FetchItem::Envelope),
            "FLAGS" => Ok(FetchItem::Flags),
            "INTERNALDATE" => Ok(FetchItem::InternalDate),
            "BODYSTRUCTURE" => Ok(FetchItem::BodyStructure),
            "UID" => Ok(FetchItem::Uid),
            "MODSEQ" => Ok(FetchItem::ModSeq),
            "RFC822.SIZE" => Ok(FetchItem::Rfc822Size),
            "RFC822" => content(ContentName::Rfc822, SectionText::Whole, true),
            "RFC822.HEADER" => content(ContentName::Rfc822Header, SectionText::Header, false),
            "RFC822.TEXT" => content(ContentName::Rfc822Text, SectionText::Text, true),
            "BINARY" if self.peek() == Some(b'[') => self.binary_section(true),
            "BINARY.PEEK" => self.binary_section(false),
            "BINARY.SIZE" => self.section_binary().map(FetchItem::BinarySize),
            "SAVEDATE" => Ok(FetchItem::SaveDate),
            "EMAILID" => Ok(FetchItem::EmailId),
            "THREADID" => Ok(FetchItem::ThreadId),
            "X-GM-MSGID" => Ok(FetchItem::GmailMessageId),
            "X-GM-THRID" => Ok(FetchItem::GmailThreadId),
            "X-GM-LABELS" => Ok(FetchItem::GmailLabels),
            "PREVIEW" => Ok(FetchItem::Preview { lazy: self.preview_mods() }),
            "BODY" if self.peek() == Some(b'[') => self.body_section(true),
            "BODY.PEEK" => self.body_section(false),
            "BODY" => Ok(FetchItem::Body),
            _ => self.fail("an item that can be fetched before this place"),
        }
    }

    /// `section ["<" number "." nz-number ">"]`
    fn body_section(&mut self, sets_seen: bool) -> Parsed<FetchItem> {
        let (section, partial) = (self.section()?, self.partial()?);
        Ok(FetchItem::Content(Content { name: ContentName::Body, section, sets_seen, partial }))
    }

    /// `section-binary ["<" number "." nz-number ">"]`
    fn binary_section(&mut self, sets_seen: bool) -> Parsed<FetchItem> {
        let section = Section { part: self.section_binary()?, text: SectionText::Whole };
        let partial = self.partial()?;
        Ok(FetchItem::Content(Content { name: ContentName::Binary, section, sets_seen, partial }))
    }

    /// `section-binary = "[" [section-part] "]"` (RFC 3516 section 7)
    fn section_binary(&mut self) -> Parsed<Vec<u32>> {
        let section = self.section()?;
        match section.text {
            SectionText::Whole => Ok(section.part),
            _ => self.fail("only part numbers before this place"),
        }
    }

    /// `["<" number "." nz-number ">"]`
    fn partial(&mut self) -> Parsed<Option<(u32, u32)>> {
        if !self.skip(b'<') {
            return Ok(None);
        }
        let origin = self.number()?;
        self.byte(b'.', "\".\"")?;
        let length = self.nz_number()?;
        self.byte(b'>', "\">\"")?;
        Ok(Some((origin, length)))
    }

    /// `[SP "(" preview-mod *(SP preview-mod) ")"]` where `preview-mod = "LAZY"` (RFC 8970 section 6); what else stands
    /// in parentheses belongs to FETCH.
    fn preview_mods(&mut self) -> bool {
        self.skip_text(" (LAZY)")
    }

    /// `section = "[" [section-spec] "]"` where
    /// `section-spec = section-msgtext / (section-part ["." section-text])`
    pub fn section(&mut self) -> Parsed<Section> {
        self.byte(b'[', "\"[\"")?;
        let mut part = Vec::new();
        let mut text_wanted = !matches!(self.peek(), Some(b']'));
        while text_wanted && matches!(self.peek(), Some(b'0'..=b'9')) {
            if part.len() == limits::MIME_NESTING_MAX {
                return self.fail("fewer part numbers");
            }
            part.push(self.nz_number()?);
            text_wanted = self.skip(b'.');
        }
        let text = if text_wanted { self.section_text(!part.is_empty())? } else { SectionText::Whole };
        self.byte(b']', "\"]\"")?;
        Ok(Section { part, text })
    }

    /// `section-text = section-msgtext / "MIME"` where
    /// `section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"] SP header-list / "TEXT"`
    fn section_text(&mut self, in_part: bool) -> Parsed<SectionText> {
        match self.word()?.as_str() {
            "HEADER" => Ok(SectionText::Header),
            "TEXT" => Ok(SectionText::Text),
            "MIME" if in_part => Ok(SectionText::Mime),
            "HEADER.FIELDS" => Ok(SectionText::HeaderFields { not: false, names: self.header_list()? }),
            "HEADER.FIELDS.NOT" => Ok(SectionText::HeaderFields { not: true, names: self.header_list()? }),
            _ => self.fail("a section before this place"),
        }
    }

    /// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
    fn header_list(&mut self) -> Parsed<Vec<String>> {
        self.sp()?;
        let names = self.list(Self::text)?;
        if names.len() > limits::IMAP_HEADER_FIELDS_MAX {
            return self.fail("fewer header fields");
        }
        Ok(names)
    }

    /// The arguments of STORE after its name.
    pub fn store(&mut self) -> Parsed<Store> {
        self.sp()?;
        let set = self.sequence_set()?;
        self.sp()?;
        let mut unchanged_since = None;
        if self.peek() == Some(b'(') {
            // store-modifiers = "(" "UNCHANGEDSINCE" SP mod-sequence-valzer ")" (RFC 7162 section 7)
            self.list(|parser| {
                if !parser.skip_word("UNCHANGEDSINCE") {
                    return parser.fail("UNCHANGEDSINCE");
                }
                parser.sp()?;
                unchanged_since = Some(parser.mod_sequence_valzer()?);
                Ok(())
            })?;
            self.sp()?;
        }
        let action = match (self.skip(b'+'), self.peek()) {
            (true, _) => StoreAction::Add,
            (false, Some(b'-')) => StoreAction::Remove,
            (false, _) => StoreAction::Replace,
        };
        if action == StoreAction::Remove {
            self.skip(b'-');
        }
        let silent = match self.word()?.as_str() {
            "FLAGS" => false,
            "FLAGS.SILENT" => true,
            "X-GM-LABELS" => return self.fail("FLAGS: labels are set and taken off by COPY, MOVE and EXPUNGE,"),
            _ => return self.fail("FLAGS or FLAGS.SILENT before this place"),
        };
        self.sp()?;
        let flags = match self.peek() {
            Some(b'(') => self.flag_list()?,
            _ => self.bare_flags()?,
        };
        self.end()?;
        Ok(Store { set, action, flags, silent, unchanged_since })
    }

    /// `flag *(SP flag)`
    fn bare_flags(&mut self) -> Parsed<Flags> {
        let mut flags = vec![self.flag()?];
        while self.skip(b' ') {
            flags.push(self.flag()?);
        }
        Ok(flags.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the items of `FETCH 1 <items>`, written as in a response.
    fn names(items: &str) -> Option<String> {
        let command = format!(" 1 {items}");
        let fetch = Parser::new(command.as_bytes()).fetch().ok()?;
        let mut out = Vec::new();
        for item in &fetch.items {
            match item {
                FetchItem::Content(content) => content.write_name(&mut out),
                other => out.extend_from_slice(format!("{other:?}").as_bytes()),
            }
            out.push(b' ');
        }
        Some(String::from_utf8_lossy(&out).trim_end().to_owned())
    }

    #[test]
    fn every_item_is_read_and_named_again() {
        let rows = [
            ("ALL", "Flags InternalDate Rfc822Size Envelope"),
            ("FULL", "Flags InternalDate Rfc822Size Envelope Body"),
            ("fast", "Flags InternalDate Rfc822Size"),
            ("(UID BODY BODYSTRUCTURE MODSEQ)", "Uid Body BodyStructure ModSeq"),
            ("RFC822", "RFC822"),
            ("(RFC822.HEADER RFC822.TEXT RFC822.SIZE)", "RFC822.HEADER RFC822.TEXT Rfc822Size"),
            ("BODY[]", "BODY[]"),
            ("BODY.PEEK[]<5.10>", "BODY[]<5>"),
            ("body[1.2.mime]", "BODY[1.2.MIME]"),
            ("BODY[4.1.HEADER]", "BODY[4.1.HEADER]"),
            ("BODY[HEADER.FIELDS (From \"To\")]", "BODY[HEADER.FIELDS (From To)]"),
            ("BODY[1.HEADER.FIELDS.NOT (X)]<0.1>", "BODY[1.HEADER.FIELDS.NOT (X)]<0>"),
            ("BODY[TEXT]", "BODY[TEXT]"),
            ("BINARY.PEEK[1.2]<0.5>", "BINARY[1.2]<0>"),
            ("(BINARY[] BINARY.SIZE[3])", "BINARY[] BinarySize([3])"),
            ("(PREVIEW SAVEDATE EMAILID THREADID)", "Preview { lazy: false } SaveDate EmailId ThreadId"),
            ("(PREVIEW (LAZY) UID)", "Preview { lazy: true } Uid"),
            ("PREVIEW (lazy)", "Preview { lazy: true }"),
            ("PREVIEW (CHANGEDSINCE 4 PARTIAL 1:2)", "Preview { lazy: false }"),
        ];
        for (items, written) in rows {
            assert_eq!(names(items).as_deref(), Some(written), "{items}");
        }
    }

    #[test]
    fn what_cannot_be_fetched_is_refused() {
        for items in [
            "",
            "()",
            "(ALL)",
            "NONSENSE",
            "BODY[",
            "BODY[MIME]",
            "BINARY",
            "BINARY[HEADER]",
            "BINARY.SIZE",
            "BINARY.SIZE[1]<0.5>",
            "PREVIEW (EAGER)",
            "UID (PARTIAL 1:2 PARTIAL 3:4)",
            "BODY[0]",
            "BODY[1.]",
            "BODY[.1]",
            "BODY[1]<0.0>",
            "BODY[HEADER.FIELDS ()]",
            "BODY[HEADER.FIELDS]",
            "BODY.PEEK",
            "(UID",
            "UID UID",
        ] {
            assert_eq!(names(items), None, "{items}");
        }
        assert_eq!(names(&format!("BODY[{}]", ["1"; 101].join("."))), None);
    }

    #[test]
    fn a_store_is_read_in_all_its_forms() {
        let store = |text: &str| Parser::new(text.as_bytes()).store().ok();
        let read = store(" 1:* (UNCHANGEDSINCE 12) -FLAGS.SILENT (\\Deleted)").expect("a valid STORE");
        assert_eq!((read.action, read.silent), (StoreAction::Remove, true));
        assert_eq!(read.unchanged_since, Some(ModSeq::new(12)));
        assert_eq!(store(" 2 FLAGS \\Seen Work").map(|read| read.flags.to_string()).as_deref(), Some("\\Seen Work"));
        assert_eq!(store(" 2 +FLAGS ()").map(|read| read.flags.is_empty()), Some(true));
        for text in [
            "",
            " 2",
            " 2 FLAGS",
            " 2 FLAGS.LOUD (\\Seen)",
            " 2 +-FLAGS (\\Seen)",
            " x FLAGS ()",
            " 2 FLAGS (\\Seen) x",
        ] {
            assert_eq!(store(text), None, "{text}");
        }
    }
}
