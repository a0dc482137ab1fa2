//! What can be asked of the daemon.

use serde::{Deserialize, Serialize};

use crate::types::{ConflictId, EntryId, MessageId, SubmissionId};

/// A request: the method with its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", content = "params", rename_all = "kebab-case")]
pub enum Request {
    /// Answered by [`super::report::Status`].
    Status,
    /// As `Status`, and again, as a notification of that method, after every change until the connection is closed.
    Follow,
    /// A complete sync of one account or of all. With `wait` it is answered by [`super::report::Synced`] once it is done
    /// or has failed, else at once.
    Sync { account: Option<String>, wait: bool },
    /// Stop (or take up again) talking to the servers of one account or of all. Kept over restarts. Answered by the
    /// accounts' names.
    SetOnline { account: Option<String>, online: bool },
    /// Answered by a list of [`super::report::Entry`].
    JournalList { account: Option<String> },
    /// Answered by an [`super::report::Entry`].
    JournalShow { id: EntryId },
    /// Try parked entries again: one, or all. Answered by their numbers.
    JournalRetry { id: Option<EntryId> },
    /// Give up an entry: what it would have done upstream is not done. Answered by the entry it was.
    JournalDiscard { id: EntryId },
    /// Answered by a list of [`super::outgoing::Submission`]: all of them, or those that are not settled; all at once, or at
    /// most [`crate::types::limits::OUTBOX_PAGE`] with numbers above `after`.
    OutboxList {
        account: Option<String>,
        #[serde(default)]
        waiting: bool,
        #[serde(default)]
        after: Option<SubmissionId>,
    },
    /// Answered by a [`super::outgoing::Submission`].
    OutboxShow { id: SubmissionId },
    /// Do not send for now. Answered, as the next five, by the [`super::outgoing::Submission`] as it is then.
    OutboxHold { id: SubmissionId },
    /// Send a held message, or try a parked one again.
    OutboxRelease { id: SubmissionId },
    /// Never send.
    OutboxCancel { id: SubmissionId },
    /// Try those recipients again that failed.
    OutboxRequeue { id: SubmissionId },
    /// Send at that moment (RFC 3339), not before.
    OutboxSchedule { id: SubmissionId, at: String },
    /// Try everything now that waits for its next attempt. Answered by a [`super::outgoing::Flushed`].
    OutboxFlush { account: Option<String> },
    /// Answered by a [`super::outgoing::Source`].
    OutboxSource { id: SubmissionId },
    /// It lies in an editor, and does not go out, until the next request says otherwise or this connection ends. Answered,
    /// as that one, by the [`super::outgoing::Submission`].
    OutboxEdit { id: SubmissionId },
    /// Nothing comes of the edit: it goes out when it would have.
    OutboxEditEnd { id: SubmissionId },
    /// Send another message in its place, and say so in one step: to these, but for those who have it already, with all that
    /// was asked for it; by whom the new author is, if that is another. Answered by a [`super::outgoing::Replaced`].
    OutboxReplace { id: SubmissionId, base64: String, to: Vec<String>, author: Option<String> },
    /// Answered by a list of [`super::report::Conflict`].
    Conflicts { account: Option<String> },
    /// Seen, and not to be listed any more: one, or all. Answered by their numbers.
    DismissConflicts { id: Option<ConflictId> },
    /// Fetch what of these is not here, and keep it: mailboxes, Message-IDs, numbers of messages. What cannot be had now is
    /// fetched once it can. Answered by a [`super::bodies::Fetched`].
    Fetch { wanted: Vec<String>, account: Option<String> },
    /// Whether the line of one account or of all is metered; `None`: as the configuration says. Kept over restarts.
    /// Answered by the accounts' names.
    SetMetered { account: Option<String>, metered: Option<bool> },
    /// Answered by a list of [`super::report::Gone`], the last gone first.
    Gone { account: Option<String> },
    /// Put gone messages back: each into the mailbox it was in, or all into one. All or none. Answered by a list of
    /// [`super::report::Restored`].
    Restore { ids: Vec<MessageId>, to: Option<String> },
    /// Look for mail (see `message::asked`). Answered by a [`super::report::Found`].
    Search { query: String, account: Option<String>, mailbox: Option<String>, limit: u32 },
    /// What is known of a message. Answered by a [`super::report::Life`].
    Why { message_id: String },
    /// Audit the store, and compare it with the servers unless `store_only`. Answered by [`super::report::Verified`].
    Verify { account: Option<String>, store_only: bool },
    /// The user's word on a removal that the guard held back. Answered by the mailboxes' names.
    Guard { account: String, mailbox: Option<String>, confirm: bool },
    /// Answered by [`super::report::ClientConfig`].
    ClientConfig,
}
