//! The one SQLite store. Every write names its [`Origin`].

/// On whose behalf a transaction writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The user, through a client of ours: the change and its journal entry.
    LocalUser,
    /// What the upstream server said: the change, the new base, the entries it settles.
    Upstream,
    /// refserver: the change alone.
    Authority,
}
