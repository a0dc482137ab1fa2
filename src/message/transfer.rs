//! Content-Transfer-Encoding taken off, piece by piece (RFC 2045 section 6): for BINARY, for previews and for SEARCH.
//!
//! Lenient as readers are: what cannot stand in an encoding is passed over (base64) or stands for itself
//! (quoted-printable). The output never depends on how the input was cut.

/// A line of quoted-printable longer than this is none (RFC 2045 section 6.7 allows 76): it is not waited for.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// One way from encoded bytes to decoded ones.
#[derive(Debug, Clone)]
pub enum Transfer {
    /// 7bit, 8bit, binary.
    Identity,
    Base64 {
        /// Up to three characters, six bits each, that wait for the rest of their group.
        bits: u32,
        characters: u8,
    },
    QuotedPrintable {
        /// The end of what came that waits for what follows it.
        pending: Vec<u8>,
    },
}

impl Transfer {
    /// The encoding of that name, in upper case as the summary has it; `None`: nobody knows how to take it off.
    pub fn named(encoding: &str) -> Option<Self> {
        match encoding {
            "7BIT" | "8BIT" | "BINARY" | "" => Some(Self::Identity),
            "BASE64" => Some(Self::Base64 { bits: 0, characters: 0 }),
            "QUOTED-PRINTABLE" => Some(Self::QuotedPrintable { pending: Vec::new() }),
            _ => None,
        }
    }

    /// Adds what `encoded` decodes to, all that waited included where it is the last piece.
    pub fn decode(&mut self, encoded: &[u8], is_last: bool, decoded: &mut Vec<u8>) {
        match self {
            Self::Identity => decoded.extend_from_slice(encoded),
            Self::Base64 { bits, characters } => {
                for byte in encoded {
                    decode_base64(*byte, bits, characters, decoded);
                }
                if is_last {
                    end_base64_group(bits, characters, decoded);
                }
            }
            Self::QuotedPrintable { pending } => {
                pending.extend_from_slice(encoded);
                let lines = pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
                let whole = is_last || pending.len() - lines > LINE_MAX_BYTES;
                // Even of a line without end the last bytes may begin an escape.
                let end = match (is_last, whole) {
                    (true, _) => pending.len(),
                    (false, true) => pending.len() - 2,
                    (false, false) => lines,
                };
                let end = if whole && !is_last { before_escape(pending, end) } else { end };
                for line in pending[..end].split_inclusive(|byte| *byte == b'\n') {
                    decode_quoted_printable(line, decoded);
                }
                pending.drain(..end);
            }
        }
    }
}

/// Where to cut `bytes` at `end` or just before it, so that no escape is cut in two.
fn before_escape(bytes: &[u8], end: usize) -> usize {
    let tail = &bytes[end.saturating_sub(2)..end];
    tail.iter().position(|byte| *byte == b'=').map_or(end, |place| end - tail.len() + place)
}

/// The value of each base64 character (RFC 2045 section 6.8); 255 for every other byte.
const BASE64_VALUES: [u8; 256] = {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut values = [255; 256];
    let mut value = 0;
    while value < 64 {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Takes one character; padding and the end of the data end a group early.
fn decode_base64(byte: u8, bits: &mut u32, characters: &mut u8, decoded: &mut Vec<u8>) {
    let value = BASE64_VALUES[usize::from(byte)];
    if value > 63 {
        if byte == b'=' {
            end_base64_group(bits, characters, decoded);
        }
        return;
    }
    *bits = *bits << 6 | u32::from(value);
    *characters += 1;
    if *characters == 4 {
        decoded.extend_from_slice(&bits.to_be_bytes()[1..]);
        (*bits, *characters) = (0, 0);
    }
}

fn end_base64_group(bits: &mut u32, characters: &mut u8, decoded: &mut Vec<u8>) {
    let whole = (*bits << (6 * (4 - u32::from(*characters)))).to_be_bytes();
    decoded.extend_from_slice(match *characters {
        2 => &whole[1..2],
        3 => &whole[1..3],
        _ => &[],
    });
    (*bits, *characters) = (0, 0);
}

/// Adds a line decoded (RFC 2045 section 6.7); an `=` that begins nothing stands for itself.
fn decode_quoted_printable(line: &[u8], bytes: &mut Vec<u8>) {
    let mut rest = line;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'=', [high, low, after @ ..]) if hexadecimal(*high, *low).is_some() => {
                bytes.extend(hexadecimal(*high, *low));
                rest = after;
            }
            (b'=', after) if after.trim_ascii_start().is_empty() => return,
            (byte, _) => bytes.push(*byte),
        }
    }
}

fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: &str, encoded: &[u8], piece_bytes: usize) -> Vec<u8> {
        let mut transfer = Transfer::named(encoding).expect("a known encoding");
        let mut decoded = Vec::new();
        for piece in encoded.chunks(piece_bytes) {
            transfer.decode(piece, false, &mut decoded);
        }
        transfer.decode(b"", true, &mut decoded);
        decoded
    }

    #[test]
    fn encodings_come_off_however_they_are_cut() {
        for (encoding, encoded, expected) in [
            ("8BIT", &b"a\0\xff"[..], &b"a\0\xff"[..]),
            ("BASE64", b"aGVs\r\nbG8=\r\n", b"hello"),
            ("BASE64", b"aGVsbG8", b"hello"),
            ("BASE64", b"aGVsbA==bG8=", b"helllo"),
            ("BASE64", b"a-G*V s!bG8", b"hello"),
            ("BASE64", b"AAH/", b"\x00\x01\xff"),
            ("BASE64", b"a", b""),
            ("QUOTED-PRINTABLE", b"soft=\r\nbreak =C3=bc =zz=", b"softbreak \xc3\xbc =zz"),
            ("QUOTED-PRINTABLE", b"soft= \t\r\nbreak\r\n", b"softbreak\r\n"),
            ("QUOTED-PRINTABLE", b"=00=0", b"\0=0"),
        ] {
            for piece_bytes in 1..8 {
                assert_eq!(decoded(encoding, encoded, piece_bytes), expected, "{encoding} {piece_bytes}");
            }
        }
        assert!(Transfer::named("X-STRANGE").is_none());
    }

    #[test]
    fn a_line_without_end_is_not_waited_for() {
        let mut transfer = Transfer::named("QUOTED-PRINTABLE").expect("a known encoding");
        let mut decoded = Vec::new();
        for _ in 0..LINE_MAX_BYTES {
            transfer.decode(b"=41", false, &mut decoded);
            transfer.decode(b"=4", false, &mut decoded);
            transfer.decode(b"2", false, &mut decoded);
        }
        let Transfer::QuotedPrintable { pending } = &transfer else { panic!("that encoding was asked for") };
        assert!(pending.len() <= LINE_MAX_BYTES + 3);
        transfer.decode(b"", true, &mut decoded);
        assert_eq!(decoded, b"AB".repeat(LINE_MAX_BYTES));
    }
}
