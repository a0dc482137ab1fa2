//! What a reader sees of HTML, for SEARCH: the tags taken away, entities resolved, white space as one space. Takes the text
//! in pieces, however they are cut.
//!
//! A tag that begins a block or a line stands for a space, any other for nothing: `wo<b>r</b>d` is one word, `one<br>two`
//! are two. What is in scripts, styles and comments is not seen.

use mail_parser::decoders::html::add_html_token;

/// Tags that leave no gap.
const INLINE: &[&str] = &[
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd",
    "mark", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
];

/// Tags whose inside is no text.
const HIDING: &[&str] = &["script", "style"];

/// Longer than any name of a tag or an entity that means something.
const NAME_MAX_BYTES: usize = 32;

/// The way from HTML to its text.
#[derive(Debug, Default)]
pub(super) struct Visible {
    state: State,
    /// The tag whose end is waited for.
    hidden_by: Option<&'static str>,
    after_space: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// `&` and what follows it.
    Entity(String),
    /// `<` and nothing yet that says what it begins.
    Opened,
    /// In a tag: its name with the `/` of an end tag, and whether that is complete; the quote that is open.
    Tag { name: String, is_named: bool, quote: Option<char> },
    /// `<!` or `<?`, and its first characters.
    Declaration(String),
    /// How many of the characters of `-->` came just now.
    Comment(u8),
}

impl Visible {
    /// Adds to `seen` what of the next piece is to be seen.
    pub(super) fn take(&mut self, html: &str, seen: &mut String) {
        for character in html.chars() {
            self.take_one(character, seen);
        }
    }

    /// What waited for more that did not come.
    pub(super) fn finish(mut self, seen: &mut String) {
        match std::mem::take(&mut self.state) {
            State::Entity(text) => self.show(&text, seen),
            State::Opened => self.show("<", seen),
            State::Text | State::Tag { .. } | State::Declaration(_) | State::Comment(_) => {}
        }
    }

    fn take_one(&mut self, character: char, seen: &mut String) {
        self.state = match (std::mem::take(&mut self.state), character) {
            (State::Text, '<') => State::Opened,
            (State::Text, '&') => State::Entity("&".to_owned()),
            (State::Text, _) => {
                self.show(character.encode_utf8(&mut [0; 4]), seen);
                State::Text
            }
            (State::Entity(mut text), ';') => {
                text.push(';');
                let mut resolved = String::new();
                add_html_token(&mut resolved, text.as_bytes(), false);
                self.show(&resolved, seen);
                State::Text
            }
            (State::Entity(mut text), '#' | '0'..='9' | 'a'..='z' | 'A'..='Z') if text.len() < NAME_MAX_BYTES => {
                text.push(character);
                State::Entity(text)
            }
            (State::Entity(text), _) => {
                self.show(&text, seen);
                return self.take_one(character, seen);
            }
            (State::Opened, '!' | '?') if self.hidden_by.is_none() => State::Declaration(String::new()),
            // Within a script only an end is no text.
            (State::Opened, '/' | 'a'..='z' | 'A'..='Z') if self.hidden_by.is_none() || character == '/' => {
                State::Tag { name: character.to_ascii_lowercase().to_string(), is_named: false, quote: None }
            }
            (State::Opened, _) => {
                self.show("<", seen);
                return self.take_one(character, seen);
            }
            (State::Tag { name, quote: None, .. }, '>') => {
                self.end_tag(&name, seen);
                State::Text
            }
            (State::Tag { mut name, is_named, quote }, _) => {
                let is_named = is_named || !character.is_ascii_alphanumeric() || name.len() >= NAME_MAX_BYTES;
                if !is_named {
                    name.push(character.to_ascii_lowercase());
                }
                let quote = match (quote, character) {
                    (None, '"' | '\'') => Some(character),
                    (Some(open), _) if open == character => None,
                    (quote, _) => quote,
                };
                State::Tag { name, is_named, quote }
            }
            (State::Declaration(_), '>') => State::Text,
            (State::Declaration(mut text), _) => {
                if text.len() < 2 {
                    text.push(character);
                }
                match text == "--" {
                    true => State::Comment(0),
                    false => State::Declaration(text),
                }
            }
            (State::Comment(dashes), '-') => State::Comment((dashes + 1).min(2)),
            (State::Comment(2), '>') => State::Text,
            (State::Comment(_), _) => State::Comment(0),
        };
    }

    fn end_tag(&mut self, name: &str, seen: &mut String) {
        let (is_end, name) = name.strip_prefix('/').map_or((false, name), |name| (true, name));
        match self.hidden_by {
            Some(hiding) if is_end && hiding == name => self.hidden_by = None,
            Some(_) => {}
            None if !is_end => self.hidden_by = HIDING.iter().copied().find(|hiding| *hiding == name),
            None => {}
        }
        if !INLINE.contains(&name) && !HIDING.contains(&name) {
            self.show(" ", seen);
        }
    }

    fn show(&mut self, text: &str, seen: &mut String) {
        if self.hidden_by.is_some() {
            return;
        }
        for character in text.chars() {
            // The no-break space is one as well.
            let is_space = character.is_whitespace();
            match (is_space, self.after_space) {
                (true, true) => {}
                (true, false) => seen.push(' '),
                (false, _) => seen.push(character),
            }
            self.after_space = is_space;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(html: &str, piece: usize) -> String {
        let (mut visible, mut text) = (Visible::default(), String::new());
        let characters: Vec<char> = html.chars().collect();
        for piece in characters.chunks(piece) {
            visible.take(&piece.iter().collect::<String>(), &mut text);
        }
        visible.finish(&mut text);
        text
    }

    #[test]
    fn what_a_reader_sees_is_text_without_tags_however_it_is_cut() {
        for (html, expected) in [
            ("wo<b>r</b>d", "word"),
            ("one<br>two<p class=\"a>b\">three", "one two three"),
            ("gr&uuml;n &amp; &#98;lau &#x1F600;", "grün & blau \u{1F600}"),
            ("AT&T &unknown; & a&", "AT&T &unknown; & a&"),
            ("a < b <3", "a < b <3"),
            ("<style>p { }</style>x<script>if (a<b) \"</p>\";</script>y", "xy"),
            ("a<!-- no <b> -- no -->b<!DOCTYPE html>c", "abc"),
            ("  many\r\n\t&nbsp;spaces ", " many spaces "),
            ("end <", "end <"),
            ("unfinished <b", "unfinished "),
        ] {
            for piece in [1, 2, 1000] {
                assert_eq!(seen(html, piece), expected, "{html:?} in pieces of {piece}");
            }
        }
    }
}
