//! What a refusal means for whoever asked: whether to wait, to log in anew, or to give this one request up.

use super::code::{Condition, StatusLine};
use crate::sync::remote::{RefusalCode, RemoteError};

/// Texts by which servers say "too much, too fast" without a code (QUIRKS.md rows 7, 12 and 19).
const THROTTLING_TEXTS: &[&str] = &[
    "[throttled]",
    "request is throttled",
    "rate limit hit",
    "too many simultaneous connections",
    "bandwidth limits",
    "server busy",
];

/// What a tagged NO or BAD to `request` means.
pub(super) fn refusal(host: &str, request: &'static str, status: &StatusLine) -> RemoteError {
    if let Some(wait) = wait(status).filter(|_| !is_about_one_act(request, status)) {
        return wait;
    }
    let text = match status.code_name() {
        Some(code) => format!("{} [{code}]", status.text),
        None => status.text.clone(),
    };
    // Exchange accepts a login and then denies it (QUIRKS.md row 11).
    if text.to_ascii_lowercase().contains("authenticated but not connected") {
        return RemoteError::LoginRefused { host: host.to_owned(), text };
    }
    if is_login_over(request, status) {
        return RemoteError::Lost { host: host.to_owned(), cause: format!("the login counts no more: {text}") };
    }
    let code = status.code_name().map(refusal_code);
    match status.condition {
        // Gmail answers BAD to a message that is too large (QUIRKS.md row 10).
        Condition::Bad if !matches!(code, Some(known) if known != RefusalCode::Other) => {
            RemoteError::Protocol { request, text }
        }
        _ => RemoteError::Refused { request, code, text },
    }
}

/// Does the server let the login count no more (RFC 5530 section 3)? A token may expire in the midst of a session: whoever
/// logs in anew gets a new one. An act of the user to which EXPIRED is said is set aside alone.
fn is_login_over(request: &str, status: &StatusLine) -> bool {
    match status.code_name() {
        Some("AUTHENTICATIONFAILED") => true,
        Some("EXPIRED") => !ACTS.contains(&request),
        _ => false,
    }
}

/// Acts of the user, which can be set aside alone.
const ACTS: &[&str] =
    &["APPEND", "COPY", "MOVE", "STORE", "EXPUNGE", "CREATE", "RENAME", "DELETE", "SUBSCRIBE", "UNSUBSCRIBE"];

/// LIMIT and UNAVAILABLE may be about one act ("too many flags", a part of the server that is down: RFC 5530 section 3),
/// and UNAVAILABLE about single messages that are fetched (QUIRKS.md row 19). They must not hold up the rest of the
/// account; unless the text says that it is all too fast.
fn is_about_one_act(request: &str, status: &StatusLine) -> bool {
    let is_either = match status.code_name() {
        Some("LIMIT") => ACTS.contains(&request),
        Some("UNAVAILABLE") => ACTS.contains(&request) || request == "FETCH",
        _ => false,
    };
    is_either && !says_too_fast(&status.text.to_ascii_lowercase())
}

fn says_too_fast(lower_case_text: &str) -> bool {
    let is_known = THROTTLING_TEXTS.iter().any(|known| lower_case_text.contains(known));
    is_known || suggested_backoff_ms(lower_case_text).is_some()
}

/// What a refused login means. `status` repeats no secret.
pub(super) fn login_refusal(host: &str, status: &StatusLine) -> RemoteError {
    if let Some(wait) = wait(status) {
        return wait;
    }
    let code = status.code_name().map(|code| format!("[{code}] ")).unwrap_or_default();
    let advice = match status.code_name() {
        Some("EXPIRED") => "; the password is too old: set a new one where the account is kept, and tell it here",
        _ => "",
    };
    RemoteError::LoginRefused { host: host.to_owned(), text: format!("{code}{}{advice}", status.text) }
}

/// Whether the server asks to wait, whatever it was asked.
pub(super) fn wait(status: &StatusLine) -> Option<RemoteError> {
    let text = status.text.to_ascii_lowercase();
    let retry_after_ms = suggested_backoff_ms(&text);
    let by_code = matches!(status.code_name(), Some("THROTTLED" | "LIMIT" | "UNAVAILABLE"));
    (by_code || says_too_fast(&text)).then(|| RemoteError::Wait { retry_after_ms, text: status.text.clone() })
}

/// How long the server wants to be left alone, where it refuses for that and says so.
pub(super) fn asked_wait_ms(status: &StatusLine) -> Option<u64> {
    let is_refused = status.condition != Condition::Ok;
    is_refused.then(|| suggested_backoff_ms(&status.text.to_ascii_lowercase())).flatten()
}

/// "Suggested Backoff Time: 299961 milliseconds" (QUIRKS.md row 12).
fn suggested_backoff_ms(lower_case_text: &str) -> Option<u64> {
    let (_, rest) = lower_case_text.split_once("suggested backoff time:")?;
    let rest = rest.trim_start();
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The codes of RFC 5530 and RFC 3501 that decide something, and APPENDLIMIT's TOOBIG (RFC 7889 section 4).
fn refusal_code(name: &str) -> RefusalCode {
    match name {
        "TRYCREATE" => RefusalCode::TryCreate,
        "NONEXISTENT" => RefusalCode::NonExistent,
        "ALREADYEXISTS" => RefusalCode::AlreadyExists,
        "OVERQUOTA" => RefusalCode::OverQuota,
        "TOOBIG" => RefusalCode::TooBig,
        "NOPERM" => RefusalCode::NoPerm,
        "CANNOT" => RefusalCode::Cannot,
        "READ-ONLY" => RefusalCode::ReadOnly,
        "INUSE" => RefusalCode::InUse,
        "LIMIT" => RefusalCode::Limit,
        "UNAVAILABLE" => RefusalCode::Unavailable,
        "EXPUNGEISSUED" => RefusalCode::ExpungeIssued,
        _ => RefusalCode::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(line: &str) -> StatusLine {
        StatusLine::parse(line.as_bytes()).expect("a status line")
    }

    #[test]
    fn a_refusal_says_what_to_do_next() {
        let refused = |code, text: &str| RemoteError::Refused { request: "APPEND", code, text: text.to_owned() };
        let wait = |retry_after_ms, text: &str| RemoteError::Wait { retry_after_ms, text: text.to_owned() };
        let rows = [
            ("NO no", refused(None, "no")),
            ("NO [OVERQUOTA] full", refused(Some(RefusalCode::OverQuota), "full [OVERQUOTA]")),
            ("BAD [TOOBIG] Message too large", refused(Some(RefusalCode::TooBig), "Message too large [TOOBIG]")),
            ("NO [INUSE] locked", refused(Some(RefusalCode::InUse), "locked [INUSE]")),
            ("NO [X-OWN] what", refused(Some(RefusalCode::Other), "what [X-OWN]")),
            ("BAD what?", RemoteError::Protocol { request: "APPEND", text: "what?".to_owned() }),
            ("NO [UNAVAILABLE] later", refused(Some(RefusalCode::Unavailable), "later [UNAVAILABLE]")),
            ("NO [LIMIT] too many keywords", refused(Some(RefusalCode::Limit), "too many keywords [LIMIT]")),
            ("NO [LIMIT] UID FETCH Rate limit hit", wait(None, "UID FETCH Rate limit hit")),
            (
                "BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds",
                wait(Some(299_961), "Request is throttled. Suggested Backoff Time: 299961 milliseconds"),
            ),
            (
                "BAD User is authenticated but not connected.",
                RemoteError::LoginRefused {
                    host: "h".to_owned(),
                    text: "User is authenticated but not connected.".to_owned(),
                },
            ),
        ];
        for (line, error) in rows {
            assert_eq!(refusal("h", "APPEND", &status(line)), error, "{line}");
        }
        let rows = [
            ("FETCH", "NO [LIMIT] later"),
            ("SELECT", "NO [UNAVAILABLE] later"),
            ("FETCH", "NO [UNAVAILABLE] Rate limit hit"),
        ];
        for (request, line) in rows {
            assert!(matches!(refusal("h", request, &status(line)), RemoteError::Wait { .. }), "{request}: {line}");
        }
        // One message that a server cannot give holds up no other.
        let unavailable = refusal("h", "FETCH", &status("NO [UNAVAILABLE] later"));
        assert!(matches!(unavailable, RemoteError::Refused { .. }), "{unavailable}");
    }
}
