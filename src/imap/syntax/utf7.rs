//! Modified UTF-7, the wire form of mailbox names (RFC 3501 section 5.1.3).
//!
//! Decoding is strict: a text that [`encode`] would not have written is refused. So each name has one wire form, and two
//! names of a server never become one name here.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

/// BASE64 with `,` for `/` and without padding; bits left over must be zero.
const MODIFIED_BASE64: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// Why a text is no modified UTF-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Utf7Error {
    #[error("a character outside printing US-ASCII stands unencoded")]
    NotPrintable,
    #[error("\"&\" begins an encoded run that does not end in \"-\"")]
    Unterminated,
    #[error("an encoded run is not modified BASE64")]
    BadBase64,
    #[error("an encoded run is not UTF-16")]
    BadUtf16,
    #[error("an encoded run holds what must stand unencoded, or follows another run")]
    NotShortest,
}

/// The wire form of `text`.
pub fn encode(text: &str) -> String {
    let mut wire = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '&' {
            wire.push_str("&-");
            rest = &rest[1..];
        } else if is_printing(first) {
            wire.push(first);
            rest = &rest[1..];
        } else {
            let (run, after) = rest.split_at(rest.find(is_printing).unwrap_or(rest.len()));
            let utf16: Vec<u8> = run.encode_utf16().flat_map(u16::to_be_bytes).collect();
            wire.push('&');
            MODIFIED_BASE64.encode_string(utf16, &mut wire);
            wire.push('-');
            rest = after;
        }
    }
    wire
}

/// The text whose wire form is `wire`.
pub fn decode(wire: &[u8]) -> Result<String, Utf7Error> {
    let mut text = String::with_capacity(wire.len());
    let mut rest = wire;
    let mut after_run = false;
    while let Some((first, after)) = rest.split_first() {
        if !is_printing(char::from(*first)) {
            return Err(Utf7Error::NotPrintable);
        }
        if *first != b'&' {
            text.push(char::from(*first));
            (rest, after_run) = (after, false);
            continue;
        }
        let end = after.iter().position(|byte| *byte == b'-').ok_or(Utf7Error::Unterminated)?;
        if end == 0 {
            text.push('&');
            after_run = false;
        } else if after_run {
            return Err(Utf7Error::NotShortest);
        } else {
            text.push_str(&decode_run(&after[..end])?);
            after_run = true;
        }
        rest = &after[end + 1..];
    }
    Ok(text)
}

fn decode_run(run: &[u8]) -> Result<String, Utf7Error> {
    let bytes = MODIFIED_BASE64.decode(run).map_err(|_| Utf7Error::BadBase64)?;
    let (units, []) = bytes.as_chunks::<2>() else { return Err(Utf7Error::BadUtf16) };
    let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
    let text = String::from_utf16(&units).map_err(|_| Utf7Error::BadUtf16)?;
    if text.contains(is_printing) { Err(Utf7Error::NotShortest) } else { Ok(text) }
}

/// Printing US-ASCII stands for itself, `&` apart.
fn is_printing(character: char) -> bool {
    (' '..='~').contains(&character)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_have_the_wire_forms_of_the_standard() {
        let rows = [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("A&B", "A&-B"),
            ("é&é", "&AOk-&-&AOk-"),
            ("😀", "&2D3eAA-"),
            ("INBOX", "INBOX"),
            ("", ""),
        ];
        for (text, wire) in rows {
            assert_eq!(encode(text), wire);
            assert_eq!(decode(wire.as_bytes()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_no_modified_utf7_says_why() {
        let rows: [(&[u8], Utf7Error); 9] = [
            ("é".as_bytes(), Utf7Error::NotPrintable),
            (b"a\x00", Utf7Error::NotPrintable),
            (b"A&B", Utf7Error::Unterminated),
            (b"&AOk", Utf7Error::Unterminated),
            (b"&AO/-", Utf7Error::BadBase64),
            (b"&AOl-", Utf7Error::BadBase64),
            (b"&AA-", Utf7Error::BadUtf16),
            (b"&2D0-", Utf7Error::BadUtf16),
            (b"&AGE-", Utf7Error::NotShortest),
        ];
        for (wire, why) in rows {
            assert_eq!(decode(wire), Err(why), "{}", String::from_utf8_lossy(wire));
        }
        // The RFC's own example of a superfluous shift.
        assert_eq!(decode(b"&U,BTFw-&ZeVnLIqe-"), Err(Utf7Error::NotShortest));
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in any::<String>()) {
            prop_assert_eq!(decode(encode(&text).as_bytes()), Ok(text));
        }

        #[test]
        fn what_decodes_has_this_one_wire_form(wire in "[&,a-zA-Z-]{0,12}") {
            if let Ok(text) = decode(wire.as_bytes()) {
                prop_assert_eq!(encode(&text), wire);
            }
        }
    }
}
