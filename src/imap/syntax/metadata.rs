//! Arguments of GETMETADATA and SETMETADATA (RFC 5464 section 5), and of the METADATA option of LIST (RFC 9590).

use super::parser::{MailboxArgument, Parsed, Parser};
use crate::types::limits;

/// The name of an annotation, in lower case: `/private/comment`, `/shared/vendor/<token>/...`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryName(String);

impl EntryName {
    /// "MUST have either "/shared" or "/private" as a prefix"; under `vendor` four components or more (RFC 5464
    /// section 3.2).
    pub fn parse(text: &str) -> Option<Self> {
        let name = text.to_ascii_lowercase();
        let allowed = |byte: u8| (b' '..=b'~').contains(&byte) && !matches!(byte, b'*' | b'%');
        if name.len() > limits::METADATA_NAME_MAX_BYTES || !name.bytes().all(allowed) {
            return None;
        }
        let mut components = name.split('/').skip(1);
        let scope = matches!(components.next(), Some("private" | "shared")) && name.starts_with('/');
        let rest: Vec<&str> = components.collect();
        let enough = if rest.first() == Some(&"vendor") { 3 } else { 1 };
        let fits = scope && rest.len() >= enough && rest.iter().all(|component| !component.is_empty());
        fits.then_some(Self(name))
    }

    /// As it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it of one user alone?
    pub fn is_private(&self) -> bool {
        self.0.starts_with("/private/")
    }
}

/// How far below the named entries to look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Depth {
    #[default]
    Zero,
    One,
    Infinity,
}

impl Depth {
    /// Is `name` the entry, or near enough below it?
    pub fn reaches(self, entry: &str, name: &str) -> bool {
        let below = name.strip_prefix(entry).and_then(|rest| rest.strip_prefix('/'));
        name == entry
            || match (self, below) {
                (Self::Zero, _) | (_, None) => false,
                (Self::One, Some(below)) => !below.contains('/'),
                (Self::Infinity, Some(_)) => true,
            }
    }
}

/// `getmetadata = "GETMETADATA" [SP getmetadata-options] SP mailbox SP entries`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMetadata {
    /// Empty: of the server.
    pub mailbox: MailboxArgument,
    pub max_size: Option<u64>,
    pub depth: Depth,
    /// In lower case. With a depth a name above all entries is one too.
    pub entries: Vec<String>,
}

/// `setmetadata = "SETMETADATA" SP mailbox SP entry-values`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMetadata {
    pub mailbox: MailboxArgument,
    pub entries: Vec<(EntryName, Option<Vec<u8>>)>,
}

impl Parser<'_> {
    /// The arguments of GETMETADATA. The standard's grammar has the options in front of the mailbox, its examples behind:
    /// both are taken.
    pub fn get_metadata(&mut self) -> Parsed<GetMetadata> {
        let mut get = GetMetadata {
            mailbox: MailboxArgument(Vec::new()),
            max_size: None,
            depth: Depth::Zero,
            entries: Vec::new(),
        };
        self.sp()?;
        if self.peek() == Some(b'(') {
            self.metadata_options(&mut get)?;
            self.sp()?;
        }
        get.mailbox = self.mailbox()?;
        self.sp()?;
        if self.rest().starts_with(b"(") && self.rest().get(1).is_some_and(u8::is_ascii_alphabetic) {
            self.metadata_options(&mut get)?;
            self.sp()?;
        }
        if self.peek() == Some(b'(') {
            get.entries = self.list(Self::entry_above)?;
        } else {
            get.entries.push(self.entry_above()?);
            while self.skip(b' ') {
                get.entries.push(self.entry_above()?);
            }
        }
        self.end()?;
        Ok(get)
    }

    /// `getmetadata-options = "(" getmetadata-option *(SP getmetadata-option) ")"` where
    /// `maxsize-opt = "MAXSIZE" SP number` and `scope-opt = "DEPTH" SP ("0" / "1" / "infinity")`
    fn metadata_options(&mut self, get: &mut GetMetadata) -> Parsed<()> {
        self.list(|parser| {
            match parser.word()?.as_str() {
                "MAXSIZE" => {
                    parser.sp()?;
                    get.max_size = Some(parser.number64()?);
                }
                "DEPTH" => {
                    parser.sp()?;
                    get.depth = match parser.word()?.as_str() {
                        "0" => Depth::Zero,
                        "1" => Depth::One,
                        "INFINITY" => Depth::Infinity,
                        _ => return parser.fail("0, 1 or infinity before this place"),
                    };
                }
                _ => return parser.fail("MAXSIZE or DEPTH before this place"),
            }
            Ok(())
        })?;
        Ok(())
    }

    /// `entry = astring`
    pub fn entry(&mut self) -> Parsed<EntryName> {
        match EntryName::parse(&self.text()?) {
            Some(name) => Ok(name),
            None => self.fail("the name of an annotation before this place"),
        }
    }

    /// An entry, or with a depth a name above some, as `/private`.
    fn entry_above(&mut self) -> Parsed<String> {
        let name = self.text()?.to_ascii_lowercase();
        let is_entry = EntryName::parse(&name).is_some() || EntryName::parse(&format!("{name}/x/x/x")).is_some();
        if is_entry { Ok(name) } else { self.fail("the name of an annotation before this place") }
    }

    /// `entry-values = "(" entry-value *(SP entry-value) ")"` where `entry-value = entry SP value` and
    /// `value = nstring / literal8`
    pub fn set_metadata(&mut self) -> Parsed<SetMetadata> {
        self.sp()?;
        let mailbox = self.mailbox()?;
        self.sp()?;
        let entries = self.list(|parser| {
            let entry = parser.entry()?;
            parser.sp()?;
            Ok((entry, parser.nstring_or_literal8()?))
        })?;
        self.end()?;
        Ok(SetMetadata { mailbox, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_annotations_are_told_from_others() {
        for name in ["/private/comment", "/SHARED/Comment", "/shared/vendor/cmu/color", "/private/filters/values/boss"]
        {
            assert!(EntryName::parse(name).is_some(), "{name}");
        }
        for name in [
            "",
            "/",
            "/private",
            "/private/",
            "private/comment",
            "/comment",
            "/shared/a//b",
            "/shared/*",
            "/shared/vendor",
            "/shared/vendor/cmu",
            "/shared/\u{e9}",
        ] {
            assert_eq!(EntryName::parse(name), None, "{name}");
        }
    }

    #[test]
    fn depth_says_how_far_below() {
        for (depth, name, reached) in [
            (Depth::Zero, "/private/a", true),
            (Depth::Zero, "/private/a/b", false),
            (Depth::One, "/private/a/b", true),
            (Depth::One, "/private/a/b/c", false),
            (Depth::Infinity, "/private/a/b/c", true),
            (Depth::Infinity, "/private/ab", false),
        ] {
            assert_eq!(depth.reaches("/private/a", name), reached, "{depth:?} {name}");
        }
    }

    #[test]
    fn options_stand_on_either_side_of_the_mailbox() {
        let get = |text: &str| Parser::new(text.as_bytes()).get_metadata().ok();
        let one = get(" (MAXSIZE 1024 DEPTH infinity) INBOX (/shared/comment /private)").expect("valid");
        assert_eq!((one.max_size, one.depth, one.entries.len()), (Some(1024), Depth::Infinity, 2));
        assert_eq!(get(" INBOX (DEPTH 1) /private/filters/values").map(|get| get.depth), Some(Depth::One));
        assert_eq!(get(" \"\" /shared/comment").map(|get| get.mailbox.0.is_empty()), Some(true));
        for text in [" INBOX", " INBOX (DEPTH 2) /shared/a", " INBOX ()", " INBOX comment", " INBOX (/shared/a"] {
            assert_eq!(get(text), None, "{text}");
        }
    }

    #[test]
    fn a_value_is_a_string_a_literal8_or_nothing() {
        let set = |text: &[u8]| Parser::new(text).set_metadata().ok().map(|set| set.entries);
        let entries = set(b" INBOX (/private/comment \"x\" /shared/comment NIL)").expect("valid");
        assert_eq!((entries[0].1.as_deref(), entries[1].1.as_deref()), (Some(&b"x"[..]), None));
        let entries = set(b" \"\" (/private/vendor/v/w ~{3}\r\na\0b)").expect("valid");
        assert_eq!(entries[0].1.as_deref(), Some(&b"a\0b"[..]));
        for text in
            [&b" INBOX /private/comment \"x\""[..], b" INBOX ()", b" INBOX (/private/comment)", b" INBOX (x NIL)"]
        {
            assert_eq!(set(text), None, "{}", text.escape_ascii());
        }
    }
}
