//! A message, whatever its bytes: however it is cut its summary is the same; its parts are ranges within one another;
//! every section is a slice of it; what is told of it is IMAP and within the limits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mailtide::imap::syntax::body::{BodyForm, write_body, write_envelope};
use mailtide::message::header::fields;
use mailtide::message::preview::preview;
use mailtide::message::section::{resolve, select_fields};
use mailtide::message::transfer::Transfer;
use mailtide::message::{Address, Body, Envelope, Part, Scanner, Section, SectionText, Summary, fingerprint};
use mailtide::types::{Timestamp, limits};

use super::imap_wire::assert_balanced;
use super::pieces::{Cut, expanded};

pub fn check(input: &[u8]) {
    let message = &expanded(input, 128 * 1024);
    let (summary, keys) = Scanner::scan_with_keys(message);
    for cut in [Cut::Bytes, Cut::Mixed] {
        let mut scanner = Scanner::new();
        cut.pieces(message).into_iter().for_each(|piece| scanner.push(piece));
        assert_eq!(scanner.finish(), (summary.clone(), keys.clone()), "cut another way");
    }
    assert_eq!((summary.root.header_start, summary.root.end), (0, message.len() as u64));
    check_ranges(&summary.root, message);
    let parts = check_limits(&summary.root, 0);
    assert!(parts <= limits::MIME_PARTS_MAX, "{parts} parts");
    check_sections(&summary, &mut Vec::new(), &summary.root, message);
    check_wire(&summary, message);
    check_header(&message[..summary.root.body_start as usize]);
    check_text(&summary, message);
}

/// Header before body before end; children within the body, one after the other; the line breaks of the body counted.
fn check_ranges(part: &Part, message: &[u8]) {
    assert!(part.header_start <= part.body_start && part.body_start <= part.end, "{part:?}");
    let body = &message[part.body_start as usize..part.end as usize];
    assert_eq!(part.lines, body.iter().filter(|byte| **byte == b'\n').count() as u64, "lines of {part:?}");
    if let Body::Message(_, root) = &part.body {
        assert_eq!((root.header_start, root.end), (part.body_start, part.end));
    }
    let mut from = part.body_start;
    for child in children(part) {
        assert!(from <= child.header_start && child.end <= part.end, "{child:?} is not within {part:?}");
        from = child.end;
        check_ranges(child, message);
    }
}

fn children(part: &Part) -> Vec<&Part> {
    match &part.body {
        Body::Leaf => Vec::new(),
        Body::Multipart(parts) => parts.iter().collect(),
        Body::Message(_, root) => vec![root],
    }
}

/// How many parts there are.
fn check_limits(part: &Part, depth: usize) -> usize {
    assert!(depth <= limits::MIME_NESTING_MAX + 1, "nested too deep");
    assert!(part.parameters.len() <= limits::MIME_PARAMETERS_MAX);
    let is_upper = |text: &str| !text.bytes().any(|byte| byte.is_ascii_lowercase());
    assert!(is_upper(&part.media_type) && is_upper(&part.media_subtype) && is_upper(&part.encoding), "{part:?}");
    1 + children(part).into_iter().map(|child| check_limits(child, depth + 1)).sum::<usize>()
}

/// Every section of every part, by its number.
fn check_sections(summary: &Summary, number: &mut Vec<u32>, part: &Part, message: &[u8]) {
    let section = |text| Section { part: number.clone(), text };
    let range = |text| resolve(summary, &section(text));
    let size = message.len() as u64;
    let names = || vec!["SUBJECT".to_owned()];
    for text in [SectionText::Whole, SectionText::Header, SectionText::Mime, SectionText::Text] {
        assert!(range(text).is_none_or(|range| range.start <= range.end && range.end <= size));
    }
    assert_eq!(range(SectionText::HeaderFields { not: false, names: names() }), range(SectionText::Header));
    if let (Some(header), Some(text)) = (range(SectionText::Header), range(SectionText::Text)) {
        assert_eq!(header.end, text.start, "nothing between header and text");
    }
    if !number.is_empty() {
        assert_eq!(range(SectionText::Whole), Some(part.body_start..part.end), "BODY{number:?}");
        assert_eq!(range(SectionText::Mime), Some(part.header_start..part.body_start), "BODY{number:?}.MIME");
    }
    // The parts of a message within a part are numbered as the message's own.
    let inner = match &part.body {
        Body::Message(_, root) if !number.is_empty() => root,
        _ => part,
    };
    let numbered = match &inner.body {
        Body::Multipart(parts) => parts.iter().collect(),
        _ if number.is_empty() || !std::ptr::eq(inner, part) => vec![inner],
        _ => Vec::new(),
    };
    if number.len() > 5 {
        return;
    }
    for (place, child) in numbered.iter().enumerate() {
        number.push(place as u32 + 1);
        check_sections(summary, number, child, message);
        number.pop();
    }
    let beyond = [&number[..], &[numbered.len() as u32 + 1]].concat();
    assert_eq!(resolve(summary, &Section { part: beyond, text: SectionText::Whole }), None, "a part too many");
}

fn check_wire(summary: &Summary, message: &[u8]) {
    let mut wire = Vec::new();
    write_envelope(&mut wire, &summary.envelope);
    assert_balanced(&wire);
    let mut body = Vec::new();
    write_body(&mut body, &summary.root, BodyForm::BODY);
    assert_balanced(&body);
    let mut structure = Vec::new();
    write_body(&mut structure, &summary.root, BodyForm::STRUCTURE);
    assert_balanced(&structure);
    assert!(body.len() <= structure.len());
    // Of each header byte little can be told more than once; each part has its own fixed words.
    let most = 4096 + 400 * message.len();
    assert!(wire.len() + structure.len() <= most, "{} bytes told of {}", structure.len(), message.len());
    check_envelope(&summary.envelope);
    if let Some((seconds, minutes_east)) = summary.envelope.sent {
        assert!(i32::from(minutes_east).abs() < 24 * 60 + 60, "{minutes_east} minutes east");
        let date = Timestamp::from_unix_ms(seconds.saturating_mul(1000)).to_rfc5322();
        let again = Scanner::scan(format!("Date: {date}\r\n\r\n").as_bytes()).envelope.sent;
        assert_eq!(again, Some((seconds, 0)), "{date}");
    }
}

fn check_envelope(envelope: &Envelope) {
    let lists = [&envelope.from, &envelope.sender, &envelope.reply_to, &envelope.to, &envelope.cc, &envelope.bcc];
    assert!(lists.iter().map(|list| list.len()).sum::<usize>() <= limits::ENVELOPE_ADDRESSES_MAX * 3 + 6);
    for list in lists {
        let mut in_group = false;
        for Address { host, mailbox, .. } in list {
            match (host, mailbox) {
                (None, Some(_)) => {
                    assert!(!in_group, "a group within a group: {list:?}");
                    in_group = true;
                }
                (None, None) => {
                    assert!(in_group, "the end of no group: {list:?}");
                    in_group = false;
                }
                (Some(_), _) => {}
            }
        }
        assert!(!in_group, "a group without end: {list:?}");
    }
}

fn check_header(header: &[u8]) {
    let whole: Vec<u8> = fields(header).flat_map(|field| field.whole.to_vec()).collect();
    assert!(header.starts_with(&whole), "fields lose something");
    let none = select_fields(header, &[], false);
    assert_eq!(none, b"\r\n");
    let all = select_fields(header, &[], true);
    assert!(all.len() <= header.len() + 4 && all.ends_with(b"\r\n"));
    for name in ["Subject", "FROM"] {
        let named = [name.to_owned()];
        let selected = select_fields(header, &named, false);
        assert_eq!(select_fields(&selected, &named, false), selected, "{name} selected twice");
        let others = select_fields(header, &named, true);
        assert_eq!(select_fields(&others, &named, false), b"\r\n", "{name} is left among the others");
    }
    let known = fingerprint(header);
    assert_eq!(fingerprint(&whole), known, "a fingerprint depends on what follows the fields");
    assert!(known.keys().all(|name| fingerprint::FIELDS.contains(&name.as_str())));
}

/// What readers are shown, and the way to it.
fn check_text(summary: &Summary, message: &[u8]) {
    let preview = preview(summary, &mut message.to_vec()).expect("memory can be read");
    assert!(preview.chars().count() <= limits::PREVIEW_CHARACTERS, "{preview:?}");
    assert!(!preview.contains(char::is_control) && preview.trim() == preview, "{preview:?}");
    for encoding in ["7BIT", "BASE64", "QUOTED-PRINTABLE"] {
        let decoded = |cut: Cut| {
            let mut transfer = Transfer::named(encoding).expect("a known encoding");
            let mut decoded = Vec::new();
            cut.pieces(message).into_iter().for_each(|piece| transfer.decode(piece, false, &mut decoded));
            transfer.decode(b"", true, &mut decoded);
            decoded
        };
        let whole = decoded(Cut::Whole);
        assert!(whole.len() <= message.len());
        for cut in [Cut::Bytes, Cut::Mixed] {
            let again = decoded(cut);
            assert!(
                again == whole,
                "{encoding} cut another way: {} not {}",
                again.escape_ascii(),
                whole.escape_ascii()
            );
        }
    }
    let mut decoded = Vec::new();
    let encoded = BASE64.encode(message);
    Transfer::named("BASE64").expect("a known encoding").decode(encoded.as_bytes(), true, &mut decoded);
    assert_eq!(decoded, message);
}
