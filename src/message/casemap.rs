//! i;unicode-casemap (RFC 5051): strings are compared by the octets of what [`casemapped`] makes of them.

use unicode_normalization::char::decompose_compatible;

/// Each character's titlecase, decomposed (RFC 5051 section 2), in UTF-8.
pub fn casemapped(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    let mut mapped = String::with_capacity(text.len());
    for character in text.chars() {
        decompose_compatible(titlecase(character), |part| mapped.push(part));
    }
    mapped
}

/// The simple titlecase mapping of UnicodeData.txt (RFC 5051 section 2 step 1). It is the uppercase of one character
/// where there is one, but for the few below.
fn titlecase(character: char) -> char {
    let moved_by = |distance: u32| char::from_u32(u32::from(character) + distance).unwrap_or(character);
    match character {
        // Digraphs have a titlecase of their own.
        '\u{01C4}'..='\u{01C6}' => '\u{01C5}',
        '\u{01C7}'..='\u{01C9}' => '\u{01C8}',
        '\u{01CA}'..='\u{01CC}' => '\u{01CB}',
        '\u{01F1}'..='\u{01F3}' => '\u{01F2}',
        // Greek with an iota below: the uppercase of the standard library spells the iota out.
        '\u{1F80}'..='\u{1F87}' | '\u{1F90}'..='\u{1F97}' | '\u{1FA0}'..='\u{1FA7}' => moved_by(8),
        '\u{1FB3}' | '\u{1FC3}' | '\u{1FF3}' => moved_by(9),
        // Georgian letters are titlecase as they are.
        '\u{10D0}'..='\u{10FA}' | '\u{10FD}'..='\u{10FF}' => character,
        _ => {
            let mut upper = character.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => character,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_equal_without_regard_to_case_and_composition() {
        for (one, other) in [
            ("Hello", "hELLO"),
            ("grün", "GRÜN"),
            ("grün", "gru\u{308}n"),
            ("ǆ", "Ǆ"),
            ("ǆ", "D\u{17E}"),
            ("ᾳ", "ᾼ"),
            ("ﬁ", "fi"),
            ("ΣΊΣΥΦΟΣ", "σίσυφος"),
            ("Ｆｕｌｌ", "full"),
            ("Å", "\u{212B}"),
        ] {
            let fully = |text: &str| casemapped(&casemapped(text));
            assert_eq!(fully(one), fully(other), "{one} {other}");
        }
    }

    #[test]
    fn what_has_no_simple_titlecase_stays() {
        assert_eq!(casemapped("ß"), "ß");
        assert_eq!(casemapped("აბ"), "აბ");
        assert_eq!(casemapped("日本"), "日本");
        assert_eq!(casemapped("é"), "E\u{301}");
        assert_eq!(casemapped("ǆ"), "Dz\u{30C}");
    }
}
