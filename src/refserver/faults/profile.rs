//! Whole servers: what each provider's offers and what is wrong with it, as data over [`Capability`] and [`Quirk`].
//!
//! A profile is a value, so that `refserver --profile NAME` and the simulator's worlds say the same by it.

use std::fmt;
use std::str::FromStr;

use super::quirk::Quirk;
use crate::imap::server::Capabilities;
use crate::imap::server::Capability::{self, *};

/// A provider's server.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// As `--profile` takes it.
    pub name: &'static str,
    /// What it does, for `--profile list`.
    pub what: &'static str,
    /// What it calls itself.
    pub server_name: &'static str,
    pub offers: &'static [Capability],
    pub quirks: &'static [Quirk],
    /// Where its mailboxes are labels (a message is one thing in several of them): the one that has every message.
    pub all_mail: Option<&'static str>,
}

impl Profile {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "gmail",
            what: "labels, All Mail, CONDSTORE without QRESYNC, [THROTTLED] in texts, codes without a text, FETCH despite .SILENT",
            server_name: "Gmail",
            offers: &[
                SaslIr,
                Id,
                Enable,
                Idle,
                Namespace,
                Children,
                SpecialUse,
                UidPlus,
                Move,
                Unselect,
                ListExtended,
                ListStatus,
                ESearch,
                CondStore,
                Utf8Accept,
                AppendLimit,
                LiteralMinus,
                CompressDeflate,
                Quota,
                GmailLabels,
            ],
            quirks: &[Quirk::ThrottledOk, Quirk::BareCode, Quirk::FetchDespiteSilent, Quirk::NonExistent],
            all_mail: Some("[Gmail]/All Mail"),
        },
        Self {
            name: "exchange",
            what: "no CONDSTORE, wrong sizes, texts that ask to wait, no long lines in messages, few commands at once",
            server_name: "Microsoft Exchange",
            offers: &[SaslIr, Id, Idle, Namespace, Children, UidPlus, Move, Unselect, LiteralPlus],
            quirks: &[
                Quirk::SizeLies,
                Quirk::SuggestedBackoff,
                Quirk::NotConnected,
                Quirk::StatusBurst,
                Quirk::UntaggedCopyUid,
                Quirk::LongLinesRefused,
            ],
            all_mail: None,
        },
        Self {
            name: "icloud",
            what: "names QRESYNC and does not confirm it, a word of its own among its capabilities",
            server_name: "iCloud",
            offers: &[
                SaslIr,
                Id,
                Enable,
                Idle,
                Namespace,
                Children,
                UidPlus,
                Unselect,
                ESearch,
                CondStore,
                QResync,
                Binary,
                Within,
                Sort,
                ESort,
                ThreadOrderedSubject,
                ThreadReferences,
                Quota,
            ],
            quirks: &[Quirk::UnconfirmedEnable, Quirk::StrayCapability, Quirk::VanishedEverything],
            all_mail: None,
        },
        Self {
            name: "yahoo",
            what: "no IDLE, no CONDSTORE, a limit of rate, messages left out, short lines, two keywords",
            server_name: "Yahoo",
            offers: &[SaslIr, Id, Namespace, Children, UidPlus, Move, Unselect, LiteralPlus, ObjectId],
            quirks: &[
                Quirk::RateLimit,
                Quirk::UnavailableOnce,
                Quirk::DropsFromRanges,
                Quirk::SilentExpunge,
                Quirk::ShortLines,
                Quirk::FewKeywords,
            ],
            all_mail: None,
        },
        Self {
            name: "courier-like",
            what: "little beside UIDPLUS and IDLE, no UIDNEXT in answer to SELECT, `* 0 FETCH`",
            server_name: "Courier-IMAP",
            offers: &[Idle, Namespace, Children, UidPlus, ThreadOrderedSubject, ThreadReferences, Sort, Quota],
            quirks: &[Quirk::NoUidNext, Quirk::FetchZero],
            all_mail: None,
        },
        Self {
            name: "protonbridge",
            what: "labels without identities, another UIDVALIDITY at each connection",
            server_name: "Proton Mail Bridge",
            offers: &[Id, Idle, UidPlus, Move, Unselect],
            quirks: &[Quirk::UidValidityBump],
            all_mail: Some("All Mail"),
        },
    ];

    /// What is offered, as a set.
    pub fn capabilities(&self) -> Capabilities {
        self.offers.iter().copied().fold(Capabilities::none(), Capabilities::with)
    }

    /// Every profile with what it is, for `--profile list`.
    pub fn list() -> String {
        Self::ALL.iter().map(|profile| format!("{:<14}{}\n", profile.name, profile.what)).collect()
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl FromStr for &'static Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Profile::ALL.iter().find(|profile| profile.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| "no such profile; `--profile list` tells which there are".to_owned())
    }
}
