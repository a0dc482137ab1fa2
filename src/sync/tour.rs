//! A tour: mailboxes visited one after the other, each selected and something done there, all of it on its way at once
//! where the server bears that. Round trips do not grow with the number of mailboxes.
//!
//! Rules:
//!
//! - A stop is entered on the trust that its mailbox is still the one that was listed (its UIDVALIDITY). Where it proves
//!   to be another, what was on its way already may have met other messages: reading is dropped, and the guide is told of
//!   changes as done, so that it can take them back. So an [`Errand::Expunge`] only names UIDs that an earlier tour saw
//!   marked `\Deleted` under the same UIDVALIDITY: a stranger's message is not marked.
//! - A stop that is refused leaves no other mailbox selected for its errands ([`Facts::unselect`]): without UNSELECT a tour
//!   must not change anything.
//! - What the guide is told comes in the order of the stops and errands. An error that is no refusal ends the tour.
//!
//! [`Facts::unselect`]: super::remote::Facts::unselect

use super::remote::{CopyUid, Fingerprinted, Known, MessageSink, Remote, RemoteError, RemoteName, Scanned, Selected};
use crate::types::{Flags, ModSeq, RemoteUid, UidSet, UidValidity};

/// A mailbox to be visited.
#[derive(Debug, Clone)]
pub struct Stop {
    pub name: RemoteName,
    /// What it was listed with: the UIDs of the errands are of this incarnation.
    pub uid_validity: UidValidity,
    pub known: Option<Known>,
    pub errands: Vec<Errand>,
}

/// What is to be done at a stop.
#[derive(Debug, Clone)]
pub enum Errand {
    /// As [`Remote::scan`].
    Scan {
        uids: UidSet<RemoteUid>,
        changed_since: Option<ModSeq>,
    },
    /// As [`Remote::present`].
    Present(UidSet<RemoteUid>),
    /// As [`Remote::fingerprints`].
    Fingerprint(UidSet<RemoteUid>),
    /// As [`Remote::fetch`], into the guide.
    Fetch(UidSet<RemoteUid>),
    /// As [`Remote::outline`], into the guide.
    Outline(UidSet<RemoteUid>),
    /// As [`Remote::add_flags`].
    AddFlags {
        uids: UidSet<RemoteUid>,
        flags: Flags,
    },
    /// As [`Remote::remove_flags`].
    RemoveFlags {
        uids: UidSet<RemoteUid>,
        flags: Flags,
    },
    Copy {
        uids: UidSet<RemoteUid>,
        to: RemoteName,
    },
    Move {
        uids: UidSet<RemoteUid>,
        to: RemoteName,
    },
    Expunge(UidSet<RemoteUid>),
}

impl Errand {
    /// Does it change the mailbox?
    pub const fn changes(&self) -> bool {
        !matches!(self, Self::Scan { .. } | Self::Present(_) | Self::Fingerprint(_) | Self::Fetch(_) | Self::Outline(_))
    }

    /// The messages that it stores flags on, if it does.
    pub const fn stores(&self) -> Option<&UidSet<RemoteUid>> {
        match self {
            Self::AddFlags { uids, .. } | Self::RemoveFlags { uids, .. } => Some(uids),
            _ => None,
        }
    }

    /// The command that does it, for errors.
    pub const fn request(&self) -> &'static str {
        match self {
            Self::Scan { .. } | Self::Fingerprint(_) | Self::Fetch(_) | Self::Outline(_) => "FETCH",
            Self::Present(_) => "SEARCH",
            Self::AddFlags { .. } | Self::RemoveFlags { .. } => "STORE",
            Self::Copy { .. } => "COPY",
            Self::Move { .. } => "MOVE",
            Self::Expunge(_) => "EXPUNGE",
        }
    }
}

/// What came of an errand that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    Nothing,
    Scanned(Vec<Scanned>),
    Fingerprinted(Vec<Fingerprinted>),
    /// Which of the messages are there: of flags that were stored, those that have them now.
    Present(UidSet<RemoteUid>),
    /// COPYUID where the server gives it.
    Placed(Option<CopyUid>),
}

impl Brought {
    /// Was the message seen to be there?
    pub fn shows(&self, uid: RemoteUid) -> bool {
        matches!(self, Self::Present(there) if there.contains(uid))
    }
}

/// Who is told, in order: `enter` for each stop; then, unless that was refused, the bytes and `done` of each errand.
/// What it fails with ends the tour.
pub trait Guide: MessageSink {
    /// The stop was entered, or refused.
    fn enter(&mut self, stop: usize, selected: Result<Selected, RemoteError>) -> Result<(), RemoteError>;
    /// The errand was done, or refused.
    fn done(&mut self, stop: usize, errand: usize, brought: Result<Brought, RemoteError>) -> Result<(), RemoteError>;
    /// The server told by itself of a change in the mailbox while errands ran there.
    fn news(&mut self, stop: usize);
}

/// Does one errand in the mailbox selected, by the calls on it.
pub async fn run<R: Remote>(remote: &mut R, errand: &Errand, guide: &mut dyn Guide) -> Result<Brought, RemoteError> {
    let nothing = |()| Brought::Nothing;
    match errand {
        Errand::Scan { uids, changed_since } => remote.scan(uids, *changed_since).await.map(Brought::Scanned),
        Errand::Fetch(uids) => remote.fetch(uids, guide).await.map(nothing),
        Errand::Outline(uids) => remote.outline(uids, guide).await.map(nothing),
        Errand::Present(uids) => remote.present(uids).await.map(Brought::Present),
        Errand::Fingerprint(uids) => remote.fingerprints(uids).await.map(Brought::Fingerprinted),
        Errand::AddFlags { uids, flags } => remote.add_flags(uids, flags).await.map(Brought::Present),
        Errand::RemoveFlags { uids, flags } => remote.remove_flags(uids, flags).await.map(Brought::Present),
        Errand::Copy { uids, to } => remote.copy(uids, to).await.map(Brought::Placed),
        Errand::Move { uids, to } => remote.move_messages(uids, to).await.map(Brought::Placed),
        Errand::Expunge(uids) => remote.expunge(uids).await.map(nothing),
    }
}
