//! What the daemon answers. The field names are read by scripts: add, never rename. What is added has a default, so that a
//! syncctl understands a daemon that was not restarted since an upgrade.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bodies::Bodies;
use super::outgoing::Submission;
use crate::types::{ConflictId, EntryId, MessageId};

/// The whole daemon at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Of this form: 1.
    pub version: u32,
    pub accounts: Vec<Account>,
    /// Accounts that the configuration does not name, of which something still waits.
    #[serde(default)]
    pub unconfigured: Vec<Unconfigured>,
}

/// What waits of an account that the configuration does not name (any more).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfigured {
    pub name: String,
    /// Changes to mail and folders that upstream does not have.
    pub changes: u64,
    /// Messages in the outbox.
    pub messages: u64,
}

impl Unconfigured {
    /// What a sync of everything leaves of it.
    pub fn not_synced(&self) -> SyncedAccount {
        let left = Left { journal_waiting: self.changes, outbox_waiting: self.messages, ..Left::default() };
        let (name, error) = (self.name.clone(), Some("it is not in the configuration".to_owned()));
        SyncedAccount { name, complete: false, state: State::Offline, error, left }
    }
}

impl fmt::Display for Unconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, changes, messages } = self;
        write!(
            f,
            "{name:?} is not in the configuration; of it wait {changes} changes to mail and folders and {messages} "
        )?;
        write!(f, "messages to send. An account of that name in the configuration has them done")
    }
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
    #[serde(default)]
    pub bodies: Bodies,
    /// Messages in a POP3 maildrop that its server does not give.
    #[serde(default)]
    pub not_given: Vec<NotGiven>,
    /// How much may be kept on the server, and is; empty: it does not tell.
    #[serde(default)]
    pub quota: Vec<Quota>,
}

/// One resource that a server counts (RFC 9208).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// What the server calls what counts together; often empty.
    pub root: String,
    /// `storage`, counted in bytes, `message`, or another.
    pub resource: String,
    pub used: u64,
    pub limit: u64,
}

/// A message that a server lists and does not give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotGiven {
    /// The unique id by which a POP3 server lists it; for IMAP its UID and mailbox, in words.
    pub unique_id: String,
    pub why: String,
    /// When it is asked for again.
    pub again: String,
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
    /// The accounts that are not waited for.
    pub begun: Vec<String>,
    pub accounts: Vec<SyncedAccount>,
}

/// The outcome for one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncedAccount {
    pub name: String,
    /// Everything was pulled and pushed, and what was to be sent is sent: nothing is left.
    pub complete: bool,
    pub state: State,
    /// Why there was no sync.
    pub error: Option<String>,
    pub left: Left,
}

/// What is still to be done for an account, by itself or by its user. What the user holds back is told beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Journal entries that are tried again by themselves.
    pub journal_waiting: u64,
    pub journal_parked: u64,
    /// Messages being sent, or tried again later.
    pub outbox_waiting: u64,
    pub outbox_parked: u64,
    /// Sent messages of which no copy is in Sent yet.
    pub not_filed: u64,
    /// Mailboxes whose removal upstream waits for the user's word.
    pub blocked: u64,
    /// Messages that the user holds back, which nothing is to be done about.
    #[serde(default)]
    pub outbox_held: u64,
    /// Messages that the server lists and does not give; it is asked again.
    #[serde(default)]
    pub not_given: u64,
}

impl Left {
    /// Nothing is left.
    pub fn is_nothing(&self) -> bool {
        *self == Self { outbox_held: self.outbox_held, ..Self::default() }
    }
}

/// What is left, and how to look at it.
impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.journal_waiting, "journal entry waits", "journal entries wait", " (syncctl journal list)"),
            (self.journal_parked, "journal entry is parked", "journal entries are parked", " (syncctl journal list)"),
            (self.outbox_waiting, "message is not sent yet", "messages are not sent yet", " (syncctl outbox list)"),
            (self.outbox_parked, "message cannot be sent", "messages cannot be sent", " (syncctl outbox list)"),
            (self.not_filed, "sent message is not in Sent yet", "sent messages are not in Sent yet", ""),
            (self.blocked, "mailbox is blocked", "mailboxes are blocked", " (syncctl status)"),
            (
                self.not_given,
                "message is not given by the server",
                "messages are not given by the server",
                " (syncctl status)",
            ),
            (self.outbox_held, "message is held back", "messages are held back", " (syncctl outbox list)"),
        ];
        let told = kinds.into_iter().filter(|(count, ..)| *count > 0).map(|(count, one, more, look)| {
            let what = if count == 1 { one } else { more };
            format!("{count} {what}{look}")
        });
        f.write_str(&told.collect::<Vec<_>>().join(", "))
    }
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
    /// The mailbox it is about, by its name here; of a move, a copy or a renaming where it began. `null`: it is deleted.
    #[serde(default)]
    pub mailbox: Option<String>,
    /// Where a move, a copy or a renaming leads.
    #[serde(default)]
    pub to_mailbox: Option<String>,
    /// How many messages the act is about.
    #[serde(default)]
    pub messages: u64,
    /// That of its message, where it is one.
    #[serde(default)]
    pub subject: Option<String>,
    /// Messages whose part is still to be done.
    pub open_messages: u64,
    /// Why it is parked.
    pub why: Option<String>,
    /// What giving it up does here, for people.
    pub discarding: String,
    /// Giving it up takes mail out of a mailbox here.
    pub discarding_removes_mail: bool,
}

/// A recorded conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    pub id: ConflictId,
    pub account: String,
    pub at: String,
    pub kind: String,
    /// The mailbox's name at that time.
    pub mailbox: String,
    /// The message it is about; `null` where it is about a mailbox, or the message is known no more.
    pub message: Option<Headline>,
    /// What was done here, what upstream, and what came of it.
    pub here: String,
    pub upstream: String,
    pub result: String,
}

/// By what people know a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    pub subject: String,
    pub from: String,
    pub message_id: Option<String>,
    /// The mailbox it is in now; `null`: in none any more.
    pub mailbox: Option<String>,
}

/// A message that is in no mailbox any more and can be put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    pub id: MessageId,
    pub account: String,
    pub at: String,
    /// The mailbox it was in.
    pub from_mailbox: String,
    pub why: String,
    pub from: String,
    pub subject: String,
    pub size_bytes: u64,
    /// When its bytes are forgotten.
    pub until: String,
    /// Its bytes are here.
    pub recoverable: bool,
    /// The mailboxes in which the same bytes are (again).
    pub also_in: Vec<String>,
}

/// A message put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    pub id: MessageId,
    pub account: String,
    pub mailbox: String,
    pub uid: u32,
}

/// What was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many messages match.
    pub total: u64,
    /// Messages of which that cannot be told: their text is not here.
    #[serde(default)]
    pub unsearched: u64,
    /// Where these are.
    #[serde(default)]
    pub unsearched_in: Vec<Unsearched>,
    /// The newest of those that match, the newest first.
    pub messages: Vec<FoundMessage>,
}

/// Messages of an account whose text is only at the server, which did not say what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsearched {
    pub account: String,
    pub messages: u64,
    pub state: State,
    /// Why there is no connection, where there is none.
    pub error: Option<String>,
}

/// A message that matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundMessage {
    pub account: String,
    pub mailbox: String,
    /// At the local IMAP server.
    pub uid: u32,
    /// When it was received.
    pub date: String,
    pub from: String,
    pub subject: String,
    pub message_id: Option<String>,
    pub unread: bool,
    pub size_bytes: u64,
    /// Its text is only at the server, and not here.
    #[serde(default)]
    pub at_server: bool,
    /// The words around what was found.
    pub snippet: String,
}

/// All that is known of the messages with one Message-ID.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub message_id: String,
    pub copies: Vec<Copy>,
    /// As mail on its way out.
    pub submissions: Vec<Submission>,
}

/// One of the messages with that Message-ID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    pub id: MessageId,
    pub account: String,
    pub subject: String,
    pub from: String,
    pub size_bytes: u64,
    /// Its text is here, and not its header alone.
    #[serde(default = "yes")]
    pub is_here: bool,
    pub flags: String,
    /// Where it is here; `null`: in no mailbox any more.
    pub here: Option<Place>,
    /// Where the server had it when last looked at; `null`: it does not have it.
    pub upstream: Option<Place>,
    /// The unique id by which a POP3 server lists it.
    #[serde(default)]
    pub popped_as: Option<String>,
    /// When it came into its mailbox here.
    pub since: String,
    pub gone: Option<Gone>,
    /// What is still to be done about it upstream.
    pub pending: Vec<Entry>,
    /// What was changed on both sides, dismissed or not.
    pub conflicts: Vec<Conflict>,
}

/// A mailbox and a UID in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub mailbox: String,
    pub uid: u32,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// What is wrong in the store, whatever the servers have.
    pub store: Vec<String>,
    /// Contents whose bytes were read and compared with their hash.
    pub contents: u64,
    /// Messages whose bytes were spoilt here, dropped, and are fetched again.
    #[serde(default)]
    pub fetched_again: u64,
    pub accounts: Vec<VerifiedAccount>,
}

/// One account beside its server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedAccount {
    pub name: String,
    pub mailboxes: u64,
    pub messages: u64,
    /// How the two sides differ in what should be settled.
    pub differences: Vec<String>,
    /// Mailboxes that could not be compared, and why.
    #[serde(default)]
    pub uncompared: Vec<String>,
    /// Journal entries still to be done upstream: what they are about was not compared.
    pub unsettled: u64,
    /// Messages in the maildrop that the account's mail is taken from: only what is there is compared. `null`: a mirror.
    #[serde(default)]
    pub in_maildrop: Option<u64>,
    /// Why the server could not be asked; `null`: it was.
    pub error: Option<String>,
}

/// What to enter in a mail client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientConfig {
    pub imap: String,
    pub smtp: String,
    pub pop3: Option<String>,
    /// `none` or `starttls`.
    pub security: String,
    /// Under TLS from the start.
    #[serde(default)]
    pub imaps: Option<String>,
    #[serde(default)]
    pub smtps: Option<String>,
    #[serde(default)]
    pub pop3s: Option<String>,
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

const fn yes() -> bool {
    true
}
