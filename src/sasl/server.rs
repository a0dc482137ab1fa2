//! The server's side of an exchange: SCRAM (RFC 5802), PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login, obsolete
//! and still asked for).

use super::Credentials;
use super::scram::{ScramChallenged, ScramFailure, ScramFirst, ScramHash, ScramKeys, ScramProved};
use crate::types::Secret;

/// A mechanism offered to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Scram(ScramHash),
    Plain,
    Login,
}

/// Which mechanisms a session offers at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// There are SCRAM keys of the users.
    pub scram: bool,
    /// A password may travel as it is: under TLS, or where nobody listens in between.
    pub passwords: bool,
}

impl Mechanism {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Scram(ScramHash::Sha256), Self::Scram(ScramHash::Sha1), Self::Plain, Self::Login];

    /// As registered.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scram(hash) => hash.mechanism(),
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Parses a name in any case.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }
}

impl Offer {
    /// Is it offered?
    pub const fn has(self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::Scram(_) => self.scram,
            Mechanism::Plain | Mechanism::Login => self.passwords,
        }
    }

    /// The names of what is offered, best first.
    pub fn names(self) -> Vec<&'static str> {
        Mechanism::ALL.into_iter().filter(|mechanism| self.has(*mechanism)).map(Mechanism::name).collect()
    }
}

/// One authentication exchange.
#[derive(Debug)]
pub enum Exchange {
    Plain,
    LoginUser,
    LoginPassword {
        user: String,
    },
    /// SCRAM before the client's first message.
    ScramFirst(ScramHash),
    ScramChallenged(Box<ScramChallenged>),
    /// Both proved who they are: the client only has to see the server's proof.
    ScramProved(ScramProved),
}

/// What the exchange wants next.
#[derive(Debug)]
pub enum Progress {
    /// Send this challenge and hand in the answer.
    Challenge(Exchange, Vec<u8>),
    /// The keys of that user are wanted: see [`Self::challenged`].
    Keys(ScramFirst),
    /// The client said who it is; whether that is true is for the one who knows the users.
    Credentials(Credentials),
    /// The client proved who it is.
    Proved(ScramProved),
    /// What should have been a proof is none.
    Refused,
    /// The answer was not of the mechanism's form.
    Malformed,
}

impl Progress {
    /// Goes on with the keys of the one who begins. `nonce` is random and of this exchange alone.
    pub fn challenged(first: ScramFirst, keys: ScramKeys, nonce: &str) -> Self {
        let (challenged, challenge) = first.challenge(keys, nonce);
        Self::Challenge(Exchange::ScramChallenged(Box::new(challenged)), challenge)
    }
}

impl Exchange {
    /// Begins an exchange. `initial` is the initial response where the protocol carried one.
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> Progress {
        let (exchange, question) = match mechanism {
            Mechanism::Scram(hash) => (Self::ScramFirst(hash), &b""[..]),
            Mechanism::Plain => (Self::Plain, &b""[..]),
            Mechanism::Login => (Self::LoginUser, &b"User Name\0"[..]),
        };
        match initial {
            Some(response) => exchange.respond(response),
            None => Progress::Challenge(exchange, question.to_vec()),
        }
    }

    /// Takes the client's answer to the last challenge.
    pub fn respond(self, response: &[u8]) -> Progress {
        match self {
            Self::Plain => plain(response).map_or(Progress::Malformed, Progress::Credentials),
            Self::LoginUser => match text(response) {
                Some(user) if !user.is_empty() => {
                    Progress::Challenge(Self::LoginPassword { user }, b"Password\0".to_vec())
                }
                _ => Progress::Malformed,
            },
            Self::LoginPassword { user } => match text(response) {
                Some(password) => {
                    Progress::Credentials(Credentials { user, authorize_as: None, password: Secret::new(password) })
                }
                None => Progress::Malformed,
            },
            Self::ScramFirst(hash) => ScramFirst::read(hash, response).map_or(Progress::Malformed, Progress::Keys),
            Self::ScramChallenged(challenged) => match challenged.check(response) {
                Ok((proved, proof)) => Progress::Challenge(Self::ScramProved(proved), proof),
                Err(ScramFailure::Refused) => Progress::Refused,
                Err(ScramFailure::Malformed) => Progress::Malformed,
            },
            Self::ScramProved(proved) if response.is_empty() => Progress::Proved(proved),
            Self::ScramProved(_) => Progress::Malformed,
        }
    }
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 section 2).
fn plain(message: &[u8]) -> Option<Credentials> {
    let mut parts = message.split(|byte| *byte == 0);
    let (authzid, authcid, passwd) = (text(parts.next()?)?, text(parts.next()?)?, text(parts.next()?)?);
    if parts.next().is_some() || authcid.is_empty() {
        return None;
    }
    let authorize_as = Some(authzid).filter(|authzid| !authzid.is_empty() && *authzid != authcid);
    Some(Credentials { user: authcid, authorize_as, password: Secret::new(passwd) })
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_gives_user_and_password() {
        let Progress::Credentials(given) = Exchange::start(Mechanism::Plain, Some(b"\0tim\0tanstaaftanstaaf")) else {
            panic!("RFC 4616 section 4's own example is valid");
        };
        assert_eq!((given.user.as_str(), given.authorize_as), ("tim", None));
        assert!(given.password.matches("tanstaaftanstaaf"));
    }

    #[test]
    fn what_is_not_plain_is_malformed() {
        for message in [&b""[..], b"tim", b"\0tim", b"\0\0pass", b"\0a\0b\0c", b"\0\xff\0b"] {
            assert!(matches!(Exchange::start(Mechanism::Plain, Some(message)), Progress::Malformed), "{message:?}");
        }
    }

    #[test]
    fn login_asks_twice() {
        let Progress::Challenge(exchange, _) = Exchange::start(Mechanism::Login, None) else {
            panic!("asks for the user")
        };
        let Progress::Challenge(exchange, _) = exchange.respond(b"tim") else { panic!("asks for the password") };
        assert!(matches!(exchange.respond(b"secret"), Progress::Credentials(given) if given.user == "tim"));
    }
}
