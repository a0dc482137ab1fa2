//! A login as a client, whatever the mechanism: an initial response, and an answer to each challenge.

use super::Credentials;
use super::client::{self, ChallengeError, ScramClient, ScramProving};
use super::server::Mechanism;

/// An exchange under way.
#[derive(Debug)]
pub struct Exchange {
    credentials: Credentials,
    state: State,
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

impl Exchange {
    /// Begins. The initial response is `None` for a mechanism in which the server speaks first. `nonce` is random, and of
    /// this exchange alone.
    pub fn begin(
        mechanism: Mechanism,
        credentials: Credentials,
        (host, port): (&str, u16),
        nonce: String,
    ) -> (Self, Option<Vec<u8>>) {
        let (state, initial) = match mechanism {
            Mechanism::Scram(hash) => {
                let (client, first) = ScramClient::begin(hash, &credentials.user, nonce);
                (State::Scram(client), Some(first))
            }
            Mechanism::OAuthBearer => (State::Token(b"\x01"), Some(client::oauth_bearer(&credentials, host, port))),
            Mechanism::XOAuth2 => (State::Token(b""), Some(client::xoauth2(&credentials))),
            Mechanism::Plain => (State::Plain, Some(client::plain(&credentials))),
            Mechanism::Login => (State::User, None),
        };
        (Self { credentials, state }, initial)
    }

    /// The answer to a challenge.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ExchangeError> {
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
        let (exchange, initial) = Exchange::begin(mechanism, credentials, ("h", 995), nonce);
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
