//! SCRAM (RFC 5802; SHA-256: RFC 7677), bound to the TLS connection (RFC 9266) or not: the password never travels, and what the server keeps of
//! it cannot be used to log in. The server's side; the client's is in [`super::client`].

use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::prep::prepared;
use crate::types::ChannelBinding;

/// Rounds of hashing for keys made here, and the fewest that a server may ask for (RFC 7677 section 4: 4096 at least).
pub(super) const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not zero");

/// Octets of a client's first message that are taken: a name, two nonces.
const MESSAGE_MAX_BYTES: usize = 2048;

/// Which hash a mechanism uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramHash {
    Sha256,
    Sha1,
}

impl ScramHash {
    /// Both, best first.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha1];

    /// The mechanism, as registered.
    pub const fn mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha1 => "SCRAM-SHA-1",
        }
    }

    /// The same with channel binding.
    pub const fn bound_mechanism(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256-PLUS",
            Self::Sha1 => "SCRAM-SHA-1-PLUS",
        }
    }

    /// Parses a mechanism's name in any case.
    pub fn of_mechanism(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.mechanism().eq_ignore_ascii_case(name))
    }

    pub(super) fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    pub(super) fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), bytes).as_ref().to_vec()
    }

    /// `SaltedPassword := Hi(Normalize(password), salt, i)` (RFC 5802 section 3).
    pub(super) fn salted(self, password: &str, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        };
        let mut salted = vec![0; self.length()];
        pbkdf2::derive(algorithm, iterations, salt, prepared(password).as_bytes(), &mut salted);
        salted
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha256 => digest::SHA256_OUTPUT_LEN,
            Self::Sha1 => digest::SHA1_OUTPUT_LEN,
        }
    }
}

/// What a server keeps of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    salt: Vec<u8>,
    iterations: NonZeroU32,
    stored_key: Vec<u8>,
    server_key: Vec<u8>,
}

impl std::fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScramKeys(..)")
    }
}

impl ScramKeys {
    /// The keys of a password (RFC 5802 section 3).
    pub fn derive(hash: ScramHash, password: &str, salt: &[u8]) -> Self {
        let salted = hash.salted(password, salt, ITERATIONS);
        let client_key = hash.hmac(&salted, b"Client Key");
        Self {
            salt: salt.to_vec(),
            iterations: ITERATIONS,
            stored_key: hash.digest(&client_key),
            server_key: hash.hmac(&salted, b"Server Key"),
        }
    }

    /// Keys that no password has: for names nobody has, so that they are not told apart.
    pub fn of_nobody(hash: ScramHash, salt: &[u8]) -> Self {
        let none = vec![0; hash.length()];
        Self { salt: salt.to_vec(), iterations: ITERATIONS, stored_key: none.clone(), server_key: none }
    }

    /// One word, without `:`: `iterations$salt$stored-key$server-key` in BASE64.
    pub fn to_word(&self) -> String {
        let encoded = [&self.salt, &self.stored_key, &self.server_key].map(|bytes| STANDARD.encode(bytes));
        format!("{}${}", self.iterations, encoded.join("$"))
    }

    /// Reads what [`Self::to_word`] wrote.
    pub fn from_word(word: &str) -> Option<Self> {
        let mut parts = word.split('$');
        let iterations = parts.next()?.parse().ok()?;
        let mut bytes = || STANDARD.decode(parts.next()?).ok();
        let (salt, stored_key, server_key) = (bytes()?, bytes()?, bytes()?);
        parts.next().is_none().then_some(Self { salt, iterations, stored_key, server_key })
    }
}

/// The client's first message, read.
#[derive(Debug)]
pub struct ScramFirst {
    pub hash: ScramHash,
    /// Whose keys are wanted.
    pub user: String,
    authorize_as: Option<String>,
    gs2_header: String,
    /// What the client has to name beside the header.
    binding: Option<ChannelBinding>,
    bare: String,
    client_nonce: String,
}

/// Whether an exchange is bound to its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound {
    /// It cannot be.
    Not,
    /// It could be, and who says that they could as well was told otherwise by somebody in between (RFC 5802 section 6).
    NotThoughOffered,
    To(ChannelBinding),
}

impl Bound {
    /// Is the client's `gs2-cbind-flag` one that fits?
    fn fits(&self, flag: &str) -> bool {
        match self {
            Self::Not => matches!(flag, "n" | "y"),
            Self::NotThoughOffered => flag == "n",
            Self::To(_) => flag.strip_prefix("p=") == Some(ChannelBinding::NAME),
        }
    }
}

/// `cbind-input = gs2-header [ cbind-data ]`, in BASE64
pub(super) fn binding_input(gs2_header: &str, binding: Option<&ChannelBinding>) -> String {
    let data = binding.map(ChannelBinding::octets).unwrap_or_default();
    STANDARD.encode([gs2_header.as_bytes(), data].concat())
}

/// The exchange while the client is to prove that it knows the password.
#[derive(Debug)]
pub struct ScramChallenged {
    first: ScramFirst,
    keys: ScramKeys,
    nonce: String,
    server_first: String,
}

/// A client that proved who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScramProved {
    pub user: String,
    pub authorize_as: Option<String>,
}

/// Why there is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramFailure {
    /// The message is not of the mechanism's form.
    Malformed,
    /// The proof is wrong.
    Refused,
}

impl ScramFirst {
    /// Reads `client-first-message = gs2-header client-first-message-bare` (RFC 5802 section 7).
    pub fn read(hash: ScramHash, bound: Bound, message: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= MESSAGE_MAX_BYTES)?;
        let mut parts = text.splitn(3, ',');
        let (flag, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        if !bound.fits(flag) {
            return None;
        }
        let authorize_as = match authzid.strip_prefix("a=") {
            Some(name) => Some(saslname(name)?),
            None if authzid.is_empty() => None,
            None => return None,
        };
        // A mandatory extension, "m=", stands where the name must, and is refused with it.
        let mut attributes = bare.split(',');
        let user = saslname(attributes.next()?.strip_prefix("n=")?)?;
        let client_nonce = attributes.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?.to_owned();
        let (gs2_header, bare) = (format!("{flag},{authzid},"), bare.to_owned());
        let authorize_as = authorize_as.filter(|name| *name != user);
        let binding = match bound {
            Bound::To(binding) => Some(binding),
            Bound::Not | Bound::NotThoughOffered => None,
        };
        Some(Self { hash, user, authorize_as, gs2_header, binding, bare, client_nonce })
    }

    /// The challenge: `server-first-message = nonce "," salt "," iteration-count`. `server_nonce` is random.
    pub fn challenge(self, keys: ScramKeys, server_nonce: &str) -> (ScramChallenged, Vec<u8>) {
        let nonce = format!("{}{server_nonce}", self.client_nonce);
        let server_first = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        let challenge = server_first.clone().into_bytes();
        (ScramChallenged { first: self, keys, nonce, server_first }, challenge)
    }
}

impl ScramChallenged {
    /// Checks `client-final-message`; gives who it is and the server's own proof, `server-final-message`.
    pub fn check(self, message: &[u8]) -> Result<(ScramProved, Vec<u8>), ScramFailure> {
        let text = std::str::from_utf8(message).ok().filter(|text| text.len() <= MESSAGE_MAX_BYTES);
        let (without_proof, proof) = text.and_then(|text| text.rsplit_once(",p=")).ok_or(ScramFailure::Malformed)?;
        let proof = STANDARD.decode(proof).map_err(|_| ScramFailure::Malformed)?;
        let binding = format!("c={}", binding_input(&self.first.gs2_header, self.first.binding.as_ref()));
        let mut attributes = without_proof.split(',');
        let bound = attributes.next() == Some(&binding);
        let same_nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r=")) == Some(&self.nonce);
        if !bound || !same_nonce || proof.len() != self.first.hash.length() {
            return Err(ScramFailure::Refused);
        }
        let hash = self.first.hash;
        let auth_message = format!("{},{},{without_proof}", self.first.bare, self.server_first);
        let signature = hash.hmac(&self.keys.stored_key, auth_message.as_bytes());
        let client_key: Vec<u8> = proof.iter().zip(&signature).map(|(proof, signature)| proof ^ signature).collect();
        // Compared as digests of equal length: in time that does not depend on where they differ.
        if blake3::hash(&hash.digest(&client_key)) != blake3::hash(&self.keys.stored_key) {
            return Err(ScramFailure::Refused);
        }
        let verifier = hash.hmac(&self.keys.server_key, auth_message.as_bytes());
        let proved = ScramProved { user: self.first.user, authorize_as: self.first.authorize_as };
        Ok((proved, format!("v={}", STANDARD.encode(verifier)).into_bytes()))
    }
}

/// The nonce of a session's nth exchange, from 1: another for each.
pub fn numbered_nonce(nonce: &str, exchange: u32) -> String {
    match exchange {
        1 => nonce.to_owned(),
        more => format!("{nonce}{more}"),
    }
}

/// `saslname`: `=2C` and `=3D` stand for `,` and `=` (RFC 5802 section 5.1).
pub(super) fn saslname(text: &str) -> Option<String> {
    let mut pieces = text.split('=');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (escaped, rest) = piece.split_at_checked(2)?;
        name.push(match escaped {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    (!name.is_empty()).then_some(name)
}

/// `printable = %x21-2B / %x2D-7E`
pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchanges of RFC 5802 section 5 and RFC 7677 section 3: user `user`, password `pencil`.
    const EXAMPLES: [(ScramHash, &str, &str, &str, &str, &str, &str); 2] = [
        (
            ScramHash::Sha1,
            "QSXCR+Q6sek8bf92",
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            ScramHash::Sha256,
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ];

    #[test]
    fn the_standards_own_exchanges_hold() {
        for (hash, salt, first, nonce, challenge, last, verifier) in EXAMPLES {
            let keys = ScramKeys::derive(hash, "pencil", &STANDARD.decode(salt).expect("BASE64"));
            assert_eq!(ScramKeys::from_word(&keys.to_word()), Some(keys.clone()));
            let read = || ScramFirst::read(hash, Bound::Not, first.as_bytes()).expect("a first message");
            let (challenged, said) = read().challenge(keys.clone(), nonce);
            assert_eq!(String::from_utf8_lossy(&said), challenge);
            let (proved, said) = challenged.check(last.as_bytes()).expect("the right password");
            assert_eq!((proved.user.as_str(), proved.authorize_as), ("user", None));
            assert_eq!(String::from_utf8_lossy(&said), verifier);
            // Another password's keys, nobody's, another nonce, another binding.
            let others = [ScramKeys::derive(hash, "Pencil", b"salt"), ScramKeys::of_nobody(hash, b"salt")];
            for keys in others {
                let (challenged, _) = read().challenge(keys, nonce);
                assert_eq!(challenged.check(last.as_bytes()), Err(ScramFailure::Refused));
            }
            for wrong in [last.replace("r=", "r=x"), last.replace("c=biws", "c=eSws")] {
                let (challenged, _) = read().challenge(keys.clone(), nonce);
                assert_eq!(challenged.check(wrong.as_bytes()), Err(ScramFailure::Refused));
            }
            let (challenged, _) = read().challenge(keys.clone(), nonce);
            assert_eq!(challenged.check(b"c=biws"), Err(ScramFailure::Malformed));
        }
    }

    #[test]
    fn a_bound_exchange_holds_on_its_own_connection_alone() {
        use super::super::client::ScramClient;
        use crate::types::Secret;
        let (here, elsewhere) = (ChannelBinding::new([7; 32]), ChannelBinding::new([8; 32]));
        let keys = ScramKeys::derive(ScramHash::Sha256, "pencil", b"salt");
        let talk = |client: Option<&ChannelBinding>, server: Bound| {
            let begun = ScramClient::begin(ScramHash::Sha256, "user", "abc".to_owned(), client.cloned());
            let first = ScramFirst::read(ScramHash::Sha256, server, &begun.1).ok_or(ScramFailure::Malformed)?;
            let (challenged, challenge) = first.challenge(keys.clone(), "def");
            let (_, answer) = begun.0.answer(&challenge, &Secret::new("pencil")).expect("a fine challenge");
            challenged.check(&answer).map(|(proved, _)| proved.user)
        };
        assert_eq!(talk(Some(&here), Bound::To(here.clone())).as_deref(), Ok("user"));
        assert_eq!(talk(Some(&elsewhere), Bound::To(here.clone())), Err(ScramFailure::Refused), "passed on");
        assert_eq!(talk(None, Bound::To(here.clone())), Err(ScramFailure::Malformed));
        assert_eq!(talk(Some(&here), Bound::Not), Err(ScramFailure::Malformed));
        assert_eq!(talk(None, Bound::NotThoughOffered).as_deref(), Ok("user"), "who cannot bind says so");
        // Who could, and was told that the server cannot, was lied to.
        for (bound, taken) in [(Bound::Not, true), (Bound::NotThoughOffered, false)] {
            assert_eq!(ScramFirst::read(ScramHash::Sha256, bound, b"y,,n=user,r=abc").is_some(), taken);
        }
        let other = b"p=tls-unique,,n=user,r=abc";
        assert!(ScramFirst::read(ScramHash::Sha256, Bound::To(here), other).is_none(), "another kind of binding");
    }

    #[test]
    fn names_are_unescaped_and_what_is_no_first_message_is_refused() {
        let read = |message: &str| ScramFirst::read(ScramHash::Sha256, Bound::Not, message.as_bytes());
        assert_eq!(read("y,,n=a=2Cb=3Dc,r=x").map(|first| first.user).as_deref(), Some("a,b=c"));
        assert_eq!(read("n,a=bob,n=ann,r=x").and_then(|first| first.authorize_as).as_deref(), Some("bob"));
        assert_eq!(read("n,a=ann,n=ann,r=x").map(|first| first.authorize_as), Some(None));
        for message in [
            "",
            "n,,",
            "p=tls-exporter,,n=a,r=x",
            "n,b,n=a,r=x",
            "n,,m=x,n=a,r=x",
            "n,,n=,r=x",
            "n,,n=a=2Fb,r=x",
            "n,,n=a,r=",
            "n,,n=a",
        ] {
            assert!(read(message).is_none(), "{message}");
        }
    }
}
