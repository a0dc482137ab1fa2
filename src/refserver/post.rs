//! What becomes of a message that was taken, in one transaction: copies in INBOXes, a place in the queue.
//!
//! A client that did not hear our 250 sends again. What is known by a key is noted as taken for each recipient, and what
//! comes again is only acknowledged (RFC 5321 section 6.1 warns of the doubles that come otherwise), until the client
//! goes on after our answer: then it saw it, the note is forgotten, and the same message sent anew is a new one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::outbox::sender::Envelope;
use crate::store::{Error, NewMessage, NewSubmission, Origin, Result, Store, StoredContent, Txn};
use crate::types::{AccountId, ContentHash, Flags, InternalDate, MailboxName, SpecialUse, Timestamp, limits};

/// One thing that becomes of a message.
pub(super) enum Post {
    Inbox(AccountId, StoredContent),
    /// Their mailbox for junk; INBOX where there is none.
    Junk(AccountId, StoredContent),
    Queue(NewSubmission),
}

impl Post {
    /// Sent no earlier than `not_before`.
    pub(super) fn queue(
        account: AccountId,
        content: StoredContent,
        envelope: Envelope,
        not_before: Option<Timestamp>,
    ) -> Self {
        let message_id = message_id(&content);
        Self::Queue(NewSubmission { account, content, envelope, message_id, file: false, not_before })
    }
}

/// What a message was noted as: for whom, and as what.
pub(super) type Notes = BTreeSet<(AccountId, ContentHash)>;

/// Notes of messages whose answers were seen. The next message that is taken, whoever brings it, has them forgotten:
/// so that costs no transaction of its own, and there are never more than the open sessions left.
#[derive(Debug, Clone, Default)]
pub struct Seen(Arc<Mutex<Notes>>);

impl Seen {
    pub(super) fn add(&self, notes: Notes) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(notes);
    }

    fn take(&self) -> Notes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has them forgotten now: the server stops.
    pub(super) fn forget(&self, store: &Store, now: Timestamp) -> Result<()> {
        let notes = self.take();
        store.write(Origin::Authority, now, move |txn| forget(txn, &notes))
    }
}

/// Does all of it, but for what was done already under the same `key` and may be the same message. Gives what it was
/// noted as.
pub(super) fn post(
    store: &Store,
    posts: Vec<Post>,
    key: Option<ContentHash>,
    seen: &Seen,
    now: Timestamp,
) -> Result<Notes> {
    let forgotten = Arc::new(Mutex::new(Notes::new()));
    let (taken, forgetting) = (seen.clone(), Arc::clone(&forgotten));
    let posted = store.write(Origin::Authority, now, move |txn| {
        // Within the transaction: the one that notes a message again comes after the one that forgets it, or before.
        let old = taken.take();
        forgetting.lock().unwrap_or_else(PoisonError::into_inner).extend(old.iter().copied());
        forget(txn, &old)?;
        let mut notes = Notes::new();
        for post in posts {
            match post {
                Post::Inbox(account, content) => {
                    if is_new(txn, account, key, "", &mut notes)? {
                        deliver(txn, account, None, content)?;
                    }
                }
                Post::Junk(account, content) => {
                    if is_new(txn, account, key, "", &mut notes)? {
                        deliver(txn, account, Some(SpecialUse::Junk), content)?;
                    }
                }
                Post::Queue(new) => queue(txn, new, key, &mut notes)?,
            }
        }
        Ok(notes)
    });
    if posted.is_err() {
        seen.add(std::mem::take(&mut *forgotten.lock().unwrap_or_else(PoisonError::into_inner)));
    }
    posted
}

fn forget(txn: &mut Txn<'_>, notes: &Notes) -> Result<()> {
    notes.iter().try_for_each(|(account, key)| txn.forget_taken(*account, key))
}

/// Into the mailbox of that use, or INBOX.
fn deliver(txn: &mut Txn<'_>, account: AccountId, into: Option<SpecialUse>, content: StoredContent) -> Result<()> {
    let special = match into {
        Some(_) => txn.reader().mailboxes(account)?.into_iter().find(|mailbox| mailbox.special_use == into),
        None => None,
    };
    let mailbox = match special {
        Some(mailbox) => mailbox,
        None => txn.reader().mailbox_named(account, &MailboxName::inbox())?.ok_or(Error::NoSuchMailbox)?,
    };
    let (flags, internal_date) = (Flags::none(), InternalDate::from(txn.now()));
    txn.append(mailbox.id, &[NewMessage { content, flags, internal_date, email_id: None }]).map(drop)
}

fn queue(txn: &mut Txn<'_>, mut new: NewSubmission, key: Option<ContentHash>, notes: &mut Notes) -> Result<()> {
    let mut recipients = Vec::with_capacity(new.envelope.recipients.len());
    for recipient in std::mem::take(&mut new.envelope.recipients) {
        if is_new(txn, new.account, key, &recipient.address, notes)? {
            recipients.push(recipient);
        }
    }
    new.envelope.recipients = recipients;
    if new.envelope.recipients.is_empty() { Ok(()) } else { txn.enqueue(&new).map(drop) }
}

/// Was this not yet taken for that recipient?
fn is_new(
    txn: &mut Txn<'_>,
    account: AccountId,
    key: Option<ContentHash>,
    recipient: &str,
    notes: &mut Notes,
) -> Result<bool> {
    let Some(key) = key else { return Ok(true) };
    let key = ContentHash::of(&[key.as_bytes(), recipient.as_bytes()].concat());
    notes.insert((account, key));
    txn.note_taken(account, &key, txn.now().plus_ms(-limits::TAKEN_MEMORY_MS))
}

pub(super) fn message_id(content: &StoredContent) -> String {
    let raw = content.summary().envelope.message_id.as_deref().unwrap_or_default();
    String::from_utf8_lossy(raw).trim().to_owned()
}
