//! A few words of a message for a list of messages (RFC 8970): the beginning of the text a reader would be shown first.

use std::io;

use mail_parser::decoders::html::html_to_text;

use super::text::beginning;
use super::{Body, Part, Summary};
use crate::types::{ByteSource, limits};

/// The preview; empty where the message has no text to show.
pub fn preview(summary: &Summary, bytes: &mut dyn ByteSource) -> io::Result<String> {
    let Some(part) = first_text(&summary.root) else { return Ok(String::new()) };
    let text = beginning(part, bytes, limits::PREVIEW_SOURCE_BYTES)?;
    let text = if part.media_subtype == "HTML" { html_to_text(&text) } else { text };
    Ok(few_words(&text))
}

/// The text part that is shown first, a plain one rather than its alternative.
fn first_text(part: &Part) -> Option<&Part> {
    if part.disposition.as_ref().is_some_and(|disposition| disposition.kind == "ATTACHMENT") {
        return None;
    }
    match &part.body {
        Body::Multipart(parts) => {
            let plain = parts.iter().find(|part| is_text(part, "PLAIN"));
            let alternative = plain.filter(|_| part.media_subtype == "ALTERNATIVE");
            alternative.or_else(|| parts.iter().find_map(first_text))
        }
        Body::Message(_, root) => first_text(root),
        Body::Leaf => (is_text(part, "PLAIN") || is_text(part, "HTML")).then_some(part),
    }
}

fn is_text(part: &Part, subtype: &str) -> bool {
    part.media_type == "TEXT" && part.media_subtype == subtype
}

/// Words joined by single spaces, quoted lines left out, cut at the limit.
fn few_words(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.starts_with('>'));
    let mut preview = String::new();
    let mut characters = 0;
    for word in lines.flat_map(str::split_whitespace) {
        let mut shown = word.chars().filter(|character| !character.is_control()).peekable();
        if shown.peek().is_none() {
            continue;
        }
        let space = usize::from(characters > 0);
        if characters + space >= limits::PREVIEW_CHARACTERS {
            break;
        }
        if space > 0 {
            preview.push(' ');
        }
        let room = limits::PREVIEW_CHARACTERS - characters - space;
        preview.extend(shown.take(room).inspect(|_| characters += 1));
        characters += space;
    }
    preview
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scanner;

    fn of(message: &str) -> String {
        preview(&Scanner::scan(message.as_bytes()), &mut message.as_bytes().to_vec()).expect("memory can be read")
    }

    #[test]
    fn a_preview_is_what_a_reader_sees_first() {
        let alternative = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n\
                           <p>rich</p>\r\n--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b--\r\n";
        let attached = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment\r\n\r\n\
                        not this\r\n--b\r\n\r\nthis\r\n--b--\r\n";
        for (message, expected) in [
            ("Subject: x\r\n\r\n  Hello,\r\n\r\n> quoted\r\nworld\t!\r\n", "Hello, world !"),
            ("\r\n", ""),
            ("Content-Type: image/png\r\n\r\nxyz", ""),
            ("Content-Type: text/html\r\n\r\n<style>p {}</style><p>one &amp; <b>two</b></p>", "one & two"),
            (
                "Content-Transfer-Encoding: base64\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nZ3LDvG4=\r\n",
                "grün",
            ),
            (alternative, "plain"),
            (attached, "this"),
        ] {
            assert_eq!(of(message), expected, "{message:?}");
        }
    }

    #[test]
    fn a_preview_is_short() {
        for text in ["x".repeat(1000), "ü ".repeat(1000)] {
            let preview = of(&format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{text}"));
            assert!(preview.chars().count() <= limits::PREVIEW_CHARACTERS && preview.chars().count() > 190);
        }
    }
}
