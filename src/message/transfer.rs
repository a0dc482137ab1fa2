//! Content-Transfer-Encoding taken off, piece by piece (RFC 2045 section 6): for BINARY, for previews and for SEARCH.
//!
//! Lenient as readers are: what cannot stand in an encoding is passed over (base64) or stands for itself
//! (quoted-printable). The output never depends on how the input was cut.

/// More white space than this behind an `=` makes no soft line break (RFC 2045 section 6.7 allows lines of 76).
const SOFT_BREAK_MAX_BYTES: usize = 1000;

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
        /// An `=` with what came behind it, which waits for what follows.
        escape: Vec<u8>,
        /// Spaces and tabs, which may be a line's last, and a CR behind them.
        blanks: Vec<u8>,
    },
}

impl Transfer {
    /// The encoding of that name, in upper case as the summary has it; `None`: nobody knows how to take it off.
    pub fn named(encoding: &str) -> Option<Self> {
        match encoding {
            "7BIT" | "8BIT" | "BINARY" | "" => Some(Self::Identity),
            "BASE64" => Some(Self::Base64 { bits: 0, characters: 0 }),
            "QUOTED-PRINTABLE" => Some(Self::QuotedPrintable { escape: Vec::new(), blanks: Vec::new() }),
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
            Self::QuotedPrintable { escape, blanks } => {
                for byte in encoded {
                    decode_quoted_printable(*byte, escape, blanks, decoded);
                }
                if is_last {
                    end_quoted_printable(escape, decoded);
                    end_blanks(blanks, decoded);
                }
            }
        }
    }
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

/// Takes one byte (RFC 2045 section 6.7); an `=` that begins nothing stands for itself.
fn decode_quoted_printable(byte: u8, escape: &mut Vec<u8>, blanks: &mut Vec<u8>, decoded: &mut Vec<u8>) {
    if escape.is_empty() {
        return decode_unescaped(byte, escape, blanks, decoded);
    }
    escape.push(byte);
    match &escape[1..] {
        [.., b'\n'] if escape[1..].trim_ascii_start().is_empty() => escape.clear(),
        [high, low] if hexadecimal(*high, *low).is_some() => {
            decoded.extend(hexadecimal(*high, *low));
            escape.clear();
        }
        [high] if high.is_ascii_hexdigit() => {}
        blanks
            if blanks.len() <= SOFT_BREAK_MAX_BYTES
                && byte.is_ascii_whitespace()
                && blanks[0].is_ascii_whitespace() => {}
        _ => {
            // The byte itself may begin another escape.
            escape.pop();
            decoded.append(escape);
            decode_quoted_printable(byte, escape, blanks, decoded);
        }
    }
}

/// "any trailing white space on a line must be deleted, as it will necessarily have been added by intermediate transport
/// agents" (RFC 2045 section 6.7 rule 3).
fn decode_unescaped(byte: u8, escape: &mut Vec<u8>, blanks: &mut Vec<u8>, decoded: &mut Vec<u8>) {
    let behind_blank = blanks.last().is_some_and(|last| *last != b'\r');
    match byte {
        b'\r' if behind_blank => return blanks.push(byte),
        b' ' | b'\t' if behind_blank && blanks.len() < SOFT_BREAK_MAX_BYTES => return blanks.push(byte),
        b'\n' => end_blanks(blanks, decoded),
        _ => decoded.append(blanks),
    }
    match byte {
        b'=' => escape.push(byte),
        b' ' | b'\t' => blanks.push(byte),
        _ => decoded.push(byte),
    }
}

/// The line ends: of what waited only its CR stays.
fn end_blanks(blanks: &mut Vec<u8>, decoded: &mut Vec<u8>) {
    decoded.extend(blanks.last().filter(|last| **last == b'\r'));
    blanks.clear();
}

/// An `=` with nothing but white space behind it ends the last line softly.
fn end_quoted_printable(escape: &mut Vec<u8>, decoded: &mut Vec<u8>) {
    if escape.iter().skip(1).all(u8::is_ascii_whitespace) {
        escape.clear();
    }
    decoded.append(escape);
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
            ("QUOTED-PRINTABLE", b"a b \t\r\nc \nd=20\r\ne \rf\r\n ", b"a b\r\nc\nd \r\ne \rf\r\n"),
            ("QUOTED-PRINTABLE", b"==41=4=41= x=\rx=", b"=A=4A= x=\rx"),
        ] {
            for piece_bytes in 1..8 {
                assert_eq!(decoded(encoding, encoded, piece_bytes), expected, "{encoding} {piece_bytes}");
            }
        }
        assert!(Transfer::named("X-STRANGE").is_none());
    }

    #[test]
    fn what_never_becomes_a_soft_break_is_not_waited_for() {
        let mut transfer = Transfer::named("QUOTED-PRINTABLE").expect("a known encoding");
        let mut decoded = Vec::new();
        transfer.decode(b"=", false, &mut decoded);
        for _ in 0..100_000 {
            transfer.decode(b" ", false, &mut decoded);
        }
        let Transfer::QuotedPrintable { escape, blanks } = &transfer else { panic!("that encoding was asked for") };
        assert!(escape.is_empty() && blanks.len() <= SOFT_BREAK_MAX_BYTES);
        transfer.decode(b"x\n", true, &mut decoded);
        assert!(decoded == [b"=", &b" ".repeat(100_000)[..], b"x\n"].concat());
    }
}
