//! Logging in: what is offered, the exchange of AUTH (RFC 5034), the maildrop that opens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::backend::{Backend, LoginError, Maildrop};
use super::{Session, State, Tls, Transaction};
use crate::sasl::server::{Exchange, Mechanism, Offer, Progress};
use crate::sasl::{Credentials, scram};
use crate::types::{Timestamp, limits};

pub(super) const IN_THE_CLEAR: &str = "-ERR encryption required: say STLS first";

impl<B: Backend> Session<B> {
    /// What AUTH takes at this moment.
    pub(super) fn offer(&self) -> Offer {
        let passwords = self.config.plaintext_auth || self.config.tls == Tls::Active;
        Offer {
            scram: self.config.scram_nonce.is_some(),
            bound: self.config.binding.is_some(),
            passwords,
            tokens: self.backend.offers_tokens(),
        }
    }

    /// RFC 5034 section 4.
    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>, now: Timestamp) {
        let mechanism = match Mechanism::parse(mechanism) {
            Some(mechanism) if self.offer().has(mechanism) => mechanism,
            Some(Mechanism::Plain | Mechanism::Login) => return self.say(IN_THE_CLEAR),
            Some(Mechanism::OAuthBearer | Mechanism::XOAuth2) if self.offer().tokens => return self.say(IN_THE_CLEAR),
            _ => return self.say("-ERR mechanism not offered"),
        };
        let binding = self.config.binding.as_ref();
        match initial {
            None => self.sasl(Exchange::start(mechanism, None, binding), now),
            Some("=") => self.sasl(Exchange::start(mechanism, Some(b""), binding), now),
            Some(initial) => match BASE64.decode(initial) {
                Ok(initial) => self.sasl(Exchange::start(mechanism, Some(&initial), binding), now),
                Err(_) => self.say("-ERR not base64"),
            },
        }
    }

    pub(super) fn continue_auth(&mut self, exchange: Exchange, line: &str, now: Timestamp) {
        match BASE64.decode(line) {
            Ok(response) => self.sasl(exchange.respond(&response), now),
            Err(_) if line == "*" => self.say("-ERR cancelled"),
            Err(_) => self.say("-ERR not base64"),
        }
    }

    fn sasl(&mut self, progress: Progress, now: Timestamp) {
        match progress {
            Progress::Challenge(exchange, challenge) => {
                self.say(format!("+ {}", BASE64.encode(challenge)));
                self.state = State::Sasl(exchange);
            }
            Progress::Keys(first) => {
                let keys = self.backend.scram_keys(&first.user, first.hash);
                self.scram_exchanges += 1;
                let nonce = self.config.scram_nonce.as_deref().unwrap_or_default();
                let nonce = scram::numbered_nonce(nonce, self.scram_exchanges);
                self.sasl(Progress::challenged(first, keys, &nonce), now);
            }
            Progress::Credentials(credentials) => self.login(&credentials, now),
            Progress::Token(credentials) => match self.backend.login_token(&credentials, now) {
                Err(LoginError::Refused) => self.sasl(Progress::token_refused(), now),
                login => self.logged_in(login),
            },
            Progress::Proved(proved) => {
                let login = self.backend.login_proved(&proved, now);
                self.logged_in(login);
            }
            Progress::Refused => self.logged_in(Err(LoginError::Refused)),
            Progress::Malformed => self.say("-ERR not a response of this mechanism"),
        }
    }

    pub(super) fn login(&mut self, credentials: &Credentials, now: Timestamp) {
        let login = self.backend.login(credentials, now);
        self.logged_in(login);
    }

    fn logged_in(&mut self, login: Result<B::Maildrop, LoginError>) {
        match login {
            Ok(maildrop) => {
                let deleted = vec![false; maildrop.messages().len()];
                self.say(format!("+OK {} messages", deleted.len()));
                self.state =
                    State::Transaction(Box::new(Transaction { maildrop, deleted, outgoing: None, utf8: self.utf8 }));
            }
            Err(LoginError::InUse) => self.say(format!("-ERR [IN-USE] {}", LoginError::InUse)),
            Err(LoginError::TooSoon) => self.say(format!("-ERR [LOGIN-DELAY] {}", LoginError::TooSoon)),
            Err(LoginError::Unavailable) => self.say(format!("-ERR [SYS/TEMP] {}", LoginError::Unavailable)),
            Err(LoginError::Refused) => {
                self.say(format!("-ERR [AUTH] {}", LoginError::Refused));
                self.hold();
                self.login_failures += 1;
                if self.login_failures >= limits::LOGIN_FAILURES_MAX {
                    self.state = State::Over;
                }
            }
        }
    }
}
