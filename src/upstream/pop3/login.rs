//! From a byte stream to an open maildrop: greeting, STLS (RFC 2595), login (RFC 5034, RFC 1939 section 7).
//!
//! With a password SCRAM where the server offers it, else PLAIN, else LOGIN, else USER and PASS; with a token OAUTHBEARER,
//! else XOAUTH2. A password refused is refused: so nobody gets it by refusing the proof that would not have told it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::capability::Capabilities;
use super::connector::Pop3Connector;
use super::reply::Reply;
use super::wire::Wire;
use crate::sasl::Credentials;
use crate::sasl::exchange::{self, Exchange};
use crate::sasl::server::Mechanism;
use crate::sync::remote::RemoteError;
use crate::types::SecretKind;
use crate::upstream::dial::{self, BoxedStream, Dial, DialError, Endpoint, TlsMode};

/// Longest command line (RFC 5034 section 4): a longer initial response waits to be asked for.
const LINE_MAX_BYTES: usize = 255;

/// Challenges in one login.
const TURNS_MAX: usize = 8;

/// An open maildrop.
pub(super) struct Opened {
    pub wire: Wire,
    pub capabilities: Capabilities,
}

/// Opens the maildrop behind `stream`, which is encrypted already where TLS is implicit.
pub(super) async fn open<D: Dial>(stream: BoxedStream, to: &Pop3Connector<D>) -> Result<Opened, RemoteError> {
    let Pop3Connector { endpoint, tls, timeouts, .. } = to;
    let mut wire = Wire::new(stream, &endpoint.host, *timeouts);
    match wire.greeting().await? {
        Reply::Ok(_) => {}
        Reply::Refused(refusal) => {
            let text = format!("the server refuses service: {}", refusal.told());
            return Err(match refusal.error("the connection", &Capabilities::default()) {
                error @ RemoteError::Wait { .. } => error,
                _ => wire.lost(&text),
            });
        }
        Reply::GoOn(_) => return Err(wire.lost("it greets with a challenge")),
    }
    let mut capabilities = capabilities(&mut wire).await?;
    let mut is_encrypted = endpoint.tls == TlsMode::Implicit;
    if endpoint.tls == TlsMode::StartTls {
        if !capabilities.has("STLS") {
            return Err(insecure(endpoint, "the server does not offer STLS"));
        }
        match wire.command("STLS", "").await? {
            Reply::Ok(_) => {}
            Reply::Refused(refusal) => {
                return Err(insecure(endpoint, &format!("the server refuses STLS: {}", refusal.told())));
            }
            Reply::GoOn(_) => return Err(insecure(endpoint, "the server answers STLS with a challenge")),
        }
        let stream = dial::upgrade(wire.into_stream()?, endpoint, tls, *timeouts).await;
        wire = Wire::new(stream.map_err(|error| dial_error(endpoint, error))?, &endpoint.host, *timeouts);
        is_encrypted = true;
        capabilities = self::capabilities(&mut wire).await?;
    }
    if !is_encrypted && !endpoint.may_be_plain() {
        return Err(insecure(endpoint, "plain text is not allowed to this server"));
    }
    if capabilities.has("UTF8") {
        // Headers then come as they are, not downgraded (RFC 6856 section 2). A refusal leaves all as it was.
        wire.command("UTF8", "").await?;
    }
    log_in(&mut wire, &capabilities, to).await?;
    // Some things are told only to who is logged in (RFC 2449 section 5).
    capabilities = self::capabilities(&mut wire).await?;
    Ok(Opened { wire, capabilities })
}

/// None where the server does not know CAPA.
async fn capabilities(wire: &mut Wire) -> Result<Capabilities, RemoteError> {
    match wire.command("CAPA", "").await? {
        Reply::Ok(_) => Ok(Capabilities::parse(&wire.lines("CAPA").await?)),
        Reply::Refused(_) | Reply::GoOn(_) => Ok(Capabilities::default()),
    }
}

async fn log_in<D: Dial>(
    wire: &mut Wire,
    capabilities: &Capabilities,
    to: &Pop3Connector<D>,
) -> Result<(), RemoteError> {
    for mechanism in exchange::usable(&credentials(to), to.kind) {
        if !capabilities.has_auth(mechanism.name()) {
            continue;
        }
        let Some(nonce) = (to.nonce)() else { continue };
        return by_sasl(wire, capabilities, to, mechanism, nonce).await;
    }
    match to.kind {
        SecretKind::Password => by_pass(wire, capabilities, to).await,
        SecretKind::Token => Err(RemoteError::LoginRefused {
            host: wire.host.clone(),
            text: "it offers no way to log in with a token on this connection (OAUTHBEARER, XOAUTH2)".to_owned(),
        }),
    }
}

async fn by_sasl<D: Dial>(
    wire: &mut Wire,
    capabilities: &Capabilities,
    to: &Pop3Connector<D>,
    mechanism: Mechanism,
    nonce: String,
) -> Result<(), RemoteError> {
    let place = (to.endpoint.host.as_str(), to.endpoint.port);
    let begin = || Exchange::begin(mechanism, credentials(to), place, nonce.clone());
    let (mut exchange, name) = (begin(), mechanism.name());
    let at_once = exchange.initial().map(|response| format!("AUTH {name} {}", STANDARD.encode(response)));
    // Outlook takes a token only when it has asked for it (QUIRKS.md row 18).
    let at_once = at_once.filter(|line| line.len() + 2 <= LINE_MAX_BYTES && mechanism != Mechanism::XOAuth2);
    let mut reply = match at_once {
        Some(line) => wire.secret(&line).await?,
        None => {
            exchange = begin();
            wire.secret(&format!("AUTH {name}")).await?
        }
    };
    let host = wire.host.clone();
    let refused = |text: String| RemoteError::LoginRefused { host: host.clone(), text };
    for _ in 0..TURNS_MAX {
        let challenge = match reply {
            Reply::Ok(_) => return exchange.accept().map_err(|error| refused(error.to_string())),
            Reply::Refused(refusal) => return Err(refusal.login_error(place, capabilities, &credentials(to))),
            Reply::GoOn(challenge) => challenge,
        };
        let answer = exchange.answer(&challenge).map_err(|error| refused(error.to_string()))?;
        reply = wire.secret(&STANDARD.encode(answer)).await?;
    }
    Err(refused("it goes on asking after the last answer".to_owned()))
}

fn credentials<D: Dial>(to: &Pop3Connector<D>) -> Credentials {
    Credentials { user: to.user.clone(), authorize_as: None, password: to.password.clone() }
}

async fn by_pass<D: Dial>(
    wire: &mut Wire,
    capabilities: &Capabilities,
    to: &Pop3Connector<D>,
) -> Result<(), RemoteError> {
    let password = to.password.expose();
    if to.user.chars().chain(password.chars()).any(char::is_control) {
        return Err(RemoteError::Impossible("the user name or password holds a control character".to_owned()));
    }
    for line in [format!("USER {}", to.user), format!("PASS {password}")] {
        match wire.secret(&line).await? {
            Reply::Ok(_) => {}
            Reply::Refused(refusal) => {
                let place = (to.endpoint.host.as_str(), to.endpoint.port);
                return Err(refusal.login_error(place, capabilities, &credentials(to)));
            }
            Reply::GoOn(_) => return Err(wire.lost("it answers USER with a challenge")),
        }
    }
    Ok(())
}

fn insecure(endpoint: &Endpoint, cause: &str) -> RemoteError {
    RemoteError::Insecure { host: endpoint.host.clone(), cause: cause.to_owned() }
}

/// What a failed connection means.
pub(super) fn dial_error(endpoint: &Endpoint, error: DialError) -> RemoteError {
    let host = endpoint.host.clone();
    match error {
        DialError::Unreachable(cause) => RemoteError::Unreachable { place: endpoint.place(), cause },
        DialError::Insecure(cause) => RemoteError::Insecure { host, cause },
    }
}
