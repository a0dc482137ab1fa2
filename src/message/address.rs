//! Address lists (RFC 5322 sections 3.4 and 4.4) as ENVELOPE shows them (RFC 3501 section 7.4.2): quoting removed,
//! encoded-words left as they are.
//!
//! What is no address is read as near to one as can be: a word alone is a mailbox with an empty host (a NIL host would
//! mean a group), an angle bracket that never closes goes to the end.

use super::Address;
use super::lexical::Cursor;

/// Parses an unfolded address-list. Takes at most `room` addresses, group marks included, and counts `room` down; the
/// rest of a longer list is left out.
pub(super) fn parse_list(value: &[u8], room: &mut usize) -> Vec<Address> {
    let mut cursor = Cursor::new(value);
    let mut addresses = Vec::new();
    let mut in_group = false;
    while *room > 0 {
        let mut comment = None;
        cursor.skip_cfws(&mut comment);
        let address = match cursor.peek() {
            None => break,
            Some(b',') => {
                cursor.bump();
                continue;
            }
            Some(b';') => {
                cursor.bump();
                if !std::mem::take(&mut in_group) {
                    continue;
                }
                group_end()
            }
            Some(_) => match element(&mut cursor, comment, in_group) {
                Element::Group(name) => {
                    in_group = true;
                    Address { name: None, route: None, mailbox: Some(name), host: None }
                }
                Element::Mailbox(address) => {
                    cursor.skip_to(|byte| byte == b',' || byte == b';');
                    address
                }
            },
        };
        addresses.push(address);
        *room -= 1;
    }
    if in_group {
        addresses.push(group_end());
    }
    addresses
}

const fn group_end() -> Address {
    Address { name: None, route: None, mailbox: None, host: None }
}

enum Element {
    /// The name of a group and its colon.
    Group(Vec<u8>),
    Mailbox(Address),
}

/// `mailbox / group` up to what follows the address, or to the colon of a group.
fn element(cursor: &mut Cursor<'_>, mut comment: Option<Vec<u8>>, in_group: bool) -> Element {
    let words = words(cursor, &mut comment);
    match cursor.peek() {
        Some(b':') if !in_group => {
            cursor.bump();
            Element::Group(words)
        }
        Some(b'<') => {
            let (route, mailbox, host) = angle_address(cursor);
            cursor.skip_cfws(&mut comment);
            let name = Some(words).filter(|words| !words.is_empty()).or(comment);
            Element::Mailbox(Address { name, route, mailbox: Some(mailbox), host: Some(host) })
        }
        Some(b'@') => {
            cursor.bump();
            let host = domain(cursor, &mut comment);
            cursor.skip_cfws(&mut comment);
            Element::Mailbox(Address { name: comment, route: None, mailbox: Some(words), host: Some(host) })
        }
        // A word alone is a local mailbox; several are somebody's name.
        _ if words.contains(&b' ') => Element::Mailbox(Address {
            name: Some(words),
            route: None,
            mailbox: Some(Vec::new()),
            host: Some(Vec::new()),
        }),
        _ => Element::Mailbox(Address { name: comment, route: None, mailbox: Some(words), host: Some(Vec::new()) }),
    }
}

/// `phrase` or `local-part`: words up to a byte that means something else, one space between those that stand apart.
fn words(cursor: &mut Cursor<'_>, comment: &mut Option<Vec<u8>>) -> Vec<u8> {
    let mut words = Vec::new();
    loop {
        let apart = cursor.skip_cfws(comment);
        let word = match cursor.peek() {
            None | Some(b',' | b';' | b':' | b'<' | b'@') => return words,
            Some(b'"') => cursor.quoted_string(),
            Some(b'>' | b')') => {
                cursor.bump();
                continue;
            }
            Some(_) => cursor.take_while(is_word_byte).to_vec(),
        };
        // "J.@example.org" and "a . b@example.org" are one local part (RFC 5322 section 4.4, obs-local-part).
        if apart && !words.is_empty() {
            words.push(b' ');
        }
        words.extend(word);
    }
}

/// Every byte that ends no word: atext, dots, 8-bit bytes, and what only a broken address has.
const fn is_word_byte(byte: u8) -> bool {
    !matches!(byte, b',' | b';' | b':' | b'<' | b'>' | b'@' | b'"' | b'(' | b')') && !byte.is_ascii_whitespace()
}

/// `angle-addr` with an obsolete route: (route, local part, domain).
fn angle_address(cursor: &mut Cursor<'_>) -> (Option<Vec<u8>>, Vec<u8>, Vec<u8>) {
    cursor.take(b'<');
    cursor.skip_blank();
    let route = (cursor.peek() == Some(b'@')).then(|| route(cursor));
    let mailbox = local_part(cursor);
    let host = if cursor.take(b'@') { domain(cursor, &mut None) } else { Vec::new() };
    cursor.skip_to(|byte| byte == b'>' || byte == b',');
    cursor.take(b'>');
    (route, mailbox, host)
}

/// `obs-route` without its colon: `@a,@b`.
fn route(cursor: &mut Cursor<'_>) -> Vec<u8> {
    let mut route = Vec::new();
    loop {
        cursor.skip_blank();
        match cursor.peek() {
            Some(b':') => {
                cursor.bump();
                return route;
            }
            None | Some(b'>' | b'<' | b';') => return route,
            Some(_) => route.extend(cursor.bump()),
        }
    }
}

/// `local-part` within angle brackets: quoting and white space removed.
fn local_part(cursor: &mut Cursor<'_>) -> Vec<u8> {
    let mut local = Vec::new();
    loop {
        cursor.skip_blank();
        match cursor.peek() {
            None | Some(b'@' | b'>' | b',') => return local,
            Some(b'"') => local.extend(cursor.quoted_string()),
            Some(_) => local.extend(cursor.bump()),
        }
    }
}

/// `domain`: dot-atom, or a literal with its brackets.
fn domain(cursor: &mut Cursor<'_>, comment: &mut Option<Vec<u8>>) -> Vec<u8> {
    let mut domain = Vec::new();
    loop {
        let apart = cursor.skip_cfws(comment);
        match cursor.peek() {
            Some(b'[') => domain.extend(cursor.take_while(|byte| !matches!(byte, b']' | b'>' | b','))),
            Some(byte)
                if (!apart || byte == b'.' || domain.last() == Some(&b'.') || domain.is_empty())
                    && is_word_byte(byte) =>
            {
                domain.extend(cursor.take_while(|byte| is_word_byte(byte) && byte != b'['));
            }
            _ => return domain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `name|route|mailbox|host` of each address, `-` for NIL.
    fn shown(list: &str) -> Vec<String> {
        let part = |part: &Option<Vec<u8>>| part.as_deref().map_or("-".into(), String::from_utf8_lossy).into_owned();
        parse_list(list.as_bytes(), &mut 100)
            .iter()
            .map(|a| format!("{}|{}|{}|{}", part(&a.name), part(&a.route), part(&a.mailbox), part(&a.host)))
            .collect()
    }

    #[test]
    fn an_address_list_is_read_as_envelope_shows_it() {
        for (list, expected) in [
            ("joe@example.org", vec!["-|-|joe|example.org"]),
            ("Joe Doe <joe@example.org>, jane@example.org", vec!["Joe Doe|-|joe|example.org", "-|-|jane|example.org"]),
            (r#""Doe, \"J\" " <joe@example.org>"#, vec![r#"Doe, "J" |-|joe|example.org"#]),
            ("joe@example.org (Joe (the) Doe)", vec!["Joe (the) Doe|-|joe|example.org"]),
            ("(c) Joe   Q. Doe(d) <joe (x) @ example . org (y)>", vec!["Joe Q. Doe|-|joe|example.org"]),
            (r#""joe doe"@example.org"#, vec!["-|-|joe doe|example.org"]),
            (r#"<"joe doe"@example.org>"#, vec!["-|-|joe doe|example.org"]),
            ("<@a.example,@b.example:joe@example.org>", vec!["-|@a.example,@b.example|joe|example.org"]),
            ("joe@[192.0.2.1]", vec!["-|-|joe|[192.0.2.1]"]),
            ("=?utf-8?q?J=C3=B6?= <j@example.org>", vec!["=?utf-8?q?J=C3=B6?=|-|j|example.org"]),
            ("Jö <j@example.org>", vec!["Jö|-|j|example.org"]),
            ("undisclosed-recipients:;", vec!["-|-|undisclosed-recipients|-", "-|-|-|-"]),
            (
                "A Group: joe@example.org, Jane <jane@example.org>; jim@example.org",
                vec![
                    "-|-|A Group|-",
                    "-|-|joe|example.org",
                    "Jane|-|jane|example.org",
                    "-|-|-|-",
                    "-|-|jim|example.org",
                ],
            ),
            ("unended: joe@example.org", vec!["-|-|unended|-", "-|-|joe|example.org", "-|-|-|-"]),
            ("root", vec!["-|-|root|"]),
            ("Joe Doe", vec!["Joe Doe|-||"]),
            ("<>", vec!["-|-||"]),
            ("Joe <joe@example.org", vec!["Joe|-|joe|example.org"]),
            ("Joe joe@example.org", vec!["-|-|Joe joe|example.org"]),
            ("joe@example.org junk, jane@example.org", vec!["-|-|joe|example.org", "-|-|jane|example.org"]),
            (",, joe@example.org,;", vec!["-|-|joe|example.org"]),
            ("\"never ends <joe@example.org>", vec!["never ends <joe@example.org>|-||"]),
            ("", vec![]),
        ] {
            assert_eq!(shown(list), expected, "{list:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_cut() {
        let mut room = 3;
        assert_eq!(parse_list("a@b,".repeat(1000).as_bytes(), &mut room).len(), 3);
        assert_eq!(room, 0);
    }
}
