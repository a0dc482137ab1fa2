//! The Sent mailbox: which it is, and whether the provider put its own copy there.

use crate::store::{Mailbox, Reader, Result, Submission, Txn, With};
use crate::types::{AccountId, LocalUid, MailboxId, MailboxName, SpecialUse, UidSet};

/// Names under which mail programs and servers without special-use keep sent mail.
const USUAL_NAMES: [&str; 5] = ["Sent", "Sent Items", "Sent Messages", "INBOX/Sent", "INBOX/Sent Items"];

/// Does Sent hold the submission's message already, come there after it was submitted?
pub(super) fn holds(reader: &Reader<'_>, submission: &Submission) -> Result<bool> {
    let Some(mailbox) = find(reader, submission.account)? else { return Ok(false) };
    if submission.message_id.is_empty() {
        return Ok(false);
    }
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let mut recent: Vec<LocalUid> = Vec::new();
    reader.for_each_message(mailbox.id, &all, With::Columns, |message| {
        if message.saved >= submission.created {
            recent.push(message.uid);
        }
        Ok(())
    })?;
    let mut found = false;
    reader.for_each_message(mailbox.id, &recent.into_iter().collect(), With::Summary, |message| {
        let summary = message.summary.as_ref();
        let message_id = summary.and_then(|summary| summary.envelope.message_id.as_deref());
        found |= message_id.is_some_and(|id| id.trim_ascii() == submission.message_id.as_bytes());
        Ok(())
    })?;
    Ok(found)
}

/// The Sent mailbox, made if there is none.
pub(super) fn mailbox_to_file_in(txn: &mut Txn<'_>, account: AccountId) -> Result<MailboxId> {
    if let Some(mailbox) = find(&txn.reader(), account)? {
        return Ok(mailbox.id);
    }
    let name = MailboxName::parse("Sent").expect("\"Sent\" is a mailbox name");
    txn.create_mailbox(account, &name, Some(SpecialUse::Sent))
}

fn find(reader: &Reader<'_>, account: AccountId) -> Result<Option<Mailbox>> {
    let mut mailboxes = reader.mailboxes(account)?;
    mailboxes.retain(|mailbox| mailbox.selectable && !mailbox.read_only);
    if let Some(place) = mailboxes.iter().position(|mailbox| mailbox.special_use == Some(SpecialUse::Sent)) {
        return Ok(Some(mailboxes.swap_remove(place)));
    }
    let named = |usual: &&str| {
        let is_usual = |mailbox: &&Mailbox| mailbox.name.as_ref().is_some_and(|name| name.as_str() == *usual);
        mailboxes.iter().find(is_usual).cloned()
    };
    Ok(USUAL_NAMES.iter().find_map(named))
}
