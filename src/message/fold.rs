//! Without regard to case, for SEARCH.

use unicode_normalization::char::decompose_compatible;

/// `text` without regard to case: each character decomposed, then its lower, then its upper case. Whatever
/// i;unicode-casemap (RFC 5051) holds equal is equal, and more is: `ß` is `SS`. Character by character: what is a part of
/// a text stays a part of it.
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_ascii() {
            true => folded.push(character.to_ascii_uppercase()),
            false => decompose_compatible(character, |part| {
                folded.extend(part.to_lowercase().flat_map(char::to_uppercase));
            }),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::super::casemap::casemapped;
    use super::*;

    #[test]
    fn what_i_unicode_casemap_holds_equal_is_equal() {
        for character in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let text = character.to_string();
            assert_eq!(folded(&casemapped(&text)), folded(&text), "U+{:04X}", u32::from(character));
        }
    }

    #[test]
    fn texts_are_equal_without_regard_to_case_and_composition() {
        for (one, other) in [
            ("Straße", "STRASSE"),
            ("ẞ", "ß"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("grün", "GRU\u{308}N"),
            ("ﬁ", "FI"),
            ("Ｆｕｌｌ", "full"),
            ("ｶﾞ", "ガ"),
            ("ǆ", "Dž"),
            ("㎏", "kg"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        assert_ne!(folded("日本"), folded("日木"));
    }
}
