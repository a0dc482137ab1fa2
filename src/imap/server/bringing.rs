//! What a FETCH wants of messages that are not all here, brought before their responses begin: a response that has begun
//! cannot wait. One message that waits holds the messages behind it, for which is asked meanwhile.

use super::backend::{Account, Brought, Error, With};
use super::content::{ContentError, to_bring};
use super::fetch::Row;
use super::reply::Refusal;
use crate::imap::syntax::fetch::{ContentName, FetchItem};
use crate::message::outline::Wanted;
use crate::message::{Section, SectionText};
use crate::types::MailboxId;

/// For so many messages behind the one that is waited for is asked as well.
pub const AHEAD_MAX: usize = 64;

/// Whether a response can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// Everything that can be had is here.
    Ready,
    /// Something is on its way.
    Coming,
    /// The message went meanwhile.
    Gone,
}

/// Brings what the items need, as far as it can be had.
pub fn prepare<A: Account>(
    row: &mut Row,
    items: &[FetchItem],
    account: &mut A,
    mailbox: MailboxId,
) -> Result<Prepared, Refusal> {
    let mut prepared = Prepared::Ready;
    for (place, item) in items.iter().enumerate() {
        if row.brought.contains_key(&place) {
            continue;
        }
        let Some(wanted) = wanted_for(row, item) else { continue };
        match account.bring(mailbox, row.message.uid, &wanted) {
            Ok(Brought::Section { content, size_bytes }) => {
                row.brought.insert(place, Ok((content, 0..size_bytes)));
            }
            Ok(Brought::Whole) => {
                let uids = [row.message.uid];
                let Some(message) = account.messages(mailbox, &uids, With::Summary)?.pop() else {
                    return Ok(Prepared::Gone);
                };
                // Whatever else was asked for of it is here as well.
                row.message = message;
                row.brought.retain(|_, brought| brought.is_ok());
            }
            Ok(Brought::Coming) => prepared = Prepared::Coming,
            Err(Error::Unavailable) => drop(row.brought.insert(place, Err(ContentError::Unavailable))),
            Err(Error::Withheld) => drop(row.brought.insert(place, Err(ContentError::Withheld))),
            Err(Error::OverBudget) => drop(row.brought.insert(place, Err(ContentError::OverBudget))),
            Err(Error::NoSuchMessage) => return Ok(Prepared::Gone),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(prepared)
}

/// Asks for what messages need whose turn comes later.
pub fn ask_ahead<'r, A: Account>(
    rows: impl Iterator<Item = &'r Row>,
    items: &[FetchItem],
    account: &mut A,
    mailbox: MailboxId,
) -> Result<(), Refusal> {
    for row in rows {
        for wanted in items.iter().filter_map(|item| wanted_for(row, item)) {
            match account.bring(mailbox, row.message.uid, &wanted) {
                // What cannot be had is told in its turn.
                Ok(_) | Err(Error::Unavailable | Error::Withheld | Error::OverBudget | Error::NoSuchMessage) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What an item needs of a message that is not here.
fn wanted_for(row: &Row, item: &FetchItem) -> Option<Wanted> {
    match item {
        // A piece of what the part decodes to may need any of the bytes.
        FetchItem::Content(content) if content.name == ContentName::Binary => {
            to_bring(&row.message, &content.section, None)
        }
        FetchItem::Content(content) => to_bring(&row.message, &content.section, content.partial),
        // It may never change (RFC 9051 section 2.3.1.1), so it is not guessed.
        FetchItem::Body | FetchItem::BodyStructure => row.message.is_bare.then_some(Wanted::Whole),
        FetchItem::BinarySize(part) => {
            let section = Section { part: part.clone(), text: SectionText::Whole };
            to_bring(&row.message, &section, None)
        }
        _ => None,
    }
}
