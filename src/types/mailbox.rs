//! Mailbox names as this program keeps them: UTF-8 components joined by `/`, INBOX in one spelling.
//!
//! The wire forms (modified UTF-7, another server's delimiter) are made where a wire is: `imap::syntax`, `upstream`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits;

/// A mailbox name. Never empty, no empty component, no control character; `INBOX` is upper case wherever it stands as
/// the first component (RFC 3501 section 5.1: INBOX is case-insensitive).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailboxName(String);

/// Why a text is no mailbox name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a mailbox name cannot be empty, nor begin or end with \"/\", nor hold \"//\"")]
    EmptyComponent,
    #[error("a mailbox name cannot hold control characters")]
    ControlCharacter,
    #[error("a mailbox name cannot be longer than {} bytes", limits::MAILBOX_NAME_MAX_BYTES)]
    TooLong,
}

impl MailboxName {
    /// The delimiter of every name.
    pub const DELIMITER: char = '/';

    /// INBOX.
    pub fn inbox() -> Self {
        Self("INBOX".to_owned())
    }

    /// Parses a `/`-joined name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > limits::MAILBOX_NAME_MAX_BYTES {
            return Err(NameError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NameError::ControlCharacter);
        }
        if text.split(Self::DELIMITER).any(str::is_empty) {
            return Err(NameError::EmptyComponent);
        }
        let first = text.split(Self::DELIMITER).next().unwrap_or_default();
        if first.eq_ignore_ascii_case("INBOX") {
            return Ok(Self(format!("INBOX{}", &text[first.len()..])));
        }
        Ok(Self(text.to_owned()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is it INBOX itself?
    pub fn is_inbox(&self) -> bool {
        self.0 == "INBOX"
    }

    /// The components from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split(Self::DELIMITER)
    }

    /// How many components there are.
    pub fn levels(&self) -> usize {
        self.components().count()
    }

    /// The last component.
    pub fn leaf(&self) -> &str {
        self.components().next_back().unwrap_or(&self.0)
    }

    /// The mailbox above, unless this one is at the root.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once(Self::DELIMITER).map(|(parent, _)| Self(parent.to_owned()))
    }

    /// Is `self` somewhere below `ancestor`?
    pub fn is_below(&self, ancestor: &Self) -> bool {
        self.0.strip_prefix(ancestor.as_str()).is_some_and(|rest| rest.starts_with(Self::DELIMITER))
    }

    /// The name that `self`, being `from` or below it, has once `from` is called `to`.
    pub fn rebased(&self, from: &Self, to: &Self) -> Option<Self> {
        if self == from {
            return Some(to.clone());
        }
        let rest = self.is_below(from).then(|| &self.0[from.0.len()..])?;
        Self::parse(&format!("{}{rest}", to.0)).ok()
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl TryFrom<String> for MailboxName {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}
impl From<MailboxName> for String {
    fn from(name: MailboxName) -> Self {
        name.0
    }
}

/// Special-use attributes (RFC 6154 section 2; `\Important` is RFC 8457).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SpecialUse {
    All,
    Archive,
    Drafts,
    Flagged,
    Important,
    Junk,
    Sent,
    Trash,
}

impl SpecialUse {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::All, Self::Archive, Self::Drafts, Self::Flagged, Self::Important, Self::Junk, Self::Sent, Self::Trash];

    /// As on the wire, with the backslash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Important => "\\Important",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }

    /// Parses the wire form, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|special_use| special_use.as_str().eq_ignore_ascii_case(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inbox_has_one_spelling() {
        assert_eq!(MailboxName::parse("inbox/Work"), MailboxName::parse("INBOX/Work"));
        assert_eq!(MailboxName::parse("inboxes").map(String::from), Ok("inboxes".to_owned()));
        assert!(MailboxName::parse("iNBoX").is_ok_and(|name| name.is_inbox()));
    }

    #[test]
    fn a_rename_carries_the_children() {
        let name = |text| MailboxName::parse(text).expect("a valid name");
        assert_eq!(name("a/b/c").rebased(&name("a"), &name("x/y")), Some(name("x/y/b/c")));
        assert_eq!(name("ab").rebased(&name("a"), &name("x")), None);
    }

    #[test]
    fn what_is_no_name_says_why() {
        assert_eq!(MailboxName::parse("a//b"), Err(NameError::EmptyComponent));
        assert_eq!(MailboxName::parse("a\nb"), Err(NameError::ControlCharacter));
        assert_eq!(MailboxName::parse(&"x".repeat(1001)), Err(NameError::TooLong));
    }
}
