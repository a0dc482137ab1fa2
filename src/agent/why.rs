//! The life of a message, as far as the store knows it.

use super::{acts, recovery, reports};
use crate::control::report::{Copy, Life, Place};
use crate::store::{Error, Reader, Result};
use crate::types::{MessageId, Timestamp};

/// Everything about the messages with that Message-ID, which may be given without its angle brackets.
pub(super) fn life(reader: &Reader<'_>, message_id: &str, now: Timestamp) -> Result<Life> {
    let bare = message_id.trim().trim_start_matches('<').trim_end_matches('>');
    let message_id = format!("<{bare}>");
    let ids = reader.messages_with_message_id(message_id.as_bytes())?;
    let copies = ids.into_iter().map(|id| copy(reader, id)).collect::<Result<Vec<_>>>()?;
    let submissions = reader.submissions_with_message_id(&message_id)?.into_iter().map(|id| {
        let submission = reader.submission(id)?.ok_or(Error::NoSuchMessage)?;
        let account = reader.account(submission.account)?.name;
        reports::submission(reader, &account, &submission, now)
    });
    Ok(Life { submissions: submissions.collect::<Result<Vec<_>>>()?, message_id, copies })
}

fn copy(reader: &Reader<'_>, id: MessageId) -> Result<Copy> {
    let facts = reader.message_facts(id)?.ok_or(Error::NoSuchMessage)?;
    let account = reader.account(reader.account_of_message(id)?)?.name;
    let (from, subject) = recovery::headline_of(reader, id)?;
    let message = reader.message(id)?;
    let gone = reader.gone_message(id)?;
    let here = message.as_ref().map(|message| {
        let name = reader.mailbox(message.mailbox)?.name.map(String::from).unwrap_or_default();
        Result::Ok(Place { mailbox: name, uid: message.uid.get() })
    });
    let upstream = facts.upstream.map(|binding| {
        let mailbox = reader.remote_mailbox(binding.mailbox)?.map(|mailbox| mailbox.remote_name).unwrap_or_default();
        Result::Ok(Place { mailbox, uid: binding.uid.map_or(0, |uid| uid.get()) })
    });
    let conflicts = reader.conflicts_about(id)?.into_iter();
    let conflicts = conflicts.map(|one| reports::conflict(reader, &account, one));
    Ok(Copy {
        id,
        subject,
        from,
        size_bytes: facts.size_bytes,
        flags: facts.flags.to_string(),
        popped_as: reader.popped_as(id)?,
        is_here: facts.content.is_some(),
        here: here.transpose()?,
        upstream: upstream.transpose()?,
        since: match (&message, &gone) {
            (Some(message), _) => message.saved.to_rfc3339(),
            (None, Some(gone)) => gone.at.to_rfc3339(),
            (None, None) => String::new(),
        },
        gone: gone.map(|gone| recovery::gone(reader, &account, &gone)).transpose()?,
        pending: reader.entries_about(id)?.iter().map(|entry| acts::entry(reader, &account, entry)).collect(),
        conflicts: conflicts.collect::<Result<_>>()?,
        account,
    })
}
