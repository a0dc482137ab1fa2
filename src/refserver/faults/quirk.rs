//! What can be wrong with a server, by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::profile::Profile;
use crate::imap::server::{Capabilities, Capability};

macro_rules! quirks {
    ($($(#[doc = $what:literal])+ $variant:ident = $name:literal,)*) => {
        /// One deviation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Quirk {
            $($(#[doc = $what])+ $variant,)*
        }

        impl Quirk {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As `--quirk` takes it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What is wrong, and with whose servers.
            pub const fn what(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($what),+),)*
                }
            }
        }
    };
}

quirks! {
    /// Says that every message vanished, at each resynchronisation (Cyrus)
    VanishedEverything = "vanished-everything",
    /// Tells no ENABLED in answer to ENABLE (iCloud)
    UnconfirmedEnable = "unconfirmed-enable",
    /// Puts a word of its own behind CAPABILITY before the login (iCloud)
    StrayCapability = "stray-capability",
    /// Sends an ENABLED without anything in it in answer to SELECT (Cyrus)
    StrayEnabled = "stray-enabled",
    /// Writes [THROTTLED] into the text of OK (Gmail)
    ThrottledOk = "throttled-ok",
    /// Gives a response code without a text behind it (Gmail)
    BareCode = "bare-code",
    /// Sends FETCH though .SILENT was asked for (Gmail)
    FetchDespiteSilent = "fetch-despite-silent",
    /// Refuses messages over 16 KiB with BAD [TOOBIG] (Gmail, at 35 MB)
    TooBigBad = "too-big-bad",
    /// Takes the login, and answers BAD to everything behind it, on every third connection (Exchange)
    NotConnected = "not-connected",
    /// Asks to wait half a minute at every thirtieth command (Exchange)
    SuggestedBackoff = "suggested-backoff",
    /// Tells a wrong RFC822.SIZE (Exchange)
    SizeLies = "size-lies",
    /// Answers BAD to more than 25 STATUS at once (Exchange)
    StatusBurst = "status-burst",
    /// Refuses a message with a line over 9,900 bytes (Exchange)
    LongLinesRefused = "long-lines-refused",
    /// Gives COPYUID in an untagged line without OK (Exchange, home.pl)
    UntaggedCopyUid = "untagged-copyuid",
    /// Hangs up with [LIMIT] at every twentieth UID FETCH of a connection (Yahoo)
    RateLimit = "rate-limit",
    /// Refuses the bytes of every fifth message twice with [UNAVAILABLE] (Yahoo)
    UnavailableOnce = "unavailable-once",
    /// Leaves messages out of the answer to a UID FETCH of several (Yahoo)
    DropsFromRanges = "drops-from-ranges",
    /// Does not tell an open session what others expunged (Yahoo)
    SilentExpunge = "silent-expunge",
    /// Answers BAD to a command line over 1000 bytes (Yahoo)
    ShortLines = "short-lines",
    /// Keeps no keywords but $Junk and $NotJunk (Yahoo)
    FewKeywords = "few-keywords",
    /// Gives no UIDNEXT in answer to SELECT (Courier)
    NoUidNext = "no-uidnext",
    /// Sends `* 0 FETCH` (Courier)
    FetchZero = "fetch-zero",
    /// Does not say [CLOSED] (Zimbra)
    NoClosed = "no-closed",
    /// Has another UIDVALIDITY at each connection (Proton Bridge)
    UidValidityBump = "uidvalidity-bump",
    /// Names SASL-IR and answers BAD to its use (NetEase)
    SaslIrBad = "sasl-ir-bad",
    /// Puts a space in front of a closing parenthesis (NetEase)
    SpaceBeforeParen = "space-before-paren",
    /// Gives STATUS without anything in it (NetEase)
    EmptyStatus = "empty-status",
    /// Answers a UID FETCH from the highest UID down (o2.pl)
    FetchBackwards = "fetch-backwards",
    /// Leaves EXISTS out of the answer to every third SELECT (o2.pl)
    NoExists = "no-exists",
    /// Has UIDVALIDITY 1 everywhere, also for a mailbox that was made anew (DavMail)
    UidValidityOne = "uidvalidity-one",
    /// Says BYE to LOGOUT and nothing more (Yandex, mail.ru)
    ByeOnly = "bye-only",
    /// Answers NO [NONEXISTENT] to every seventh SELECT of a mailbox that exists (Gmail)
    NonExistent = "nonexistent",
    /// Forgets a UID EXPUNGE that comes in one pipeline behind UID STORE, and says OK (Dovecot 2.3.19)
    ForgottenExpunge = "forgotten-expunge",
    /// Completes commands that came together in another order (RFC 3501 section 5.5 allows it)
    Reorders = "reorders",
}

impl fmt::Display for Quirk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quirk {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|quirk| quirk.name().eq_ignore_ascii_case(name));
        found.ok_or_else(|| "no such quirk; `--quirk list` tells which there are".to_owned())
    }
}

/// What is wrong with one server. Clones share what it counts.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    profile: Option<&'static Profile>,
    quirks: BTreeSet<Quirk>,
    connections: Arc<AtomicU32>,
    /// How often the bytes of a message were asked for, by its UID.
    tries: Arc<Mutex<BTreeMap<u32, u32>>>,
}

impl Faults {
    pub fn new(quirks: impl IntoIterator<Item = Quirk>) -> Self {
        Self { profile: None, quirks: quirks.into_iter().collect(), connections: Arc::default(), tries: Arc::default() }
    }

    /// A provider's server.
    pub fn of(profile: &'static Profile) -> Self {
        Self { profile: Some(profile), ..Self::new(profile.quirks.iter().copied()) }
    }

    /// With more of them.
    #[must_use]
    pub fn and(mut self, quirks: impl IntoIterator<Item = Quirk>) -> Self {
        self.quirks.extend(quirks);
        self
    }

    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }

    /// Nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.quirks.is_empty() && self.profile.is_none()
    }

    /// A server of a kind that is known by its name goes by that name.
    pub fn server_name(&self) -> Option<&'static str> {
        match self.profile {
            Some(profile) => Some(profile.server_name),
            None if self.has(Quirk::ShortLines) => Some("Yahoo"),
            None if self.has(Quirk::NoClosed) => Some("Zimbra"),
            None => None,
        }
    }

    /// Where its mailboxes are labels: the one that has every message.
    pub fn all_mail(&self) -> Option<&'static str> {
        self.profile.and_then(|profile| profile.all_mail)
    }

    /// What such a server offers. Its lines are rewritten, so they cannot be compressed; those that make up a UIDVALIDITY
    /// have no QRESYNC.
    pub fn capabilities(&self, offered: Capabilities) -> Capabilities {
        let offered = self.profile.map_or(offered, |profile| profile.capabilities().and(offered));
        let offered = if self.is_empty() { offered } else { offered.without(Capability::CompressDeflate) };
        match self.has(Quirk::UidValidityBump) || self.has(Quirk::UidValidityOne) {
            true => offered.without(Capability::QResync),
            false => offered,
        }
    }

    /// How often the bytes of messages with this UID were asked for, with this time.
    pub(super) fn tries_of(&self, uid: u32) -> u32 {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let tries = tries.entry(uid).or_default();
        *tries += 1;
        *tries
    }

    /// The number of a new connection, from 1 on.
    pub(super) fn next_connection(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Every quirk with what it is, for `--quirk list`.
impl Quirk {
    pub fn list() -> String {
        let line = |quirk: &Self| format!("{:<22}{}\n", quirk.name(), quirk.what().trim());
        Self::ALL.iter().map(line).collect()
    }
}
