//! What commands see of the session, and what they answer.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use super::backend::{Account, Error, LoginError};
use super::config::{Capability, SessionConfig};
use super::notify::Notify;
use super::view::View;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::{MailboxArgument, NameForm, ParseError};
use crate::sasl::server::Exchange;
use crate::types::{LocalUid, MailboxName, Timestamp, limits};

/// What is the same in every state.
pub struct Context {
    pub config: SessionConfig,
    /// The tag of the command that runs.
    pub tag: String,
    pub enabled: Enabled,
    /// The names below which the mailboxes of others are.
    pub others: Vec<MailboxName>,
    /// SCRAM exchanges so far: each has a nonce of its own.
    pub scram_exchanges: u32,
    /// COMPRESS is active.
    pub compressed: bool,
    /// What time it is.
    pub now: Timestamp,
    /// When the client last heard of the command that runs.
    pub progress_told: Timestamp,
    /// What was written and not yet taken by the driver.
    pub out: Vec<u8>,
}

/// What the client has turned on. It stays on until the session ends, or the user leaves it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Enabled {
    /// The client knows mod-sequences (RFC 7162 section 3.1: a CONDSTORE-enabling command was given).
    pub condstore: bool,
    pub qresync: bool,
    /// IMAP4rev2: nothing is recent, searches are answered by ESEARCH (RFC 9051 appendix E).
    pub rev2: bool,
    /// UTF8=ACCEPT (RFC 6855).
    pub utf8: bool,
    /// Messages are named by UIDs alone (RFC 9586).
    pub uid_only: bool,
    /// NOTIFY SET was given: flags that nobody asked for come with the UID (RFC 5465 section 5.1).
    pub notify: bool,
}

impl Enabled {
    /// How mailbox names stand on the wire.
    pub const fn name_form(self) -> NameForm {
        if self.rev2 || self.utf8 { NameForm::Utf8 } else { NameForm::ModifiedUtf7 }
    }

    /// Does a FETCH response that nobody asked for name the UID (RFC 9051 appendix E item 21)? "Once a CONDSTORE enabling
    /// command is issued by the client", a server that has QRESYNC does that as well (RFC 7162 section 3.2.4).
    pub const fn tells_uids(self) -> bool {
        (self.condstore || self.rev2 || self.notify) && !self.uid_only
    }

    /// Does VANISHED take the place of EXPUNGE (RFC 7162 section 3.2.10, RFC 9586)?
    pub const fn tells_vanished(self) -> bool {
        self.qresync || self.uid_only
    }
}

impl Context {
    pub fn has(&self, capability: Capability) -> bool {
        self.config.capabilities.has(capability)
    }

    /// The name a mailbox argument stands for.
    pub fn mailbox_name(&self, argument: &MailboxArgument) -> Result<MailboxName, Refusal> {
        // "The server MUST reject, with a "BAD" response, any octet sequences with the high bit set that fail to comply with the
        // formal syntax requirements of UTF-8" (RFC 6855 section 3).
        if self.enabled.name_form() == NameForm::Utf8 && std::str::from_utf8(&argument.0).is_err() {
            return Err(Refusal::bad("Expected a mailbox name in UTF-8"));
        }
        let name = argument.name(self.enabled.name_form());
        name.ok_or_else(|| Refusal::no(Code::Cannot, "Not a mailbox name this server can have"))
    }

    /// Writes a piece of a line.
    pub fn write(&mut self, piece: fmt::Arguments<'_>) {
        self.out.write_fmt(piece).expect("writing to memory does not fail");
    }

    /// Writes `* <line>`.
    pub fn untagged(&mut self, line: impl fmt::Display) {
        self.write(format_args!("* {line}\r\n"));
    }

    /// Writes `* OK [code] text`.
    pub fn untagged_ok(&mut self, code: &Code, text: &str) {
        self.untagged(format_args!("OK [{code}] {text}"));
    }

    /// Begins a FETCH response, or UIDFETCH (RFC 9586) to a client that knows UIDs alone; false where the message is none
    /// of the view's.
    pub fn begin_fetch(&mut self, view: &View, uid: LocalUid) -> bool {
        let Some(number) = view.number(uid) else { return false };
        match self.enabled.uid_only {
            true => self.write(format_args!("* {uid} UIDFETCH (")),
            false => self.write(format_args!("* {number} FETCH (")),
        }
        true
    }

    /// Tells how far a command is that takes its time (RFC 9585): how much is done, and of how much.
    pub fn tell_progress(&mut self, (done, goal): (usize, usize)) {
        // A goal is no 0 (RFC 9585 section 6).
        if goal > 0 && self.has(Capability::InProgress) && self.is_progress_due() {
            let code = Code::InProgress { tag: self.tag.clone(), done_of: Some((done, goal)) };
            self.untagged_ok(&code, "Still at it");
        }
    }

    /// Lets a client know that its command is waited for, nobody knows how long.
    pub fn tell_holding(&mut self) {
        const TEXT: &str = "Still fetching from the server";
        match self.is_progress_due() {
            true if self.has(Capability::InProgress) => {
                self.untagged_ok(&Code::InProgress { tag: self.tag.clone(), done_of: None }, TEXT);
            }
            true => self.untagged(format_args!("OK {TEXT}")),
            false => {}
        }
    }

    /// Was nothing told of the command for so long that something is to be told now?
    fn is_progress_due(&mut self) -> bool {
        let due = self.progress_told.plus_ms(limits::IMAP_PROGRESS_MS) <= self.now;
        if due {
            self.progress_told = self.now;
        }
        due
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
    /// NOTIFY was given (RFC 5465).
    pub notify: Option<Notify>,
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
    Compress,
    Unauthenticate,
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
    /// How much is done, and of how much, while nothing can be told of what is found.
    fn progress(&self) -> Option<(usize, usize)> {
        None
    }

    /// Does it name messages by numbers that must stay as they are until it ends?
    fn uses_numbers(&self) -> bool {
        false
    }

    /// Writes the next piece: about one message, batch or chunk.
    fn step(&mut self, context: &mut Context, user: &mut User<A>) -> Result<Progress, Refusal>;
}

/// How far a task is.
#[derive(Debug)]
pub enum Progress {
    More,
    /// Nothing can be written before something comes from elsewhere: an event tells, or the deadline.
    Hold,
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

    /// BAD: a message was named by its number, which the client said it would not do (RFC 9586).
    pub fn uid_required() -> Self {
        Self { code: Some(Code::UidRequired), ..Self::bad("Messages are named by UIDs alone") }
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
            Error::NoSuchMessage => Code::ExpungeIssued,
            Error::AlreadyExists => Code::AlreadyExists,
            Error::HasChildren => Code::HasChildren,
            Error::NotSelectable | Error::Cannot(_) => Code::Cannot,
            Error::ReadOnly | Error::NoPermission => Code::NoPerm,
            Error::TooBig { .. } => Code::TooBig,
            Error::OverQuota => Code::OverQuota,
            Error::DiskFull | Error::Unavailable | Error::Withheld | Error::OverBudget => Code::Unavailable,
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
            LoginError::TooMany => Code::Limit,
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
