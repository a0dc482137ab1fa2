//! Of which messages the bytes are mirrored, and not the header alone.

use super::{Glob, InternalDate, MailboxName, Timestamp};

/// Which bodies of a mailbox are mirrored. Headers, structure, size and flags are, of every message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bodies {
    #[default]
    All,
    Headers,
    /// Those of messages that came in the last so many days.
    RecentDays(u32),
    /// Those of messages of at most so many bytes.
    MaxSize(u64),
}

impl Bodies {
    /// What a message has to be like for its body to be mirrored; `None`: none is.
    pub fn bounds(self, now: Timestamp) -> Option<Bounds> {
        match self {
            Self::All => Some(Bounds::default()),
            Self::Headers => None,
            Self::RecentDays(days) => {
                Some(Bounds { since_s: now.unix_seconds() - i64::from(days) * 86_400, ..Bounds::default() })
            }
            Self::MaxSize(bytes) => Some(Bounds { max_bytes: bytes, ..Bounds::default() }),
        }
    }
}

/// Limits within which bodies are mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub max_bytes: u64,
    /// Received at that second since 1970 or later.
    pub since_s: i64,
}

impl Default for Bounds {
    /// None.
    fn default() -> Self {
        Self { max_bytes: u64::MAX, since_s: i64::MIN }
    }
}

impl Bounds {
    /// Is a message of that size and INTERNALDATE within them?
    pub const fn hold(&self, size_bytes: u64, received: InternalDate) -> bool {
        size_bytes <= self.max_bytes && received.unix_seconds() >= self.since_s
    }
}

/// What of an account's bodies is mirrored, and what that may cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyPolicy {
    pub default: Bodies,
    /// Of mailboxes whose names match. Where several do, the longest pattern counts.
    pub per_folder: Vec<(Glob, Bodies)>,
    /// How many bytes of bodies are fetched from one midnight (UTC) to the next at most.
    pub budget_bytes: Option<u64>,
    /// Nothing is fetched that nobody asked for.
    pub metered: bool,
}

impl BodyPolicy {
    /// Everything, whatever it costs.
    pub const ALL: Self = Self { default: Bodies::All, per_folder: Vec::new(), budget_bytes: None, metered: false };

    /// Which bodies of the mailbox are mirrored.
    pub fn of(&self, mailbox: &MailboxName) -> Bodies {
        let matching = self.per_folder.iter().filter(|(glob, _)| glob.matches(mailbox.as_str()));
        matching.max_by_key(|(glob, _)| glob.length()).map_or(self.default, |(_, bodies)| *bodies)
    }

    /// Are messages that arrive in the mailbox fetched whole at once? What is bounded in any way is looked at first.
    pub fn fetches_at_once(&self, mailbox: &MailboxName) -> bool {
        self.of(mailbox) == Bodies::All && self.is_unlimited()
    }

    /// Is one of so many bytes? Where its size alone decides it need not be looked at first.
    pub fn fetches_at_once_of(&self, mailbox: &MailboxName, size_bytes: u64) -> bool {
        let is_within = match self.of(mailbox) {
            Bodies::All => true,
            Bodies::MaxSize(max) => size_bytes <= max,
            Bodies::Headers | Bodies::RecentDays(_) => false,
        };
        is_within && self.is_unlimited()
    }

    /// Does nothing limit what may be fetched?
    pub const fn is_unlimited(&self) -> bool {
        self.budget_bytes.is_none() && !self.metered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_pattern_that_matches_a_mailbox_counts() {
        let per_folder = vec![
            (Glob::new("Archive/*"), Bodies::Headers),
            (Glob::new("*"), Bodies::MaxSize(9)),
            (Glob::new("Archive/2026*"), Bodies::All),
        ];
        let policy = BodyPolicy { per_folder, ..BodyPolicy::default() };
        for (name, bodies) in [
            ("INBOX", Bodies::MaxSize(9)),
            ("Archive", Bodies::MaxSize(9)),
            ("Archive/2025", Bodies::Headers),
            ("Archive/2026/11", Bodies::All),
        ] {
            assert_eq!(policy.of(&MailboxName::parse(name).expect("a name")), bodies, "{name}");
        }
    }

    #[test]
    fn a_message_on_the_bound_is_within_it() {
        let now = Timestamp::from_unix_ms(10 * 86_400_000);
        let received = |seconds| InternalDate::new(seconds, 0);
        let recent = Bodies::RecentDays(3).bounds(now).expect("some are");
        assert!(recent.hold(u64::MAX, received(7 * 86_400)) && !recent.hold(0, received(7 * 86_400 - 1)));
        let small = Bodies::MaxSize(5).bounds(now).expect("some are");
        assert!(small.hold(5, received(0)) && !small.hold(6, received(0)));
        assert_eq!(Bodies::Headers.bounds(now), None);
    }
}
