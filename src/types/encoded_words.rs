//! Text of any script in a header of ASCII: encoded-words (RFC 2047). Only how they are written; reading them is
//! `message`'s.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Octets of text in one encoded-word: 72 characters, of 75 allowed (RFC 2047 section 2).
const WORD_TEXT_BYTES: usize = 45;

/// `encoded-word = "=?" charset "?" encoding "?" encoded-text "?="`: as many as `text` needs, each on a line of its own and
/// each with whole characters in it (RFC 2047 section 5).
pub fn encoded_words(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.floor_char_boundary(WORD_TEXT_BYTES));
        words.push_str(&format!("=?utf-8?B?{}?=", BASE64.encode(now)));
        if !later.is_empty() {
            words.push_str("\r\n ");
        }
        rest = later;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_no_longer_than_it_may_be_and_cuts_no_character() {
        assert_eq!(encoded_words(""), "");
        assert_eq!(encoded_words("é"), "=?utf-8?B?w6k=?=");
        let text = "x\u{20ac}".repeat(40);
        let words = encoded_words(&text);
        let inside = words.split("\r\n ").map(|word| {
            assert!(word.len() <= 75, "{word}");
            let encoded = word.trim_start_matches("=?utf-8?B?").trim_end_matches("?=");
            String::from_utf8(BASE64.decode(encoded).expect("base64")).expect("whole characters")
        });
        assert_eq!(inside.collect::<String>(), text);
    }
}
