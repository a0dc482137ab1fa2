//! ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2, section 9), written from a message's summary.

use super::quote::{write_nstring, write_string};
use crate::message::{Address, Body, Disposition, Envelope, Part};

/// A text that holds nothing: where the grammar wants a part and the message has none.
const EMPTY_TEXT: &[u8] = b"(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" 0 0";

/// `envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP env-cc SP env-bcc SP
/// env-in-reply-to SP env-message-id ")"`
pub fn write_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    out.push(b'(');
    for text in [&envelope.date, &envelope.subject] {
        write_nstring(out, text.as_deref());
        out.push(b' ');
    }
    let lists = [&envelope.from, &envelope.sender, &envelope.reply_to, &envelope.to, &envelope.cc, &envelope.bcc];
    for list in lists {
        write_addresses(out, list);
        out.push(b' ');
    }
    write_nstring(out, envelope.in_reply_to.as_deref());
    out.push(b' ');
    write_nstring(out, envelope.message_id.as_deref());
    out.push(b')');
}

/// `"(" 1*address ")" / nil` where `address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`
fn write_addresses(out: &mut Vec<u8>, addresses: &[Address]) {
    if addresses.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for address in addresses {
        for (index, text) in [&address.name, &address.route, &address.mailbox, &address.host].into_iter().enumerate() {
            out.push(if index == 0 { b'(' } else { b' ' });
            write_nstring(out, text.as_deref());
        }
        out.push(b')');
    }
    out.push(b')');
}

/// What of a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyForm {
    /// The extension data, for BODYSTRUCTURE.
    pub extended: bool,
    /// A message/global is told apart as a message/rfc822 is: `media-message = DQUOTE "MESSAGE" DQUOTE SP DQUOTE ("RFC822" /
    /// "GLOBAL") DQUOTE` is of IMAP4rev2 (RFC 9051 section 9). To others it is a part like any other.
    pub global: bool,
}

impl BodyForm {
    /// BODY, as every client knows it.
    pub const BODY: Self = Self { extended: false, global: false };
    /// BODYSTRUCTURE, as every client knows it.
    pub const STRUCTURE: Self = Self { extended: true, global: false };
}

/// `body = "(" (body-type-1part / body-type-mpart) ")"`. Recursion is bounded by the nesting the message reader tells apart.
pub fn write_body(out: &mut Vec<u8>, part: &Part, form: BodyForm) {
    out.push(b'(');
    match &part.body {
        Body::Multipart(parts) => write_mpart(out, part, parts, form),
        Body::Message(..) | Body::Leaf => write_1part(out, part, form),
    }
    out.push(b')');
}

/// `body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]`
fn write_mpart(out: &mut Vec<u8>, part: &Part, parts: &[Part], form: BodyForm) {
    for part in parts {
        write_body(out, part, form);
    }
    if parts.is_empty() {
        write_empty_text(out, form);
    }
    out.push(b' ');
    write_string(out, part.media_subtype.as_bytes());
    if form.extended {
        out.push(b' ');
        write_parameters(out, &part.parameters);
        write_extension(out, part);
    }
}

/// Where the grammar wants a body and there is none.
fn write_empty_text(out: &mut Vec<u8>, form: BodyForm) {
    out.extend_from_slice(EMPTY_TEXT);
    out.extend_from_slice(if form.extended { b" NIL NIL NIL NIL)" } else { b")" });
}

/// `body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]`
fn write_1part(out: &mut Vec<u8>, part: &Part, form: BodyForm) {
    let is_message = part.media_subtype == "RFC822" || (form.global && part.media_subtype == "GLOBAL");
    write_string(out, part.media_type.as_bytes());
    out.push(b' ');
    write_string(out, part.media_subtype.as_bytes());
    out.push(b' ');
    write_fields(out, part);
    match (part.media_type.as_str(), &part.body) {
        ("MESSAGE", body) if is_message => {
            // media-message SP body-fields SP envelope SP body SP body-fld-lines
            out.push(b' ');
            match body {
                Body::Message(envelope, root) => {
                    write_envelope(out, envelope);
                    out.push(b' ');
                    write_body(out, root, form);
                }
                // Encoded, or nested too deep to be told apart: the grammar wants an envelope and a body all the same.
                Body::Leaf | Body::Multipart(_) => {
                    write_envelope(out, &Envelope::default());
                    out.push(b' ');
                    write_empty_text(out, form);
                }
            }
            out.extend_from_slice(format!(" {}", part.lines).as_bytes());
        }
        // media-text SP body-fields SP body-fld-lines
        ("TEXT", _) => out.extend_from_slice(format!(" {}", part.lines).as_bytes()),
        _ => {}
    }
    if form.extended {
        // body-ext-1part = body-fld-md5 [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc]]]
        out.push(b' ');
        write_nstring(out, part.md5.as_deref());
        write_extension(out, part);
    }
}

/// `body-fields = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP body-fld-octets`
fn write_fields(out: &mut Vec<u8>, part: &Part) {
    write_parameters(out, &part.parameters);
    out.push(b' ');
    write_nstring(out, part.content_id.as_deref());
    out.push(b' ');
    write_nstring(out, part.description.as_deref());
    out.push(b' ');
    write_string(out, part.encoding.as_bytes());
    out.extend_from_slice(format!(" {}", part.end.saturating_sub(part.body_start)).as_bytes());
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn write_extension(out: &mut Vec<u8>, part: &Part) {
    out.push(b' ');
    match &part.disposition {
        Some(Disposition { kind, parameters }) => {
            out.push(b'(');
            write_string(out, kind.as_bytes());
            out.push(b' ');
            write_parameters(out, parameters);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    match part.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [only] => write_string(out, only),
        several => {
            for (index, language) in several.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                write_string(out, language);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    write_nstring(out, part.location.as_deref());
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn write_parameters(out: &mut Vec<u8>, parameters: &[(String, Vec<u8>)]) {
    if parameters.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    for (index, (name, value)) in parameters.iter().enumerate() {
        out.push(if index == 0 { b'(' } else { b' ' });
        write_string(out, name.as_bytes());
        out.push(b' ');
        write_string(out, value);
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(media_type: &str, media_subtype: &str) -> Part {
        Part {
            header_start: 0,
            body_start: 10,
            end: 110,
            lines: 4,
            media_type: media_type.to_owned(),
            media_subtype: media_subtype.to_owned(),
            parameters: vec![("CHARSET".to_owned(), b"utf-8".to_vec())],
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

    fn written(part: &Part, extended: bool) -> String {
        formed(part, BodyForm { extended, global: false })
    }

    fn formed(part: &Part, form: BodyForm) -> String {
        let mut out = Vec::new();
        write_body(&mut out, part, form);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_global_message_is_a_message_to_those_who_know_it() {
        let mut message = leaf("MESSAGE", "GLOBAL");
        message.parameters = Vec::new();
        message.body = Body::Message(Box::default(), Box::new(leaf("TEXT", "HTML")));
        assert_eq!(written(&message, false), "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 100)");
        assert_eq!(
            formed(&message, BodyForm { extended: false, global: true }),
            "(\"MESSAGE\" \"GLOBAL\" NIL NIL NIL \"7BIT\" 100 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"TEXT\" \"HTML\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 100 4) 4)"
        );
    }

    #[test]
    fn a_text_has_lines_and_an_image_none() {
        let text = leaf("TEXT", "PLAIN");
        assert_eq!(written(&text, false), "(\"TEXT\" \"PLAIN\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 100 4)");
        let mut image = leaf("IMAGE", "PNG");
        image.disposition = Some(Disposition { kind: "INLINE".to_owned(), parameters: Vec::new() });
        image.language = vec![b"de".to_vec(), b"fr".to_vec()];
        assert_eq!(
            written(&image, true),
            "(\"IMAGE\" \"PNG\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 100 NIL (\"INLINE\" NIL) (\"de\" \"fr\") NIL)"
        );
    }

    #[test]
    fn a_multipart_holds_its_parts_and_a_message_its_envelope() {
        let mut message = leaf("MESSAGE", "RFC822");
        message.parameters = Vec::new();
        message.body = Body::Message(Box::default(), Box::new(leaf("TEXT", "HTML")));
        let mut whole = leaf("MULTIPART", "MIXED");
        whole.body = Body::Multipart(vec![leaf("TEXT", "PLAIN"), message]);
        assert_eq!(
            written(&whole, false),
            "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 100 4)\
             (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 100 (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"TEXT\" \"HTML\" (\"CHARSET\" \"utf-8\") NIL NIL \"7BIT\" 100 4) 4) \"MIXED\")"
        );
        let mut empty = leaf("MULTIPART", "MIXED");
        empty.body = Body::Multipart(Vec::new());
        assert_eq!(
            written(&empty, false),
            "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" 0 0) \"MIXED\")"
        );
    }

    #[test]
    fn an_envelope_has_ten_fields() {
        let address = Address {
            name: Some(b"Terry Gray".to_vec()),
            route: None,
            mailbox: Some(b"gray".to_vec()),
            host: Some(b"cac.washington.edu".to_vec()),
        };
        let envelope = Envelope { subject: Some(b"a \"b\"".to_vec()), from: vec![address], ..Envelope::default() };
        let mut out = Vec::new();
        write_envelope(&mut out, &envelope);
        assert_eq!(
            String::from_utf8_lossy(&out),
            "(NIL \"a \\\"b\\\"\" ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) NIL NIL NIL NIL NIL NIL NIL)"
        );
    }
}
