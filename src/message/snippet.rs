//! Where in a message a text is, with some words around it: for who looks at what was found.

use std::io;

use mail_parser::decoders::html::html_to_text;

use super::fold::folded;
use super::preview::preview;
use super::text::beginning;
use super::{Body, Part, Summary};
use crate::types::{ByteSource, limits};

/// Characters before what was found.
const BEFORE: usize = 40;

/// The words around the first of `texts` that a part shows, else those with which the message begins.
pub fn snippet(summary: &Summary, bytes: &mut dyn ByteSource, texts: &[&str]) -> io::Result<String> {
    let needles: Vec<String> = texts.iter().map(|text| folded(text)).filter(|text| !text.is_empty()).collect();
    match needles.is_empty() {
        true => preview(summary, bytes),
        false => match around(&summary.root, bytes, &needles)? {
            Some(words) => Ok(words),
            None => preview(summary, bytes),
        },
    }
}

fn around(part: &Part, bytes: &mut dyn ByteSource, needles: &[String]) -> io::Result<Option<String>> {
    match &part.body {
        Body::Multipart(parts) => {
            for part in parts {
                if let Some(words) = around(part, bytes, needles)? {
                    return Ok(Some(words));
                }
            }
            Ok(None)
        }
        Body::Message(_, root) => around(root, bytes, needles),
        Body::Leaf if part.media_type == "TEXT" => {
            let text = beginning(part, bytes, limits::SNIPPET_SOURCE_BYTES)?;
            let text = if part.media_subtype == "HTML" { html_to_text(&text) } else { text };
            Ok(needles.iter().find_map(|needle| cut_out(&text, needle)))
        }
        Body::Leaf => Ok(None),
    }
}

/// Some characters of `text` before `needle` and what follows, white space as single spaces.
fn cut_out(text: &str, needle: &str) -> Option<String> {
    let folded_length = |characters: &str| folded(characters).len();
    let found = folded(text).find(needle)?;
    // Folding goes character by character, so that its place tells the text's.
    let mut length = 0;
    let start = text.char_indices().find(|(_, character)| {
        length += folded_length(character.encode_utf8(&mut [0; 4]));
        length > found
    })?;
    let before = text[..start.0].char_indices().rev().nth(BEFORE - 1).map_or(0, |(place, _)| place);
    let words = text[before..].chars().take(limits::PREVIEW_CHARACTERS).collect::<String>();
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    Some(if before > 0 { format!("…{words}") } else { words })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scanner;

    fn of(body: &str, texts: &[&str]) -> String {
        let message = format!("Subject: x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}");
        snippet(&Scanner::scan(message.as_bytes()), &mut message.into_bytes(), texts).expect("memory can be read")
    }

    #[test]
    fn what_was_found_is_shown_with_what_is_around_it() {
        let long = format!("{} die Straße\r\n  zum Bahnhof", "weit ".repeat(40));
        let shown = of(&long, &["STRASSE"]);
        assert!(shown.starts_with("…") && shown.ends_with("weit weit die Straße zum Bahnhof"), "{shown}");
        assert_eq!(of("am <b>Anfang</b>", &["absent", "anfang"]), "am Anfang");
        assert_eq!(of("nur so", &["absent"]), "nur so");
        assert_eq!(of("nur so", &[]), "nur so");
        assert_eq!(of("会議の資料", &["資"]), "会議の資料");
    }
}
