//! What a session is told at its beginning, and the capability list computed from it.

pub use super::capability::{Capabilities, Capability};
use crate::sasl::server::Offer;
use crate::types::{ChannelBinding, limits};

/// What the root decides for a session.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The program's name, in the greeting and in ID.
    pub name: String,
    /// Its version, in ID.
    pub version: String,
    /// What the server adds to a SCRAM exchange: random, of this session alone. `None`: SCRAM is not offered.
    pub scram_nonce: Option<String>,
    /// What names the TLS connection, where there is one that can be bound to.
    pub binding: Option<ChannelBinding>,
    /// Whether a password may travel on the transport as it is now: under TLS, or on loopback.
    pub plaintext_login: bool,
    /// Whether the tokens of users are taken, if any have some.
    pub tokens: bool,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    pub capabilities: Capabilities,
}

impl SessionConfig {
    /// The SASL mechanisms offered.
    pub(super) const fn offer(&self) -> Offer {
        Offer {
            scram: self.scram_nonce.is_some(),
            bound: self.binding.is_some(),
            passwords: self.plaintext_login,
            tokens: self.tokens,
        }
    }

    /// The capability list (RFC 3501 section 7.2.1), separated by spaces.
    pub fn capability_list(&self, logged_in: bool) -> String {
        let mut list = vec!["IMAP4rev1".to_owned()];
        if !logged_in {
            if self.starttls {
                list.push("STARTTLS".to_owned());
            }
            list.extend(self.offer().names().into_iter().map(|name| format!("AUTH={name}")));
            if !self.plaintext_login {
                list.push("LOGINDISABLED".to_owned());
            }
        }
        list.extend(self.capabilities.iter().map(|capability| match capability {
            Capability::AppendLimit => format!("{}={}", capability.name(), limits::MESSAGE_MAX_BYTES),
            _ => capability.name().to_owned(),
        }));
        list.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_asked_for_only_where_it_may_travel() {
        let mut config = SessionConfig {
            scram_nonce: None,
            binding: None,
            name: "Mailtide".to_owned(),
            version: "1".to_owned(),
            plaintext_login: false,
            tokens: false,
            starttls: true,
            capabilities: Capabilities::none(),
        };
        assert_eq!(config.capability_list(false), "IMAP4rev1 STARTTLS LOGINDISABLED");
        config.plaintext_login = true;
        assert_eq!(config.capability_list(false), "IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=LOGIN");
        assert_eq!(config.capability_list(true), "IMAP4rev1");
        config.tokens = true;
        let expected = "IMAP4rev1 STARTTLS AUTH=OAUTHBEARER AUTH=XOAUTH2 AUTH=PLAIN AUTH=LOGIN";
        assert_eq!(config.capability_list(false), expected);
        // What does not show the password is asked for anywhere.
        (config.plaintext_login, config.scram_nonce) = (false, Some("x".to_owned()));
        let expected = "IMAP4rev1 STARTTLS AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-1 LOGINDISABLED";
        assert_eq!(config.capability_list(false), expected);
    }
}
