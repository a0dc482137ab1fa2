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

use super::capability::Capabilities;
use super::code::{Code, Condition, StatusLine};
use super::driver::{Wire, fault_error};
use super::inward::Told;
use super::layer::Layer;
use super::outward::Line;
use super::refusal;
use super::shim::WireShim;
use super::untagged::Untagged;
use crate::imap::syntax::quote::{can_be_quoted, write_quoted};
use crate::sasl::server::Mechanism;
use crate::sasl::{self, Credentials};
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

    /// A password by AUTHENTICATE PLAIN where it is offered, else by LOGIN where it is not forbidden; a token by OAUTHBEARER,
    /// else XOAUTH2.
    async fn authenticate(mut self) -> Result<Begun, RemoteError> {
        let capabilities = self.capabilities().await?;
        let may_login = !capabilities.has("LOGINDISABLED");
        let is_offered = |mechanism: &Mechanism| capabilities.has(&format!("AUTH={}", mechanism.name()));
        let mechanisms: &[Mechanism] = match self.login.kind {
            SecretKind::Password => &[Mechanism::Plain],
            SecretKind::Token => &[Mechanism::OAuthBearer, Mechanism::XOAuth2],
        };
        let mut attempts = Vec::new();
        for mechanism in mechanisms.iter().copied().filter(is_offered) {
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
        for attempt in attempts {
            self = match self.attempt(attempt, &capabilities).await? {
                Attempted::LoggedIn(begun) => return Ok(*begun),
                // A server may name a mechanism and not know it (QUIRKS.md row 27): BAD says nothing of the password.
                Attempted::Refused(visitor, status) if status.condition == Condition::Bad => {
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
        let lines = match attempt {
            Attempt::AtOnce(mechanism) => {
                let (response, begin) = (login.response(mechanism), format!("AUTHENTICATE {} ", mechanism.name()));
                vec![Line::secret(&begin, &response), Line::secret("", &response)]
            }
            Attempt::InSteps(mechanism) => {
                let mut line = Line::default();
                line.text(format!("AUTHENTICATE {}\r\n", mechanism.name()).as_bytes());
                vec![line, Line::secret("", &login.response(mechanism))]
            }
            Attempt::Login => vec![login_line(login.user, login.password, capabilities)?],
        };
        let shim = self.client.get_mut();
        shim.inward.hush(true);
        lines.into_iter().for_each(|line| shim.outward.prepare(line));
        let Self { client, .. } = self;
        // What is said here is never sent: the prepared lines take its place.
        let outcome = within(login.timeouts, async {
            match attempt {
                Attempt::AtOnce(_) | Attempt::InSteps(_) => client.authenticate("PLAIN", Silent).await,
                Attempt::Login => client.login("", "").await,
            }
        })
        .await
        .ok_or_else(|| login.lost("no answer to the login"))?;
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
            return fault_error(request, fault);
        }
        if let Some(goodbye) = &self.goodbye {
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
    /// The base64 of the one message of PLAIN, OAUTHBEARER or XOAUTH2.
    fn response(&self, mechanism: Mechanism) -> Vec<u8> {
        let (user, password) = (self.user.to_owned(), self.password.clone());
        let credentials = Credentials { user, authorize_as: None, password };
        STANDARD
            .encode(match mechanism {
                Mechanism::OAuthBearer => {
                    sasl::client::oauth_bearer(&credentials, &self.endpoint.host, self.endpoint.port)
                }
                Mechanism::XOAuth2 => sasl::client::xoauth2(&credentials),
                Mechanism::Plain | Mechanism::Login | Mechanism::Scram(_) => sasl::client::plain(&credentials),
            })
            .into_bytes()
    }

    fn refused(&self, status: &StatusLine) -> RemoteError {
        let said = [Mechanism::Plain, Mechanism::OAuthBearer, Mechanism::XOAuth2];
        let said = said.map(|mechanism| String::from_utf8_lossy(&self.response(mechanism)).into_owned());
        let secrets = [self.password.expose(), &said[0], &said[1], &said[2]];
        refusal::login_refusal(&self.endpoint.host, status, &secrets)
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

/// A session, and what the answer to the login says that the server can do.
type Begun = (Session<Wire>, Option<Capabilities>);

enum Attempted<'a> {
    LoggedIn(Box<Begun>),
    Refused(Box<Visitor<'a>>, StatusLine),
}

/// Answers every challenge with nothing: the true answer is prepared in the shim.
struct Silent;

impl async_imap::Authenticator for Silent {
    type Response = &'static str;

    fn process(&mut self, _challenge: &[u8]) -> Self::Response {
        ""
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
        DialError::Unreachable(cause) => RemoteError::Lost { host, cause },
        DialError::Insecure(cause) => RemoteError::Insecure { host, cause },
    }
}

async fn within<T>(timeouts: Timeouts, work: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::from_millis(timeouts.silence_ms), work).await.ok()
}
