//! The policy: what becomes of a message or a mailbox when both sides acted on it, as one table.
//!
//! The rows are the document's; a pair that the document does not name is decided by two principles: nothing is lost,
//! and the user's act, being replayed, is the later one.

use std::fmt;

/// What the user did to a message here, as far as it is not upstream yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Here {
    Nothing,
    Flags,
    Moved,
    Deleted,
    /// Deleted, being a draft for which another was appended to the same mailbox.
    DraftReplaced,
}

/// What happened to it upstream meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum There {
    Flags,
    Moved,
    Expunged,
    /// Expunged, being a draft for which another arrived in the same mailbox.
    DraftReplaced,
}

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It has both sides' flag changes; its place is not touched.
    MergeFlags,
    /// It goes where upstream has it, with both sides' flag changes.
    Follow,
    /// It stays where the user put it; upstream's copy will be moved there from where it is now.
    StaysHere,
    /// It stays where the user put it; it will be appended there anew.
    AppendAnew,
    /// It is gone, its bytes recoverable.
    Gone,
    /// It is deleted here, and will be upstream.
    Delete,
    /// It is back, where upstream has it; the deletion is off.
    Revive,
}

/// What the user did to a mailbox here, as far as it is not upstream yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FolderHere {
    Nothing,
    Renamed,
    Deleted,
}

/// What happened to the mailbox upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FolderThere {
    Renamed,
    Gone,
    NewMail,
    /// Another mailbox got the name that it has here.
    Namesake,
}

/// What becomes of the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderDecision {
    /// It has the name that upstream gave it.
    UpstreamsName,
    /// It goes, once its messages have been accounted for one by one.
    Goes,
    /// It is made upstream anew, with the messages in it.
    MadeAnew,
    /// It gets a name like the one it has, on both sides.
    MakesWay,
    /// Its new mail is taken in.
    Stays,
    /// It is back, with its messages and the new mail; the deletion is parked.
    Restored,
}

/// A conflict to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictKind {
    FlagsExpunged,
    /// The same, and its bytes were never here.
    FlagsLost,
    MovedMoved,
    MovedExpunged,
    /// The same, and its bytes were never here.
    MovedLost,
    DeletedMoved,
    FolderRenamedTwice,
    FolderRenamedGone,
    FolderRenamedNameTaken,
    FolderDeletedNewMail,
    FolderDeletedRenamed,
    /// Deleted and made again here, while the server kept it.
    FolderMadeAgain,
    DraftReplacedTwice,
    /// Two mailboxes of one name; one is shown under another.
    NameTaken,
    /// Not a conflict of two acts but something upstream that the user must know of.
    LeftMarkedDeleted,
}

/// The policy for a message.
pub const fn message(here: Here, there: There) -> (Decision, Option<ConflictKind>) {
    match (here, there) {
        (Here::Nothing | Here::Flags, There::Flags) => (Decision::MergeFlags, None),
        (Here::Nothing | Here::Flags, There::Moved) => (Decision::Follow, None),
        (Here::Nothing, There::Expunged | There::DraftReplaced) => (Decision::Gone, None),
        (Here::Flags, There::Expunged | There::DraftReplaced) => (Decision::Gone, Some(ConflictKind::FlagsExpunged)),
        (Here::Moved, There::Flags) => (Decision::MergeFlags, None),
        (Here::Moved, There::Moved) => (Decision::StaysHere, Some(ConflictKind::MovedMoved)),
        (Here::Moved, There::Expunged | There::DraftReplaced) => {
            (Decision::AppendAnew, Some(ConflictKind::MovedExpunged))
        }
        (Here::Deleted | Here::DraftReplaced, There::Flags) => (Decision::Delete, None),
        (Here::Deleted | Here::DraftReplaced, There::Moved) => (Decision::Revive, Some(ConflictKind::DeletedMoved)),
        (Here::Deleted, There::Expunged | There::DraftReplaced) | (Here::DraftReplaced, There::Expunged) => {
            (Decision::Gone, None)
        }
        (Here::DraftReplaced, There::DraftReplaced) => (Decision::Gone, Some(ConflictKind::DraftReplacedTwice)),
    }
}

/// The policy for a mailbox.
pub const fn folder(here: FolderHere, there: FolderThere) -> (FolderDecision, Option<ConflictKind>) {
    match (here, there) {
        (FolderHere::Nothing, FolderThere::Renamed) => (FolderDecision::UpstreamsName, None),
        (FolderHere::Renamed, FolderThere::Renamed) => {
            (FolderDecision::UpstreamsName, Some(ConflictKind::FolderRenamedTwice))
        }
        // Someone there keeps it, under a name that the user never deleted.
        (FolderHere::Deleted, FolderThere::Renamed) => {
            (FolderDecision::Restored, Some(ConflictKind::FolderDeletedRenamed))
        }
        (FolderHere::Nothing | FolderHere::Deleted, FolderThere::Gone) => (FolderDecision::Goes, None),
        // As a message that was moved here: the user's act is the later one.
        (FolderHere::Renamed, FolderThere::Gone) => (FolderDecision::MadeAnew, Some(ConflictKind::FolderRenamedGone)),
        (FolderHere::Nothing | FolderHere::Renamed, FolderThere::NewMail)
        | (FolderHere::Nothing | FolderHere::Deleted, FolderThere::Namesake) => (FolderDecision::Stays, None),
        // Others, and filters, know the server's mailbox by its name; nobody but the user knows ours by it.
        (FolderHere::Renamed, FolderThere::Namesake) => {
            (FolderDecision::MakesWay, Some(ConflictKind::FolderRenamedNameTaken))
        }
        (FolderHere::Deleted, FolderThere::NewMail) => {
            (FolderDecision::Restored, Some(ConflictKind::FolderDeletedNewMail))
        }
    }
}

impl ConflictKind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::FlagsExpunged,
        Self::FlagsLost,
        Self::MovedMoved,
        Self::MovedExpunged,
        Self::MovedLost,
        Self::DeletedMoved,
        Self::FolderRenamedTwice,
        Self::FolderRenamedGone,
        Self::FolderRenamedNameTaken,
        Self::FolderDeletedNewMail,
        Self::FolderDeletedRenamed,
        Self::FolderMadeAgain,
        Self::DraftReplacedTwice,
        Self::NameTaken,
        Self::LeftMarkedDeleted,
    ];

    /// As it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FlagsExpunged => "flags-expunged",
            Self::FlagsLost => "flags-lost",
            Self::MovedMoved => "moved-moved",
            Self::MovedExpunged => "moved-expunged",
            Self::MovedLost => "moved-lost",
            Self::DeletedMoved => "deleted-moved",
            Self::FolderRenamedTwice => "folder-renamed-twice",
            Self::FolderRenamedGone => "folder-renamed-gone",
            Self::FolderRenamedNameTaken => "folder-renamed-name-taken",
            Self::FolderDeletedNewMail => "folder-deleted-new-mail",
            Self::FolderDeletedRenamed => "folder-deleted-renamed",
            Self::FolderMadeAgain => "folder-made-again",
            Self::DraftReplacedTwice => "draft-replaced-twice",
            Self::NameTaken => "name-taken",
            Self::LeftMarkedDeleted => "left-marked-deleted",
        }
    }

    /// The same where the message's bytes were never here.
    #[must_use]
    pub const fn without_bytes(self) -> Self {
        match self {
            Self::FlagsExpunged => Self::FlagsLost,
            Self::MovedExpunged => Self::MovedLost,
            other => other,
        }
    }

    /// Reads what [`Self::as_str`] gave.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// What was done here, what upstream, and what came of it, for people.
    pub const fn told(self) -> Told {
        let (here, upstream, result) = match self {
            Self::FlagsExpunged => ("flags changed", "deleted", "gone; it can be recovered"),
            Self::FlagsLost => ("flags changed", "deleted", "gone; its text was never fetched"),
            Self::MovedMoved => ("moved", "moved elsewhere", "it is where you moved it"),
            Self::MovedExpunged => ("moved", "deleted", "it is where you moved it, appended anew upstream"),
            Self::MovedLost => ("moved", "deleted", "gone; its text was never fetched, so it cannot be appended anew"),
            Self::DeletedMoved => ("deleted", "moved", "it stays where it was moved to"),
            Self::FolderRenamedTwice => ("folder renamed", "folder renamed", "the server's name won"),
            Self::FolderRenamedGone => {
                ("folder renamed", "folder deleted", "it has your name for it, and is made anew upstream")
            }
            Self::FolderRenamedNameTaken => {
                ("folder renamed", "another folder of that name made", "your folder has a number after its name")
            }
            Self::FolderDeletedNewMail => ("folder deleted", "new mail came into it", "the folder is back"),
            Self::FolderDeletedRenamed => ("folder deleted", "folder renamed", "it is back under its new name"),
            Self::FolderMadeAgain => {
                ("folder made", "a folder of that name was there still", "they are one, with the messages of both")
            }
            Self::DraftReplacedTwice => ("draft replaced", "draft replaced", "both new drafts are kept"),
            Self::NameTaken => {
                ("folder named so", "another folder named so", "the server's folder has another name here")
            }
            Self::LeftMarkedDeleted => {
                ("moved", "others have messages marked deleted", "copied; the original stays upstream, marked deleted")
            }
        };
        Told { here, upstream, result }
    }
}

impl fmt::Display for ConflictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A conflict in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    pub here: &'static str,
    pub upstream: &'static str,
    pub result: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_the_document_are_decided_as_it_says() {
        use ConflictKind as Kind;
        for (here, there, decision, told) in [
            (Here::Flags, There::Flags, Decision::MergeFlags, None),
            (Here::Flags, There::Expunged, Decision::Gone, Some(Kind::FlagsExpunged)),
            (Here::Moved, There::Flags, Decision::MergeFlags, None),
            (Here::Moved, There::Moved, Decision::StaysHere, Some(Kind::MovedMoved)),
            (Here::Moved, There::Expunged, Decision::AppendAnew, Some(Kind::MovedExpunged)),
            (Here::Deleted, There::Flags, Decision::Delete, None),
            (Here::Deleted, There::Moved, Decision::Revive, Some(Kind::DeletedMoved)),
            (Here::DraftReplaced, There::DraftReplaced, Decision::Gone, Some(Kind::DraftReplacedTwice)),
        ] {
            assert_eq!(message(here, there), (decision, told), "{here:?} {there:?}");
        }
        let renamed = folder(FolderHere::Renamed, FolderThere::Renamed);
        assert_eq!(renamed, (FolderDecision::UpstreamsName, Some(Kind::FolderRenamedTwice)));
        let anew = folder(FolderHere::Renamed, FolderThere::Gone);
        assert_eq!(anew, (FolderDecision::MadeAnew, Some(Kind::FolderRenamedGone)));
        let kept = folder(FolderHere::Deleted, FolderThere::Renamed);
        assert_eq!(kept, (FolderDecision::Restored, Some(Kind::FolderDeletedRenamed)));
        let deleted = folder(FolderHere::Deleted, FolderThere::NewMail);
        assert_eq!(deleted, (FolderDecision::Restored, Some(Kind::FolderDeletedNewMail)));
    }

    #[test]
    fn every_kind_can_be_read_back() {
        for kind in ConflictKind::ALL {
            assert_eq!(ConflictKind::parse(kind.as_str()), Some(kind));
        }
    }
}
