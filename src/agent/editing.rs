//! What was written in an editor goes in place of a message in the outbox.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::control::{failure, read, write};
use super::daemon::Agent;
use super::users::SendingUsers;
use crate::control::Failure;
use crate::message::header;
use crate::serve::completion::{Completed, completed};
use crate::serve::submission::{Senders, message_id, undo_until};
use crate::smtp::address::Address;
use crate::store::{self, Replaced, Replacement};
use crate::types::{AccountId, SubmissionId, limits};

/// What is asked for (see [`crate::control::Request::OutboxReplace`]).
pub(super) struct Written {
    pub base64: String,
    pub to: Vec<String>,
    pub author: Option<String>,
}

/// Queues it in place of the message.
pub(super) fn replace(agent: &Agent, id: SubmissionId, written: Written) -> Result<Replaced, Failure> {
    let Written { base64, to, author } = written;
    let bytes = BASE64.decode(base64).map_err(|_| Failure::wrong("what was written is no base64"))?;
    if to.len() > limits::SMTP_RECIPIENTS_MAX {
        return Err(Failure::wrong(format!("{} addresses are more than one message goes to", to.len())));
    }
    if let Some(word) = to.iter().find(|word| Address::parse(word).is_none()) {
        return Err(Failure::wrong(format!("{word:?} is no mail address")));
    }
    let store = &agent.common.store;
    let old = read(store, |reader| reader.submission(id)?.ok_or(store::Error::NoSuchRow("message in the outbox")))?;
    let senders = SendingUsers(Arc::clone(&agent.users));
    let (account, mail_from) = match author {
        None => (old.account, old.envelope.mail_from),
        Some(author) => (account_of(&senders, &author)?, author),
    };
    let (now, number) = (agent.common.clock.now(), id.get().unsigned_abs());
    let author = Some(mail_from.clone()).filter(|sender| !sender.is_empty());
    let author = author.or_else(|| senders.address_of(account)).unwrap_or_default();
    let Completed { missing, head } = completed(&bytes, &author, now, number);
    let header_is_ascii = header::fields(&bytes).all(|field| field.whole.is_ascii());
    let mut upload = store.upload();
    let content = upload.write(missing.as_bytes()).and_then(|()| upload.write(&head)).and_then(|()| upload.finish());
    let content = content.map_err(failure)?;
    let new = Replacement {
        account,
        mail_from,
        to,
        message_id: message_id(&content),
        content,
        eight_bit: !bytes.is_ascii(),
        utf8_header: !header_is_ascii,
        not_before: undo_until(senders.undo_ms(), now),
    };
    write(agent, move |txn| txn.replace_submission(id, &new))
}

fn account_of(senders: &SendingUsers, author: &str) -> Result<AccountId, Failure> {
    let address = Address::parse(author);
    senders
        .account_of(address.as_ref())
        .ok_or_else(|| Failure::not_permitted(format!("no account here sends as {author}")))
}
