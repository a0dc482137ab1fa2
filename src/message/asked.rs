//! What people type to find mail, as a [`Query`].
//!
//! ```text
//! asked = all *("OR" all)          all = 1*term
//! term  = ["-"] (word / "\"phrase\"" / key ":" value)
//! ```
//!
//! Words are looked for in headers and text, as parts of words, without regard to case; all of them must be there. A key
//! says where, or what else: see [`KEYS`]. In quotes, everything is what it is.

use chrono::{Days, NaiveDate};

use super::search::Query;
use crate::types::{Flag, SystemFlag, limits};

/// The keys, each with what it takes, for who does not know them.
pub const KEYS: &[(&str, &str)] = &[
    ("from", "text"),
    ("to", "text, in To or Cc"),
    ("subject", "text"),
    ("body", "text, in no header"),
    ("list", "text, in List-Id"),
    ("id", "text, in Message-ID"),
    ("before", "a day: 2026-01-31, today, yesterday, or 7d for seven days ago"),
    ("since", "a day"),
    ("on", "a day"),
    ("larger", "bytes: 500, 20K, 5M"),
    ("smaller", "bytes"),
    ("is", "read, unread, flagged, answered, draft or deleted"),
    ("tag", "a keyword"),
    ("has", "attachment"),
];

/// Why something that was typed cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    #[error("nothing is asked for: write a word, a \"phrase\", or a key with what it is to be, as in from:bob")]
    Nothing,
    #[error("more than {} words", limits::SEARCH_WORDS_MAX)]
    TooMany,
    #[error("the quote is not closed: {0}")]
    OpenQuote(String),
    #[error("OR stands between two things that are asked for")]
    LonelyOr,
    #[error("there is no key {0:?}; there are {keys}. Put it in quotes if it is a text", keys = names_of_keys())]
    UnknownKey(String),
    #[error("nothing stands behind {0}:, which takes {1}, with no blank between")]
    NoValue(String, &'static str),
    #[error("{0}: takes {takes}, not {1:?}", takes = taken_by(.0))]
    BadValue(String, String),
}

fn names_of_keys() -> String {
    KEYS.iter().map(|(key, _)| format!("{key}:")).collect::<Vec<_>>().join(" ")
}

fn taken_by(key: &str) -> &'static str {
    KEYS.iter().find(|(known, _)| *known == key).map_or("nothing", |(_, takes)| takes)
}

/// What `text` asks for on the day `today`.
pub fn query(text: &str, today: NaiveDate) -> Result<Query, AskedError> {
    let terms = terms(text)?;
    if terms.is_empty() {
        return Err(AskedError::Nothing);
    }
    if terms.len() > limits::SEARCH_WORDS_MAX {
        return Err(AskedError::TooMany);
    }
    let ways = terms.split(Term::is_or).map(|all| match all {
        [] => Err(AskedError::LonelyOr),
        all => Ok(Query::And(all.iter().map(|term| term.query(today)).collect::<Result<_, _>>()?)),
    });
    let ways = ways.collect::<Result<Vec<_>, _>>()?;
    ways.into_iter().reduce(|one, other| Query::Or(Box::new(one), Box::new(other))).ok_or(AskedError::Nothing)
}

/// The texts that what is found holds, for who wants to show where.
pub fn texts(query: &Query) -> Vec<&str> {
    match query {
        Query::And(all) => all.iter().flat_map(texts).collect(),
        Query::Or(one, other) => [texts(one), texts(other)].concat(),
        Query::Text(text) | Query::Body(text) => vec![text],
        _ => Vec::new(),
    }
}

#[derive(Debug, Default)]
struct Term {
    is_not: bool,
    key: Option<String>,
    text: String,
    is_quoted: bool,
}

/// Divides what was typed.
fn terms(text: &str) -> Result<Vec<Term>, AskedError> {
    let mut terms = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut term = Term::default();
        if let Some(behind) = rest.strip_prefix('-').filter(|behind| !behind.is_empty() && !behind.starts_with(' ')) {
            (term.is_not, rest) = (true, behind);
        }
        let letters = rest.find(|character: char| !character.is_ascii_alphabetic()).unwrap_or(rest.len());
        if let Some(behind) =
            rest[letters..].strip_prefix(':').filter(|behind| letters > 0 && !behind.starts_with("//"))
        {
            term.key = Some(rest[..letters].to_ascii_lowercase());
            rest = behind;
        }
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, behind) = quoted.split_once('"').ok_or_else(|| AskedError::OpenQuote(rest.to_owned()))?;
            (term.text, term.is_quoted, rest) = (text.to_owned(), true, behind);
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            term.text = rest[..end].to_owned();
            rest = &rest[end..];
        }
        terms.push(term);
        rest = rest.trim_start();
    }
    Ok(terms)
}

impl Term {
    fn is_or(&self) -> bool {
        !self.is_not && self.key.is_none() && !self.is_quoted && self.text == "OR"
    }

    fn query(&self, today: NaiveDate) -> Result<Query, AskedError> {
        // Every text holds the empty one, and every message has a text.
        let is_known = |key: &String| KEYS.iter().any(|(known, _)| known == key);
        match &self.key {
            _ if !self.text.is_empty() => {}
            None => return Err(AskedError::Nothing),
            Some(key) if is_known(key) => return Err(AskedError::NoValue(key.clone(), taken_by(key))),
            Some(_) => {}
        }
        let text = self.text.clone();
        let bad = || AskedError::BadValue(self.key.clone().unwrap_or_default(), self.text.clone());
        let header = |name: &str| Query::Header { name: name.to_owned(), value: text.clone() };
        let day = || day(&text, today).ok_or_else(bad);
        let bytes = || bytes(&text).ok_or_else(bad);
        let query = match self.key.as_deref() {
            None => Query::Text(text),
            Some("from") => header("From"),
            Some("to") => Query::Or(Box::new(header("To")), Box::new(header("Cc"))),
            Some("subject") => header("Subject"),
            Some("list") => header("List-Id"),
            Some("id") => header("Message-ID"),
            Some("body") => Query::Body(text),
            Some("before") => Query::Before(day()?),
            Some("since") => Query::Since(day()?),
            Some("on") => Query::On(day()?),
            Some("larger") => Query::Larger(bytes()?),
            Some("smaller") => Query::Smaller(bytes()?),
            Some("tag") => Query::Has(Flag::parse(&text).ok_or_else(bad)?),
            Some("has") if text == "attachment" => Query::HasAttachment,
            Some("is") => state(&text).ok_or_else(bad)?,
            Some("has") => return Err(bad()),
            Some(key) => return Err(AskedError::UnknownKey(key.to_owned())),
        };
        Ok(if self.is_not { Query::Not(Box::new(query)) } else { query })
    }
}

fn state(text: &str) -> Option<Query> {
    let has = |flag| Query::Has(Flag::System(flag));
    Some(match text {
        "read" | "seen" => has(SystemFlag::Seen),
        "unread" | "unseen" | "new" => Query::Not(Box::new(has(SystemFlag::Seen))),
        "flagged" | "starred" => has(SystemFlag::Flagged),
        "answered" | "replied" => has(SystemFlag::Answered),
        "draft" => has(SystemFlag::Draft),
        "deleted" => has(SystemFlag::Deleted),
        _ => return None,
    })
}

fn day(text: &str, today: NaiveDate) -> Option<NaiveDate> {
    match text {
        "today" => Some(today),
        "yesterday" => today.pred_opt(),
        _ => match text.strip_suffix('d').and_then(|days| days.parse().ok()) {
            Some(days) => today.checked_sub_days(Days::new(days)),
            None => text.parse().ok(),
        },
    }
}

fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KB" => 1024,
        "M" | "MB" => 1024 * 1024,
        "G" | "GB" => 1024 * 1024 * 1024,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Query, AskedError> {
        query(text, "2026-11-25".parse().expect("a day"))
    }

    fn and(queries: impl IntoIterator<Item = Query>) -> Query {
        Query::And(queries.into_iter().collect())
    }

    fn text(text: &str) -> Query {
        Query::Text(text.to_owned())
    }

    fn header(name: &str, value: &str) -> Query {
        Query::Header { name: name.to_owned(), value: value.to_owned() }
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    #[test]
    fn what_is_typed_is_what_is_meant() {
        let not = |query| Query::Not(Box::new(query));
        let seen = || Query::Has(Flag::System(SystemFlag::Seen));
        for (typed, expected) in [
            ("one  two", and([text("one"), text("two")])),
            ("\"one two\" -three", and([text("one two"), not(text("three"))])),
            ("a OR b c", Query::Or(Box::new(and([text("a")])), Box::new(and([text("b"), text("c")])))),
            ("\"OR\" -", and([text("OR"), text("-")])),
            ("http://x.org 12:30", and([text("http://x.org"), text("12:30")])),
            ("From:alice subject:\"a b\"", and([header("From", "alice"), header("Subject", "a b")])),
            ("-to:bob", and([not(Query::Or(Box::new(header("To", "bob")), Box::new(header("Cc", "bob"))))])),
            ("since:2026-01-31 before:7d", and([Query::Since(day("2026-01-31")), Query::Before(day("2026-11-18"))])),
            ("on:yesterday since:today", and([Query::On(day("2026-11-24")), Query::Since(day("2026-11-25"))])),
            ("larger:2M smaller:500", and([Query::Larger(2 * 1024 * 1024), Query::Smaller(500)])),
            ("is:unread -is:read has:attachment", and([not(seen()), not(seen()), Query::HasAttachment])),
            ("会議", and([text("会議")])),
        ] {
            assert_eq!(asked(typed), Ok(expected), "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_told_with_what_can() {
        for (typed, expected) in [
            ("  ", "nothing is asked for"),
            ("a OR", "OR stands between"),
            ("OR", "OR stands between"),
            ("\"open", "the quote is not closed: \"open"),
            ("form:bob", "there is no key \"form\"; there are from: to: subject:"),
            ("since:tomorow", "since: takes a day, not \"tomorow\""),
            ("before:99999999999999999999d", "before: takes a day: 2026"),
            ("larger:99999999999999G", "larger: takes bytes"),
            ("is:great", "is: takes read, unread"),
            ("has:wings", "has: takes attachment"),
            ("\"\"", "nothing is asked for"),
            ("word -\"\"", "nothing is asked for"),
            ("from:", "nothing stands behind from:, which takes text"),
            ("word -to: bob", "nothing stands behind to:, which takes text, in To or Cc"),
            ("subject:\"\"", "nothing stands behind subject:"),
            ("since: today", "nothing stands behind since:, which takes a day"),
            ("form:", "there is no key \"form\""),
        ] {
            let error = asked(typed).expect_err(typed).to_string();
            assert!(error.starts_with(expected), "{typed}: {error}");
        }
        assert_eq!(asked(&"x ".repeat(101)), Err(AskedError::TooMany));
    }
}
