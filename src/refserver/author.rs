//! Who a message says it is from: the addresses of its From field, or of Sender (RFC 5322 sections 3.6.2 and 4.4). Pure.
//!
//! Rules: what any mail client may show as the author is among them, so every address counts that is in no quoted string
//! and no comment, angle brackets or not; what could be read in two ways is not read.

use std::borrow::Cow;

use mail_auth::common::to_a_label;

use crate::message::header;
use crate::smtp::address::{Address, is_domain};

/// More authors than that are nobody's.
const DOMAINS_MAX: usize = 8;

/// Why it cannot be told who a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAuthor {
    #[error("there is no From field, or an empty one")]
    Missing,
    #[error("there are several From fields")]
    Several,
    #[error("the From field cannot be read")]
    Unreadable,
    #[error("From names no domain")]
    NoDomain,
    #[error("From names too many domains")]
    TooMany,
}

/// The domains of the authors, as A-labels in lower case, each once. At least one.
pub fn domains(message: &[u8]) -> Result<Vec<String>, NoAuthor> {
    let value = value(message, "From")?;
    let mut domains = Vec::new();
    let mut rest = up_to_at(&value)?;
    while let Some((_, behind)) = rest {
        let (domain, after) = domain(behind)?;
        if !domains.contains(&domain) {
            domains.push(domain);
        }
        if domains.len() > DOMAINS_MAX {
            return Err(NoAuthor::TooMany);
        }
        rest = up_to_at(after)?;
    }
    if domains.is_empty() { Err(NoAuthor::NoDomain) } else { Ok(domains) }
}

/// The addresses in the field of that name, their domains as A-labels in lower case. At least one.
pub fn addresses(message: &[u8], name: &str) -> Result<Vec<Address>, NoAuthor> {
    let value = value(message, name)?;
    let mut addresses = Vec::new();
    let mut rest = up_to_at(&value)?;
    while let Some((local_part, behind)) = rest {
        let (domain, after) = domain(behind)?;
        addresses.push(Address::parse(&format!("{local_part}@{domain}")).ok_or(NoAuthor::Unreadable)?);
        rest = up_to_at(after)?;
    }
    if addresses.is_empty() { Err(NoAuthor::NoDomain) } else { Ok(addresses) }
}

/// What the one field of that name says.
fn value(message: &[u8], name: &str) -> Result<String, NoAuthor> {
    let mut fields = header::fields(message).filter(|field| is_like(field.name, name));
    let field = fields.next().ok_or(NoAuthor::Missing)?;
    if fields.next().is_some() {
        return Err(NoAuthor::Several);
    }
    // NUL and its like end the value for some readers, and are skipped by others.
    if field.name.len() != name.len()
        || field.value.iter().any(|byte| byte.is_ascii_control() && !b"\r\n\t".contains(byte))
    {
        return Err(NoAuthor::Unreadable);
    }
    match String::from_utf8(field.unfolded()) {
        // A field that is empty is as good as none.
        Ok(value) if matches!(value.trim(), "" | "<>") => Err(NoAuthor::Missing),
        read => read.map_err(|_| NoAuthor::Unreadable),
    }
}

/// That name, or what some reader may take for it: with white space or control bytes in it.
fn is_like(written: &[u8], name: &str) -> bool {
    let visible = written.iter().copied().filter(u8::is_ascii_graphic);
    visible.map(|byte| byte.to_ascii_lowercase()).eq(name.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// What may be the local part in front of the next at sign outside quoted strings and comments, `obs-local-part` included
/// (RFC 5322 section 4.4), and what follows that sign; none where there is none.
fn up_to_at(text: &str) -> Result<Option<(String, &str)>, NoAuthor> {
    let (mut word, mut stands_apart, mut rest) = (String::new(), false, text);
    while let Some((what, behind)) = split_first(rest) {
        let after = match what {
            '@' => return Ok(Some((word, behind))),
            '(' => after_comment(behind)?,
            '"' => after_quoted(behind)?,
            _ => behind,
        };
        match what {
            '<' | '>' | ',' | ':' | ';' => word.clear(),
            '(' => stands_apart = true,
            what if what.is_whitespace() => stands_apart = true,
            what => {
                // Words that stand apart are one local part where a dot joins them.
                if std::mem::take(&mut stands_apart) && !word.ends_with('.') && what != '.' {
                    word.clear();
                }
                word.push_str(&rest[..rest.len() - after.len()]);
            }
        }
        rest = after;
    }
    Ok(None)
}

fn split_first(text: &str) -> Option<(char, &str)> {
    let mut characters = text.chars();
    characters.next().map(|first| (first, characters.as_str()))
}

/// What follows a quoted string of which the first quote was read. One that never ends is read differently by everyone.
fn after_quoted(text: &str) -> Result<&str, NoAuthor> {
    let mut characters = text.chars();
    loop {
        match characters.next().ok_or(NoAuthor::Unreadable)? {
            '"' => return Ok(characters.as_str()),
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
}

/// What follows a comment of which the first parenthesis was read; comments nest (RFC 5322 section 3.2.2).
fn after_comment(text: &str) -> Result<&str, NoAuthor> {
    let mut depth = 1_usize;
    let mut characters = text.chars();
    while depth > 0 {
        match characters.next().ok_or(NoAuthor::Unreadable)? {
            '(' => depth += 1,
            ')' => depth -= 1,
            '\\' => drop(characters.next()),
            _ => {}
        }
    }
    Ok(characters.as_str())
}

/// The domain at the start of `text`, `obs-domain` included (RFC 5322 section 4.4), and what follows it.
fn domain(text: &str) -> Result<(String, &str), NoAuthor> {
    const SPECIALS: [char; 10] = ['(', ')', '<', '>', '[', ',', ';', ':', '@', '"'];
    let (mut domain, mut rest) = (String::new(), text);
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix('(') {
            rest = after_comment(comment)?;
            continue;
        }
        let end = rest.find(|next: char| SPECIALS.contains(&next) || next.is_whitespace()).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        // Words that stand apart are one domain where a dot joins them.
        if word.is_empty() || !(domain.is_empty() || domain.ends_with('.') || word.starts_with('.')) {
            break;
        }
        domain.push_str(word);
        rest = after;
    }
    let domain: Cow<'_, str> = to_a_label(domain.strip_suffix('.').unwrap_or(&domain));
    match domain.is_ascii() && is_domain(&domain) {
        true => Ok((domain.into_owned(), rest)),
        false => Err(NoAuthor::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_a_client_may_show_is_told_or_none() {
        for (header, expected) in [
            ("From: ceo@a.example", Ok("a.example")),
            ("From: ceo@a.example, me@b.example", Ok("a.example b.example")),
            ("From: me@b.example,\r\n Boss <ceo@a.example>", Ok("b.example a.example")),
            ("From: ceo @ a . example", Ok("a.example")),
            ("From: ceo@a(x (y\\)) ).example (z)", Ok("a.example")),
            ("From: ceo@(x) A.Example.", Ok("a.example")),
            ("from\t: ceo@a.example", Ok("a.example")),
            ("junk\r\nFrom: ceo@a.example", Ok("a.example")),
            (" folded: onto nothing\r\nFrom: ceo@a.example", Ok("a.example")),
            ("From me@b.example Mon Jan 1 00:00:00 2001\r\nFrom: ceo@a.example", Ok("a.example")),
            ("From: ceo@a.example <me@b.example>", Ok("a.example b.example")),
            ("From: \"ceo@a.example\" <me@b.example>", Ok("b.example")),
            ("From: =?utf-8?q?ceo=40a.example?= <me@b.example> (x@c.example)", Ok("b.example")),
            ("From: <@c.example:me@b.example>", Ok("c.example b.example")),
            ("From: Team: ceo@a.example, me@b.example;", Ok("a.example b.example")),
            ("From: \"a b\"@b.example, a@B.EXAMPLE", Ok("b.example")),
            ("From: j\u{f6}@b\u{fc}cher.example", Ok("xn--bcher-kva.example")),
            ("Subject: x", Err(NoAuthor::Missing)),
            ("Subject: x\r\n\r\nFrom: ceo@a.example", Err(NoAuthor::Missing)),
            ("From: me@b.example\r\nFrom: ceo@a.example", Err(NoAuthor::Several)),
            ("From: me@b.example\r\nFr\0om : ceo@a.example", Err(NoAuthor::Several)),
            ("From\0: ceo@a.example", Err(NoAuthor::Unreadable)),
            ("From: ceo@a.example\0", Err(NoAuthor::Unreadable)),
            ("From: \"never ends <ceo@a.example>", Err(NoAuthor::Unreadable)),
            ("From: me@b.example (never ends <ceo@a.example>", Err(NoAuthor::Unreadable)),
            ("From: ceo@=?utf-8?q?a=2Eexample?=", Err(NoAuthor::Unreadable)),
            ("From: ceo@a..example", Err(NoAuthor::Unreadable)),
            ("From: ceo@[192.0.2.1]", Err(NoAuthor::Unreadable)),
            ("From: ceo@", Err(NoAuthor::Unreadable)),
            ("From: undisclosed-senders:;", Err(NoAuthor::NoDomain)),
            ("From:", Err(NoAuthor::Missing)),
            ("From: <> ", Err(NoAuthor::Missing)),
        ] {
            let found = domains(format!("{header}\r\nTo: x@y.example\r\n\r\nbody\r\n").as_bytes());
            assert_eq!(found.map(|domains| domains.join(" ")), expected.map(str::to_owned), "{header:?}");
        }
        let many: Vec<_> = (0..50).map(|number| format!("x@d{number}.example")).collect();
        assert_eq!(domains(format!("From: {}\r\n\r\n", many.join(", ")).as_bytes()), Err(NoAuthor::TooMany));
    }

    #[test]
    fn every_address_a_client_may_show_is_told_or_none() {
        for (header, expected) in [
            ("From: Boss <ceo@A.example>, me@b.example", Ok("ceo@a.example me@b.example")),
            ("From: Boss ceo@a.example <me@b.example>", Ok("ceo@a.example me@b.example")),
            ("From: ceo(x) . (y)of . all @ a . example", Ok("ceo.of.all@a.example")),
            ("From: \"ceo@a.example\" <me@b.example>", Ok("me@b.example")),
            ("From: Boss \"c e o\"@a.example", Ok("\"c e o\"@a.example")),
            ("From: Team:ceo@a.example;", Ok("ceo@a.example")),
            ("Sender: x@y.example\r\nFrom: Ceo+tag@a.example", Ok("Ceo+tag@a.example")),
            ("From: \"c\"\"o\"@a.example", Err(NoAuthor::Unreadable)),
            ("From: <@c.example:me@b.example>", Err(NoAuthor::Unreadable)),
            ("From: @a.example", Err(NoAuthor::Unreadable)),
            ("From: ceo", Err(NoAuthor::NoDomain)),
            ("Sender: ceo@a.example", Err(NoAuthor::Missing)),
        ] {
            let found = addresses(format!("{header}\r\n\r\n").as_bytes(), "From");
            let found = found.map(|found| found.iter().map(Address::as_str).collect::<Vec<_>>().join(" "));
            assert_eq!(found, expected.map(str::to_owned), "{header:?}");
        }
        let sender = addresses(b"From: a@b.example\r\nsender: c@d.example\r\n\r\n", "Sender");
        assert_eq!(sender, Ok(vec![Address::parse("c@d.example").expect("an address")]));
    }
}
