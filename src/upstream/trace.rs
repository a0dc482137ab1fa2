//! The wire trace: what goes over the line, on request, without secrets and without mail.
//!
//! On request means that the subscriber lets the target `mailtide::wire` through at level TRACE. A login and the
//! answers to it are shown without their content, and of literals only the size is shown.

use super::imap::STREAMED;

/// The target to ask for.
pub const TARGET: &str = "mailtide::wire";

/// How much of a line is shown.
const SHOWN_MAX_CHARS: usize = 500;

/// Stands for what a server says to a login: it may repeat a secret.
pub(super) const HUSHED: &[u8] = b"(not shown)";

/// A line that went out, already without secrets.
pub(super) fn sent(label: &str, shown: &str) {
    let shown: String = shown.trim_end().chars().take(SHOWN_MAX_CHARS).collect();
    if shown.is_empty() {
        return;
    }
    tracing::trace!(target: TARGET, "{label} C: {shown}");
}

/// A response that came in.
pub(super) fn received(label: &str, response: &[u8]) {
    if tracing::enabled!(target: TARGET, tracing::Level::TRACE) {
        tracing::trace!(target: TARGET, "{label} S: {}", redacted(response));
    }
}

/// The response with literals left out, and with them quoted strings in FETCH: those hold mail as well.
fn redacted(response: &[u8]) -> String {
    let is_fetch = response.split(|byte| *byte == b' ').nth(2).is_some_and(|word| word.eq_ignore_ascii_case(b"FETCH"));
    let mut shown = String::new();
    let mut rest = response;
    while let Some((first, after)) = rest.split_first() {
        if shown.len() >= SHOWN_MAX_CHARS {
            shown.push_str("...");
            break;
        }
        rest = after;
        match *first {
            b'\r' => {
                let digits = shown.rfind('{').map(|brace| &shown[brace + 1..]).and_then(|text| text.strip_suffix('}'));
                let size = digits.and_then(|digits| digits.parse::<usize>().ok()).unwrap_or(0);
                rest = &rest[size.saturating_add(1).min(rest.len())..];
            }
            b'"' if is_fetch => {
                shown.push_str("\"..\"");
                rest = after_quoted(after);
            }
            STREAMED => shown.push_str("{message}"),
            byte if byte.is_ascii_graphic() || byte == b' ' => shown.push(char::from(byte)),
            _ => shown.push('.'),
        }
    }
    shown
}

/// What follows a quoted string that `rest` is in.
fn after_quoted(rest: &[u8]) -> &[u8] {
    let mut escaped = false;
    let end = rest.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(&[], |end| &rest[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mail_is_shown() {
        let rows: [(&[u8], &str); 6] = [
            (b"* 1 FETCH (BODY[] \0 FLAGS (\\Seen))", "* 1 FETCH (BODY[] {message} FLAGS (\\Seen))"),
            (b"* 1 FETCH (BODY[HEADER] {7}\r\nSubject UID 1)", "* 1 FETCH (BODY[HEADER] {7} UID 1)"),
            (b"* 1 FETCH (BODY[] \"Dear \\\"Ann\\\"\" UID 1)", "* 1 FETCH (BODY[] \"..\" UID 1)"),
            (b"* LIST () \"/\" {3}\r\nabc", "* LIST () \"/\" {3}"),
            (b"* LIST () \"/\" {99}\r\nabc", "* LIST () \"/\" {99}"),
            // A CR alone, behind what is no size.
            (b"* OK {18446744073709551615}\rx", "* OK {18446744073709551615}"),
        ];
        for (response, shown) in rows {
            assert_eq!(redacted(response), shown);
        }
        assert!(redacted(&vec![b'x'; 9000]).len() < 600);
    }
}
