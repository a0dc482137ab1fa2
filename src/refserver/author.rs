//! Who a message says it is from: the domains of its From field (RFC 5322 sections 3.6.2 and 4.4). Pure.
//!
//! Rules: what any mail client may show as the author's domain is among them, so every domain behind an at sign counts
//! that is in no quoted string and no comment, angle brackets or not; what could be read in two ways is not read.

use std::borrow::Cow;

use mail_auth::common::to_a_label;

use crate::message::header;
use crate::smtp::address::is_domain;

/// More authors than that are nobody's.
const DOMAINS_MAX: usize = 8;

/// Why it cannot be told who a message is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAuthor {
    #[error("there is no From field")]
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
    let mut fields = header::fields(message).filter(|field| is_from(field.name));
    let from = fields.next().ok_or(NoAuthor::Missing)?;
    if fields.next().is_some() {
        return Err(NoAuthor::Several);
    }
    // NUL and its like end the value for some readers, and are skipped by others.
    if from.name.len() != "From".len()
        || from.value.iter().any(|byte| byte.is_ascii_control() && !b"\r\n\t".contains(byte))
    {
        return Err(NoAuthor::Unreadable);
    }
    let value = String::from_utf8(from.unfolded()).map_err(|_| NoAuthor::Unreadable)?;
    let mut domains = Vec::new();
    let mut rest = after_at(&value)?;
    while let Some(behind) = rest {
        let (domain, after) = domain(behind)?;
        if !domains.contains(&domain) {
            domains.push(domain);
        }
        if domains.len() > DOMAINS_MAX {
            return Err(NoAuthor::TooMany);
        }
        rest = after_at(after)?;
    }
    if domains.is_empty() { Err(NoAuthor::NoDomain) } else { Ok(domains) }
}

/// From, or what some reader may take for it: with white space or control bytes in its name.
fn is_from(name: &[u8]) -> bool {
    let visible = name.iter().copied().filter(u8::is_ascii_graphic);
    visible.map(|byte| byte.to_ascii_lowercase()).eq(*b"from")
}

/// What follows the next at sign outside quoted strings and comments; none where there is none.
fn after_at(text: &str) -> Result<Option<&str>, NoAuthor> {
    let mut rest = text;
    loop {
        let place = rest.find(['@', '"', '(']);
        let Some((what, behind)) =
            place.and_then(|place| rest.split_at_checked(place)).and_then(|(_, at)| split_first(at))
        else {
            return Ok(None);
        };
        rest = match what {
            '@' => return Ok(Some(behind)),
            '"' => after_quoted(behind)?,
            _ => after_comment(behind)?,
        };
    }
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
            ("From:", Err(NoAuthor::NoDomain)),
        ] {
            let found = domains(format!("{header}\r\nTo: x@y.example\r\n\r\nbody\r\n").as_bytes());
            assert_eq!(found.map(|domains| domains.join(" ")), expected.map(str::to_owned), "{header:?}");
        }
        let many: Vec<_> = (0..50).map(|number| format!("x@d{number}.example")).collect();
        assert_eq!(domains(format!("From: {}\r\n\r\n", many.join(", ")).as_bytes()), Err(NoAuthor::TooMany));
    }
}
