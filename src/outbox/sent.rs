//! The Sent mailbox: which it is, and which of its messages are copies that others made of what was sent (the provider,
//! or the mail program it was written in).
//!
//! Rules: a message in Sent is the copy of one submission at most; where several could have it, the one that is most
//! like it does. So of different messages with one Message-ID each gets a copy. A copy of which the header alone is here
//! is one all the same; and one that seems older than what it is a copy of came while the clock was set back.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::message::Summary;
use crate::store::{Mailbox, Reader, Result, Submission, Txn, With};
use crate::types::{
    AccountId, ContentId, LocalUid, MailboxId, MailboxName, MessageId, SpecialUse, SubmissionId, Timestamp, UidSet,
    limits,
};

/// Names under which mail programs and servers without special-use keep sent mail.
const USUAL_NAMES: [&str; 5] = ["Sent", "Sent Items", "Sent Messages", "INBOX/Sent", "INBOX/Sent Items"];

/// What a look into Sent found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Copies that others made.
    pub copies: BTreeMap<SubmissionId, MessageId>,
    /// Someone made a copy after ours was there.
    pub came_late: bool,
}

/// A message in Sent that may be a copy, or what it would be a copy of.
struct Letter {
    saved: Timestamp,
    /// None where its header alone is here.
    content: Option<ContentId>,
    summary: Arc<Summary>,
}

/// Looks for copies of `unfiled`.
pub(super) fn look(reader: &Reader<'_>, account: AccountId, unfiled: &[Submission], now: Timestamp) -> Result<Look> {
    let since = unfiled.iter().map(|submission| submission.created).min().unwrap_or(now);
    let mut sent = Vec::new();
    let mut claimed = BTreeSet::new();
    for id in reader.submissions_filed(account, since.plus_ms(-limits::SENT_COPY_MEMORY_MS))? {
        let Some(filed) = reader.submission(id)? else { continue };
        claimed.extend(filed.copy);
        sent.push(filed);
    }
    let filed = sent.len();
    sent.extend_from_slice(unfiled);
    let sent = sent.into_iter().map(|submission| letter_of(reader, &submission).map(|letter| (submission, letter)));
    let sent = sent.collect::<Result<Vec<_>>>()?;
    let first = sent.iter().map(|(submission, _)| submission.created).min().unwrap_or(now);
    // As far back as a clock is thought to be set back.
    let found = arrived(reader, account, first.plus_ms(-limits::SENT_COPY_MEMORY_MS))?
        .into_iter()
        .filter(|(id, _)| !claimed.contains(id));
    let found: Vec<(MessageId, Letter)> = found.collect();
    let copies = assign(&sent[filed..], &found);
    let free = |id: &MessageId| !copies.values().any(|copy| copy == id);
    let is_of =
        |letter: &Letter, copy: &Letter| copy.saved >= letter.saved && likeness(letter, copy) >= Some(Likeness::Fields);
    let late = |copy: &Letter| sent[..filed].iter().any(|(_, letter)| is_of(letter, copy));
    let came_late = found.iter().any(|(id, copy)| free(id) && late(copy));
    Ok(Look { copies, came_late })
}

fn letter_of(reader: &Reader<'_>, submission: &Submission) -> Result<Letter> {
    let summary = reader.summary(submission.content)?;
    Ok(Letter { saved: submission.created, content: Some(submission.content), summary })
}

/// What came into Sent from `since` on.
fn arrived(reader: &Reader<'_>, account: AccountId, since: Timestamp) -> Result<Vec<(MessageId, Letter)>> {
    let Some(mailbox) = find(reader, account)? else { return Ok(Vec::new()) };
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let mut recent: Vec<LocalUid> = Vec::new();
    reader.for_each_message(mailbox.id, &all, With::Columns, |message| {
        if message.saved >= since {
            recent.push(message.uid);
        }
        Ok(())
    })?;
    let mut found = Vec::new();
    reader.for_each_message(mailbox.id, &recent.into_iter().collect(), With::Summary, |message| {
        if let Some(summary) = message.summary {
            found.push((message.id, Letter { saved: message.saved, content: message.content, summary }));
        }
        Ok(())
    })?;
    Ok(found)
}

/// How much one message is like another; greater is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// The Message-ID alone: providers write fields anew.
    MessageId,
    /// Date and Subject as well.
    Fields,
    Bytes,
}

/// How much `copy` is like `letter`, if it can be a copy of it at all.
fn likeness(letter: &Letter, copy: &Letter) -> Option<Likeness> {
    if copy.content.is_some() && copy.content == letter.content {
        return Some(Likeness::Bytes);
    }
    let (sent, found) = (&letter.summary.envelope, &copy.summary.envelope);
    let id = |id: &Option<Vec<u8>>| id.as_deref().map(|id| id.trim_ascii().to_vec()).filter(|id| !id.is_empty());
    id(&sent.message_id).filter(|sent| id(&found.message_id).as_ref() == Some(sent))?;
    match sent.date == found.date && sent.subject == found.subject {
        true => Some(Likeness::Fields),
        // With the clock set back a good copy seems the older one; an earlier message of the same name seems so too.
        false => (copy.saved >= letter.saved).then_some(Likeness::MessageId),
    }
}

/// Gives each submission the copy that is most like it, each copy once.
fn assign(sent: &[(Submission, Letter)], found: &[(MessageId, Letter)]) -> BTreeMap<SubmissionId, MessageId> {
    let mut pairs = Vec::new();
    for (submission, letter) in sent {
        let like = found.iter().filter_map(|(id, copy)| Some((Reverse(likeness(letter, copy)?), submission.id, *id)));
        pairs.extend(like);
    }
    pairs.sort_unstable();
    let (mut copies, mut taken) = (BTreeMap::new(), BTreeSet::new());
    for (_, submission, copy) in pairs {
        if !copies.contains_key(&submission) && taken.insert(copy) {
            copies.insert(submission, copy);
        }
    }
    copies
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
