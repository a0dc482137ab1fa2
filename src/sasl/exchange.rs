//! A login as a client, whatever the mechanism: an initial response, and an answer to each challenge.
//!
//! The initial response goes along with the command where the protocol and the server allow it, else it is the answer to
//! the first challenge. Some servers ask for it with an empty challenge though they have it: then it is said once more.

use super::Credentials;
use super::client::{self, ChallengeError, ScramClient, ScramProving};
use super::server::Mechanism;
use crate::types::SecretKind;

/// An exchange under way.
#[derive(Debug)]
pub struct Exchange {
    credentials: Credentials,
    initial: Initial,
    state: State,
}

/// The initial response.
#[derive(Debug)]
enum Initial {
    /// There is none, or it is not said again.
    None,
    Unsaid(Vec<u8>),
    Said(Vec<u8>),
}

#[derive(Debug)]
enum State {
    Scram(ScramClient),
    Proving(ScramProving),
    Proved,
    /// PLAIN has one message.
    Plain,
    /// What a server says before it refuses a token wants an answer (RFC 7628 section 3.2.3).
    Token(&'static [u8]),
    /// LOGIN asks for the user, then for the password.
    User,
    Password,
    Over,
}

/// Why an exchange cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    #[error("it does not prove that it knows the password, and may be another server than it says")]
    NotProved,
    #[error("it goes on asking after the last answer")]
    Endless,
}

/// The mechanisms by which one can log in with that secret, best first.
pub fn usable(credentials: &Credentials, kind: SecretKind) -> impl Iterator<Item = Mechanism> {
    let may_scram = client::may_scram(&credentials.user, &credentials.password);
    Mechanism::ALL.into_iter().filter(move |mechanism| match mechanism {
        Mechanism::Scram(_) => kind == SecretKind::Password && may_scram,
        // What names the connection is not known here.
        Mechanism::ScramPlus(_) => false,
        Mechanism::OAuthBearer | Mechanism::XOAuth2 => kind == SecretKind::Token,
        Mechanism::Plain | Mechanism::Login => kind == SecretKind::Password,
    })
}

impl Exchange {
    /// Begins. `nonce` is random, and of this exchange alone.
    pub fn begin(mechanism: Mechanism, credentials: Credentials, (host, port): (&str, u16), nonce: String) -> Self {
        let (state, initial) = match mechanism {
            Mechanism::Scram(hash) | Mechanism::ScramPlus(hash) => {
                let (client, first) = ScramClient::begin(hash, &credentials.user, nonce, None);
                (State::Scram(client), Some(first))
            }
            Mechanism::OAuthBearer => (State::Token(b"\x01"), Some(client::oauth_bearer(&credentials, host, port))),
            Mechanism::XOAuth2 => (State::Token(b""), Some(client::xoauth2(&credentials))),
            Mechanism::Plain => (State::Plain, Some(client::plain(&credentials))),
            Mechanism::Login => (State::User, None),
        };
        Self { credentials, initial: initial.map_or(Initial::None, Initial::Unsaid), state }
    }

    /// The initial response, to go along with the command; `None` for a mechanism in which the server speaks first.
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.initial, Initial::None) {
            Initial::Unsaid(response) | Initial::Said(response) => {
                self.initial = Initial::Said(response.clone());
                Some(response)
            }
            Initial::None => None,
        }
    }

    /// The answer to a challenge.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        match std::mem::replace(&mut self.initial, Initial::None) {
            Initial::Unsaid(response) => return Ok(response),
            Initial::Said(response) if challenge.is_empty() => return Ok(response),
            Initial::Said(_) | Initial::None => {}
        }
        let (state, answer) = match std::mem::replace(&mut self.state, State::Over) {
            State::Scram(client) => {
                let (proving, answer) = client.answer(challenge, &self.credentials.password)?;
                (State::Proving(proving), answer)
            }
            State::Proving(proving) if proving.is_proof(challenge) => (State::Proved, Vec::new()),
            State::Proving(_) => return Err(ExchangeError::NotProved),
            State::Token(answer) => (State::Over, answer.to_vec()),
            State::User => (State::Password, self.credentials.user.clone().into_bytes()),
            State::Password => (State::Over, self.credentials.password.expose().as_bytes().to_vec()),
            State::Proved | State::Plain | State::Over => return Err(ExchangeError::Endless),
        };
        self.state = state;
        Ok(answer)
    }

    /// The server lets us in: may we believe it? One that skips its proof cannot have checked the password.
    pub fn accept(&self) -> Result<(), ExchangeError> {
        match self.state {
            State::Scram(_) | State::Proving(_) => Err(ExchangeError::NotProved),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::scram::ScramHash;
    use crate::types::Secret;

    fn begin(mechanism: Mechanism) -> (Exchange, Option<String>) {
        let credentials = Credentials { user: "user".to_owned(), authorize_as: None, password: Secret::new("pencil") };
        let nonce = "rOprNGfwEbeRWgbNEkqO".to_owned();
        let mut exchange = Exchange::begin(mechanism, credentials, ("h", 995), nonce);
        let initial = exchange.initial();
        (exchange, initial.map(|bytes| String::from_utf8(bytes).expect("ASCII")))
    }

    #[test]
    fn each_mechanism_says_its_lines_and_no_more() {
        let (mut login, initial) = begin(Mechanism::Login);
        assert_eq!(initial, None);
        assert_eq!(login.answer(b"Username:").as_deref(), Ok(&b"user"[..]));
        assert_eq!(login.answer(b"Password:").as_deref(), Ok(&b"pencil"[..]));
        assert_eq!(login.answer(b"Mother's maiden name:"), Err(ExchangeError::Endless));
        let (mut plain, initial) = begin(Mechanism::Plain);
        assert_eq!(initial.as_deref(), Some("\0user\0pencil"));
        assert_eq!(plain.answer(b"more"), Err(ExchangeError::Endless));
        let (mut token, _) = begin(Mechanism::OAuthBearer);
        assert_eq!(token.answer(b"{\"status\":\"invalid_token\"}").as_deref(), Ok(&b"\x01"[..]));
    }

    #[test]
    fn the_initial_response_is_said_when_it_is_asked_for() {
        let (mut plain, _) = begin(Mechanism::Plain);
        assert_eq!(plain.answer(b"").as_deref(), Ok(&b"\0user\0pencil"[..]), "though it was said with the command");
        assert_eq!(plain.answer(b""), Err(ExchangeError::Endless));
        let credentials = Credentials { user: "user".to_owned(), authorize_as: None, password: Secret::new("pencil") };
        let mut unsaid = Exchange::begin(Mechanism::Plain, credentials, ("h", 995), String::new());
        assert_eq!(unsaid.answer(b"go ahead").as_deref(), Ok(&b"\0user\0pencil"[..]));
        assert_eq!(unsaid.answer(b""), Err(ExchangeError::Endless));
    }

    #[test]
    fn a_server_that_lets_us_in_without_its_proof_is_not_believed() {
        let (mut exchange, _) = begin(Mechanism::Scram(ScramHash::Sha256));
        assert_eq!(exchange.accept(), Err(ExchangeError::NotProved));
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        exchange.answer(challenge).expect("a fine challenge");
        assert_eq!(exchange.accept(), Err(ExchangeError::NotProved));
        exchange.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").expect("the proof");
        assert_eq!(exchange.accept(), Ok(()));
    }
}
