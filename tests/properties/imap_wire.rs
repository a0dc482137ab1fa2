//! Whether bytes are IMAP as a server may say it (RFC 3501 sections 2.2 and 9): whole lines, literals as long as they say,
//! strings that end, parentheses that match. Written for tests, from the grammar, apart from the code under test. Within
//! a literal any byte may stand, since messages are never altered.

/// The lines of `output`, literals included. Panics at the first byte that is not as it must be.
pub fn responses(output: &[u8]) -> Vec<&[u8]> {
    let mut responses = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let length = response(rest);
        responses.push(&rest[..length - 2]);
        rest = &rest[length..];
    }
    responses
}

/// The length of the response that begins here, its line end included.
fn response(output: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let end = output[at..].windows(2).position(|pair| pair == b"\r\n");
        let end = at + end.unwrap_or_else(|| panic!("a line without end: {}", shown(&output[at..])));
        let line = &output[at..end];
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "a bare CR, LF or NUL: {}", shown(line));
        at = end + 2;
        match literal_size(line) {
            Some(size) => {
                assert!(output.len() - at >= size, "a literal is shorter than it says: {}", shown(line));
                at += size;
            }
            None => return at,
        }
    }
}

fn literal_size(line: &[u8]) -> Option<usize> {
    let inside = line.strip_suffix(b"}")?;
    let digits = &inside[inside.iter().rposition(|byte| *byte == b'{')? + 1..];
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    // Where a server ends free text like this, a client would wait for the literal.
    is_number.then(|| std::str::from_utf8(digits).expect("digits").parse().expect("a size that fits"))
}

/// Panics unless `text` is made of atoms, strings and lists that end.
pub fn assert_balanced(text: &[u8]) {
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'(' => {
                depth += 1;
                after
            }
            b')' => {
                depth = depth.checked_sub(1).unwrap_or_else(|| panic!("a parenthesis too many: {}", shown(text)));
                after
            }
            b'"' => after_quoted(after).unwrap_or_else(|| panic!("a quoted string without end: {}", shown(text))),
            b'{' => after_literal(after).unwrap_or_else(|| panic!("a literal that is none: {}", shown(text))),
            b' '..=b'~' => after,
            other => panic!("byte {other:#x} in {}", shown(text)),
        };
    }
    assert_eq!(depth, 0, "a list without end: {}", shown(text));
}

fn after_quoted(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'"' | b'\\', after @ ..] => after,
            [b'\\' | b'\r' | b'\n' | 0 | 0x80.., ..] | [] => return None,
            [_, after @ ..] => after,
        };
    }
}

fn after_literal(rest: &[u8]) -> Option<&[u8]> {
    let close = rest.iter().position(|byte| *byte == b'}')?;
    let size: usize = std::str::from_utf8(&rest[..close]).ok()?.parse().ok()?;
    rest[close + 1..].strip_prefix(b"\r\n")?.get(size..)
}

fn shown(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(300)].escape_ascii().to_string()
}
