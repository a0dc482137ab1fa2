//! The client's side: what is sent upstream.
//!
//! SCRAM proves that the password is known without telling it, and asks the same of the server (RFC 5802). A password with
//! characters beyond ASCII would have to be prepared (RFC 4013), which is not done here: [`may_scram`] says no to it.

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Credentials;
use super::scram::{ITERATIONS, ScramHash, binding_input, is_nonce};
use crate::types::{ChannelBinding, Secret};

/// Rounds of hashing that a server may ask for: some seconds of work.
const ITERATIONS_MAX: NonZeroU32 = NonZeroU32::new(2_000_000).expect("not zero");

/// The one message of PLAIN (RFC 4616 section 2), before base64.
pub fn plain(credentials: &Credentials) -> Vec<u8> {
    let authzid = credentials.authorize_as.as_deref().unwrap_or_default();
    [authzid, &credentials.user, credentials.password.expose()].join("\0").into_bytes()
}

/// The one message of OAUTHBEARER (RFC 7628 section 3.1). The password is the token.
pub fn oauth_bearer(credentials: &Credentials, host: &str, port: u16) -> Vec<u8> {
    let user = escaped(&credentials.user);
    let token = credentials.password.expose();
    format!("n,a={user},\u{1}host={host}\u{1}port={port}\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes()
}

/// The one message of XOAUTH2. The password is the token.
pub fn xoauth2(credentials: &Credentials) -> Vec<u8> {
    let Credentials { user, password, .. } = credentials;
    format!("user={user}\u{1}auth=Bearer {}\u{1}\u{1}", password.expose()).into_bytes()
}

/// How much of a secret must stand in a text to be found there: servers cut off what they repeat.
const RECOGNISED_CHARS: usize = 16;

/// What a server said to a login, with the secret left out in each form in which a login tells it.
pub fn without_secret(said: &str, credentials: &Credentials, (host, port): (&str, u16)) -> String {
    let password = credentials.password.expose();
    let sent = [plain(credentials), oauth_bearer(credentials, host, port), xoauth2(credentials), password.into()];
    let encoded = sent.iter().map(|message| STANDARD.encode(message));
    encoded.chain([password.to_owned()]).fold(said.to_owned(), |said, secret| without(&said, &secret))
}

/// `said` with what begins as `secret` does left out, as far as it goes on so.
fn without(said: &str, secret: &str) -> String {
    let head: String = secret.chars().take(RECOGNISED_CHARS).collect();
    if head.is_empty() {
        return said.to_owned();
    }
    let mut shown = String::new();
    let mut rest = said;
    while let Some(at) = rest.find(&head) {
        let (before, found) = rest.split_at(at);
        let alike = found.chars().zip(secret.chars()).take_while(|(one, other)| one == other);
        let end = alike.map(|(one, _)| one.len_utf8()).sum();
        shown.extend([before, "..."]);
        rest = &found[end..];
    }
    shown + rest
}

/// A name as `saslname` (RFC 5802 section 5.1).
fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Would both sides understand the same by this name and password?
pub fn may_scram(user: &str, password: &Secret) -> bool {
    let plain = |text: &str| text.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    plain(user) && plain(password.expose())
}

/// An exchange by SCRAM before the server's challenge.
#[derive(Debug)]
pub struct ScramClient {
    hash: ScramHash,
    gs2_header: String,
    binding: Option<ChannelBinding>,
    bare: String,
    nonce: String,
}

/// The same while the server is to prove that it knows the password.
#[derive(Debug)]
pub struct ScramProving {
    server_signature: Vec<u8>,
}

/// Why the server's challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    #[error("its challenge is none of SCRAM")]
    Malformed,
    #[error("its challenge does not answer ours")]
    OtherNonce,
    #[error("it asks for {0} rounds of hashing, and {ITERATIONS} to {ITERATIONS_MAX} are fine")]
    Rounds(u32),
}

impl ScramClient {
    /// Begins an exchange, with `client-first-message` (RFC 5802 section 7). `nonce` is random, and of this exchange alone;
    /// with a `binding` it is one of the -PLUS mechanism.
    pub fn begin(hash: ScramHash, user: &str, nonce: String, binding: Option<ChannelBinding>) -> (Self, Vec<u8>) {
        let bare = format!("n={},r={nonce}", escaped(user));
        let gs2_header = match &binding {
            Some(_) => format!("p={},,", ChannelBinding::NAME),
            None => "n,,".to_owned(),
        };
        let first = format!("{gs2_header}{bare}").into_bytes();
        (Self { hash, gs2_header, binding, bare, nonce }, first)
    }

    /// Answers `server-first-message` with `client-final-message`.
    pub fn answer(self, challenge: &[u8], password: &Secret) -> Result<(ScramProving, Vec<u8>), ChallengeError> {
        let Self { hash, gs2_header, binding, bare, nonce: own } = self;
        let challenge = std::str::from_utf8(challenge).map_err(|_| ChallengeError::Malformed)?;
        let mut attributes = challenge.split(',');
        let mut attribute = |name: &str| attributes.next().and_then(|attribute| attribute.strip_prefix(name));
        let (nonce, salt, iterations) = (attribute("r="), attribute("s="), attribute("i="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce)).ok_or(ChallengeError::Malformed)?;
        let salt = salt.and_then(|salt| STANDARD.decode(salt).ok()).ok_or(ChallengeError::Malformed)?;
        let iterations = iterations.and_then(|count| count.parse::<u32>().ok()).ok_or(ChallengeError::Malformed)?;
        if nonce.len() <= own.len() || !nonce.starts_with(&own) {
            return Err(ChallengeError::OtherNonce);
        }
        // Fewer would help whoever wants to guess the password from the proof.
        let rounds = NonZeroU32::new(iterations).filter(|count| (ITERATIONS..=ITERATIONS_MAX).contains(count));
        let salted = hash.salted(password.expose(), &salt, rounds.ok_or(ChallengeError::Rounds(iterations))?);
        let without_proof = format!("c={},r={nonce}", binding_input(&gs2_header, binding.as_ref()));
        let auth_message = format!("{bare},{challenge},{without_proof}");
        let client_key = hash.hmac(&salted, b"Client Key");
        let signature = hash.hmac(&hash.digest(&client_key), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, signature)| key ^ signature).collect();
        let server_signature = hash.hmac(&hash.hmac(&salted, b"Server Key"), auth_message.as_bytes());
        let answer = format!("{without_proof},p={}", STANDARD.encode(proof)).into_bytes();
        Ok((ScramProving { server_signature }, answer))
    }
}

impl ScramProving {
    /// Does `server-final-message` prove that the server knows the password?
    pub fn is_proof(&self, message: &[u8]) -> bool {
        let verifier = message.split(|byte| *byte == b',').next().and_then(|first| first.strip_prefix(b"v="));
        verifier.and_then(|verifier| STANDARD.decode(verifier).ok()).is_some_and(|it| it == self.server_signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const CHALLENGE: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn answer(challenge: &str) -> Result<(ScramProving, String), ChallengeError> {
        let (client, first) = ScramClient::begin(ScramHash::Sha256, "user", NONCE.to_owned(), None);
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (proving, answer) = client.answer(challenge.as_bytes(), &Secret::new("pencil"))?;
        Ok((proving, String::from_utf8(answer).expect("ASCII")))
    }

    #[test]
    fn the_standards_own_exchange_holds() {
        let (proving, said) = answer(CHALLENGE).expect("a fine challenge");
        assert_eq!(
            said,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(proving.is_proof(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for wrong in [&b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="[..], b"v=", b"", b"e=invalid-proof"] {
            assert!(!proving.is_proof(wrong), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn a_challenge_that_is_not_of_this_exchange_or_too_cheap_is_not_answered() {
        for (challenge, error) in [
            ("", ChallengeError::Malformed),
            ("m=x,r=a,s=YQ==,i=4096", ChallengeError::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", ChallengeError::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=many", ChallengeError::Malformed),
            ("r=rOprNGfwEbeRWgbNEkqO,s=YQ==,i=4096", ChallengeError::OtherNonce),
            ("r=somebody,s=YQ==,i=4096", ChallengeError::OtherNonce),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=1", ChallengeError::Rounds(1)),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=YQ==,i=4000000000", ChallengeError::Rounds(4_000_000_000)),
        ] {
            assert_eq!(answer(challenge).expect_err(challenge), error, "{challenge}");
        }
    }

    #[test]
    fn a_secret_that_a_server_repeats_is_left_out_in_every_form() {
        let credentials =
            Credentials { user: "ann".to_owned(), authorize_as: None, password: Secret::new("hunter2".repeat(9)) };
        let place = ("h", 25);
        let bearer = STANDARD.encode(oauth_bearer(&credentials, place.0, place.1));
        let forms = [
            credentials.password.expose().to_owned(),
            STANDARD.encode(credentials.password.expose()),
            STANDARD.encode(plain(&credentials)),
            STANDARD.encode(xoauth2(&credentials)),
            bearer[..40].to_owned(),
            bearer,
        ];
        for form in forms {
            let said = without_secret(&format!("é{form} é no {form}"), &credentials, place);
            assert_eq!(said, "é... é no ...", "{form}");
        }
        let empty = Credentials { password: Secret::new(""), ..credentials };
        assert_eq!(without_secret("no", &empty, place), "no");
    }

    #[test]
    fn what_would_have_to_be_prepared_is_left_to_other_mechanisms() {
        assert!(may_scram("a=b,c", &Secret::new("two words")));
        assert!(!may_scram("a", &Secret::new("grün")) && !may_scram("é", &Secret::new("x")));
    }
}
