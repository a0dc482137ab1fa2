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
use crate::sasl::exchange::{self, Exchange};
use crate::sasl::server::Mechanism;
use crate::sasl::{Credentials, client};
use crate::types::{Secret, SecretKind};
use crate::upstream::dial::Endpoint;

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

/// Challenges in one login.
const TURNS_MAX: usize = 8;

/// Logs in by the best way that the server knows.
pub(super) async fn log_in(conversation: &mut Conversation, login: &Login) -> Result<(), SendError> {
    let mut answer: Option<RawReply> = None;
    for mechanism in exchange::usable(&login.credentials(), login.kind) {
        if !conversation.extensions.has_auth(mechanism.name()) {
            continue;
        }
        let nonce = match mechanism {
            Mechanism::Scram(_) => (login.nonce)(),
            _ => Some(String::new()),
        };
        let Some(nonce) = nonce else { continue };
        let reply = login.without_secret(by(conversation, login, mechanism, nonce).await?, &conversation.endpoint);
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
        Verdict::GoOn | Verdict::Never => Err(conversation.login_refused(format!("{} {}", reply.code, reply.text()))),
    }
}

impl Login {
    /// What the server said, which may repeat what it was told.
    fn without_secret(&self, reply: RawReply, to: &Endpoint) -> RawReply {
        let credentials = self.credentials();
        let hide = |line: &String| client::without_secret(line, &credentials, (&to.host, to.port));
        RawReply { lines: reply.lines.iter().map(hide).collect(), ..reply }
    }

    fn credentials(&self) -> Credentials {
        Credentials { user: self.user.clone(), authorize_as: None, password: self.password.clone() }
    }
}

/// One exchange, up to the reply that ends it. Outlook takes the initial response only when it asks for it (QUIRKS.md row
/// 18): then it is said again.
async fn by(
    conversation: &mut Conversation,
    login: &Login,
    mechanism: Mechanism,
    nonce: String,
) -> Result<RawReply, SendError> {
    let place = (conversation.endpoint.host.as_str(), conversation.endpoint.port);
    let mut exchange = Exchange::begin(mechanism, login.credentials(), place, nonce);
    let initial = exchange.initial().map(|response| format!(" {}", STANDARD.encode(response)));
    let command = format!("AUTH {}{}\r\n", mechanism.name(), initial.unwrap_or_default());
    let mut reply = conversation.secret(command).await?;
    for _ in 0..TURNS_MAX {
        let answered = match reply.verdict() {
            Verdict::GoOn => exchange.answer(&challenge(&reply)).map(Some),
            Verdict::Done => exchange.accept().map(|()| None),
            Verdict::NotNow | Verdict::Never => Ok(None),
        };
        let Some(answer) = answered.map_err(|error| conversation.login_refused(error.to_string()))? else { break };
        reply = conversation.secret(format!("{}\r\n", STANDARD.encode(answer))).await?;
    }
    Ok(reply)
}

/// What a 334 holds; nothing where it is no base64.
fn challenge(reply: &RawReply) -> Vec<u8> {
    let line = reply.lines.first().map(String::as_str).unwrap_or_default();
    STANDARD.decode(line.trim()).unwrap_or_default()
}
