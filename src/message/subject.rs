//! The base subject (RFC 5256 section 2.1), by which messages of one subject are known.
//!
//! Each step takes what it removes from an end and never looks at it again, so that the work is linear in the subject.

/// What remains of a subject, and whether anything that marks a reply or a forward was removed (section 3, REFERENCES).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseSubject {
    pub text: String,
    pub is_reply: bool,
}

impl BaseSubject {
    /// Of a subject whose encoded-words are decoded.
    pub fn of(decoded: &str) -> Self {
        // (1) "Convert all tabs and continuations to space. Convert all multiple spaces to a single space."
        let words: Vec<&str> = decoded.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
        let text = words.join(" ");
        let (mut rest, mut is_reply) = (text.as_str(), false);
        loop {
            // (2)
            let trailing = without_trailers(rest);
            // (3) to (5)
            let leading = without_leaders(trailing.0);
            is_reply |= trailing.1 || leading.1;
            rest = leading.0;
            // (6)
            match without_prefix(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']')) {
                Some(inner) => (rest, is_reply) = (inner, true),
                None => return Self { text: rest.to_owned(), is_reply },
            }
        }
    }
}

/// `subj-trailer = "(fwd)" / WSP`
fn without_trailers(mut text: &str) -> (&str, bool) {
    let mut is_reply = false;
    loop {
        text = text.trim_end_matches(' ');
        let start = text.len().saturating_sub("(fwd)".len());
        match text.get(start..).is_some_and(|end| end.eq_ignore_ascii_case("(fwd)")) {
            true => (text, is_reply) = (&text[..start], true),
            false => return (text, is_reply),
        }
    }
}

/// `subj-leader = (*subj-blob subj-refwd) / WSP`, and subj-blobs as long as something remains behind them. Where
/// no subj-refwd follows the blobs, taking them one by one would come to the same.
fn without_leaders(mut text: &str) -> (&str, bool) {
    let mut is_reply = false;
    loop {
        text = text.trim_start_matches(' ');
        let (mut last_blob, mut rest) = (text, text);
        while let Some(after) = without_blob(rest) {
            (last_blob, rest) = (rest, after);
        }
        match without_refwd(rest) {
            Some(after) => (text, is_reply) = (after, true),
            None => return (if rest.is_empty() { last_blob } else { rest }, is_reply),
        }
    }
}

/// `subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`
fn without_refwd(text: &str) -> Option<&str> {
    let word = ["re", "fwd", "fw"].into_iter().find_map(|word| without_prefix(text, word))?;
    let rest = word.trim_start_matches(' ');
    without_blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// `subj-blob = "[" *BLOBCHAR "]" *WSP`
fn without_blob(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('[')?;
    let (_, rest) = inside.split_at(inside.find(['[', ']'])?);
    Some(rest.strip_prefix(']')?.trim_start_matches(' '))
}

fn without_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reply_adds_is_removed() {
        for (subject, base, is_reply) in [
            ("Hello", "Hello", false),
            ("Re: Hello", "Hello", true),
            ("RE: re:Fwd: FW : Hello", "Hello", true),
            ("re[2]: Hello", "Hello", true),
            ("Re [list] : Hello", "Hello", true),
            ("[list] Re: Hello", "Hello", true),
            ("[list] Hello", "Hello", false),
            ("[list] [other] Re: [third] Hello", "Hello", true),
            ("[only]", "[only]", false),
            ("[one] [two]", "[two]", false),
            ("Re: [only]", "[only]", true),
            ("Hello (fwd)", "Hello", true),
            ("Hello (FWD) (fwd)  ", "Hello", true),
            ("[Fwd: Hello]", "Hello", true),
            ("[Fwd: Re: [fwd: Hello (fwd)]]", "Hello", true),
            ("[Fwd: [list] Hello]", "Hello", true),
            ("  many \t spaces\r\n here ", "many spaces here", false),
            ("Regarding: x", "Regarding: x", false),
            ("Re", "Re", false),
            ("Re:", "", true),
            ("(fwd)", "", true),
            ("[fwd:]", "", true),
            ("", "", false),
            ("[unclosed Re: x", "[unclosed Re: x", false),
            ("AW: Hallo", "AW: Hallo", false),
            ("é", "é", false),
        ] {
            assert_eq!(BaseSubject::of(subject), BaseSubject { text: base.to_owned(), is_reply }, "{subject:?}");
        }
    }

    #[test]
    fn a_hostile_subject_takes_no_more_than_linear_work() {
        for unit in ["[a]", "re: ", "[fwd:", "(fwd)", "[a] re: ", "re[", "]", "[", "re [a] "] {
            let subject = unit.repeat(200_000);
            let _ = BaseSubject::of(&subject);
            let _ = BaseSubject::of(&format!("{subject}x"));
        }
        let nested = format!("{}x{}", "[fwd:".repeat(100_000), "]".repeat(100_000));
        assert_eq!(BaseSubject::of(&nested).text, "x");
    }
}
