//! Which mailboxes are mirrored: globs over names.

use std::fmt;

use super::MailboxName;

/// A pattern over whole names: `*` is any text, `/` included, `?` one character; everything else, brackets too, is
/// itself (`[Gmail]/All Mail` is a name people write).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<char>);

impl Glob {
    /// Every text is a pattern. A first component `inbox` in any case is INBOX, as in [`MailboxName`].
    pub fn new(pattern: &str) -> Self {
        let first = pattern.split(MailboxName::DELIMITER).next().unwrap_or_default();
        match first.eq_ignore_ascii_case("INBOX") {
            true => Self("INBOX".chars().chain(pattern[first.len()..].chars()).collect()),
            false => Self(pattern.chars().collect()),
        }
    }

    /// In characters.
    pub const fn length(&self) -> usize {
        self.0.len()
    }

    /// Does the whole of `text` match?
    pub fn matches(&self, text: &str) -> bool {
        // One remembered star suffices: an earlier one never has to be tried again once a later one is reached.
        let (pattern, text) = (&self.0, text.chars().collect::<Vec<_>>());
        let (mut at, mut place, mut star) = (0, 0, None);
        while place < text.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, place));
                    at += 1;
                }
                Some(wanted) if *wanted == '?' || *wanted == text[place] => {
                    at += 1;
                    place += 1;
                }
                _ => match star {
                    Some((star_at, star_place)) => {
                        star = Some((star_at, star_place + 1));
                        at = star_at + 1;
                        place = star_place + 1;
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|rest| *rest == '*')
    }
}

/// The mailboxes of an account that are mirrored: those that match one of `folders` and none of `exclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFilter {
    pub folders: Vec<Glob>,
    pub exclude: Vec<Glob>,
}

impl FolderFilter {
    /// Every mailbox.
    pub fn all() -> Self {
        Self { folders: vec![Glob::new("*")], exclude: Vec::new() }
    }

    /// Is it mirrored?
    pub fn includes(&self, name: &MailboxName) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name.as_str()));
        matches(&self.folders) && !matches(&self.exclude)
    }
}

/// In one text, which differs where the choice does.
impl fmt::Display for FolderFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, globs) in [('+', &self.folders), ('-', &self.exclude)] {
            globs.iter().try_for_each(|glob| writeln!(f, "{sign}{}", String::from_iter(&glob.0)))?;
        }
        Ok(())
    }
}

impl Default for FolderFilter {
    fn default() -> Self {
        Self::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_matches_whole_names() {
        for (pattern, name, expected) in [
            ("*", "a/b", true),
            ("a/*", "a/b/c", true),
            ("a/*", "a", false),
            ("*/2024", "x/y/2024", true),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("[Gmail]/All Mail", "[Gmail]/All Mail", true),
            ("inbox", "INBOX", true),
            ("?ork", "Work", true),
            ("", "a", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn what_is_excluded_is_not_included() {
        let filter = FolderFilter { folders: vec![Glob::new("*")], exclude: vec![Glob::new("Lists/*")] };
        let name = |text| MailboxName::parse(text).expect("a valid name");
        assert!(filter.includes(&name("Lists")));
        assert!(!filter.includes(&name("Lists/rust")));
    }
}
