//! Secrets that no build can print (invariant 10).

use zeroize::Zeroizing;

/// A password or token. `Debug` and `Display` never show it; memory is wiped on drop; it is not serialised.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself. Call it only where the bytes go to the peer or into a hash.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Equality in time that does not depend on where the texts differ.
    pub fn matches(&self, other: &str) -> bool {
        // Equal-length digests compare in constant time (`blake3::Hash` guarantees it).
        blake3::hash(self.0.as_bytes()) == blake3::hash(other.as_bytes())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// What the secret of an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretKind {
    #[default]
    Password,
    /// An OAuth 2.0 access token (RFC 6750).
    Token,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(secret.matches("hunter2"));
        assert!(!secret.matches("hunter3"));
    }
}
