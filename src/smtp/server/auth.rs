//! AUTH (RFC 4954): what is offered, the exchange, the login.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::backend::{Backend, LoginError};
use super::{Phase, Role, Session};
use crate::sasl::scram;
use crate::sasl::server::{Exchange, Mechanism, Offer, Progress};
use crate::smtp::reply::{Refusal, Reply};
use crate::types::{ChannelBinding, limits};

impl<B: Backend> Session<B> {
    /// What AUTH takes at this moment.
    pub(super) fn offer(&self) -> Offer {
        let submission = matches!(self.config.role, Role::Submission { .. });
        let protected = self.config.plaintext_auth || self.tls_facts().is_some();
        Offer {
            scram: submission && self.config.scram_nonce.is_some(),
            bound: self.binding().is_some(),
            passwords: submission && protected,
            tokens: self.backend.offers_tokens(),
        }
    }

    fn binding(&self) -> Option<&ChannelBinding> {
        self.tls_facts().and_then(|facts| facts.binding.as_ref())
    }

    /// RFC 4954 section 4.
    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) {
        if !matches!(self.config.role, Role::Submission { .. }) {
            return self.mistake(Reply::new(502, "5.5.1", "Not implemented"));
        }
        if self.client.is_none() || self.user.is_some() || self.transaction.is_some() {
            return self.mistake(Reply::new(503, "5.5.1", "AUTH after EHLO, once, outside a transaction"));
        }
        let mechanism = match Mechanism::parse(mechanism) {
            Some(mechanism) if self.offer().has(mechanism) => mechanism,
            Some(Mechanism::Plain | Mechanism::Login) => {
                return self.mistake(Reply::new(538, "5.7.11", "Encryption required: say STARTTLS first"));
            }
            Some(Mechanism::OAuthBearer | Mechanism::XOAuth2) if self.offer().tokens => {
                return self.mistake(Reply::new(538, "5.7.11", "Encryption required: say STARTTLS first"));
            }
            _ => {
                return self.mistake(Reply::new(504, "5.5.4", "Mechanism not offered"));
            }
        };
        match initial {
            None => self.sasl(Exchange::start(mechanism, None, self.binding())),
            Some("=") => self.sasl(Exchange::start(mechanism, Some(b""), self.binding())),
            Some(initial) => match BASE64.decode(initial) {
                Ok(initial) => self.sasl(Exchange::start(mechanism, Some(&initial), self.binding())),
                Err(_) => self.mistake(bad_base64()),
            },
        }
    }

    /// The client's answer to a challenge; `*` gives up (RFC 4954 section 4).
    pub(super) fn continue_auth(&mut self, exchange: Exchange, line: &str) {
        match BASE64.decode(line) {
            Ok(response) => self.sasl(exchange.respond(&response)),
            Err(_) if line == "*" => self.reply(&Reply::new(501, "5.7.0", "Cancelled")),
            Err(_) => self.mistake(bad_base64()),
        }
    }

    fn sasl(&mut self, progress: Progress) {
        match progress {
            Progress::Challenge(exchange, challenge) => {
                self.reply(&Reply::bare(334, BASE64.encode(challenge)));
                self.phase = Phase::Sasl(exchange);
            }
            Progress::Keys(first) => {
                let keys = self.backend.scram_keys(&first.user, first.hash);
                self.scram_exchanges += 1;
                let nonce = self.config.scram_nonce.as_deref().unwrap_or_default();
                let nonce = scram::numbered_nonce(nonce, self.scram_exchanges);
                self.sasl(Progress::challenged(first, keys, &nonce));
            }
            Progress::Credentials(credentials) => {
                let login = self.backend.login(&credentials);
                self.logged_in(login);
            }
            Progress::Token(credentials) => match self.backend.login_token(&credentials) {
                Err(LoginError::Refused) => self.sasl(Progress::token_refused()),
                login => self.logged_in(login),
            },
            Progress::Proved(proved) => {
                let login = self.backend.login_proved(&proved);
                self.logged_in(login);
            }
            Progress::Refused => self.logged_in(Err(LoginError::Refused)),
            Progress::Malformed => self.mistake(Reply::new(501, "5.5.2", "Not a response of this mechanism")),
        }
    }

    fn logged_in(&mut self, login: Result<String, LoginError>) {
        match login {
            Ok(user) => {
                self.user = Some(user);
                self.reply(&Reply::new(235, "2.7.0", "Welcome"));
            }
            Err(LoginError::Unavailable) => {
                self.reply(&Reply::new(454, "4.7.0", "Logins cannot be checked now"));
            }
            Err(LoginError::Refused) => {
                self.reply(&Reply::new(535, "5.7.8", "Wrong user name or password"));
                self.hold();
                self.login_failures += 1;
                if self.login_failures >= limits::LOGIN_FAILURES_MAX {
                    self.close(&Reply::new(421, "4.7.0", "Too many failed logins"));
                }
            }
        }
    }
}

fn bad_base64() -> Reply {
    Refusal::permanent(501, "5.5.2", "Not base64").reply().clone()
}
