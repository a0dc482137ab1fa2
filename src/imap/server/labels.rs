//! What Gmail tells of a message in FETCH: X-GM-MSGID, X-GM-THRID, X-GM-LABELS (X-GM-EXT-1, by its published description).
//!
//! A label is set by COPY, moved by MOVE and taken off by EXPUNGE; STORE of labels and SEARCH by X-GM-RAW are not known.

use super::backend::{Account, Message};
use super::content::ContentError;
use crate::imap::syntax::quote::write_astring;
use crate::imap::syntax::utf7;
use crate::types::MailboxId;

/// A number for the message that is the same in each mailbox that has it; it is also its thread's, for each is one of its
/// own here.
pub fn number(message: &Message) -> u64 {
    let hash = blake3::hash(message.email_id.as_bytes());
    let bytes: [u8; 8] = hash.as_bytes()[..8].try_into().expect("eight of thirty-two");
    // Gmail's fit into 63 bits, and are never 0.
    (u64::from_le_bytes(bytes) >> 1).max(1)
}

/// `"X-GM-LABELS" SP "(" [astring *(SP astring)] ")"`
pub fn write<A: Account>(
    message: &Message,
    mailbox: MailboxId,
    account: &mut A,
    text: &mut Vec<u8>,
) -> Result<(), ContentError> {
    let labels = account.labels(mailbox, message.uid).map_err(|_| ContentError::Unavailable)?;
    text.extend_from_slice(b"X-GM-LABELS (");
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        match label.is_inbox() {
            true => write_astring(text, b"\\Inbox"),
            false => write_astring(text, utf7::encode(label.as_str()).as_bytes()),
        }
    }
    text.push(b')');
    Ok(())
}
