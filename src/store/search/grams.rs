//! By which few characters a text is found in the index: three in a row, or one and two of those scripts in which that
//! many make a word.

use std::collections::BTreeSet;

use crate::message::searched::DIVIDER;

/// Grams that are looked up of one text: more leave hardly fewer candidates.
const LOOKED_UP_MAX: usize = 16;

/// How the candidates for a text are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// By this expression in the table `gram`, in the table `pair`.
    Gram(String),
    Pair(String),
    /// Not at all: it may be in every message.
    Every,
}

/// The way to `needle`, which is folded; `None` where the index cannot say anything of it.
pub(super) fn way(needle: &str) -> Option<Way> {
    let characters: Vec<char> = needle.chars().collect();
    if characters.is_empty() || characters.iter().any(|character| matches!(*character, '\0' | DIVIDER)) {
        return None;
    }
    if characters.len() >= 3 {
        let grams: BTreeSet<&[char]> = characters.windows(3).collect();
        let step = grams.len().div_ceil(LOOKED_UP_MAX);
        let quoted = grams.iter().step_by(step).map(|gram| quoted(gram));
        return Some(Way::Gram(quoted.collect::<Vec<_>>().join(" ")));
    }
    match characters.iter().all(|character| is_of_few(*character)) {
        true => Some(Way::Pair(name(&characters))),
        false => Some(Way::Every),
    }
}

/// A string of FTS5's query language.
fn quoted(gram: &[char]) -> String {
    format!("\"{}\"", gram.iter().collect::<String>().replace('"', "\"\""))
}

/// The names of all single characters and pairs of them in the texts, one after the other.
pub(super) fn names(texts: [&str; 2]) -> String {
    let mut found: BTreeSet<(char, Option<char>)> = BTreeSet::new();
    for text in texts {
        let mut before = None;
        for character in text.chars() {
            let this = is_of_few(character).then_some(character);
            if let Some(this) = this {
                found.insert((this, None));
                found.extend(before.map(|before| (before, Some(this))));
            }
            before = this;
        }
    }
    let names =
        found.into_iter().map(|(first, second)| name(&[Some(first), second].into_iter().flatten().collect::<Vec<_>>()));
    names.collect::<Vec<_>>().join(" ")
}

/// A word for the tokenizer `ascii`, whatever the characters.
fn name(characters: &[char]) -> String {
    characters.iter().map(|character| format!("x{:x}", u32::from(*character))).collect()
}

/// Does one such character, or do two, make a word? Those of Chinese, Japanese and Korean, as they are when folded.
const fn is_of_few(character: char) -> bool {
    matches!(character,
        '\u{1100}'..='\u{11FF}'       // Hangul letters
        | '\u{2E80}'..='\u{2FDF}'     // radicals
        | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{312F}'     // kana, bopomofo
        | '\u{31A0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}'     // ideographs
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_needle_has_its_way() {
        let gram = |text: &str| Some(Way::Gram(text.to_owned()));
        for (needle, expected) in [
            ("", None),
            ("A\0B", None),
            ("AB", Some(Way::Every)),
            ("日A", Some(Way::Every)),
            ("日", Some(Way::Pair("x65e5".to_owned()))),
            ("日本", Some(Way::Pair("x65e5x672c".to_owned()))),
            ("日本語", gram("\"日本語\"")),
            ("A\"BB", gram("\"\"\"BB\" \"A\"\"B\"")),
            ("AAAAAA", gram("\"AAA\"")),
        ] {
            assert_eq!(way(needle), expected, "{needle:?}");
        }
        let long: String = ('\u{100}'..'\u{200}').collect();
        assert!(matches!(way(&long), Some(Way::Gram(text)) if text.split(' ').count() <= LOOKED_UP_MAX));
    }

    #[test]
    fn characters_and_pairs_are_named_once() {
        assert_eq!(names(["日本", "A 日本\u{10FFFF}語"]), "x65e5 x65e5x672c x672c x8a9e");
    }
}
