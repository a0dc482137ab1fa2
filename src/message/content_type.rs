//! Content-Type, Content-Disposition and Content-Language (RFC 2045 section 5.1, RFC 2183, RFC 3282).
//!
//! Types and parameter names come out upper case, values raw. Of a field that is broken, what stands before the break
//! is used. Continued parameters (RFC 2231 section 3) are joined under the name they belong to; where a piece is
//! percent-encoded the joined one is, and keeps the `*` of its name, as it would stand there on one line.

use std::collections::BTreeMap;

use super::lexical::Cursor;
use super::{Disposition, Parameters};
use crate::types::limits::MIME_PARAMETERS_MAX;

/// A media type with its parameters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MediaType {
    pub(super) media_type: String,
    pub(super) media_subtype: String,
    pub(super) parameters: Parameters,
}

/// `content`: `type "/" subtype *(";" parameter)`. `None` where there is not even a type.
pub(super) fn media_type(value: &[u8]) -> Option<MediaType> {
    let mut cursor = Cursor::new(value);
    let media_type = token(&mut cursor)?;
    let media_subtype = if cursor.take(b'/') { token(&mut cursor)? } else { return None };
    Some(MediaType { media_type, media_subtype, parameters: parameters(&mut cursor) })
}

/// `disposition`: `type *(";" parameter)`.
pub(super) fn disposition(value: &[u8]) -> Option<Disposition> {
    let mut cursor = Cursor::new(value);
    Some(Disposition { kind: token(&mut cursor)?, parameters: parameters(&mut cursor) })
}

/// `mechanism` of Content-Transfer-Encoding (RFC 2045 section 6.1). What is no single token (`8 bit`) is none; a
/// semicolon after it occurs.
pub(super) fn mechanism(value: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(value);
    let mechanism = token(&mut cursor)?;
    matches!(cursor.peek(), None | Some(b';')).then_some(mechanism)
}

/// `language-list` of Content-Language (RFC 3282 section 2): tags separated by commas.
pub(super) fn languages(value: &[u8]) -> Vec<Vec<u8>> {
    let mut cursor = Cursor::new(value);
    let mut tags = Vec::new();
    while tags.len() < MIME_PARAMETERS_MAX && cursor.peek().is_some() {
        cursor.skip_blank();
        let tag = cursor.take_while(is_token_byte);
        if !tag.is_empty() {
            tags.push(tag.to_vec());
        }
        cursor.skip_to(|byte| byte == b',');
        cursor.bump();
    }
    tags
}

/// A token in upper case, and the blanks round it.
fn token(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor.skip_blank();
    let token = cursor.take_while(is_token_byte);
    cursor.skip_blank();
    (!token.is_empty()).then(|| String::from_utf8_lossy(token).to_ascii_uppercase())
}

/// `token` without tspecials; 8-bit bytes occur.
const fn is_token_byte(byte: u8) -> bool {
    byte > b' '
        && byte != 0x7f
        && !matches!(
            byte,
            b'(' | b')' | b'<' | b'>' | b'@' | b',' | b';' | b':' | b'\\' | b'"' | b'/' | b'[' | b']' | b'?' | b'='
        )
}

/// `*(";" parameter)`.
fn parameters(cursor: &mut Cursor<'_>) -> Parameters {
    let mut parameters = Parameters::new();
    let mut continued: BTreeMap<String, Continued> = BTreeMap::new();
    for _ in 0..MIME_PARAMETERS_MAX {
        cursor.skip_to(|byte| byte == b';');
        if !cursor.take(b';') {
            break;
        }
        let Some(name) = token(cursor) else { continue };
        if !cursor.take(b'=') {
            continue;
        }
        cursor.skip_blank();
        let value = match cursor.peek() {
            Some(b'"') => cursor.quoted_string(),
            // Wider than a token: unquoted boundaries hold "=" and "/" often enough.
            _ => cursor.take_while(|byte| !matches!(byte, b';' | b'(' | b'"') && !byte.is_ascii_whitespace()).to_vec(),
        };
        match Continued::place(&name) {
            Some((base, place, encoded)) => {
                continued.entry(base.to_owned()).or_default().pieces.insert(place, (encoded, value));
            }
            None => parameters.push((name, value)),
        }
    }
    parameters.extend(continued.into_iter().map(|(name, continued)| continued.joined(name)));
    parameters
}

/// The pieces of one parameter, by place.
#[derive(Default)]
struct Continued {
    pieces: BTreeMap<usize, (bool, Vec<u8>)>,
}

impl Continued {
    /// `name*2*` gives (name, 2, true). A name without a place in a sequence is no piece.
    fn place(name: &str) -> Option<(&str, usize, bool)> {
        let (name, encoded) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        let (base, place) = name.rsplit_once('*')?;
        let digits = !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit());
        let place = place.parse().ok().filter(|place| digits && *place < MIME_PARAMETERS_MAX)?;
        (!base.is_empty()).then_some((base, place, encoded))
    }

    /// The pieces from 0 up to the first that is missing, as one parameter.
    fn joined(self, name: String) -> (String, Vec<u8>) {
        let in_order = || self.pieces.iter().enumerate().take_while(|(place, piece)| place == piece.0);
        let encoded = in_order().any(|(_, (_, (encoded, _)))| *encoded);
        let mut value = Vec::new();
        for (_, (_, (piece_encoded, piece))) in in_order() {
            if encoded && !piece_encoded {
                piece.iter().for_each(|byte| push_encoded(&mut value, *byte));
            } else {
                value.extend(piece);
            }
        }
        (if encoded { name + "*" } else { name }, value)
    }
}

/// `attribute-char`, or else `ext-octet` (RFC 2231 section 7).
fn push_encoded(value: &mut Vec<u8>, byte: u8) {
    if is_token_byte(byte) && byte.is_ascii() && !matches!(byte, b'*' | b'\'' | b'%') {
        value.push(byte);
    } else {
        value.extend(format!("%{byte:02X}").bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        let Some(found) = media_type(value.as_bytes()) else { return "-".to_owned() };
        let parameters = found.parameters.iter().map(|(n, v)| format!("; {n}={}", String::from_utf8_lossy(v)));
        format!("{}/{}{}", found.media_type, found.media_subtype, parameters.collect::<String>())
    }

    #[test]
    fn a_media_type_is_read_as_well_as_it_can_be() {
        for (value, expected) in [
            ("text/plain", "TEXT/PLAIN"),
            (" Text / (a) Plain (b) ; Charset = (c) utf-8 (d)", "TEXT/PLAIN; CHARSET=utf-8"),
            (r#"multipart/mixed; boundary="a \"b\" c""#, r#"MULTIPART/MIXED; BOUNDARY=a "b" c"#),
            ("multipart/mixed; boundary=a=b/c", "MULTIPART/MIXED; BOUNDARY=a=b/c"),
            ("text/plain;; charset=x;", "TEXT/PLAIN; CHARSET=x"),
            ("text/plain charset=x; format=flowed", "TEXT/PLAIN; FORMAT=flowed"),
            ("text/plain; charset", "TEXT/PLAIN"),
            ("text/plain; charset=\"never ends", "TEXT/PLAIN; CHARSET=never ends"),
            ("text", "-"),
            ("/plain", "-"),
            ("", "-"),
        ] {
            assert_eq!(shown(value), expected, "{value:?}");
        }
    }

    #[test]
    fn continuations_are_joined_and_left_encoded() {
        for (parameters, expected) in [
            ("n*0=a; n*1=\"b c\"", "; N=ab c"),
            ("n*1=b; n*0=a", "; N=ab"),
            ("n*0*=utf-8''a%20; n*1=\"b c\"; n*2*=%21", "; N*=utf-8''a%20b%20c%21"),
            ("n*=utf-8''a%20b", "; N*=utf-8''a%20b"),
            ("n*0=a; n*2=c", "; N=a"),
            ("n*99999999999999999999=a", "; N*99999999999999999999=a"),
        ] {
            assert_eq!(shown(&format!("a/b; {parameters}")), format!("A/B{expected}"), "{parameters:?}");
        }
    }

    #[test]
    fn languages_between_commas_are_told_apart() {
        assert_eq!(languages(b"en, de (German), fr-CH"), [b"en".to_vec(), b"de".to_vec(), b"fr-CH".to_vec()]);
        assert!(languages(b"").is_empty());
    }

    #[test]
    fn a_transfer_encoding_is_one_token() {
        for (value, expected) in
            [("base64", Some("BASE64")), (" 8bit (c) ", Some("8BIT")), ("base64; x", Some("BASE64")), ("8 bit", None)]
        {
            assert_eq!(mechanism(value.as_bytes()).as_deref(), expected, "{value:?}");
        }
    }
}
