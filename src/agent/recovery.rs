//! What vanished and can be put back.

use serde_json::Value;

use super::control::{read, write};
use super::daemon::Agent;
use crate::control::{Failure, report};
use crate::message::{Envelope, header_value};
use crate::store::{Error, Gone, Reader, Result};
use crate::types::{AccountId, MailboxName, MessageId, limits};

/// What went from the mailboxes of the account called `account`, the last gone first.
pub(super) fn list(reader: &Reader<'_>, account: &str, id: AccountId) -> Result<Vec<report::Gone>> {
    reader.gone(id)?.iter().map(|gone| self::gone(reader, account, gone)).collect()
}

/// A message that went.
pub(super) fn gone(reader: &Reader<'_>, account: &str, gone: &Gone) -> Result<report::Gone> {
    let (from, subject) = headline_of(reader, gone.id)?;
    Ok(report::Gone {
        id: gone.id,
        account: account.to_owned(),
        at: gone.at.to_rfc3339(),
        from_mailbox: gone.from.clone(),
        why: gone.why.clone(),
        from,
        subject,
        size_bytes: gone.size_bytes,
        until: gone.at.plus_ms(limits::RECOVERY_MS).to_rfc3339(),
        recoverable: gone.content.is_some(),
        also_in: gone.content.map_or(Ok(Vec::new()), |content| reader.mailboxes_holding(gone.account, content))?,
    })
}

/// From and Subject of a message, whether its text is here or not.
pub(super) fn headline_of(reader: &Reader<'_>, id: MessageId) -> Result<(String, String)> {
    let summary = reader.summary_of(id)?;
    Ok(summary.map_or_else(Default::default, |summary| headline(&summary.envelope)))
}

/// From and Subject, as people read them.
pub(super) fn headline(envelope: &Envelope) -> (String, String) {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(header_value).unwrap_or_default();
    let from = envelope.from.first().map_or_else(String::new, |address| match &address.name {
        Some(name) => header_value(name),
        None => format!("{}@{}", text(&address.mailbox), text(&address.host)),
    });
    (from, text(&envelope.subject))
}

/// Puts gone messages back, all of them or none.
pub(super) fn restore(agent: &Agent, ids: Vec<MessageId>, to: Option<String>) -> std::result::Result<Value, Failure> {
    let to = to.map(|name| MailboxName::parse(&name).map_err(|error| Failure::not_found(format!("{name}: {error}"))));
    let to = to.transpose()?;
    let mut wanted = Vec::new();
    for id in ids {
        let found = read(&agent.common.store, |reader| {
            let gone = reader.gone_message(id).ok().flatten().ok_or(Error::NoSuchMessage)?;
            Ok((gone.account, reader.account(gone.account)?.name, gone.from))
        });
        let (account, account_name, from) = found.map_err(|_| {
            Failure::not_found(format!("nothing that is gone has the number {id} (syncctl recover list)"))
        })?;
        let name = match &to {
            Some(name) => name.clone(),
            None => MailboxName::parse(&from).map_err(|error| Failure::not_possible(format!("{from}: {error}")))?,
        };
        let mailbox = read(&agent.common.store, |reader| reader.mailbox_named(account, &name))?;
        let mailbox = mailbox.ok_or_else(|| {
            let what_to_do = match to {
                Some(_) => "make it in a mail program first, or name one that is there (see `syncctl status --json`)",
                None => "say --to MAILBOX, or make it in a mail program first",
            };
            Failure::not_found(format!("there is no mailbox {name} in {account_name}: {what_to_do}"))
        })?;
        wanted.push((id, account_name, name, mailbox.id));
    }
    let places: Vec<(MessageId, _)> = wanted.iter().map(|(id, _, _, mailbox)| (*id, *mailbox)).collect();
    let restored = write(agent, move |txn| {
        let put_back = places.into_iter().map(|(id, mailbox)| txn.restore(id, mailbox));
        put_back.collect::<Result<Vec<_>>>()
    })?;
    let restored = wanted.into_iter().zip(restored).flat_map(|((_, account, name, _), appended)| {
        appended.messages.into_iter().map(move |(id, uid)| report::Restored {
            id,
            account: account.clone(),
            mailbox: name.to_string(),
            uid: uid.get(),
        })
    });
    serde_json::to_value(restored.collect::<Vec<_>>()).map_err(Failure::internal)
}
