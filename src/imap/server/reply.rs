//! What commands see of the session, and what they answer.

use std::borrow::Cow;
use std::fmt;

use super::backend::{Account, Error, LoginError};
use super::config::{Capability, SessionConfig};
use super::view::View;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::{MailboxArgument, ParseError};
use crate::sasl::server::Exchange;
use crate::types::MailboxName;

/// What is the same in every state.
pub struct Context {
    pub config: SessionConfig,
    /// The tag of the command that runs.
    pub tag: String,
    /// The client knows mod-sequences (RFC 7162 section 3.1: a CONDSTORE-enabling command was given).
    pub condstore: bool,
    /// ENABLE QRESYNC was given.
    pub qresync: bool,
    /// What was written and not yet taken by the driver.
    pub out: Vec<u8>,
}

impl Context {
    pub fn has(&self, capability: Capability) -> bool {
        self.config.capabilities.has(capability)
    }

    /// Writes `* <line>`.
    pub fn untagged(&mut self, line: impl fmt::Display) {
        self.out.extend_from_slice(format!("* {line}\r\n").as_bytes());
    }

    /// Writes `* OK [code] text`.
    pub fn untagged_ok(&mut self, code: &Code, text: &str) {
        self.untagged(format_args!("OK [{code}] {text}"));
    }

    /// Writes the tagged response.
    pub fn tagged(&mut self, result: &Result<Reply, Refusal>) {
        let (status, code, text) = match result {
            Ok(reply) => ("OK", &reply.code, &reply.text),
            Err(refusal) => (if refusal.bad { "BAD" } else { "NO" }, &refusal.code, &refusal.text),
        };
        let tag = if self.tag.is_empty() { "*" } else { &self.tag };
        let line = match code {
            Some(code) => format!("{tag} {status} [{code}] {text}\r\n"),
            None => format!("{tag} {status} {text}\r\n"),
        };
        self.out.extend_from_slice(line.as_bytes());
    }
}

/// A user who is logged in.
pub struct User<A> {
    pub account: A,
    pub selected: Option<View>,
}

impl<A> User<A> {
    /// The account and the selected mailbox.
    pub fn selected(&mut self) -> Result<(&mut A, &mut View), Refusal> {
        match &mut self.selected {
            Some(view) => Ok((&mut self.account, view)),
            None => Err(Refusal::bad("Select a mailbox first")),
        }
    }
}

/// What a command's function leaves to be done.
pub enum Done<A: Account> {
    /// The tagged OK.
    Reply(Reply),
    /// Responses to write, then the tagged response.
    Run(Box<dyn Task<A>>),
    /// A SASL challenge; the client answers.
    Challenge(Exchange, Vec<u8>),
    LoggedIn(A),
    /// IDLE began; the client ends it.
    Idle,
    StartTls,
    Logout,
}

impl<A: Account> Done<A> {
    /// The tagged OK with no code.
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Result<Self, Refusal> {
        Ok(Self::Reply(Reply::new(text)))
    }
}

/// The tagged OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: Option<Code>,
    pub text: Cow<'static, str>,
}

impl Reply {
    pub fn new(text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: None, text: text.into() }
    }

    pub fn with(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code), text: text.into() }
    }
}

/// A command on its way, which writes its responses piece by piece.
pub trait Task<A: Account>: Send {
    /// Writes the next piece: about one message, batch or chunk.
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal>;
}

/// How far a task is.
#[derive(Debug)]
pub enum Progress {
    More,
    Done(Reply),
    /// Bytes that were announced cannot be given: only closing keeps the client from taking others for them.
    Broken,
}

/// Why a command was not done: the tagged NO or BAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub bad: bool,
    pub code: Option<Code>,
    pub text: Cow<'static, str>,
}

impl Refusal {
    /// BAD: the client broke the protocol.
    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { bad: true, code: None, text: text.into() }
    }

    /// NO with a code.
    pub fn no(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { bad: false, code: Some(code), text: text.into() }
    }

    /// For APPEND, COPY and MOVE a missing target is one that the client may create (RFC 3501 section 7.1).
    pub fn target(error: Error) -> Self {
        match error {
            Error::NoSuchMailbox => Self::no(Code::TryCreate, "No such mailbox"),
            error => error.into(),
        }
    }
}

impl From<ParseError> for Refusal {
    fn from(error: ParseError) -> Self {
        Self::bad(capitalised(&error.to_string()))
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::NoSuchMailbox => Code::NonExistent,
            Error::AlreadyExists => Code::AlreadyExists,
            Error::NotSelectable | Error::Cannot(_) => Code::Cannot,
            Error::ReadOnly => Code::NoPerm,
            Error::TooBig { .. } => Code::TooBig,
            Error::OverQuota => Code::OverQuota,
            Error::Unavailable => Code::Unavailable,
            Error::Limit(_) => Code::Limit,
            Error::Store(cause) => {
                tracing::error!(error = %cause, "the mail store failed");
                Code::ServerBug
            }
        };
        Self::no(code, capitalised(&error.to_string()))
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        let code = match error {
            LoginError::Refused => Code::AuthenticationFailed,
            LoginError::NotAuthorized => Code::AuthorizationFailed,
            LoginError::Unavailable => Code::Unavailable,
        };
        Self::no(code, capitalised(&error.to_string()))
    }
}

/// A response's text begins with a capital letter, and is one line whatever the error says.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

/// The name a mailbox argument stands for.
pub fn mailbox_name(argument: &MailboxArgument) -> Result<MailboxName, Refusal> {
    argument.name().ok_or_else(|| Refusal::no(Code::Cannot, "Not a mailbox name this server can have"))
}
