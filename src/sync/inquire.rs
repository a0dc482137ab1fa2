//! What only the server can tell of messages whose text is not here: which of them hold a text.

use std::collections::BTreeSet;

use super::Result;
use super::engine::{Clock, Engine};
use super::pass::refusal;
use super::remote::Remote;
use crate::message::search::Query;
use crate::types::{MailboxId, MessageId, RemoteUid};

/// What a server told of the messages of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Those that it has.
    pub asked: BTreeSet<MessageId>,
    /// Those of them that match, by key.
    pub holding: Vec<(Query, BTreeSet<MessageId>)>,
}

impl Engine {
    /// Asks which messages of the mailbox match each of these keys, each a `Text` or a `Body`; `None`: the server does not say.
    pub async fn inquire<R: Remote>(
        &self,
        remote: &mut R,
        mailbox: MailboxId,
        keys: &[Query],
        clock: Clock<'_>,
    ) -> Result<Option<Told>> {
        let mut hauler = self.hauler(remote, clock, true)?;
        if hauler.select(mailbox).await?.is_none() {
            return Ok(None);
        }
        let bound = self.store().read(|reader| reader.bound_facts(mailbox))?;
        let uid_of = |facts: &crate::store::MessageFacts| Some((facts.upstream.as_ref()?.uid?, facts.message));
        let bound: Vec<(RemoteUid, MessageId)> = bound.iter().filter_map(uid_of).collect();
        let mut told = Told { asked: bound.iter().map(|(_, message)| *message).collect(), holding: Vec::new() };
        for key in keys {
            match refusal(remote.find(key).await)? {
                Ok(uids) => {
                    let holding = bound.iter().filter(|(uid, _)| uids.contains(*uid)).map(|(_, message)| *message);
                    told.holding.push((key.clone(), holding.collect()));
                }
                Err(refused) => {
                    tracing::info!("the server does not search: {}", refused.text);
                    return Ok(None);
                }
            }
        }
        Ok(Some(told))
    }
}
