//! What the daemon answers. The field names are read by scripts: add, never rename.

use serde::{Deserialize, Serialize};

use crate::types::{ConflictId, EntryId, SubmissionId};

/// The whole daemon at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of this form: 1.
    pub version: u32,
    pub accounts: Vec<Account>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub name: String,
    pub state: State,
    pub last_sync: Option<String>,
    pub last_error: Option<String>,
    pub mailboxes: Vec<Mailbox>,
    pub journal: JournalCounts,
    pub outbox: OutboxCounts,
    pub conflicts: u64,
    /// Removals upstream that wait for the user's word.
    pub blocked: Vec<Blocked>,
}

/// What an account is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Connected, and nothing to do.
    Online,
    /// Connected and at work.
    Syncing,
    /// No connection; tried again by itself.
    Offline,
    /// The user said `offline`.
    Paused,
    /// The server refused the login; tried again rarely, and when the configuration changes.
    AuthFailed,
    /// Something waits for the user's word.
    Blocked,
}

impl State {
    /// As in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Syncing => "syncing",
            Self::Offline => "offline",
            Self::Paused => "paused",
            Self::AuthFailed => "auth-failed",
            Self::Blocked => "blocked",
        }
    }
}

/// One mailbox, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailbox {
    pub name: String,
    pub messages: u64,
    pub unseen: u64,
    pub uidvalidity: u32,
    /// Messages in it with something that upstream does not have yet.
    pub pending: u64,
}

/// Journal entries by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalCounts {
    pub pending: u64,
    pub in_flight: u64,
    pub parked: u64,
}

/// Submissions by state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxCounts {
    pub queued: u64,
    pub sending: u64,
    pub parked: u64,
    pub held: u64,
}

/// A removal that the guard held back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    pub mailbox: String,
    pub why: String,
}

/// The outcome of a sync that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    pub accounts: Vec<SyncedAccount>,
}

/// The outcome for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedAccount {
    pub name: String,
    /// Everything was pulled and pushed.
    pub complete: bool,
    pub state: State,
    pub error: Option<String>,
}

/// A journal entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub id: EntryId,
    pub account: String,
    pub created: String,
    /// `pending`, `in-flight` or `parked`.
    pub state: String,
    pub attempts: u32,
    /// The act in words.
    pub what: String,
    /// Messages whose part is still to be done.
    pub open_messages: u64,
    /// Why it is parked.
    pub why: Option<String>,
}

/// An outgoing message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    pub id: SubmissionId,
    pub account: String,
    pub created: String,
    /// `queued`, `sending`, `handed-over`, `failed` (no recipient got it), `held` or `parked`.
    pub state: String,
    pub filed: bool,
    pub message_id: String,
    pub from: String,
    pub recipients: Vec<Recipient>,
    pub size_bytes: u64,
    pub attempts: u32,
    pub next_attempt: Option<String>,
    pub last_error: Option<String>,
}

/// An outgoing message's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub base64: String,
}

/// One recipient of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: String,
    /// `waiting`, `accepted` or `failed`.
    pub state: String,
    pub reply: Option<String>,
}

/// A recorded conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub id: ConflictId,
    pub account: String,
    pub at: String,
    pub kind: String,
    pub mailbox: String,
    /// What was done here, what upstream, and what came of it.
    pub here: String,
    pub upstream: String,
    pub result: String,
}

/// What to enter in a mail client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientConfig {
    pub imap: String,
    pub smtp: String,
    pub pop3: Option<String>,
    /// `none` or `starttls`.
    pub security: String,
    /// A PEM file that clients may trust, where the certificate was made here.
    pub certificate_authority: Option<String>,
    /// The user names, one for each account, and the addresses to write in From.
    pub users: Vec<ClientUser>,
    pub password: String,
}

/// One user name of the local servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientUser {
    pub user: String,
    pub address: String,
}
