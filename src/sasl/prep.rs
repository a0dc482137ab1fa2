//! SASLprep (RFC 4013): a name or a password that can be typed in several ways is the same in each of them.
//!
//! What SASLprep prohibits (control characters, private use, text that runs both ways) stays as it was given: who has such a
//! password must be able to log in.

use std::borrow::Cow;

use crate::types::Secret;

/// A user name, to be compared.
pub fn prepared(name: &str) -> Cow<'_, str> {
    stringprep::saslprep(name).unwrap_or(Cow::Borrowed(name))
}

/// A password, to be compared or hashed.
pub fn prepared_password(password: &Secret) -> Secret {
    Secret::new(prepared(password.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_the_same_is_the_same_and_what_is_prohibited_stays() {
        for (given, expected) in [
            ("pencil", "pencil"),
            // The examples of RFC 4013 section 3, which end with a control character and with text that runs both ways.
            ("I\u{ad}X", "IX"),
            ("user", "user"),
            ("USER", "USER"),
            ("\u{aa}", "a"),
            ("\u{2168}", "IX"),
            ("\u{7}", "\u{7}"),
            ("\u{627}1", "\u{627}1"),
            ("scho\u{308}n", "sch\u{f6}n"),
            ("a\u{a0}b", "a b"),
        ] {
            assert_eq!(prepared(given), expected, "{given:?}");
        }
    }
}
