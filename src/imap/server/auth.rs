//! CAPABILITY, NOOP, LOGOUT, ID (any state); STARTTLS, LOGIN, AUTHENTICATE (RFC 3501 sections 6.1, 6.2; RFC 2971, 4959);
//! COMPRESS, UNAUTHENTICATE.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::backend::{Backend, LoginError};
use super::config::Capability;
use super::reply::{Context, Done, Refusal, User};
use super::table::Outcome;
use crate::imap::syntax::Parser;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::quote::write_string;
use crate::sasl::Credentials;
use crate::sasl::scram::{ScramChallenged, ScramFailure, ScramFirst, ScramHash, ScramProved};
use crate::sasl::server::{Exchange, Mechanism, Progress};

pub fn capability<B: Backend>(context: &mut Context, logged_in: bool, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    let list = context.config.capability_list(logged_in);
    context.untagged(format_args!("CAPABILITY {list}"));
    Done::ok("Capabilities listed")
}

pub fn noop<B: Backend>(_: &mut Context, _: bool, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    Done::ok("Done")
}

pub fn logout<B: Backend>(context: &mut Context, _: bool, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    context.untagged("BYE Goodbye");
    Ok(Done::Logout)
}

/// What the client says of itself is for the log only (RFC 2971 section 3.1).
pub fn id<B: Backend>(context: &mut Context, _: bool, args: &mut Parser<'_>) -> Outcome<B> {
    let fields = args.id()?;
    if let Some((_, Some(name))) = fields.iter().find(|(field, _)| field.eq_ignore_ascii_case("name")) {
        tracing::debug!(client = %name.escape_debug(), "client identified itself");
    }
    let mut line = b"* ID (\"name\" ".to_vec();
    write_string(&mut line, context.config.name.as_bytes());
    line.extend_from_slice(b" \"version\" ");
    write_string(&mut line, context.config.version.as_bytes());
    line.extend_from_slice(b")\r\n");
    context.out.extend_from_slice(&line);
    Done::ok("Identified")
}

/// COMPRESS (RFC 4978 section 3).
pub fn compress<B: Backend>(context: &mut Context, _: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.sp()?;
    let mechanism = args.atom()?;
    args.end()?;
    if !mechanism.eq_ignore_ascii_case("DEFLATE") {
        return Err(Refusal::bad("Only DEFLATE is known"));
    }
    if context.compressed {
        return Err(Refusal::no(Code::CompressionActive, "COMPRESS is active already"));
    }
    context.compressed = true;
    Ok(Done::Compress)
}

/// UNAUTHENTICATE (RFC 8437 section 3).
pub fn unauthenticate<B: Backend>(_: &mut Context, _: &mut User<B::Account>, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    Ok(Done::Unauthenticate)
}

pub fn starttls<B: Backend>(context: &mut Context, _: &mut B, args: &mut Parser<'_>) -> Outcome<B> {
    args.end()?;
    match context.config.starttls {
        true => Ok(Done::StartTls),
        false => Err(Refusal::bad("TLS is not offered")),
    }
}

pub fn login<B: Backend>(context: &mut Context, backend: &mut B, args: &mut Parser<'_>) -> Outcome<B> {
    let (user, password) = args.login()?;
    refuse_in_the_clear(context)?;
    let credentials = Credentials { user, authorize_as: None, password };
    Ok(Done::LoggedIn(backend.login(&credentials)?))
}

/// An exchange that waits for the client's answer.
#[derive(Debug)]
pub enum SaslExchange {
    /// PLAIN, LOGIN: a password comes.
    Password(Exchange),
    /// SCRAM before the client's first message.
    ScramFirst(ScramHash),
    ScramChallenged(Box<ScramChallenged>),
    /// Both proved who they are: the client only has to see the server's proof.
    ScramProved(ScramProved),
}

pub fn authenticate<B: Backend>(context: &mut Context, backend: &mut B, args: &mut Parser<'_>) -> Outcome<B> {
    let wanted = args.authenticate(context.has(Capability::SaslIr))?;
    let initial = match wanted.initial_response.as_ref().map(|response| response.expose()) {
        None => None,
        Some("=") => Some(Vec::new()),
        Some(response) => Some(decoded(response.as_bytes())?),
    };
    let offered = context.config.scram_nonce.is_some();
    if let Some(hash) = ScramHash::of_mechanism(&wanted.mechanism).filter(|_| offered) {
        let exchange = SaslExchange::ScramFirst(hash);
        return match initial {
            Some(message) => proceed(context, backend, exchange, &message),
            None => Ok(Done::Challenge(exchange, Vec::new())),
        };
    }
    let Some(mechanism) = Mechanism::parse(&wanted.mechanism) else {
        return Err(Refusal::no(Code::Cannot, "No such authentication mechanism"));
    };
    refuse_in_the_clear(context)?;
    password(backend, Exchange::start(mechanism, initial.as_deref()))
}

/// Takes the client's answer to a challenge: BASE64, or `*` to give up (RFC 3501 section 6.2.2).
pub fn answer<B: Backend>(context: &mut Context, backend: &mut B, exchange: SaslExchange, line: &[u8]) -> Outcome<B> {
    if line == b"*" {
        return Err(Refusal::bad("Authentication cancelled"));
    }
    proceed(context, backend, exchange, &decoded(line)?)
}

fn proceed<B: Backend>(context: &mut Context, backend: &mut B, exchange: SaslExchange, message: &[u8]) -> Outcome<B> {
    match exchange {
        SaslExchange::Password(exchange) => password(backend, exchange.respond(message)),
        SaslExchange::ScramFirst(hash) => {
            let first = ScramFirst::read(hash, message).ok_or_else(malformed)?;
            let keys = backend.scram_keys(&first.user, hash);
            let (challenged, challenge) = first.challenge(keys, &scram_nonce(context));
            Ok(Done::Challenge(SaslExchange::ScramChallenged(Box::new(challenged)), challenge))
        }
        SaslExchange::ScramChallenged(challenged) => match challenged.check(message) {
            Ok((proved, proof)) => Ok(Done::Challenge(SaslExchange::ScramProved(proved), proof)),
            Err(ScramFailure::Refused) => Err(LoginError::Refused.into()),
            Err(ScramFailure::Malformed) => Err(malformed()),
        },
        SaslExchange::ScramProved(proved) if message.is_empty() => Ok(Done::LoggedIn(backend.login_proved(&proved)?)),
        SaslExchange::ScramProved(_) => Err(malformed()),
    }
}

fn password<B: Backend>(backend: &mut B, progress: Progress) -> Outcome<B> {
    match progress {
        Progress::Challenge(exchange, challenge) => Ok(Done::Challenge(SaslExchange::Password(exchange), challenge)),
        Progress::Credentials(credentials) => Ok(Done::LoggedIn(backend.login(&credentials)?)),
        Progress::Malformed => Err(malformed()),
    }
}

fn malformed() -> Refusal {
    Refusal::bad("Not an answer of that mechanism")
}

/// The session's nonce, another for each exchange.
fn scram_nonce(context: &mut Context) -> String {
    let nonce = context.config.scram_nonce.clone().unwrap_or_default();
    context.scram_exchanges += 1;
    match context.scram_exchanges {
        1 => nonce,
        more => format!("{nonce}{more}"),
    }
}

fn decoded(base64: &[u8]) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(base64).map_err(|_| Refusal::bad("Not BASE64"))
}

fn refuse_in_the_clear(context: &Context) -> Result<(), Refusal> {
    match context.config.plaintext_login {
        true => Ok(()),
        false => Err(Refusal::no(Code::PrivacyRequired, "Passwords are taken only under TLS")),
    }
}

/// A challenge as it goes on the wire.
pub fn encoded(challenge: &[u8]) -> String {
    STANDARD.encode(challenge)
}
