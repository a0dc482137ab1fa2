//! The one SQLite store: accounts, mailboxes, messages and their bytes, the remote map, journal, outbox, conflicts.
//!
//! In one folder: `mailtide.db` holds all but the bytes of messages, which are in files beside it ([`packs`]), and
//! `search.db` is an index that can be deleted ([`search`]). Every write names its [`Origin`] and goes through one writer that groups commits ([`writer`]); readers see one moment each and
//! never wait for it ([`readers`]).
//!
//! Rules:
//!
//! - A call that returns `Ok` is durable (by [`Origin::Upstream`]: it may be lost in a power cut, never torn, until
//!   a mail client was shown it ([`settle`]); it is fetched again). A call that fails changed nothing.
//! - Bytes are durable before anything durable in `mailtide.db` refers to them ([`contents`]).
//! - Locks, in the order in which they may be taken: writer, log, packs, reader pool, watchers; holds
//!   last. No closure given to
//!   [`Store::write`] or [`Store::read`] may call back into `write`.
//! - SQL stands beside the type it fills; columns by name.

mod accounts;
mod anchor;
mod annotations;
mod audit;
mod check;
mod conflicts;
mod contents;
mod discard;
mod fate;
mod files;
mod flag_blocks;
mod flag_rows;
mod flags;
mod former;
mod gone;
mod growth;
mod handle;
mod heal;
mod holds;
mod inspect;
mod journal;
mod keys;
mod labels;
mod lock;
mod mailbox_acts;
mod mailboxes;
mod maildrop;
mod mend;
mod message_acts;
mod messages;
mod migrate;
mod mirror;
mod outbox;
mod outbox_acts;
mod outbox_edit;
mod outlines;
mod overview;
mod packs;
mod quota;
mod reader;
mod readers;
mod reclaim;
mod rights;
mod room;
mod search;
mod settle;
mod sieve;
mod source;
#[cfg(test)]
mod speed;
mod spent;
mod stays;
mod sweep;
mod taken;
mod trace;
mod txn;
mod uid_lists;
mod upload;
mod upstream_allowances;
mod upstream_arrivals;
mod upstream_folders;
mod upstream_guard;
mod upstream_listing;
mod upstream_mailboxes;
mod upstream_matching;
mod upstream_messages;
mod upstream_outcomes;
mod upstream_skipped;
mod view;
mod watch;
mod writer;

mod error;

pub use accounts::Account;
pub use annotations::Annotated;
pub use audit::{Audit, audit};
pub use check::check;
pub use conflicts::{Conflict, NewConflict};
pub use discard::Without;
pub use error::{Error, Result};
pub use fate::{Fate, Moment};
pub use flags::{FlagChange, Stored};
pub use gone::Gone;
pub use growth::Grown;
pub use handle::{Executor, Options, Store};
pub use heal::Healed;
pub use inspect::{Inspected, inspect};
pub use journal::{Part, PartFlags};
pub use mailboxes::Mailbox;
pub use maildrop::{Fresh, Popped, Postponed, Seen, Unpopped};
pub use message_acts::{Appended, Copied, NewMessage};
pub use messages::{Message, With};
pub use mirror::Mirrored;
pub use outbox::{Due, RecipientState, RecipientStatus, Submission, SubmissionState};
pub use outbox_acts::{AttemptOutcome, NewSubmission, RecipientOutcome};
pub use outbox_edit::{Replaced, Replacement};
pub use outlines::{Absent, AbsentCounts, Outline};
pub use overview::{JournalCounts, MailboxCounts, OutboxCounts, Overview};
pub use quota::Quota;
pub use reader::Reader;
pub use rights::Viewer;
pub use search::Findings;
pub use sieve::Sieve;
pub use source::ContentSource;
pub use spent::Spent;
pub use stays::Stays;
pub use sweep::Swept;
pub use txn::Txn;
pub use upload::{StoredContent, Upload};
pub use upstream_arrivals::Arrival;
pub use upstream_folders::Restored;
pub use upstream_guard::{Quarantine, Verdict};
pub use upstream_listing::{ListedMailbox, Listing};
pub use upstream_mailboxes::{Cursor, RemoteMailbox};
pub use upstream_messages::{Binding, Bound, MessageFacts, bound_uids};
pub use upstream_outcomes::{Landed, Parts};
pub use upstream_skipped::NotGiven;
pub use view::{Changed, Changes, Opened, Sizes, Status};
pub use watch::{Wake, Watch};
pub use writer::Pending;

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

impl Origin {
    /// Must a commit survive a power cut at once? What upstream said can be asked again, as long as nobody saw it.
    const fn is_durable(self) -> bool {
        match self {
            Self::LocalUser | Self::Authority => true,
            Self::Upstream => false,
        }
    }
}
