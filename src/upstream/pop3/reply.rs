//! Status lines, and what a refusal means (RFC 2449 section 8, RFC 3206).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::capability::Capabilities;
use crate::sasl::{Credentials, client};
use crate::sync::remote::{RefusalCode, RemoteError};

/// Without a word from the server on how long to wait between logins: what many leave.
const LOGIN_DELAY_DEFAULT_SECONDS: u64 = 120;

/// A status line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Ok(String),
    Refused(Refusal),
    /// `+ challenge`, undone from base64 (RFC 5034 section 4).
    GoOn(Vec<u8>),
}

/// `-ERR [CODE] text`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// In upper case, without brackets; empty if there is none.
    pub code: String,
    pub text: String,
}

impl Reply {
    /// `None`: it is none.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line = line.trim_end();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word.to_ascii_uppercase().as_str() {
            "+OK" => Some(Self::Ok(rest.to_owned())),
            "-ERR" => {
                let bracketed = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let (code, text) = bracketed.map_or(("", rest), |(code, text)| (code, text.trim_start()));
                Some(Self::Refused(Refusal { code: code.to_ascii_uppercase(), text: text.to_owned() }))
            }
            "+" => Some(Self::GoOn(STANDARD.decode(rest.trim()).unwrap_or_default())),
            _ => None,
        }
    }
}

impl Refusal {
    /// What it says, with its code.
    pub(super) fn told(&self) -> String {
        match self.code.as_str() {
            "" => self.text.clone(),
            code => format!("[{code}] {}", self.text),
        }
    }

    /// What the refusal of `request` means when it concerns more than one message. A code may be of a level below one that
    /// is known (RFC 2449 section 8): SYS/TEMP/DISK is a SYS/TEMP.
    pub(super) fn error(&self, request: &'static str, capabilities: &Capabilities) -> RemoteError {
        let is =
            |code: &str| self.code == code || self.code.strip_prefix(code).is_some_and(|rest| rest.starts_with('/'));
        let wait = |seconds: Option<u64>| RemoteError::Wait {
            retry_after_ms: seconds.map(|seconds| seconds.saturating_mul(1000)),
            text: self.told(),
        };
        let lower = self.text.to_ascii_lowercase();
        if is("LOGIN-DELAY") {
            wait(Some(capabilities.login_delay_seconds().unwrap_or(LOGIN_DELAY_DEFAULT_SECONDS)))
        } else if is("IN-USE") || is("SYS/TEMP") {
            wait(None)
        } else if self.code.is_empty() && (lower.contains("lock") || lower.contains("in use")) {
            // What servers without codes say of a maildrop that another session has open.
            wait(None)
        } else {
            RemoteError::Refused { request, code: Some(RefusalCode::Other), text: self.told() }
        }
    }

    /// What the refusal of a login means. A server that tells bad credentials apart ([AUTH]) means something else by
    /// any other refusal (RFC 3206 section 6).
    pub(super) fn login_error(
        &self,
        (host, port): (&str, u16),
        capabilities: &Capabilities,
        credentials: &Credentials,
    ) -> RemoteError {
        let text = client::without_secret(&self.text, credentials, (host, port));
        let told = Self { code: self.code.clone(), text };
        match told.error("the login", capabilities) {
            RemoteError::Refused { text, .. } if told.code.starts_with("SYS") => {
                RemoteError::Refused { request: "the login", code: Some(RefusalCode::Unavailable), text }
            }
            RemoteError::Refused { text, .. } if told.code.is_empty() && capabilities.has("AUTH-RESP-CODE") => {
                RemoteError::Wait { retry_after_ms: None, text }
            }
            RemoteError::Refused { text, .. } => RemoteError::LoginRefused { host: host.to_owned(), text },
            error => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    fn refusal(line: &str) -> Refusal {
        match Reply::parse(line) {
            Some(Reply::Refused(refusal)) => refusal,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn ann() -> Credentials {
        Credentials { user: "ann".to_owned(), authorize_as: None, password: Secret::new("hunter2") }
    }

    #[test]
    fn what_a_refused_login_means_is_told_by_its_code() {
        let plain = Capabilities::default();
        let telling = Capabilities::parse(&["AUTH-RESP-CODE".to_owned(), "LOGIN-DELAY 300 USER".to_owned()]);
        for (line, capabilities, state) in [
            ("-ERR [LOGIN-DELAY] too soon", &telling, "wait 300000"),
            ("-ERR [login-delay] too soon", &plain, "wait 120000"),
            ("-ERR [IN-USE] another session", &plain, "wait"),
            ("-ERR [SYS/TEMP] disk", &plain, "wait"),
            ("-ERR [SYS/TEMP/DISK] disk", &plain, "wait"),
            ("-ERR maildrop already locked", &plain, "wait"),
            ("-ERR [SYS/PERM] mailbox is broken", &plain, "refused"),
            ("-ERR [AUTH] no", &telling, "login refused"),
            ("-ERR the database is away", &telling, "wait"),
            ("-ERR no", &plain, "login refused"),
            ("-ERR", &plain, "login refused"),
        ] {
            let shown = match refusal(line).login_error(("h", 110), capabilities, &ann()) {
                RemoteError::Wait { retry_after_ms: Some(ms), .. } => format!("wait {ms}"),
                RemoteError::Wait { .. } => "wait".to_owned(),
                RemoteError::Refused { .. } => "refused".to_owned(),
                RemoteError::LoginRefused { .. } => "login refused".to_owned(),
                other => format!("{other:?}"),
            };
            assert_eq!(shown, state, "{line}");
        }
    }

    #[test]
    fn what_is_no_status_line_is_none_and_no_secret_is_repeated() {
        for line in ["", "OK", "+OKAY", "* OK IMAP", "220 smtp", "-ERRor"] {
            assert_eq!(Reply::parse(line), None, "{line}");
        }
        let error = refusal("-ERR bad password hunter2").login_error(("h", 110), &Capabilities::default(), &ann());
        assert_eq!(error.to_string(), "h refused the login: bad password ...");
    }
}
