//! Sections of a message (RFC 3501 section 6.4.5): each is a range of the stored bytes, or some fields of a header.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Body, Part, Summary};

/// `section-spec`: which part, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `section-part`: numbers from 1; empty is the message itself.
    pub part: Vec<u32>,
    pub text: SectionText,
}

/// `section-text`, and its absence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// The whole message, or the body of the part.
    Whole,
    /// The RFC 5322 header of the message, or of the message within the part, with its empty line.
    Header,
    /// Of that header the named fields, or with `not` all others, and the empty line.
    HeaderFields { not: bool, names: Vec<String> },
    /// The MIME header of the part.
    Mime,
    /// The body of the message, or of the message within the part.
    Text,
}

/// Where the section stands in the message's bytes; for [`SectionText::HeaderFields`] the header to filter with
/// [`select_fields`]. `None`: the message has no such section.
pub fn resolve(summary: &Summary, section: &Section) -> Option<Range<u64>> {
    let Some(part) = find(&summary.root, &section.part)? else {
        return message_section(&summary.root, &section.text);
    };
    match &section.text {
        SectionText::Whole => Some(part.body_start..part.end),
        SectionText::Mime => Some(part.header_start..part.body_start),
        text => match &part.body {
            Body::Message(_, root) => message_section(root, text),
            Body::Leaf | Body::Multipart(_) => None,
        },
    }
}

/// The part with these numbers; `None` for no numbers, and where there is none.
pub fn part_at<'a>(summary: &'a Summary, numbers: &[u32]) -> Option<&'a Part> {
    find(&summary.root, numbers).flatten()
}

fn message_section(root: &Part, text: &SectionText) -> Option<Range<u64>> {
    match text {
        SectionText::Whole => Some(root.header_start..root.end),
        SectionText::Header | SectionText::HeaderFields { .. } => Some(root.header_start..root.body_start),
        SectionText::Text => Some(root.body_start..root.end),
        SectionText::Mime => None,
    }
}

/// The part with these numbers; `Some(None)` for no numbers. The only part of a message that is no multipart is 1;
/// the parts of a message within a part are numbered as if it stood alone.
fn find<'a>(root: &'a Part, numbers: &[u32]) -> Option<Option<&'a Part>> {
    let mut found: Option<&'a Part> = None;
    for number in numbers {
        let index = usize::try_from(*number).ok()?.checked_sub(1)?;
        let next = match found.map(|part| &part.body) {
            None => child_of_message(root, index),
            Some(Body::Message(_, root)) => child_of_message(root, index),
            Some(Body::Multipart(parts)) => parts.get(index),
            Some(Body::Leaf) => None,
        };
        found = Some(next?);
    }
    Some(found)
}

fn child_of_message(root: &Part, index: usize) -> Option<&Part> {
    match &root.body {
        Body::Multipart(parts) => parts.get(index),
        Body::Leaf | Body::Message(..) => (index == 0).then_some(root),
    }
}

/// The fields of `header` whose names are among `names` (or, with `not`, are not), as they stand, in their order, with
/// the empty line that ends a header.
pub fn select_fields(header: &[u8], names: &[String], not: bool) -> Vec<u8> {
    let names: BTreeSet<Vec<u8>> = names.iter().map(|name| name.as_bytes().to_ascii_lowercase()).collect();
    let mut selected = Vec::new();
    let mut keep = false;
    for line in header.split_inclusive(|byte| *byte == b'\n') {
        if line.iter().all(|byte| matches!(byte, b'\r' | b'\n')) {
            break;
        }
        if !matches!(line[0], b' ' | b'\t') {
            let name = line.split(|byte| *byte == b':').next().unwrap_or(line).trim_ascii();
            keep = names.contains(&name.to_ascii_lowercase()) != not;
        }
        if keep {
            selected.extend_from_slice(line);
        }
    }
    if !selected.is_empty() && !selected.ends_with(b"\n") {
        selected.extend_from_slice(b"\r\n");
    }
    selected.extend_from_slice(b"\r\n");
    selected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Envelope;

    fn part(header_start: u64, body_start: u64, end: u64, body: Body) -> Part {
        Part {
            header_start,
            body_start,
            end,
            lines: 1,
            media_type: String::new(),
            media_subtype: String::new(),
            parameters: Vec::new(),
            content_id: None,
            description: None,
            encoding: String::new(),
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            body,
        }
    }

    /// A multipart of a text and a message that is itself a multipart of one text.
    fn summary() -> Summary {
        let inner = part(60, 70, 95, Body::Multipart(vec![part(75, 80, 90, Body::Leaf)]));
        let message = part(50, 60, 95, Body::Message(Box::default(), Box::new(inner)));
        let root = part(0, 20, 100, Body::Multipart(vec![part(25, 30, 40, Body::Leaf), message]));
        Summary { envelope: Envelope::default(), root }
    }

    fn at(part: &[u32], text: SectionText) -> Option<Range<u64>> {
        resolve(&summary(), &Section { part: part.to_vec(), text })
    }

    #[test]
    fn sections_are_ranges_of_the_message() {
        assert_eq!(at(&[], SectionText::Whole), Some(0..100));
        assert_eq!(at(&[], SectionText::Header), Some(0..20));
        assert_eq!(at(&[], SectionText::Text), Some(20..100));
        assert_eq!(at(&[1], SectionText::Whole), Some(30..40));
        assert_eq!(at(&[1], SectionText::Mime), Some(25..30));
        assert_eq!(at(&[2], SectionText::Whole), Some(60..95));
        assert_eq!(at(&[2], SectionText::Header), Some(60..70));
        assert_eq!(at(&[2], SectionText::Text), Some(70..95));
        assert_eq!(at(&[2, 1], SectionText::Whole), Some(80..90));
    }

    #[test]
    fn what_a_message_does_not_have_is_none() {
        assert_eq!(at(&[1], SectionText::Header), None);
        assert_eq!(at(&[1, 1], SectionText::Whole), None);
        assert_eq!(at(&[3], SectionText::Whole), None);
        assert_eq!(at(&[2, 2], SectionText::Whole), None);
    }

    #[test]
    fn a_message_that_is_no_multipart_has_part_1() {
        let leaf = Summary { envelope: Envelope::default(), root: part(0, 20, 100, Body::Leaf) };
        let section = |part: &[u32], text| resolve(&leaf, &Section { part: part.to_vec(), text });
        assert_eq!(section(&[1], SectionText::Whole), Some(20..100));
        assert_eq!(section(&[1], SectionText::Mime), Some(0..20));
        assert_eq!(section(&[2], SectionText::Whole), None);
        assert_eq!(section(&[1, 1], SectionText::Whole), None);
    }

    #[test]
    fn fields_are_chosen_with_their_continuations() {
        let header = b"From: a\r\nSubject: one\r\n two\r\nTO : b\r\n\r\n";
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(select_fields(header, &names(&["subject"]), false), b"Subject: one\r\n two\r\n\r\n");
        assert_eq!(select_fields(header, &names(&["subject", "from"]), true), b"TO : b\r\n\r\n");
        assert_eq!(select_fields(header, &names(&["date"]), false), b"\r\n");
        assert_eq!(select_fields(b"From: a", &names(&["FROM"]), false), b"From: a\r\n\r\n");
    }
}
