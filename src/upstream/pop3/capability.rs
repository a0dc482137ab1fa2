//! What a server says it can do (CAPA, RFC 2449 section 5).

/// The capabilities named in one answer; none where the server does not know CAPA.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Capabilities(Vec<Vec<String>>);

impl Capabilities {
    /// From the lines of an answer.
    pub(super) fn parse(lines: &[String]) -> Self {
        Self(lines.iter().map(|line| line.split_ascii_whitespace().map(str::to_ascii_uppercase).collect()).collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.arguments(name).is_some()
    }

    /// Is the SASL mechanism offered (RFC 5034 section 6)?
    pub(super) fn has_auth(&self, mechanism: &str) -> bool {
        self.arguments("SASL").is_some_and(|named| named.iter().any(|name| name == mechanism))
    }

    /// Seconds to leave between two logins (RFC 2449 section 6.5).
    pub(super) fn login_delay_seconds(&self) -> Option<u64> {
        self.arguments("LOGIN-DELAY")?.first()?.parse().ok()
    }

    fn arguments(&self, name: &str) -> Option<&[String]> {
        self.0.iter().find_map(|words| words.split_first().filter(|(first, _)| *first == name).map(|(_, rest)| rest))
    }
}
