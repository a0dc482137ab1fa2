//! Authentication-Results fields that others wrote in our name (RFC 8601 section 5): who reads ours would believe them.
//! Pure.

/// The message without fields that say we wrote them, or do not say who did; and how many those were.
pub(super) fn without_forged_results(message: &[u8], our_name: &str) -> (Vec<u8>, usize) {
    let (mut kept, mut removed) = (Vec::with_capacity(message.len()), 0);
    let mut rest = message;
    while let Some(end) = field_end(rest) {
        let (field, after) = rest.split_at(end);
        match results_of(field) {
            Some(None) => removed += 1,
            Some(Some(writer)) if writer.eq_ignore_ascii_case(our_name) => removed += 1,
            Some(Some(_)) | None => kept.extend_from_slice(field),
        }
        rest = after;
    }
    kept.extend_from_slice(rest);
    (kept, removed)
}

/// Where the field at the start ends, its folded lines included; none at the end of the header.
fn field_end(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.starts_with(b"\r\n") || text.starts_with(b"\n") {
        return None;
    }
    let mut end = 0;
    loop {
        let line = text[end..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| end + at + 1);
        end = line;
        if !matches!(text.get(end), Some(b' ' | b'\t')) {
            return Some(end);
        }
    }
}

/// Of an Authentication-Results field: who wrote it, if that can be read.
fn results_of(field: &[u8]) -> Option<Option<String>> {
    let colon = field.iter().position(|byte| *byte == b':')?;
    let name = field[..colon].trim_ascii_end();
    name.eq_ignore_ascii_case(b"Authentication-Results").then(|| authserv_id(&field[colon + 1..]))
}

/// `authres-payload = [CFWS] authserv-id ...`, `authserv-id = value` (RFC 8601 section 2.2), a token or a quoted string.
fn authserv_id(payload: &[u8]) -> Option<String> {
    let rest = after_cfws(payload)?;
    let mut id = Vec::new();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let mut bytes = quoted.iter();
        loop {
            match bytes.next()? {
                b'"' => break,
                b'\\' => id.push(*bytes.next()?),
                byte => id.push(*byte),
            }
        }
    } else {
        id.extend(rest.iter().take_while(|byte| !byte.is_ascii_whitespace() && !b";(\"/".contains(byte)));
    }
    String::from_utf8(id).ok().filter(|id| !id.is_empty())
}

/// What follows white space and comments, which may be nested (RFC 5322 section 3.2.2).
fn after_cfws(text: &[u8]) -> Option<&[u8]> {
    let (mut depth, mut place) = (0_usize, 0);
    while let Some(byte) = text.get(place) {
        match byte {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => place += 1,
            byte if depth == 0 && !byte.is_ascii_whitespace() => return Some(&text[place..]),
            _ => {}
        }
        place += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_it_is_ours_goes_and_everything_else_stays_as_it_is() {
        let body = "\r\nAuthentication-Results: mx.here; spf=pass\r\n";
        for (field, is_forged) in [
            ("Authentication-Results: mx.here; spf=pass\r\n", true),
            ("authentication-results : MX.Here 1;\r\n\tspf=pass\r\n smtp.mailfrom=x\r\n", true),
            ("Authentication-Results:\r\n (a (nested \\) one)) \"mx.he\\re\";spf=pass\r\n", true),
            ("Authentication-Results: mx.here(x);none\r\n", true),
            ("Authentication-Results: mx.here/1; none\r\n", true),
            ("Authentication-Results: (never ends\r\n", true),
            ("Authentication-Results: ; none\r\n", true),
            ("Authentication-Results: mx.here\n", true),
            ("Authentication-Results: mx.there; spf=pass\r\n", false),
            ("Authentication-Results: mx.here.there; spf=pass\r\n", false),
            ("X-Authentication-Results: mx.here; spf=pass\r\n", false),
            ("Subject: x\r\n Authentication-Results: mx.here; spf=pass\r\n", false),
            ("no field\r\n", false),
        ] {
            let message = format!("A: b\r\n{field}C: d\r\n{body}");
            let (kept, removed) = without_forged_results(message.as_bytes(), "mx.here");
            let expected = if is_forged { format!("A: b\r\nC: d\r\n{body}") } else { message };
            assert_eq!((String::from_utf8_lossy(&kept).as_ref(), removed), (expected.as_str(), usize::from(is_forged)));
        }
    }

    #[test]
    fn any_bytes_are_taken() {
        for message in
            [&b""[..], b"\r\n", b"\n", b"Authentication-Results:", b"Authentication-Results: \"\\", b"a\xff:"]
        {
            let (kept, removed) = without_forged_results(message, "mx.here");
            assert!(kept == message || removed == 1, "{message:?}");
        }
    }
}
