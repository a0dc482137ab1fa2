//! Mail addresses as they stand in an envelope (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
//!
//! The text is kept as it was written, quotes included: another server may give them meaning, and it must get what the
//! client said.

use std::fmt;
use std::net::IpAddr;

/// `Mailbox = Local-part "@" ( Domain / address-literal )`, or the bare `Postmaster` (RFC 5321 section 4.5.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    text: String,
    /// Where the `@` is; the text's length in the bare `Postmaster`.
    at: usize,
}

/// Octets of a local part (RFC 5321 section 4.5.3.1.1).
const LOCAL_PART_MAX_BYTES: usize = 64;

/// Octets of a domain (RFC 5321 section 4.5.3.1.2).
const DOMAIN_MAX_BYTES: usize = 255;

impl Address {
    /// Parses a Mailbox.
    pub fn parse(text: &str) -> Option<Self> {
        let at = local_part(text)?;
        let domain = text[at..].strip_prefix('@')?;
        (at <= LOCAL_PART_MAX_BYTES && is_domain_or_literal(domain)).then(|| Self { text: text.to_owned(), at })
    }

    /// Parses a Mailbox or `Postmaster` in any case (RFC 5321 section 4.1.1.3).
    pub fn parse_recipient(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("postmaster") {
            return Some(Self { text: text.to_owned(), at: text.len() });
        }
        Self::parse(text)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part without quoting.
    pub fn local_part(&self) -> String {
        match self.text[..self.at].strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(quoted) => unquoted(quoted),
            None => self.text[..self.at].to_owned(),
        }
    }

    /// The domain; none in the bare `Postmaster`.
    pub fn domain(&self) -> Option<&str> {
        self.text.get(self.at + 1..)
    }

    /// The same local part, as it was written, in another domain.
    #[must_use]
    pub fn at(&self, domain: &str) -> Self {
        Self { text: format!("{}@{domain}", &self.text[..self.at]), at: self.at }
    }

    /// Does it need SMTPUTF8 (RFC 6531)?
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `Domain` or a dotted name with U-labels (RFC 6531 section 3.3), or an address literal (RFC 5321 section 4.1.3).
pub fn is_domain_or_literal(text: &str) -> bool {
    literal(text).is_some() || is_domain(text)
}

/// `address-literal = "[" ( IPv4-address-literal / IPv6-address-literal / General-address-literal ) "]"` (RFC 5321 section
/// 4.1.3), of the first two kinds: no other is registered.
pub fn literal(text: &str) -> Option<IpAddr> {
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    match inside.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => address.parse().ok().map(IpAddr::V6),
        _ => inside.parse().ok().map(IpAddr::V4),
    }
}

/// `Domain = sub-domain *("." sub-domain)`, underscores let pass: hosts on private networks bear them.
pub fn is_domain(text: &str) -> bool {
    let letter = |character: char| character.is_alphanumeric() || character == '-' || character == '_';
    let sub_domain = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(letter)
    };
    text.len() <= DOMAIN_MAX_BYTES && text.split('.').all(sub_domain)
}

/// `Local-part = Dot-string / Quoted-string`. Gives where it ends.
fn local_part(text: &str) -> Option<usize> {
    if let Some(rest) = text.strip_prefix('"') {
        let mut escaped = false;
        for (place, character) in rest.char_indices() {
            match character {
                _ if character.is_control() => return None,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => return Some(place + 2).filter(|end| *end > 2),
                _ => {}
            }
        }
        return None;
    }
    let end = text.find('@')?;
    text[..end].split('.').all(is_atom).then_some(end)
}

/// `Atom = 1*atext` (RFC 5322 section 3.2.3), UTF-8 included (RFC 6531 section 3.3).
fn is_atom(text: &str) -> bool {
    let atext = |character: char| match character {
        _ if character.is_ascii_alphanumeric() => true,
        _ if character.is_ascii() => "!#$%&'*+-/=?^_`{|}~".contains(character),
        _ => !character.is_control(),
    };
    !text.is_empty() && text.chars().all(atext)
}

fn unquoted(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut escaped = false;
    for character in quoted.chars() {
        if character == '\\' && !escaped {
            escaped = true;
        } else {
            text.push(character);
            escaped = false;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_as_written() {
        for (text, local_part, domain) in [
            ("a@b", "a", "b"),
            ("first.last+tag@Example.ORG", "first.last+tag", "Example.ORG"),
            ("\"a b\\\"@\"@example.org", "a b\"@", "example.org"),
            ("x@[192.0.2.1]", "x", "[192.0.2.1]"),
            ("x@[IPv6:2001:db8::1]", "x", "[IPv6:2001:db8::1]"),
            ("用户@例子.广告", "用户", "例子.广告"),
        ] {
            let address = Address::parse(text).unwrap_or_else(|| panic!("{text} is an address"));
            assert_eq!(address.as_str(), text);
            assert_eq!((address.local_part().as_str(), address.domain()), (local_part, Some(domain)));
        }
        assert_eq!(Address::parse_recipient("PostMaster").map(|address| address.domain().is_none()), Some(true));
    }

    #[test]
    fn a_literal_is_an_address_of_either_kind() {
        for (text, expected) in [
            ("[192.0.2.1]", "192.0.2.1"),
            ("[IPv6:2001:db8::1]", "2001:db8::1"),
            ("[ipv6:::1]", "::1"),
            ("[::1]", "-"),
            ("[IPv6:192.0.2.1]", "-"),
            ("[192.0.2]", "-"),
            ("[tag:x]", "-"),
            ("192.0.2.1", "-"),
        ] {
            assert_eq!(literal(text).map_or("-".to_owned(), |address| address.to_string()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "a",
            "@b",
            "a@",
            "a@b@c",
            ".a@b",
            "a..b@c",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b..c",
            "\"\"@b",
            "\"a@b",
            "\"a\"b@c",
            "a@[",
            "a@[]",
            "a@[IPv6>1]",
            "ada@[bogus]",
            "a@[192.0.2]",
            "a@[x:y]",
            "a@b,c@d",
            "Ann: a@b;",
            "a\u{7}@b",
            "a@b>",
            "postmaster",
        ] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
        assert_eq!(Address::parse(&format!("{}@b", "a".repeat(65))), None);
        assert_eq!(Address::parse(&format!("a@{}", "b".repeat(256))), None);
    }
}
