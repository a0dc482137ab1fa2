//! The lines of a transcript (`tests/it/imap/transcript.rs` says what they are): what a client's stand for, and whether the
//! server's are met.

use std::collections::BTreeMap;

/// What `{{set name}}` matched.
#[derive(Default)]
pub struct Words(BTreeMap<String, String>);

impl Words {
    /// The text with the words in place of their names.
    pub fn in_place(&self, text: &str) -> String {
        let stand_for = |text: String, (name, word): (&String, &String)| text.replace(&format!("{{{{{name}}}}}"), word);
        self.0.iter().fold(text.to_owned(), stand_for)
    }

    /// The pattern with the word of the line where it says `{{set name}}`.
    pub fn taken(&mut self, pattern: &str, line: &str) -> String {
        let Some((before, after)) = pattern.split_once("{{set ") else { return pattern.to_owned() };
        let (name, after) = after.split_once("}}").expect("{{...}} is closed");
        let rest = line.get(before.len()..).unwrap_or_default();
        let word: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        self.0.insert(name.to_owned(), word.clone());
        format!("{before}{word}{after}")
    }
}

/// Replaces `{#}` by the size of the literal in the `L:` lines below.
pub fn sized(text: &str, below: &[&str]) -> String {
    let literal =
        below.iter().take_while(|line| line.starts_with('L') || (line.starts_with('S') && line.contains(": +")));
    let literal = literal.filter(|line| line.starts_with('L')).map(|line| line.split_once(':').expect("L: text").1);
    let bytes: usize = literal.map(|text| text.strip_prefix(' ').unwrap_or(text).len() + 2).sum();
    text.replace("{#}", &format!("{{{bytes}}}")).replace("{#+}", &format!("{{{bytes}+}}"))
}

/// The bytes of a client's line.
pub fn expanded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        bytes.extend_from_slice(before.as_bytes());
        let (what, after) = after.split_once("}}").expect("{{...}} is closed");
        match what.splitn(3, ' ').collect::<Vec<_>>()[..] {
            ["nul"] => bytes.push(0),
            ["repeat", count, what] => {
                bytes.extend_from_slice(what.repeat(count.parse().expect("a count")).as_bytes());
            }
            _ => panic!("unknown {{{{{what}}}}}"),
        }
        rest = after;
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Does the line match the pattern, in which `{{any}}` stands for anything?
pub fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("{{any}}");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(found) => rest = &rest[found + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
