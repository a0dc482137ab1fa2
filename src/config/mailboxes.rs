//! What refserver's configuration says of mailboxes: which are nobody's, and how long mail is kept.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::error::{ConfigError, Problem, Source};
use super::value::{number, word};
use crate::types::{Identifier, MailboxName, Rights};

/// A mailbox that is nobody's, and who may do what with it and what will be below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub name: MailboxName,
    pub rights: Vec<(Identifier, Rights)>,
}

/// How long a mailbox keeps its mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// As its owner names it; a name below `Shared/` is nobody's.
    pub mailbox: MailboxName,
    /// Only that user's; `None`: everyone's.
    pub user: Option<String>,
    /// Since the message came into the mailbox.
    pub days: u32,
    /// Where it goes then; `None`: it is deleted.
    pub archive: Option<MailboxName>,
}

#[derive(Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table [[shared]] such as { name = \"Team\", rights = { ann = \"lrswi\" } }"
)]
pub(super) struct RawShared {
    name: SharedName,
    rights: BTreeMap<Who, Letters>,
}

impl RawShared {
    pub(super) fn parsed(self) -> Shared {
        let rights = self.rights.into_iter().map(|(who, letters)| (who.0, letters.0)).collect();
        Shared { name: self.name.0, rights }
    }
}

struct SharedName(MailboxName);

impl<'de> Deserialize<'de> for SharedName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "a mailbox name such as \"Team\" or \"Team/Invoices\"", |text| shared_name(text).map(Self))
    }
}

/// The name of a mailbox that is nobody's, as it stands behind `Shared/`.
pub fn shared_name(text: &str) -> Option<MailboxName> {
    MailboxName::parse(text).ok().filter(|name| !name.is_inbox())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Who(Identifier);

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "a user's name, or \"anyone\"; with a \"-\" in front, rights are taken", |text| {
            Identifier::parse(text).map(Self)
        })
    }
}

struct Letters(Rights);

impl<'de> Deserialize<'de> for Letters {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "letters of l r s w i p k x t e a (RFC 4314)", |text| Rights::parse(text).map(Self))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table [[retention]] such as { mailbox = \"Trash\", days = 30 }")]
pub(super) struct RawRetention {
    mailbox: Named,
    user: Option<String>,
    days: Days,
    archive: Option<Named>,
}

impl RawRetention {
    pub(super) fn parsed(raw: Spanned<Self>, source: &Source<'_>) -> Result<Retention, ConfigError> {
        let place = raw.span();
        let Self { mailbox, user, days, archive } = raw.into_inner();
        let archive = archive.map(|archive| archive.0);
        match archive.as_ref() == Some(&mailbox.0) {
            true => Err(source.error(&place, Problem::ArchiveOfItself { mailbox: mailbox.0 })),
            false => Ok(Retention {
                mailbox: mailbox.0,
                user: user.map(|name| name.to_ascii_lowercase()),
                days: days.0,
                archive,
            }),
        }
    }
}

struct Named(MailboxName);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer, "a mailbox name such as \"Trash\" or \"Shared/Team\"", |text| {
            MailboxName::parse(text).ok().map(Self)
        })
    }
}

struct Days(u32);

impl<'de> Deserialize<'de> for Days {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a number of days from 1 to 36500", 1..=36_500)
            .map(|days| Self(u32::try_from(days).expect("the range is within u32")))
    }
}
