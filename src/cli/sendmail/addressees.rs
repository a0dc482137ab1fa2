//! Whom a list of addresses names (RFC 5322 section 3.4), where mail is sent by it.
//!
//! Rules: each word of the list is accounted for, as an address, a name before one, a comment or a group; what is left
//! over makes its part of the list no address, for a guess would send somebody's mail to somebody else (ENVELOPE, which
//! only shows, does guess). Whether it is an address is what our SMTP server says of it. Pure.

use crate::smtp::address::Address;

/// The addresses of a list as people write it, with names and groups; the text of what is no address. White space within
/// an address (section 4.4) makes it none.
pub(in crate::cli) fn parse_list(list: &[u8]) -> Vec<Result<Address, String>> {
    let list = String::from_utf8_lossy(list);
    let mut reader = Reader::default();
    for character in list.chars() {
        reader.take(character);
    }
    reader.end_element();
    reader.found
}

/// Where in the list it is.
#[derive(Debug, Clone, Copy, Default)]
enum Place {
    #[default]
    Plain,
    Quoted,
    /// In so many comments.
    Comment(usize),
}

#[derive(Debug, Default)]
struct Reader {
    found: Vec<Result<Address, String>>,
    place: Place,
    is_escaped: bool,
    in_angle: bool,
    in_literal: bool,
    in_group: bool,
    /// The element as it is written, and without comments.
    written: String,
    plain: String,
    /// Where in `plain` the angle bracket is.
    angle: Option<usize>,
}

impl Reader {
    fn take(&mut self, character: char) {
        let is_escaped = std::mem::take(&mut self.is_escaped);
        match (self.place, character) {
            (Place::Quoted | Place::Comment(_), '\\') if !is_escaped => self.is_escaped = true,
            (Place::Quoted | Place::Comment(_), _) if is_escaped => {}
            (Place::Quoted, '"') => self.place = Place::Plain,
            (Place::Comment(depth), '(') => self.place = Place::Comment(depth + 1),
            (Place::Comment(1), ')') => {
                self.place = Place::Plain;
                self.written.push(character);
                // A comment is white space (section 3.2.2).
                self.plain.push(' ');
                return;
            }
            (Place::Comment(depth), ')') => self.place = Place::Comment(depth - 1),
            (Place::Plain, '"') => self.place = Place::Quoted,
            (Place::Plain, '(') => self.place = Place::Comment(1),
            (Place::Plain, ',') if !self.in_angle => return self.end_element(),
            (Place::Plain, ';') if !self.in_angle => {
                self.end_element();
                self.in_group = false;
                return;
            }
            (Place::Plain, ':') if self.begins_group() => {
                self.in_group = true;
                return self.clear();
            }
            (Place::Plain, '<') if self.angle.is_none() => {
                self.angle = Some(self.plain.len());
                self.in_angle = true;
            }
            (Place::Plain, '>') => self.in_angle = false,
            (Place::Plain, '[') => self.in_literal = true,
            (Place::Plain, ']') => self.in_literal = false,
            _ => {}
        }
        self.written.push(character);
        if !matches!(self.place, Place::Comment(_)) {
            self.plain.push(character);
        }
    }

    /// `group = display-name ":" [group-list] ";"`, and no group in a group; an address is no name.
    fn begins_group(&self) -> bool {
        !self.in_group && !self.in_angle && !self.in_literal && !self.plain.contains('@')
    }

    fn end_element(&mut self) {
        if !self.written.trim().is_empty() {
            let is_whole = matches!(self.place, Place::Plain);
            let address = mailbox(&self.plain, self.angle).filter(|_| is_whole);
            // One in another charset than UTF-8 is not known any more.
            let address = address.filter(|it| !it.as_str().contains(char::REPLACEMENT_CHARACTER));
            match address {
                None if is_whole && self.plain.trim().is_empty() => {}
                address => self.found.push(address.ok_or_else(|| self.written.trim().to_owned())),
            }
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.written.clear();
        self.plain.clear();
        self.angle = None;
        self.in_angle = false;
        self.in_literal = false;
    }
}

/// `mailbox = name-addr / addr-spec`, `name-addr = [display-name] angle-addr`; an obsolete route (section 4.4) says nothing.
fn mailbox(text: &str, angle: Option<usize>) -> Option<Address> {
    let Some(angle) = angle else { return Address::parse(text.trim()) };
    let inside = text[angle..].trim_end().strip_prefix('<')?.strip_suffix('>')?.trim();
    match inside.strip_prefix('@').and_then(|route| route.split_once(':')) {
        Some((_, address)) => Address::parse(address.trim()),
        None => Address::parse(inside),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(list: &str) -> Vec<String> {
        let word = |it: Result<Address, String>| it.map_or_else(|it| format!("?{it}"), |it| it.to_string());
        parse_list(list.as_bytes()).into_iter().map(word).collect()
    }

    #[test]
    fn each_address_is_the_one_that_is_meant() {
        for (list, expected) in [
            ("a@x, Bob <b@x>,, <c@x>", vec!["a@x", "b@x", "c@x"]),
            ("a@x <b@x>", vec!["b@x"]),
            (r#""b, <c@x>" <b@x>, "a b"@y"#, vec!["b@x", "\"a b\"@y"]),
            (r#""say \"<c@x>\"" <b@x>"#, vec!["b@x"]),
            ("Joe Q. Doe <a@x> (or <b@x>, (c@x)), (only this)", vec!["a@x"]),
            ("friends: a@x, B <b@x>; c@x, undisclosed:;", vec!["a@x", "b@x", "c@x"]),
            ("<@r,@s:a@x>, b@[IPv6:::1]", vec!["a@x", "b@[IPv6:::1]"]),
            ("a@x; b@x", vec!["a@x", "b@x"]),
            ("Jörg <jörg@x>", vec!["jörg@x"]),
            ("", vec![]),
        ] {
            assert_eq!(shown(list), expected, "{list}");
        }
    }

    #[test]
    fn of_what_is_no_address_nothing_is_guessed() {
        for list in [
            "bob@x bea@x",
            "\"x\" bob@x",
            "bob@x@y",
            "Bob <bob@x@y>",
            "<bob@x> bea@x",
            "<bob@x> <bea@x>",
            "Bob <bob@x, bea@x",
            "bob@x (never ends, bea@x",
            "\"never ends <bob@x>, bea@x",
            "bob@x: bea@x",
            "Bob Bobson",
            "root",
            "<>",
            "bob@x>",
            "a . b@x",
        ] {
            assert_eq!(shown(list), [format!("?{list}")], "{list}");
        }
        assert_eq!(shown("root, a@x"), ["?root", "a@x"]);
        assert_eq!(parse_list(b"J\xf6 <a@x>").into_iter().filter(Result::is_ok).count(), 1);
        assert!(parse_list(b"j\xf6@x")[0].is_err());
    }
}
