//! AUTH (RFC 4954): with a password SCRAM where the server offers it, else PLAIN, else LOGIN; with a token OAUTHBEARER,
//! else XOAUTH2.
//!
//! A mechanism that a server names and does not know (504) gives way to the next; a password refused is refused. So
//! nobody gets the password by refusing the proof that would not have told it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::conversation::Conversation;
use super::reply::{RawReply, Verdict};
use crate::outbox::sender::SendError;
use crate::sasl::Credentials;
use crate::sasl::client::{self, ScramClient};
use crate::sasl::scram::ScramHash;
use crate::sasl::server::Mechanism;
use crate::types::{Secret, SecretKind};

/// Who submits.
#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: Secret,
    /// What the password is.
    pub kind: SecretKind,
    /// Tells random text; without it there is no SCRAM.
    pub nonce: fn() -> Option<String>,
}

/// The mechanism is named and not known (RFC 4954 section 4).
const UNKNOWN_MECHANISM: u16 = 504;

/// Logs in by the best way that the server knows.
pub(super) async fn log_in(conversation: &mut Conversation, login: &Login) -> Result<(), SendError> {
    let mut answer: Option<RawReply> = None;
    for mechanism in Mechanism::ALL.into_iter().filter(|mechanism| login.can(*mechanism)) {
        if !conversation.extensions.has_auth(mechanism.name()) {
            continue;
        }
        let reply = match mechanism {
            Mechanism::Scram(hash) => match (login.nonce)() {
                Some(nonce) => by_scram(conversation, login, hash, nonce).await?,
                None => continue,
            },
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => by_token(conversation, login, mechanism).await?,
            Mechanism::Plain => by_plain(conversation, login).await?,
            Mechanism::Login => by_login(conversation, login).await?,
        };
        let unknown = reply.code == UNKNOWN_MECHANISM;
        answer = Some(reply);
        if !unknown {
            break;
        }
    }
    let Some(reply) = answer else {
        let text = match login.kind {
            SecretKind::Password => "it offers no way to log in with a password on this connection",
            SecretKind::Token => "it offers no way to log in with a token on this connection (OAUTHBEARER, XOAUTH2)",
        };
        return Err(conversation.login_refused(text.to_owned()));
    };
    match reply.verdict() {
        Verdict::Done => Ok(()),
        Verdict::NotNow => Err(conversation.refused(&reply)),
        Verdict::GoOn | Verdict::Never => {
            let text = reply.to_reply().text.replace(login.password.expose(), "...");
            Err(conversation.login_refused(format!("{} {text}", reply.code)))
        }
    }
}

impl Login {
    fn credentials(&self) -> Credentials {
        Credentials { user: self.user.clone(), authorize_as: None, password: self.password.clone() }
    }

    fn can(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Scram(_) => self.kind == SecretKind::Password && client::may_scram(&self.user, &self.password),
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => self.kind == SecretKind::Token,
            Mechanism::Plain | Mechanism::Login => self.kind == SecretKind::Password,
        }
    }
}

/// Both sides prove that they know the password (RFC 5802).
async fn by_scram(
    conversation: &mut Conversation,
    login: &Login,
    hash: ScramHash,
    nonce: String,
) -> Result<RawReply, SendError> {
    let (client, first) = ScramClient::begin(hash, &login.user, nonce);
    let reply = conversation.secret(format!("AUTH {} {}\r\n", hash.mechanism(), STANDARD.encode(first))).await?;
    if reply.verdict() != Verdict::GoOn {
        return Ok(reply);
    }
    let answered = client.answer(&challenge(&reply), &login.password);
    let (proving, answer) = answered.map_err(|error| conversation.login_refused(error.to_string()))?;
    let reply = conversation.secret(format!("{}\r\n", STANDARD.encode(answer))).await?;
    match reply.verdict() {
        Verdict::GoOn if proving.is_proof(&challenge(&reply)) => conversation.secret("\r\n".to_owned()).await,
        // It lets us in and cannot have checked the password: it is another than it says.
        Verdict::GoOn | Verdict::Done => {
            let text = "it does not prove that it knows the password, and may be another server than it says";
            Err(conversation.login_refused(text.to_owned()))
        }
        Verdict::NotNow | Verdict::Never => Ok(reply),
    }
}

/// A token; where it is refused the server says why before it says no, and wants an answer (RFC 7628 section 3.2.3).
async fn by_token(conversation: &mut Conversation, login: &Login, mechanism: Mechanism) -> Result<RawReply, SendError> {
    let (host, port) = (&conversation.endpoint.host, conversation.endpoint.port);
    let response = match mechanism {
        Mechanism::OAuthBearer => client::oauth_bearer(&login.credentials(), host, port),
        _ => client::xoauth2(&login.credentials()),
    };
    let response = STANDARD.encode(response);
    let mut reply = conversation.secret(format!("AUTH {} {response}\r\n", mechanism.name())).await?;
    if reply.verdict() == Verdict::GoOn && challenge(&reply).is_empty() {
        reply = conversation.secret(format!("{response}\r\n")).await?;
    }
    match reply.verdict() {
        Verdict::GoOn => {
            let answer = if mechanism == Mechanism::OAuthBearer { "AQ==\r\n" } else { "\r\n" };
            conversation.secret(answer.to_owned()).await
        }
        _ => Ok(reply),
    }
}

async fn by_plain(conversation: &mut Conversation, login: &Login) -> Result<RawReply, SendError> {
    let response = STANDARD.encode(client::plain(&login.credentials()));
    let reply = conversation.secret(format!("AUTH PLAIN {response}\r\n")).await?;
    match reply.verdict() {
        // Outlook takes the response only when asked for it (QUIRKS.md row 18).
        Verdict::GoOn => conversation.secret(format!("{response}\r\n")).await,
        _ => Ok(reply),
    }
}

/// User and password, each when asked for.
async fn by_login(conversation: &mut Conversation, login: &Login) -> Result<RawReply, SendError> {
    let mut reply = conversation.secret("AUTH LOGIN\r\n".to_owned()).await?;
    for answer in [login.user.as_str(), login.password.expose()] {
        if reply.verdict() == Verdict::GoOn {
            reply = conversation.secret(format!("{}\r\n", STANDARD.encode(answer))).await?;
        }
    }
    Ok(reply)
}

/// What a 334 holds; nothing where it is no base64.
fn challenge(reply: &RawReply) -> Vec<u8> {
    let line = reply.lines.first().map(String::as_str).unwrap_or_default();
    STANDARD.decode(line.trim()).unwrap_or_default()
}
