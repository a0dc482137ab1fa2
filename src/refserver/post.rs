//! What becomes of a message that was taken, in one transaction: copies in INBOXes, a place in the queue.
//!
//! A client that did not hear our 250 sends again. What is known by a key is taken once for each recipient and from
//! then on only acknowledged (RFC 5321 section 6.1 warns of the doubles that come otherwise).

use crate::outbox::sender::Envelope;
use crate::store::{Error, NewMessage, NewSubmission, Origin, Result, Store, StoredContent, Txn};
use crate::types::{AccountId, ContentHash, Flags, InternalDate, MailboxName, Timestamp, limits};

/// One thing that becomes of a message.
pub(super) enum Post {
    Inbox(AccountId, StoredContent),
    Queue(NewSubmission),
}

impl Post {
    pub(super) fn queue(account: AccountId, content: StoredContent, envelope: Envelope) -> Self {
        let message_id = message_id(&content);
        Self::Queue(NewSubmission { account, content, envelope, message_id, file: false })
    }
}

/// Does all of it, but for what was done already under the same `key`.
pub(super) fn post(store: &Store, posts: Vec<Post>, key: Option<ContentHash>, now: Timestamp) -> Result<()> {
    store.write(Origin::Authority, now, move |txn| {
        posts.into_iter().try_for_each(|post| match post {
            Post::Inbox(account, content) => match is_new(txn, account, key, "")? {
                true => deliver(txn, account, content),
                false => Ok(()),
            },
            Post::Queue(new) => queue(txn, new, key),
        })
    })
}

fn deliver(txn: &mut Txn<'_>, account: AccountId, content: StoredContent) -> Result<()> {
    let inbox = txn.reader().mailbox_named(account, &MailboxName::inbox())?.ok_or(Error::NoSuchMailbox)?;
    let (flags, internal_date) = (Flags::none(), InternalDate::from(txn.now()));
    txn.append(inbox.id, &[NewMessage { content, flags, internal_date, email_id: None }]).map(drop)
}

fn queue(txn: &mut Txn<'_>, mut new: NewSubmission, key: Option<ContentHash>) -> Result<()> {
    let mut recipients = Vec::with_capacity(new.envelope.recipients.len());
    for recipient in std::mem::take(&mut new.envelope.recipients) {
        if is_new(txn, new.account, key, &recipient.address)? {
            recipients.push(recipient);
        }
    }
    new.envelope.recipients = recipients;
    if new.envelope.recipients.is_empty() { Ok(()) } else { txn.enqueue(&new).map(drop) }
}

/// Was this not yet taken for that recipient?
fn is_new(txn: &mut Txn<'_>, account: AccountId, key: Option<ContentHash>, recipient: &str) -> Result<bool> {
    let Some(key) = key else { return Ok(true) };
    let key = ContentHash::of(&[key.as_bytes(), recipient.as_bytes()].concat());
    txn.note_taken(account, &key, txn.now().plus_ms(-limits::TAKEN_MEMORY_MS))
}

pub(super) fn message_id(content: &StoredContent) -> String {
    let raw = content.summary.envelope.message_id.as_deref().unwrap_or_default();
    String::from_utf8_lossy(raw).trim().to_owned()
}
