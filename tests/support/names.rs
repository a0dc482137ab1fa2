//! Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), written apart from the library, whose judge it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// `~peter/mail/台北` is `~peter/mail/&U,BTFw-`.
pub fn encode(name: &str) -> String {
    let (mut out, mut shifted) = (String::new(), Vec::new());
    for character in name.chars() {
        if (' '..='~').contains(&character) {
            unshift(&mut shifted, &mut out);
            out.push(character);
            if character == '&' {
                out.push('-');
            }
        } else {
            shifted.extend(character.encode_utf16(&mut [0; 2]).iter().flat_map(|unit| unit.to_be_bytes()));
        }
    }
    unshift(&mut shifted, &mut out);
    out
}

fn unshift(shifted: &mut Vec<u8>, out: &mut String) {
    if !shifted.is_empty() {
        out.push('&');
        out.push_str(&STANDARD_NO_PAD.encode(&*shifted).replace('/', ","));
        out.push('-');
        shifted.clear();
    }
}

pub fn decode(wire: &str) -> String {
    let mut out = String::new();
    let mut rest = wire;
    while let Some(start) = rest.find('&') {
        out.push_str(&rest[..start]);
        let end = start + rest[start..].find('-').unwrap_or_else(|| panic!("an open shift in {wire:?}"));
        let inside = &rest[start + 1..end];
        if inside.is_empty() {
            out.push('&');
        } else {
            let bytes = STANDARD_NO_PAD.decode(inside.replace(',', "/")).expect("base64 in a mailbox name");
            let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
            out.push_str(&String::from_utf16(&units).expect("UTF-16 in a mailbox name"));
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}
