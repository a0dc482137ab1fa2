//! Between the names of mailboxes here and their components upstream. Pure.
//!
//! Here components are joined by `/`. Where upstream has another delimiter a component may hold a `/`; it is shown as
//! U+2215 (DIVISION SLASH), which looks the same.

use crate::types::MailboxName;

const SHOWN_SLASH: char = '\u{2215}';

/// The name to show for a mailbox with these components upstream; `None` if there is no such name.
pub fn shown(components: &[String]) -> Option<MailboxName> {
    let shown = |component: &String| component.replace(MailboxName::DELIMITER, SHOWN_SLASH.encode_utf8(&mut [0; 4]));
    let text = components.iter().map(shown).collect::<Vec<_>>().join("/");
    MailboxName::parse(&text).ok()
}

/// The components upstream of a mailbox named so here.
pub fn components(name: &MailboxName, delimiter: Option<char>) -> Vec<String> {
    let said = |component: &str| match delimiter {
        Some(MailboxName::DELIMITER) => component.to_owned(),
        _ => component.replace(SHOWN_SLASH, "/"),
    };
    name.components().map(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_within_a_component_comes_back() {
        let upstream = ["Work".to_owned(), "in/out".to_owned()];
        let name = shown(&upstream).expect("a valid name");
        assert_eq!(name.as_str(), "Work/in\u{2215}out");
        assert_eq!(components(&name, Some('.')), upstream);
    }

    #[test]
    fn what_cannot_be_named_here_is_not_shown() {
        assert_eq!(shown(&["a".to_owned(), String::new()]), None);
        assert_eq!(shown(&["a\u{7}".to_owned()]), None);
    }
}
