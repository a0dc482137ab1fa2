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
use crate::sasl::server::{Exchange, Mechanism, Progress};
use crate::sasl::{Credentials, scram};

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
    if !context.config.plaintext_login {
        return Err(in_the_clear());
    }
    let credentials = Credentials { user, authorize_as: None, password };
    Ok(Done::LoggedIn(backend.login(&credentials)?))
}

pub fn authenticate<B: Backend>(context: &mut Context, backend: &mut B, args: &mut Parser<'_>) -> Outcome<B> {
    let wanted = args.authenticate(context.has(Capability::SaslIr))?;
    let initial = match wanted.initial_response.as_ref().map(|response| response.expose()) {
        None => None,
        Some("=") => Some(Vec::new()),
        Some(response) => Some(decoded(response.as_bytes())?),
    };
    match Mechanism::parse(&wanted.mechanism) {
        Some(mechanism) if context.config.offer().has(mechanism) => {
            let started = Exchange::start(mechanism, initial.as_deref(), context.config.binding.as_ref());
            proceed(context, backend, started)
        }
        Some(Mechanism::Plain | Mechanism::Login) => Err(in_the_clear()),
        Some(Mechanism::OAuthBearer | Mechanism::XOAuth2) if context.config.tokens => Err(in_the_clear()),
        _ => Err(Refusal::no(Code::Cannot, "No such authentication mechanism")),
    }
}

/// Takes the client's answer to a challenge: BASE64, or `*` to give up (RFC 3501 section 6.2.2).
pub fn answer<B: Backend>(context: &mut Context, backend: &mut B, exchange: Exchange, line: &[u8]) -> Outcome<B> {
    if line == b"*" {
        return Err(Refusal::bad("Authentication cancelled"));
    }
    let response = decoded(line)?;
    proceed(context, backend, exchange.respond(&response))
}

fn proceed<B: Backend>(context: &mut Context, backend: &mut B, progress: Progress) -> Outcome<B> {
    match progress {
        Progress::Challenge(exchange, challenge) => Ok(Done::Challenge(exchange, challenge)),
        Progress::Keys(first) => {
            let keys = backend.scram_keys(&first.user, first.hash);
            let nonce = context.config.scram_nonce.clone().unwrap_or_default();
            context.scram_exchanges += 1;
            let nonce = scram::numbered_nonce(&nonce, context.scram_exchanges);
            proceed(context, backend, Progress::challenged(first, keys, &nonce))
        }
        Progress::Credentials(credentials) => Ok(Done::LoggedIn(backend.login(&credentials)?)),
        Progress::Token(credentials) => match backend.login_token(&credentials) {
            Err(LoginError::Refused) => proceed(context, backend, Progress::token_refused()),
            login => Ok(Done::LoggedIn(login?)),
        },
        Progress::Proved(proved) => Ok(Done::LoggedIn(backend.login_proved(&proved)?)),
        Progress::Refused => Err(LoginError::Refused.into()),
        Progress::Malformed => Err(malformed()),
    }
}

fn malformed() -> Refusal {
    Refusal::bad("Not an answer of that mechanism")
}

fn decoded(base64: &[u8]) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(base64).map_err(|_| Refusal::bad("Not BASE64"))
}

fn in_the_clear() -> Refusal {
    Refusal::no(Code::PrivacyRequired, "Passwords are taken only under TLS")
}

/// A challenge as it goes on the wire.
pub fn encoded(challenge: &[u8]) -> String {
    STANDARD.encode(challenge)
}
