//! Whose names are whose (RFC 2342): some servers put all mailboxes of a user below a prefix (`INBOX.` with Courier and
//! Cyrus). Here the prefix is not shown, and a name made here gets it.
//!
//! Every name of the server has one name here, and comes back from it. A personal name that would look like INBOX or
//! like one of somebody else's keeps a mark before it: one more `INBOX`.

use super::folders;
use super::token::{Malformed, Token, Tokens};
use crate::sync::remote::{Listed, RemoteError, RemoteName};

const INBOX: &str = "INBOX";
/// Where the mailboxes of a shared namespace without a prefix stand, beside personal ones that have one.
const SHARED: &str = "Shared Folders";

/// The answer to NAMESPACE. The default: one namespace without a prefix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Namespaces {
    /// Before every personal name but INBOX, with its delimiter at the end.
    personal: String,
    /// The first components of names that are not personal.
    foreign: Vec<String>,
    /// What names that are not personal begin with, as the server spells it, where it is more than nothing.
    prefixes: Vec<String>,
}

impl Namespaces {
    /// `"NAMESPACE" SP namespace SP namespace SP namespace` (RFC 2342 section 6): personal, other users', shared.
    pub(super) fn parse(tokens: &mut Tokens<'_>) -> Result<Self, Malformed> {
        let mut personal = prefixes(tokens)?.into_iter();
        let first = personal.next().unwrap_or_default();
        let mut others: Vec<(String, Option<char>)> = personal.collect();
        others.extend(prefixes(tokens)?);
        others.extend(prefixes(tokens)?);
        let prefixes = others.iter().map(|(prefix, _)| prefix.clone()).filter(|prefix| !prefix.is_empty()).collect();
        let first_component =
            |(prefix, delimiter): (String, _)| folders::components(&prefix, delimiter).into_iter().next();
        let mut foreign: Vec<String> = others.into_iter().filter_map(first_component).collect();
        foreign.push(SHARED.to_owned());
        Ok(Self { personal: first.0, foreign, prefixes })
    }

    /// The prefixes of names that are not personal below which nothing is `listed`.
    pub(super) fn without_any(&self, listed: &[Listed]) -> Vec<String> {
        let has_any = |prefix: &&String| listed.iter().any(|listed| listed.name.0.starts_with(prefix.as_str()));
        self.prefixes.iter().filter(|prefix| !has_any(prefix)).cloned().collect()
    }

    /// The components by which a mailbox of the server is known here.
    pub(super) fn components(&self, name: &str, delimiter: Option<char>) -> Vec<String> {
        let whole = folders::components(name, delimiter);
        if self.personal.is_empty() || is_inbox(&whole) {
            return whole;
        }
        let personal = name.split_at_checked(self.personal.len());
        match personal.filter(|(prefix, _)| prefix.eq_ignore_ascii_case(&self.personal)) {
            Some((_, rest)) => {
                let mut shown = folders::components(rest, delimiter);
                if self.is_taken(&shown) {
                    shown.insert(0, INBOX.to_owned());
                }
                shown
            }
            None if self.is_foreign(&whole) => whole,
            None => std::iter::once(SHARED.to_owned()).chain(whole).collect(),
        }
    }

    /// The name on the server of the mailbox known by these components.
    pub(super) fn name_for(&self, components: &[&str], delimiter: Option<char>) -> Result<RemoteName, RemoteError> {
        if self.personal.is_empty() || is_inbox(components) {
            return folders::name_for(components, delimiter);
        }
        if self.is_foreign(components) {
            let spelled = if components[0] == SHARED { &components[1..] } else { components };
            return folders::name_for(spelled, delimiter);
        }
        let spelled = if self.is_taken(components) { &components[1..] } else { components };
        let RemoteName(name) = folders::name_for(spelled, delimiter)?;
        Ok(RemoteName(format!("{}{name}", self.personal)))
    }

    /// Would these components mean something that is not personal, or INBOX, when the marks before them are taken off?
    fn is_taken<S: AsRef<str>>(&self, components: &[S]) -> bool {
        let unmarked = components.iter().position(|component| !component.as_ref().eq_ignore_ascii_case(INBOX));
        unmarked.is_none_or(|start| self.is_foreign(&components[start..]))
    }

    /// Is that somebody else's, or everybody's?
    pub(super) fn is_foreign<S: AsRef<str>>(&self, components: &[S]) -> bool {
        components.first().is_some_and(|first| self.foreign.iter().any(|foreign| foreign == first.as_ref()))
    }
}

fn is_inbox<S: AsRef<str>>(components: &[S]) -> bool {
    matches!(components, [only] if only.as_ref().eq_ignore_ascii_case(INBOX))
}

/// `namespace = nil / "(" 1*( "(" string SP (DQUOTE QUOTED-CHAR DQUOTE / nil) *(namespace-extension) ")" ) ")"`
fn prefixes(tokens: &mut Tokens<'_>) -> Result<Vec<(String, Option<char>)>, Malformed> {
    match tokens.next()? {
        Some(Token::Atom(atom)) if atom.eq_ignore_ascii_case(b"NIL") => return Ok(Vec::new()),
        Some(Token::Open) => {}
        _ => return Err(Malformed("a namespace is missing")),
    }
    let mut found = Vec::new();
    loop {
        match tokens.next()? {
            Some(Token::Open) => {}
            Some(Token::Close) => return Ok(found),
            _ => return Err(Malformed("a namespace does not end")),
        }
        let prefix = String::from_utf8_lossy(&tokens.astring()?).into_owned();
        let delimiter = match tokens.next()? {
            Some(Token::String(text)) => String::from_utf8_lossy(&text).chars().next(),
            _ => None,
        };
        found.push((prefix, delimiter));
        // Extensions, up to the end of this one.
        loop {
            let mut ahead = *tokens;
            match ahead.next()? {
                Some(Token::Close) => {
                    *tokens = ahead;
                    break;
                }
                Some(_) => tokens.skip_value()?,
                None => return Err(Malformed("a namespace does not end")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(text: &str) -> Namespaces {
        Namespaces::parse(&mut Tokens::new(text.as_bytes())).expect("a valid answer")
    }

    #[test]
    fn names_below_a_prefix_go_and_come_back() {
        let courier = r##"(("INBOX." ".")) NIL (("#shared." ".")("shared." "." "X-PARAM" ("a" "b")))"##;
        let cyrus = r#"(("INBOX." ".")) (("user." ".")) (("" "."))"#;
        let dovecot = r#"(("" "/")) NIL NIL"#;
        let rows = [
            (courier, '.', "INBOX", "INBOX"),
            (courier, '.', "INBOX.Sent", "Sent"),
            (courier, '.', "INBOX.Entw&APw-rfe.2026", "Entwürfe|2026"),
            (courier, '.', "INBOX.INBOX", "INBOX|INBOX"),
            (courier, '.', "INBOX.INBOX.INBOX", "INBOX|INBOX|INBOX"),
            (courier, '.', "INBOX.INBOX.a", "INBOX|a"),
            (courier, '.', "INBOX.shared.a", "INBOX|shared|a"),
            (courier, '.', "INBOX.INBOX.shared.a", "INBOX|INBOX|shared|a"),
            (courier, '.', "shared.a", "shared|a"),
            (courier, '.', "#shared.a.b", "#shared|a|b"),
            (cyrus, '.', "user.bob.a", "user|bob|a"),
            (cyrus, '.', "news", "Shared Folders|news"),
            (cyrus, '.', "INBOX.news", "news"),
            (cyrus, '.', "INBOX.Shared Folders.news", "INBOX|Shared Folders|news"),
            (dovecot, '/', "INBOX/Sent", "INBOX|Sent"),
            (dovecot, '/', "Sent", "Sent"),
        ];
        for (answer, delimiter, name, shown) in rows {
            let namespaces = namespaces(answer);
            let components: Vec<&str> = shown.split('|').collect();
            assert_eq!(namespaces.components(name, Some(delimiter)), components, "{name}");
            assert_eq!(namespaces.name_for(&components, Some(delimiter)), Ok(RemoteName(name.to_owned())), "{shown}");
        }
    }

    #[test]
    fn what_is_no_answer_is_malformed() {
        for text in ["", "NIL NIL", "((\"\" \"/\")", "((\"\" \"/\") x) NIL NIL", "(\"\") NIL NIL"] {
            assert!(Namespaces::parse(&mut Tokens::new(text.as_bytes())).is_err(), "{text}");
        }
        assert_eq!(namespaces("NIL NIL NIL").name_for(&["a"], Some('/')), Ok(RemoteName("a".to_owned())));
    }
}
