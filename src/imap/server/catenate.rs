//! The parts of a message that are other messages of the account, or pieces of them (RFC 4469).

use super::backend::{Account, Summed, With};
use super::content::for_each_chunk;
use super::reply::Refusal;
use crate::imap::syntax::code::Code;
use crate::imap::syntax::url::MessageUrl;
use crate::types::MailboxId;

/// Hands the bytes that the URL names to `write`, "as if the literal returned in a FETCH BODY response were put in place
/// of the message part specifier" (RFC 4469 section 3). "When in the selected state, the base URL is" that of the selected
/// mailbox.
pub fn catenate<A: Account>(
    url: &str,
    account: &mut A,
    selected: Option<MailboxId>,
    write: impl FnMut(&[u8]) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let bad = |why: &'static str| Refusal::no(Code::BadUrl(url.to_owned()), why);
    let wanted = MessageUrl::parse(url).ok_or_else(|| bad("Not the URL of a message here"))?;
    let mailbox = match &wanted.mailbox {
        None => selected.ok_or_else(|| bad("No mailbox is selected"))?,
        Some(name) => {
            let status = account.status(name, Summed::Nothing).map_err(|_| bad("No such mailbox"))?;
            if wanted.uid_validity.is_some_and(|validity| validity != status.uid_validity) {
                return Err(bad("UIDVALIDITY is another"));
            }
            status.id
        }
    };
    let found = account.messages(mailbox, &[wanted.uid], With::Summary)?;
    let message = found.first().ok_or_else(|| bad("No such message"))?;
    match for_each_chunk(account, message, &wanted, write)? {
        Some(()) => Ok(()),
        None => Err(bad("No such part, or it is not available offline")),
    }
}
