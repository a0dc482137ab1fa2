//! The server's side of an exchange: SCRAM (RFC 5802), PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login, obsolete
//! and still asked for).

use super::Credentials;
use super::scram::{Bound, ScramChallenged, ScramFailure, ScramFirst, ScramHash, ScramKeys, ScramProved, saslname};
use crate::types::{ChannelBinding, Secret};

/// A mechanism offered to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Scram(ScramHash),
    /// Bound to the TLS connection, so that nobody in between can pass it on.
    ScramPlus(ScramHash),
    /// RFC 7628: a bearer token.
    OAuthBearer,
    /// Its forerunner, which most know.
    XOAuth2,
    Plain,
    Login,
}

/// Which mechanisms a session offers at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// There are SCRAM keys of the users.
    pub scram: bool,
    /// The connection can be bound to (RFC 5802 section 6).
    pub bound: bool,
    /// A password may travel as it is: under TLS, or where nobody listens in between.
    pub passwords: bool,
    /// There are users with tokens; those travel where passwords may.
    pub tokens: bool,
}

impl Mechanism {
    /// All of them, best first.
    pub const ALL: [Self; 8] = [
        Self::ScramPlus(ScramHash::Sha256),
        Self::ScramPlus(ScramHash::Sha1),
        Self::Scram(ScramHash::Sha256),
        Self::Scram(ScramHash::Sha1),
        Self::OAuthBearer,
        Self::XOAuth2,
        Self::Plain,
        Self::Login,
    ];

    /// As registered.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramPlus(hash) => hash.bound_mechanism(),
            Self::Scram(hash) => hash.mechanism(),
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
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
            Mechanism::ScramPlus(_) => self.scram && self.bound,
            Mechanism::Scram(_) => self.scram,
            Mechanism::OAuthBearer | Mechanism::XOAuth2 => self.passwords && self.tokens,
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
    ScramFirst(ScramHash, Bound),
    ScramChallenged(Box<ScramChallenged>),
    /// Both proved who they are: the client only has to see the server's proof.
    ScramProved(ScramProved),
    OAuthBearer,
    XOAuth2,
    /// The client was told why, and answers before it is refused (RFC 7628 section 3.2.3).
    TokenRefused,
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
    /// The client holds a token, in place of the password, of the one it says it is. Where that is not true: see
    /// [`Self::token_refused`].
    Token(Credentials),
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

    /// Says what is wrong with a token.
    pub fn token_refused() -> Self {
        Self::Challenge(Exchange::TokenRefused, br#"{"status":"invalid_token"}"#.to_vec())
    }
}

impl Exchange {
    /// Begins an exchange. `initial` is the initial response where the protocol carried one, `binding` what names the
    /// connection, where that can be bound to.
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>, binding: Option<&ChannelBinding>) -> Progress {
        let unbound = if binding.is_some() { Bound::NotThoughOffered } else { Bound::Not };
        let (exchange, question) = match mechanism {
            Mechanism::Scram(hash) => (Self::ScramFirst(hash, unbound), &b""[..]),
            Mechanism::ScramPlus(hash) => {
                let bound = binding.cloned().map_or(unbound, Bound::To);
                (Self::ScramFirst(hash, bound), &b""[..])
            }
            Mechanism::OAuthBearer => (Self::OAuthBearer, &b""[..]),
            Mechanism::XOAuth2 => (Self::XOAuth2, &b""[..]),
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
            Self::ScramFirst(hash, bound) => {
                ScramFirst::read(hash, bound, response).map_or(Progress::Malformed, Progress::Keys)
            }
            Self::ScramChallenged(challenged) => match challenged.check(response) {
                Ok((proved, proof)) => Progress::Challenge(Self::ScramProved(proved), proof),
                Err(ScramFailure::Refused) => Progress::Refused,
                Err(ScramFailure::Malformed) => Progress::Malformed,
            },
            Self::ScramProved(proved) if response.is_empty() => Progress::Proved(proved),
            Self::ScramProved(_) => Progress::Malformed,
            Self::OAuthBearer => oauth_bearer(response).unwrap_or(Progress::Malformed),
            Self::XOAuth2 => xoauth2(response).unwrap_or(Progress::Malformed),
            Self::TokenRefused => Progress::Refused,
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

/// `client-resp = (gs2-header kvsep *kvpair kvsep)` (RFC 7628 section 3.1), with the user as authorization identity.
fn oauth_bearer(message: &[u8]) -> Option<Progress> {
    let message = text(message)?;
    let (header, pairs) = message.split_once('\u{1}')?;
    let user = header.strip_prefix("n,a=").or_else(|| header.strip_prefix("y,a="))?.strip_suffix(',')?;
    bearer(saslname(user)?, pairs)
}

/// `user=NAME ^A auth=Bearer TOKEN ^A ^A`
fn xoauth2(message: &[u8]) -> Option<Progress> {
    let message = text(message)?;
    let (user, pairs) = message.strip_prefix("user=")?.split_once('\u{1}')?;
    bearer(user.to_owned(), pairs)
}

/// The token among `kvpair = key "=" value kvsep`. An empty value "is how a client can query for the needed scope" (RFC 7628
/// section 4.3).
fn bearer(user: String, pairs: &str) -> Option<Progress> {
    let value = pairs.strip_suffix("\u{1}\u{1}")?.split('\u{1}').find_map(|pair| pair.strip_prefix("auth="))?;
    if value.is_empty() {
        return Some(Progress::token_refused());
    }
    let (scheme, token) = value.split_once(' ')?;
    let fits = scheme.eq_ignore_ascii_case("Bearer") && !token.trim().is_empty() && !user.is_empty();
    fits.then(|| Progress::Token(Credentials { user, authorize_as: None, password: Secret::new(token.trim()) }))
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_gives_user_and_password() {
        let Progress::Credentials(given) = Exchange::start(Mechanism::Plain, Some(b"\0tim\0tanstaaftanstaaf"), None)
        else {
            panic!("RFC 4616 section 4's own example is valid");
        };
        assert_eq!((given.user.as_str(), given.authorize_as), ("tim", None));
        assert!(given.password.matches("tanstaaftanstaaf"));
    }

    #[test]
    fn what_is_not_plain_is_malformed() {
        for message in [&b""[..], b"tim", b"\0tim", b"\0\0pass", b"\0a\0b\0c", b"\0\xff\0b"] {
            assert!(
                matches!(Exchange::start(Mechanism::Plain, Some(message), None), Progress::Malformed),
                "{message:?}"
            );
        }
    }

    #[test]
    fn a_token_is_read_in_both_forms_and_only_in_them() {
        let given = |mechanism, message: &str| match Exchange::start(mechanism, Some(message.as_bytes()), None) {
            Progress::Token(given) => Some((given.user, given.password.expose().to_owned())),
            _ => None,
        };
        let expected = Some(("a@x".to_owned(), "tok".to_owned()));
        let bearer = "n,a=a@x,\u{1}host=h\u{1}port=143\u{1}auth=Bearer tok\u{1}\u{1}";
        assert_eq!(given(Mechanism::OAuthBearer, bearer), expected);
        assert_eq!(given(Mechanism::XOAuth2, "user=a@x\u{1}auth=bearer tok\u{1}\u{1}"), expected);
        let credentials = Credentials { user: "a@x".to_owned(), authorize_as: None, password: Secret::new("tok") };
        let said =
            [super::super::client::oauth_bearer(&credentials, "h", 143), super::super::client::xoauth2(&credentials)];
        for (mechanism, said) in [Mechanism::OAuthBearer, Mechanism::XOAuth2].into_iter().zip(said) {
            assert_eq!(given(mechanism, std::str::from_utf8(&said).expect("text")), expected);
        }
        for message in [
            "",
            "n,,\u{1}auth=Bearer tok\u{1}\u{1}",
            "n,a=a@x,\u{1}auth=Basic tok\u{1}\u{1}",
            "n,a=a@x,\u{1}auth=Bearer \u{1}\u{1}",
            "n,a=a@x,\u{1}auth=Bearer tok\u{1}",
            "user=\u{1}auth=Bearer tok\u{1}\u{1}",
        ] {
            assert_eq!(given(Mechanism::OAuthBearer, message), None, "{message:?}");
            assert_eq!(given(Mechanism::XOAuth2, message), None, "{message:?}");
        }
    }

    #[test]
    fn login_asks_twice() {
        let Progress::Challenge(exchange, _) = Exchange::start(Mechanism::Login, None, None) else {
            panic!("asks for the user")
        };
        let Progress::Challenge(exchange, _) = exchange.respond(b"tim") else { panic!("asks for the password") };
        assert!(matches!(exchange.respond(b"secret"), Progress::Credentials(given) if given.user == "tim"));
    }
}
