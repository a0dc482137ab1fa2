//! What a session is told at its beginning, and the capability list computed from it: a capability that is off is
//! neither listed nor understood.

use crate::sasl::server::Mechanism;

/// What the root decides for a session.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// The program's name, in the greeting and in ID.
    pub name: String,
    /// Its version, in ID.
    pub version: String,
    /// Whether a password may travel on the transport as it is now: under TLS, or on loopback.
    pub plaintext_login: bool,
    /// Whether STARTTLS is offered.
    pub starttls: bool,
    pub capabilities: Capabilities,
}

/// An extension that can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Capability {
    /// RFC 7888
    LiteralPlus,
    /// RFC 4959
    SaslIr,
    /// RFC 2971
    Id,
    /// RFC 5161
    Enable,
    /// RFC 2177
    Idle,
    /// RFC 2342
    Namespace,
    /// RFC 3348
    Children,
    /// RFC 6154
    SpecialUse,
    /// RFC 6154 section 3
    CreateSpecialUse,
    /// RFC 4315
    UidPlus,
    /// RFC 6851
    Move,
    /// RFC 3691
    Unselect,
    /// RFC 5258
    ListExtended,
    /// RFC 5819
    ListStatus,
    /// RFC 8438
    StatusSize,
    /// RFC 3502
    MultiAppend,
    /// RFC 4731
    ESearch,
    /// RFC 7162
    CondStore,
    /// RFC 7162 section 3.2
    QResync,
}

impl Capability {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 19] = [
        Self::LiteralPlus,
        Self::SaslIr,
        Self::Id,
        Self::Enable,
        Self::Idle,
        Self::Namespace,
        Self::Children,
        Self::SpecialUse,
        Self::CreateSpecialUse,
        Self::UidPlus,
        Self::Move,
        Self::Unselect,
        Self::ListExtended,
        Self::ListStatus,
        Self::StatusSize,
        Self::MultiAppend,
        Self::ESearch,
        Self::CondStore,
        Self::QResync,
    ];

    /// As registered.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LiteralPlus => "LITERAL+",
            Self::SaslIr => "SASL-IR",
            Self::Id => "ID",
            Self::Enable => "ENABLE",
            Self::Idle => "IDLE",
            Self::Namespace => "NAMESPACE",
            Self::Children => "CHILDREN",
            Self::SpecialUse => "SPECIAL-USE",
            Self::CreateSpecialUse => "CREATE-SPECIAL-USE",
            Self::UidPlus => "UIDPLUS",
            Self::Move => "MOVE",
            Self::Unselect => "UNSELECT",
            Self::ListExtended => "LIST-EXTENDED",
            Self::ListStatus => "LIST-STATUS",
            Self::StatusSize => "STATUS=SIZE",
            Self::MultiAppend => "MULTIAPPEND",
            Self::ESearch => "ESEARCH",
            Self::CondStore => "CONDSTORE",
            Self::QResync => "QRESYNC",
        }
    }

    /// The capability without which this one makes no sense.
    const fn rests_on(self) -> Option<Self> {
        match self {
            Self::CreateSpecialUse => Some(Self::SpecialUse),
            Self::ListStatus => Some(Self::ListExtended),
            Self::QResync => Some(Self::CondStore),
            _ => None,
        }
    }
}

/// A set of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Every capability this engine has.
    pub const fn all() -> Self {
        Self((1 << Capability::ALL.len()) - 1)
    }

    /// IMAP4rev1 and nothing more.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The set with that one more.
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u32)
    }

    /// The set without that one.
    pub const fn without(self, capability: Capability) -> Self {
        Self(self.0 & !(1 << capability as u32))
    }

    /// Is it in the set, and what it rests on too? QRESYNC can only be asked for by ENABLE.
    pub fn has(self, capability: Capability) -> bool {
        let set = self.0 & (1 << capability as u32) != 0;
        let enable = capability != Capability::QResync || self.has(Capability::Enable);
        set && enable && capability.rests_on().is_none_or(|base| self.has(base))
    }
}

impl SessionConfig {
    /// The capability list (RFC 3501 section 7.2.1), separated by spaces.
    pub fn capability_list(&self, logged_in: bool) -> String {
        let mut list = vec!["IMAP4rev1".to_owned()];
        if !logged_in {
            if self.starttls {
                list.push("STARTTLS".to_owned());
            }
            match self.plaintext_login {
                true => list.extend(Mechanism::ALL.map(|mechanism| format!("AUTH={}", mechanism.name()))),
                false => list.push("LOGINDISABLED".to_owned()),
            }
        }
        let has = |capability: &Capability| self.capabilities.has(*capability);
        list.extend(Capability::ALL.iter().copied().filter(has).map(|capability| capability.name().to_owned()));
        list.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_takes_what_rests_on_it_along() {
        let without = Capabilities::all().without(Capability::CondStore);
        assert!(!without.has(Capability::QResync) && !without.has(Capability::CondStore));
        assert!(without.has(Capability::Move));
        assert!(!Capabilities::none().with(Capability::CreateSpecialUse).has(Capability::CreateSpecialUse));
        assert!(Capability::ALL.into_iter().all(|capability| Capabilities::all().has(capability)));
    }

    #[test]
    fn a_password_is_asked_for_only_where_it_may_travel() {
        let mut config = SessionConfig {
            name: "Mailtide".to_owned(),
            version: "1".to_owned(),
            plaintext_login: false,
            starttls: true,
            capabilities: Capabilities::none(),
        };
        assert_eq!(config.capability_list(false), "IMAP4rev1 STARTTLS LOGINDISABLED");
        config.plaintext_login = true;
        assert_eq!(config.capability_list(false), "IMAP4rev1 STARTTLS AUTH=PLAIN AUTH=LOGIN");
        assert_eq!(config.capability_list(true), "IMAP4rev1");
    }
}
