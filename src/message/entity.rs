//! What a header says of the entity below it (RFC 2045), and ENVELOPE (RFC 3501 section 7.4.2).

use super::header::fields;
use super::{Address, Body, Envelope, Part, address, content_type, date};

/// What an entity is when its header does not say (RFC 2045 section 5.2; RFC 2046 section 5.1.5 for digests).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Default {
    TextPlain,
    MessageRfc822,
}

/// A part without a place yet, as its header describes it. Of a field that occurs twice the first counts.
pub(super) fn describe(header: &[u8], default: Default) -> Part {
    let mut part = undescribed(default);
    let mut media_type = None;
    let mut encoding = None;
    for field in fields(header) {
        let Some(name) = field.name.get(..8).filter(|start| start.eq_ignore_ascii_case(b"Content-")) else { continue };
        let once = |place: &mut Option<Vec<u8>>| {
            place.get_or_insert_with(|| field.unfolded());
        };
        match field.name[name.len()..].to_ascii_lowercase().as_slice() {
            b"type" => once(&mut media_type),
            b"transfer-encoding" => once(&mut encoding),
            b"id" => once(&mut part.content_id),
            b"description" => once(&mut part.description),
            b"md5" => once(&mut part.md5),
            b"location" => once(&mut part.location),
            b"disposition" if part.disposition.is_none() => {
                part.disposition = content_type::disposition(&field.unfolded());
            }
            b"language" if part.language.is_empty() => part.language = content_type::languages(&field.unfolded()),
            _ => {}
        }
    }
    if let Some(found) = media_type.as_deref().and_then(content_type::media_type) {
        part.media_type = found.media_type;
        part.media_subtype = found.media_subtype;
        part.parameters = found.parameters;
    }
    if let Some(mechanism) = encoding.as_deref().and_then(content_type::mechanism) {
        part.encoding = mechanism;
    }
    // The default of RFC 2045 section 5.2 and RFC 2046 section 4.1.2, which clients see with other servers, too.
    if part.media_type == "TEXT" && !part.parameters.iter().any(|(name, _)| name == "CHARSET") {
        part.parameters.push(("CHARSET".to_owned(), b"us-ascii".to_vec()));
    }
    part
}

/// A part of which no header tells anything.
fn undescribed(default: Default) -> Part {
    let (media_type, media_subtype) = match default {
        Default::TextPlain => ("TEXT", "PLAIN"),
        Default::MessageRfc822 => ("MESSAGE", "RFC822"),
    };
    Part {
        header_start: 0,
        body_start: 0,
        end: 0,
        lines: 0,
        media_type: media_type.to_owned(),
        media_subtype: media_subtype.to_owned(),
        parameters: Vec::new(),
        content_id: None,
        description: None,
        encoding: "7BIT".to_owned(),
        md5: None,
        disposition: None,
        language: Vec::new(),
        location: None,
        body: Body::Leaf,
    }
}

/// The envelope that a message's header gives. `room` is how many more addresses may be kept. A field of addresses
/// that occurs twice is read as one list, so that a second From cannot hide; of other fields the last counts: what is
/// added on the way is put on top.
pub(super) fn envelope(header: &[u8], room: &mut usize) -> Envelope {
    let mut envelope = Envelope::default();
    for field in fields(header) {
        let value = |place: &mut Option<Vec<u8>>| *place = Some(field.unfolded());
        let addresses = |list: &mut Vec<Address>, room: &mut usize| {
            list.extend(address::parse_list(&field.unfolded(), room));
        };
        match field.name.to_ascii_lowercase().as_slice() {
            b"date" => value(&mut envelope.date),
            b"subject" => value(&mut envelope.subject),
            b"in-reply-to" => value(&mut envelope.in_reply_to),
            b"message-id" => value(&mut envelope.message_id),
            b"from" => addresses(&mut envelope.from, room),
            b"sender" => addresses(&mut envelope.sender, room),
            b"reply-to" => addresses(&mut envelope.reply_to, room),
            b"to" => addresses(&mut envelope.to, room),
            b"cc" => addresses(&mut envelope.cc, room),
            b"bcc" => addresses(&mut envelope.bcc, room),
            _ => {}
        }
    }
    for list in [&mut envelope.sender, &mut envelope.reply_to] {
        if list.is_empty() {
            *list = envelope.from.iter().take(*room).cloned().collect();
            *room -= list.len();
        }
    }
    envelope.sent = envelope.date.as_deref().and_then(date::parse);
    envelope
}
