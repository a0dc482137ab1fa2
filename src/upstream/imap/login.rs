//! From a byte stream to a session: greeting, STARTTLS, login. The part of a connection that async-imap leads.
//!
//! The lines that hold a secret are prepared in the shim: async-imap writes others in their place, and so cannot log
//! them.

use std::future::Future;
use std::time::Duration;

use async_imap::error::Result as ImapResult;
use async_imap::{Client, Session};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::time::timeout;

use super::answering::Answering;
use super::capability::Capabilities;
use super::code::{Code, Condition, StatusLine};
use super::driver::Wire;
use super::inward::Told;
use super::layer::Layer;
use super::outward::Line;
use super::refusal;
use super::shim::WireShim;
use super::untagged::Untagged;
use crate::imap::syntax::quote::{can_be_quoted, write_quoted};
use crate::sasl::exchange::{self, Exchange};
use crate::sasl::server::Mechanism;
use crate::sasl::{Credentials, client};
use crate::sync::remote::RemoteError;
use crate::types::{Secret, SecretKind};
use crate::upstream::dial::{self, BoxedStream, DialError, Endpoint, Timeouts, TlsMode};
use crate::upstream::tls::ClientTls;

/// A session just begun.
pub(super) struct LoggedIn {
    pub session: Session<Wire>,
    pub greeting: String,
    /// What it can do now, where its answer to the login says so (RFC 3501 section 6.2.3).
    pub capabilities: Option<Capabilities>,
}

/// Who connects to what.
pub(super) struct Login<'a> {
    pub endpoint: &'a Endpoint,
    pub tls: &'a ClientTls,
    pub user: &'a str,
    pub password: &'a Secret,
    pub kind: SecretKind,
    pub timeouts: Timeouts,
    /// Tells random text; without it there is no SCRAM.
    pub nonce: fn() -> Option<String>,
}

/// A connection before login, with what the server said so far.
struct Visitor<'a> {
    login: &'a Login<'a>,
    client: Client<Wire>,
    is_encrypted: bool,
    capabilities: Option<Capabilities>,
    last_tagged: Option<StatusLine>,
    goodbye: Option<StatusLine>,
}

/// Makes a session of `stream`, which is encrypted already where TLS is implicit.
pub(super) async fn log_in(stream: BoxedStream, login: &Login<'_>) -> Result<LoggedIn, RemoteError> {
    let endpoint = login.endpoint;
    let mut visitor = Visitor {
        login,
        client: Client::new(WireShim::new(Layer::new(stream), endpoint.host.clone())),
        is_encrypted: endpoint.tls == TlsMode::Implicit,
        capabilities: None,
        last_tagged: None,
        goodbye: None,
    };
    let greeting = visitor.greeting().await?;
    if greeting.condition == Condition::PreAuth {
        if !visitor.is_encrypted {
            // Whoever stands in the line could have said it to skip STARTTLS (RFC 9051 section 7.1.4).
            return Err(login.insecure("the server says PREAUTH on a connection that is not encrypted"));
        }
        let capabilities = visitor.capabilities.take();
        let session = visitor.assume_session().await?;
        return Ok(LoggedIn { session, greeting: greeting.text, capabilities });
    }
    if matches!(endpoint.tls, TlsMode::StartTls | TlsMode::Opportunistic) {
        visitor = visitor.start_tls().await?;
    }
    if !visitor.is_encrypted && !endpoint.may_be_plain() {
        return Err(login.insecure("plain text is not allowed to this server"));
    }
    let (session, capabilities) = visitor.authenticate().await?;
    Ok(LoggedIn { session, greeting: greeting.text, capabilities })
}

impl<'a> Visitor<'a> {
    /// `greeting = "*" SP (resp-cond-auth / resp-cond-bye) CRLF`
    async fn greeting(&mut self) -> Result<StatusLine, RemoteError> {
        let waited = timeout(Duration::from_millis(self.login.timeouts.greeting_ms), self.client.read_response()).await;
        let read = waited.map_err(|_| {
            self.login.lost(&format!(
                "no greeting within {} s: is it the right port?",
                self.login.timeouts.greeting_ms / 1000
            ))
        })?;
        let mut greeting = None;
        while let Some(told) = self.client.get_mut().inward.take_told() {
            if let Told::Untagged(Untagged::Status(status)) = told {
                if let Some(Code::Capability(words)) = &status.code {
                    self.capabilities = Some(Capabilities::new(words));
                }
                greeting = Some(status);
            }
        }
        match (read, greeting) {
            (Ok(Some(_)), Some(greeting)) if greeting.condition == Condition::Bye => {
                let text = format!("the server refuses service: {}", greeting.text);
                Err(refusal::wait(&greeting).unwrap_or_else(|| self.login.lost(&text)))
            }
            (Ok(Some(_)), Some(greeting)) => Ok(greeting),
            (Err(error), _) => Err(self.ended("greeting", Some(&error.to_string()))),
            _ => Err(self.ended("greeting", None)),
        }
    }

    /// The capabilities named in this state; asked for if not told unasked.
    async fn capabilities(&mut self) -> Result<Capabilities, RemoteError> {
        if self.capabilities.is_none() {
            self.command("CAPABILITY").await?;
        }
        Ok(self.capabilities.clone().unwrap_or_default())
    }

    /// STARTTLS (RFC 9051 section 6.2.1). Nothing that was said before counts after it.
    async fn start_tls(mut self) -> Result<Self, RemoteError> {
        let optional = self.login.endpoint.tls == TlsMode::Opportunistic;
        if !self.capabilities().await?.has("STARTTLS") {
            return if optional { Ok(self) } else { Err(self.login.insecure("the server does not offer STARTTLS")) };
        }
        let answer = self.command("STARTTLS").await?;
        if answer.condition != Condition::Ok {
            return Err(self.login.insecure(&format!("the server refuses STARTTLS: {}", answer.text)));
        }
        let Login { endpoint, tls, timeouts, .. } = *self.login;
        let Some(stream) = self.client.into_inner().into_inner() else {
            let cause = "bytes came in plain text where TLS should have begun".to_owned();
            return Err(RemoteError::Insecure { host: endpoint.host.clone(), cause });
        };
        let stream = dial::upgrade(stream.into_inner(), endpoint, tls, timeouts)
            .await
            .map_err(|error| dial_error(endpoint, error))?;
        Ok(Self {
            login: self.login,
            client: Client::new(WireShim::after_greeting(Layer::new(stream), endpoint.host.clone())),
            is_encrypted: true,
            capabilities: None,
            last_tagged: None,
            goodbye: None,
        })
    }

    /// A password by SCRAM where it is offered, else by PLAIN, else by LOGIN where it is not forbidden; a token by
    /// OAUTHBEARER, else XOAUTH2.
    ///
    /// Who refuses the proof gets the password itself only under TLS, as a server that proved who it is: it may keep
    /// passwords from which SCRAM cannot be made. So nobody in the line gets it by refusing the proof.
    async fn authenticate(mut self) -> Result<Begun, RemoteError> {
        let capabilities = self.capabilities().await?;
        let may_login = !capabilities.has("LOGINDISABLED");
        let is_offered = |mechanism: &Mechanism| capabilities.has(&format!("AUTH={}", mechanism.name()));
        let mut attempts = Vec::new();
        // LOGIN of SASL tells no more than the command of that name, which every server knows.
        let is_wanted = |mechanism: &Mechanism| *mechanism != Mechanism::Login && is_offered(mechanism);
        for mechanism in exchange::usable(&self.login.credentials(), self.login.kind).filter(is_wanted) {
            if capabilities.has("SASL-IR") {
                attempts.push(Attempt::AtOnce(mechanism));
            }
            attempts.push(Attempt::InSteps(mechanism));
        }
        if may_login && self.login.kind == SecretKind::Password {
            attempts.push(Attempt::Login);
        }
        let login = self.login;
        let mut answer = None;
        let mut is_refused = false;
        for attempt in attempts {
            if is_refused && attempt.is_scram() {
                continue;
            }
            self = match self.attempt(attempt, &capabilities).await? {
                Attempted::LoggedIn(begun) => return Ok(*begun),
                Attempted::Unused(visitor) => *visitor,
                // A server may name a mechanism and not know it (QUIRKS.md row 27): BAD says nothing of the password.
                Attempted::Refused(visitor, status) if status.condition == Condition::Bad => {
                    answer = Some(status);
                    *visitor
                }
                Attempted::Refused(visitor, status) if attempt.is_scram() && visitor.is_encrypted => {
                    is_refused = true;
                    answer = Some(status);
                    *visitor
                }
                Attempted::Refused(_, status) => return Err(login.refused(&status)),
            };
        }
        Err(match answer {
            Some(status) => login.refused(&status),
            None => RemoteError::LoginRefused {
                host: login.endpoint.host.clone(),
                text: match login.kind {
                    SecretKind::Password => "it offers no way to log in with a password on this connection",
                    SecretKind::Token => "it offers no way to log in with a token (OAUTHBEARER, XOAUTH2)",
                }
                .to_owned(),
            },
        })
    }

    async fn attempt(mut self, attempt: Attempt, capabilities: &Capabilities) -> Result<Attempted<'a>, RemoteError> {
        let login = self.login;
        let shim = self.client.get_mut();
        let (line, answering) = match attempt {
            Attempt::AtOnce(mechanism) | Attempt::InSteps(mechanism) => {
                let Some(nonce) = login.nonce_for(mechanism) else { return Ok(Attempted::Unused(Box::new(self))) };
                let place = (login.endpoint.host.as_str(), login.endpoint.port);
                let mut exchange = Exchange::begin(mechanism, login.credentials(), place, nonce);
                let initial = match attempt {
                    Attempt::AtOnce(_) => exchange.initial().map(|response| STANDARD.encode(response)),
                    Attempt::InSteps(_) | Attempt::Login => None,
                };
                (authenticate_line(mechanism, initial), Some(Answering::new(exchange, shim.outward.slot())))
            }
            Attempt::Login => (login_line(login.user, login.password, capabilities)?, None),
        };
        shim.inward.hush(true);
        shim.outward.prepare(line);
        let Self { client, .. } = self;
        // What is said here is never sent: the prepared lines take its place.
        let outcome = within(login.timeouts, async {
            match answering.clone() {
                Some(answering) => client.authenticate("", answering).await,
                None => client.login("", "").await,
            }
        })
        .await
        .ok_or_else(|| login.lost("no answer to the login"))?;
        // A server that does not prove itself is not asked another way.
        if let Some(trouble) = answering.and_then(|answering| answering.trouble(outcome.is_ok())) {
            return Err(login.untrusted(&trouble.to_string()));
        }
        match outcome {
            Ok(mut session) => {
                let shim = session.get_mut();
                shim.inward.hush(false);
                shim.outward.forget_prepared();
                let mut capabilities = None;
                while let Some(told) = shim.inward.take_told() {
                    if let Told::Tagged(_, StatusLine { code: Some(Code::Capability(words)), .. }) = told {
                        capabilities = Some(Capabilities::new(&words));
                    }
                }
                Ok(Attempted::LoggedIn(Box::new((session, capabilities))))
            }
            Err((error, mut client)) => {
                client.get_mut().inward.hush(false);
                client.get_mut().outward.forget_prepared();
                let mut visitor = Self { client, ..self };
                visitor.take_told();
                match visitor.last_tagged.take() {
                    Some(status) if status.condition != Condition::Ok => {
                        Ok(Attempted::Refused(Box::new(visitor), status))
                    }
                    _ => Err(visitor.ended("login", Some(&error.to_string()))),
                }
            }
        }
    }

    /// A session without a login, after PREAUTH.
    async fn assume_session(mut self) -> Result<Session<Wire>, RemoteError> {
        self.client.get_mut().outward.answer_next_command();
        let host = self.login.endpoint.host.clone();
        let cause = |error: async_imap::error::Error| RemoteError::Lost { host, cause: error.to_string() };
        self.client.login("", "").await.map_err(|(error, _)| cause(error))
    }

    /// Runs one command and returns its tagged answer.
    async fn command(&mut self, command: &'static str) -> Result<StatusLine, RemoteError> {
        let timeouts = self.login.timeouts;
        let ran: Option<ImapResult<()>> = within(timeouts, self.client.run_command_and_check_ok(command, None)).await;
        let ran = ran.ok_or_else(|| self.login.lost(&format!("no answer to {command}")))?;
        self.take_told();
        match self.last_tagged.take() {
            Some(status) => Ok(status),
            None => Err(self.ended(command, ran.err().map(|error| error.to_string()).as_deref())),
        }
    }

    fn take_told(&mut self) {
        while let Some(told) = self.client.get_mut().inward.take_told() {
            match told {
                Told::Untagged(Untagged::Capability(words)) => self.capabilities = Some(Capabilities::new(&words)),
                Told::Untagged(Untagged::Status(status)) if status.condition == Condition::Bye => {
                    self.goodbye = Some(status);
                }
                Told::Tagged(_, status) => self.last_tagged = Some(status),
                _ => {}
            }
        }
    }

    /// Why nothing more could be read.
    fn ended(&self, request: &'static str, error: Option<&str>) -> RemoteError {
        if let Some(fault) = self.client.get_ref().fault() {
            return RemoteError::Protocol { request, text: self.login.hide(&fault.to_string()) };
        }
        if let Some(goodbye) = &self.goodbye {
            let goodbye = &self.login.without_secret(goodbye);
            let text = format!("the server said goodbye: {}", goodbye.text);
            return refusal::wait(goodbye).unwrap_or_else(|| self.login.lost(&text));
        }
        match error {
            Some(error) => self.login.lost(&format!("in {request}: {error}")),
            None => self.login.lost(&format!("the server closed it before its answer to {request}")),
        }
    }
}

impl Login<'_> {
    fn credentials(&self) -> Credentials {
        Credentials { user: self.user.to_owned(), authorize_as: None, password: self.password.clone() }
    }

    /// Random text for an exchange; `None`: there is none, and the mechanism needs it.
    fn nonce_for(&self, mechanism: Mechanism) -> Option<String> {
        match mechanism {
            Mechanism::Scram(_) => (self.nonce)(),
            _ => Some(String::new()),
        }
    }

    fn untrusted(&self, text: &str) -> RemoteError {
        RemoteError::LoginRefused { host: self.endpoint.host.clone(), text: text.to_owned() }
    }

    fn refused(&self, status: &StatusLine) -> RemoteError {
        refusal::login_refusal(&self.endpoint.host, &self.without_secret(status))
    }

    /// What the server said, which may repeat what it was told.
    fn without_secret(&self, status: &StatusLine) -> StatusLine {
        StatusLine { text: self.hide(&status.text), ..status.clone() }
    }

    fn hide(&self, said: &str) -> String {
        client::without_secret(said, &self.credentials(), (&self.endpoint.host, self.endpoint.port))
    }

    fn lost(&self, cause: &str) -> RemoteError {
        RemoteError::Lost { host: self.endpoint.host.clone(), cause: cause.to_owned() }
    }

    fn insecure(&self, cause: &str) -> RemoteError {
        RemoteError::Insecure { host: self.endpoint.host.clone(), cause: cause.to_owned() }
    }
}

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    /// AUTHENTICATE with an initial response (RFC 4959).
    AtOnce(Mechanism),
    /// AUTHENTICATE in two steps.
    InSteps(Mechanism),
    /// LOGIN.
    Login,
}

impl Attempt {
    const fn is_scram(self) -> bool {
        matches!(self, Self::AtOnce(Mechanism::Scram(_)) | Self::InSteps(Mechanism::Scram(_)))
    }
}

/// A session, and what the answer to the login says that the server can do.
type Begun = (Session<Wire>, Option<Capabilities>);

enum Attempted<'a> {
    LoggedIn(Box<Begun>),
    /// It cannot be tried.
    Unused(Box<Visitor<'a>>),
    Refused(Box<Visitor<'a>>, StatusLine),
}

/// `authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")]` (RFC 4959 section 7)
fn authenticate_line(mechanism: Mechanism, initial: Option<String>) -> Line {
    let begin = format!("AUTHENTICATE {}", mechanism.name());
    match initial {
        Some(initial) => Line::secret(&format!("{begin} "), initial.as_bytes()),
        None => {
            let mut line = Line::default();
            line.text(format!("{begin}\r\n").as_bytes());
            line
        }
    }
}

/// `login = "LOGIN" SP userid SP password`. A password outside ASCII goes as a literal where the server takes one
/// unasked; else quoted as it is, which RFC 3501 does not allow and servers take.
fn login_line(user: &str, password: &Secret, capabilities: &Capabilities) -> Result<Line, RemoteError> {
    let mut arguments = Vec::new();
    for argument in [user, password.expose()] {
        let bytes = argument.as_bytes();
        if !arguments.is_empty() {
            arguments.push(b' ');
        }
        if can_be_quoted(bytes) {
            write_quoted(&mut arguments, bytes);
        } else if bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')) {
            return Err(RemoteError::Impossible("the user name or password holds a control character".to_owned()));
        } else if capabilities.has("LITERAL+") || capabilities.has("LITERAL-") {
            arguments.extend_from_slice(format!("{{{}+}}\r\n", bytes.len()).as_bytes());
            arguments.extend_from_slice(bytes);
        } else {
            let escaped = argument.replace('\\', "\\\\").replace('"', "\\\"");
            arguments.extend_from_slice(format!("\"{escaped}\"").as_bytes());
        }
    }
    Ok(Line::secret("LOGIN ", &arguments))
}

/// What a failed connection means.
pub(super) fn dial_error(endpoint: &Endpoint, error: DialError) -> RemoteError {
    let host = endpoint.host.clone();
    match error {
        DialError::Unreachable(cause) => RemoteError::Unreachable { place: endpoint.place(), cause },
        DialError::Insecure(cause) => RemoteError::Insecure { host, cause },
    }
}

async fn within<T>(timeouts: Timeouts, work: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::from_millis(timeouts.silence_ms), work).await.ok()
}
