//! What is wrong with a configuration, and where.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::types::MailboxName;

/// The first thing wrong in a configuration file: `config.toml:12:7: ...`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {problem}", file.display())]
pub struct ConfigError {
    pub file: PathBuf,
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not TOML, an unknown or missing key, a value that is not what is expected; the text says what is.
    #[error("{0}")]
    Unreadable(String),
    #[error("there is an account {name:?} already, at line {first_line}; give each account its own name")]
    DuplicateAccount { name: String, first_line: usize },
    #[error("the account name {name:?} cannot be used to log in: it must be without spaces and control characters")]
    BadAccountName { name: String },
    #[error(
        "there is no password; give one of password = \"...\", password-command = [\"program\", \"argument\"], and oauth2 = {{ token-command = [\"program\", \"argument\"] }}"
    )]
    NoPassword,
    #[error(
        "there is no way to log in; give one of password = \"...\", password-command = [\"program\", \"argument\"], keyring = true and oauth2 = {{ token-command = [\"program\", \"argument\"] }}"
    )]
    NoSecret,
    #[error("missing key `imap` (or `pop3`): imap = {{ host = \"imap.example.org\" }}")]
    NoServer,
    #[error("there are both imap and pop3; keep one of them, or make two accounts")]
    TwoServers,
    #[error("{key} is for accounts with imap; an account with pop3 has no use for it")]
    NotWithPop3 { key: &'static str },
    #[error(
        "with keep = \"never\" every message is fetched whole, since nothing is deleted on the server that is not all here: \
         choose another keep, or leave out bodies and per-folder"
    )]
    NothingLeftOut,
    #[error("there are both a password and oauth2; keep one of them")]
    TwoSecrets,
    #[error("there are both keyring and a password; keep one of them")]
    KeyringAndPassword,
    #[error("there are both password and password-command; keep one of them")]
    TwoPasswords,
    #[error("password-command needs a program: password-command = [\"pass\", \"show\", \"mail\"]")]
    EmptyCommand,
    #[error(
        "{host} is not this machine, so tls = \"none\" would send password and mail readable by others; use tls = \
         \"implicit\" or \"starttls\", or say allow-plaintext = true"
    )]
    Plaintext { host: String },
    #[error("{address} can be reached from other machines; give a loopback address such as 127.0.0.1, or set tls")]
    ListensInPlain { address: std::net::SocketAddr },
    #[error("{key} needs a certificate: say tls = true, or tls = {{ certificate = \"chain.pem\", key = \"key.pem\" }}")]
    NeedsTls { key: &'static str },
    #[error(
        "the mail of {mailbox} cannot be archived in {mailbox}; name another mailbox, or leave archive out to delete"
    )]
    ArchiveOfItself { mailbox: MailboxName },
    #[error("{host:?} is not a host name")]
    BadHost { host: String },
    #[error("the user name {user:?} cannot be used to log in; leave user out where it is the address")]
    BadUser { user: String },
    #[error("{address:?} is not a mail address such as me@example.org")]
    BadAddress { address: String },
}

/// The text of a configuration file, to find places in.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
}

impl Source<'_> {
    /// `problem` at the start of `span`.
    pub fn error(&self, span: &Range<usize>, problem: Problem) -> ConfigError {
        let (line, column) = self.place(span.start);
        ConfigError { file: self.file.to_owned(), line, column, problem }
    }

    /// The line of a span, from 1.
    pub fn line(&self, span: &Range<usize>) -> usize {
        self.place(span.start).0
    }

    /// What the TOML reader found wrong, in the words of a configuration. Its own display would quote the line,
    /// password and all.
    pub fn unreadable(&self, error: &toml::de::Error) -> ConfigError {
        let message = error
            .message()
            .replace("unknown field", "unknown key")
            .replace("missing field", "missing key")
            .replace("duplicate field", "duplicate key")
            .replace("invalid type: map", "invalid type: table")
            .replace("invalid type: sequence", "invalid type: array")
            .replace("expected a sequence", "expected an array of strings such as [\"one\", \"two\"]")
            .replace("expected a boolean", "expected true or false");
        self.error(&error.span().unwrap_or(0..0), Problem::Unreadable(message))
    }

    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.file.display())
    }
}
