//! The items of a FETCH response, one message at a time (RFC 3501 section 7.4.2; RFC 3516, 8474, 8514, 8970).

use super::backend::{Account, Message};
use super::config::Capability;
use super::content::{ContentError, MessageBytes, Source, Streaming, begin_content, binary_size, is_whole_message};
use super::labels;
use super::reply::{Context, Refusal};
use super::thread_id;
use super::view::View;
use crate::imap::syntax::body::{BodyForm, write_body, write_envelope};
use crate::imap::syntax::fetch::{ContentName, FetchItem, part_numbers};
use crate::imap::syntax::quote::write_text;
use crate::message::preview::preview;
use crate::types::InternalDate;

/// Items whose capability is off are unknown.
pub fn check_items(context: &Context, items: &[FetchItem]) -> Result<(), Refusal> {
    for item in items {
        let needs = match item {
            FetchItem::ModSeq => (Capability::CondStore, "MODSEQ"),
            FetchItem::SaveDate => (Capability::SaveDate, "SAVEDATE"),
            FetchItem::EmailId => (Capability::ObjectId, "EMAILID"),
            FetchItem::ThreadId => (Capability::ObjectId, "THREADID"),
            FetchItem::GmailMessageId => (Capability::GmailLabels, "X-GM-MSGID"),
            FetchItem::GmailThreadId => (Capability::GmailLabels, "X-GM-THRID"),
            FetchItem::GmailLabels => (Capability::GmailLabels, "X-GM-LABELS"),
            FetchItem::Preview { .. } => (Capability::Preview, "PREVIEW"),
            FetchItem::BinarySize(_) => (Capability::Binary, "BINARY.SIZE"),
            FetchItem::Content(content) if content.name == ContentName::Binary => (Capability::Binary, "BINARY"),
            _ => continue,
        };
        if !context.has(needs.0) {
            return Err(Refusal::bad(format!("Unknown item {}", needs.1)));
        }
    }
    Ok(())
}

/// Is more wanted than columns and whole messages?
pub fn needs_summary(item: &FetchItem) -> bool {
    match item {
        FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure => true,
        FetchItem::BinarySize(_) | FetchItem::Preview { .. } | FetchItem::ThreadId => true,
        FetchItem::Content(content) => !is_whole_message(&content.section),
        FetchItem::Flags
        | FetchItem::InternalDate
        | FetchItem::Rfc822Size
        | FetchItem::Uid
        | FetchItem::ModSeq
        | FetchItem::SaveDate
        | FetchItem::EmailId
        | FetchItem::GmailMessageId
        | FetchItem::GmailThreadId
        | FetchItem::GmailLabels => false,
    }
}

/// Writes an item to `text`, or begins to: then there is more to be streamed behind it. Fails where the message does
/// not have here what the item needs.
pub fn write_item<A: Account>(
    message: &Message,
    item: &FetchItem,
    (context, view): (&Context, &View),
    account: &mut A,
    brought: Option<Source>,
    text: &mut Vec<u8>,
) -> Result<Option<Streaming>, ContentError> {
    let summary = message.summary.as_deref();
    match item {
        FetchItem::Uid => text.extend_from_slice(format!("UID {}", message.uid).as_bytes()),
        FetchItem::Flags => view.write_message_flags(text, context.enabled, message.uid, &message.flags),
        FetchItem::InternalDate => {
            text.extend_from_slice(format!("INTERNALDATE \"{}\"", message.internal_date.to_imap()).as_bytes());
        }
        FetchItem::SaveDate => {
            let saved = InternalDate::from(message.saved);
            text.extend_from_slice(format!("SAVEDATE \"{}\"", saved.to_imap()).as_bytes());
        }
        FetchItem::Rfc822Size => text.extend_from_slice(format!("RFC822.SIZE {}", message.told_bytes).as_bytes()),
        FetchItem::ModSeq => text.extend_from_slice(format!("MODSEQ ({})", message.mod_seq).as_bytes()),
        FetchItem::EmailId => text.extend_from_slice(format!("EMAILID ({})", message.email_id).as_bytes()),
        FetchItem::ThreadId => thread_id::write(message, view.mailbox, account, text),
        FetchItem::GmailMessageId => {
            text.extend_from_slice(format!("X-GM-MSGID {}", labels::number(message)).as_bytes())
        }
        FetchItem::GmailThreadId => {
            text.extend_from_slice(format!("X-GM-THRID {}", labels::number(message)).as_bytes())
        }
        FetchItem::GmailLabels => labels::write(message, view.mailbox, account, text)?,
        FetchItem::Envelope => {
            text.extend_from_slice(b"ENVELOPE ");
            write_envelope(text, &summary.ok_or(ContentError::Unavailable)?.envelope);
        }
        // Of what parts it consists nobody told.
        FetchItem::Body | FetchItem::BodyStructure if message.is_bare => return Err(ContentError::Unavailable),
        FetchItem::Body => {
            text.extend_from_slice(b"BODY ");
            let form = BodyForm { global: context.enabled.rev2, ..BodyForm::BODY };
            write_body(text, &summary.ok_or(ContentError::Unavailable)?.root, form);
        }
        FetchItem::BodyStructure => {
            text.extend_from_slice(b"BODYSTRUCTURE ");
            let form = BodyForm { global: context.enabled.rev2, ..BodyForm::STRUCTURE };
            write_body(text, &summary.ok_or(ContentError::Unavailable)?.root, form);
        }
        FetchItem::Preview { lazy } => write_preview(message, *lazy, context, account, text)?,
        FetchItem::BinarySize(part) => {
            let size = binary_size(message, summary, part, account, brought)?;
            text.extend_from_slice(format!("BINARY.SIZE[{}] {size}", part_numbers(part)).as_bytes());
        }
        FetchItem::Content(content) => return begin_content(message, content, account, brought, text),
    }
    Ok(None)
}

/// A preview costs one read of the store, which is no undue delay: LAZY gets NIL only where the bytes are not here.
fn write_preview<A: Account>(
    message: &Message,
    lazy: bool,
    context: &Context,
    account: &mut A,
    text: &mut Vec<u8>,
) -> Result<(), ContentError> {
    let made = match (message.summary.as_deref(), message.content) {
        (Some(summary), Some(content)) => {
            let mut bytes = MessageBytes { account, content, size_bytes: message.size_bytes };
            preview(summary, &mut bytes).ok()
        }
        _ => None,
    };
    match made {
        Some(preview) => {
            text.extend_from_slice(b"PREVIEW ");
            write_text(text, &preview, context.enabled.name_form());
        }
        None if lazy => text.extend_from_slice(b"PREVIEW NIL"),
        None => return Err(ContentError::Unavailable),
    }
    Ok(())
}
