//! Servers on which a message is one thing that several mailboxes may hold, each at most once: Gmail, where a mailbox is a
//! label ([`Facts::labels`]).
//!
//! Here it is a message in each of these mailboxes, all with the same EMAILID and the same bytes, which are fetched once.
//! What puts it where it is already puts nothing there: the one that came last goes. What vanishes from one mailbox and is
//! in another is not lost.
//!
//! [`Facts::labels`]: super::remote::Facts::labels

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::fetch::ArrivalSink;
use super::pass::{Pass, refusal};
use super::plan::Step;
use super::remote::{Fetched, MessageSink as _, Remote, RemoteError};
use super::send::Did;
use super::vanish::Vanishing;
use crate::types::{ByteSource as _, ContentId, MailboxId, MessageId, RemoteUid, limits};

/// UIDs in one FETCH of identities.
const IDENTITIES_MAX: usize = 5000;

impl<R: Remote> Pass<'_, R> {
    /// Takes in those of `uids` of the selected mailbox whose bytes are here, for another mailbox has them too. Returns the
    /// others.
    pub(super) async fn take_in_known(&mut self, mailbox: MailboxId, uids: &[RemoteUid]) -> Result<Vec<RemoteUid>> {
        if !self.remote.facts().labels || uids.is_empty() {
            return Ok(uids.to_vec());
        }
        let account = self.account;
        let known = self.read(|reader| reader.contents_by_email_id(account))?;
        let mut left: BTreeSet<RemoteUid> = uids.iter().copied().collect();
        if known.is_empty() {
            return Ok(uids.to_vec());
        }
        let mut sink = ArrivalSink::new(self.store.clone(), mailbox, self.now(), self.since);
        for uids in uids.chunks(IDENTITIES_MAX) {
            let Ok(identified) = refusal(self.remote.identify(&uids.iter().copied().collect()).await)? else {
                continue;
            };
            for message in identified {
                let content = message.email_id.as_ref().and_then(|id| known.get(id)).copied();
                if let Some(content) = content {
                    self.give(&mut sink, content, message)?;
                }
            }
        }
        sink.commit()?;
        self.report.arrived += sink.arrived;
        left.retain(|uid| !sink.came.contains(uid));
        Ok(left.into_iter().collect())
    }

    /// Hands on bytes that are here as if they had come.
    fn give(&self, sink: &mut ArrivalSink, content: ContentId, message: Fetched) -> Result<()> {
        let local = |error: std::io::Error| RemoteError::Local(error.to_string());
        let mut source = self.store.source(content)?;
        let size = source.size();
        sink.begin(size).map_err(local)?;
        let mut offset = 0;
        while offset < size {
            let bytes = source.read_at(offset, limits::CONTENT_CHUNK_BYTES).map_err(local)?;
            if bytes.is_empty() {
                break;
            }
            sink.write(&bytes).map_err(local)?;
            offset += bytes.len() as u64;
        }
        Ok(sink.end(message).map_err(local)?)
    }

    /// Learns the identity of messages of the selected mailbox that we put there ourselves.
    pub(super) async fn learn_identities(&mut self, mailbox: MailboxId) -> Result<()> {
        if !self.remote.facts().labels || !self.remote.facts().object_id {
            return Ok(());
        }
        let nameless: BTreeMap<RemoteUid, MessageId> = self.read(|reader| reader.bound_without_email_id(mailbox))?;
        for uids in nameless.keys().copied().collect::<Vec<_>>().chunks(IDENTITIES_MAX) {
            let Ok(identified) = refusal(self.remote.identify(&uids.iter().copied().collect()).await)? else {
                continue;
            };
            let learnt = identified.into_iter().filter_map(|told| Some((*nameless.get(&told.uid)?, told.email_id?)));
            let learnt: Vec<(MessageId, String)> = learnt.collect();
            self.write(move |txn| learnt.iter().try_for_each(|(message, id)| txn.set_email_id(*message, id)))?;
        }
        Ok(())
    }

    /// The steps without copies to where the message is already. Those go from here.
    pub(super) fn without_coinciding(&mut self, mut steps: Vec<Step>) -> Result<(Did, Vec<Step>)> {
        let mut did = Did::Nothing;
        if !self.remote.facts().labels {
            return Ok((did, steps));
        }
        for step in &mut steps {
            let Step::Copy { to, items, .. } = step else { continue };
            let mut coinciding = Vec::new();
            for item in items.iter() {
                if self.read(|reader| reader.is_in(item.message, *to))? {
                    coinciding.push(item.message);
                }
            }
            items.retain(|item| !coinciding.contains(&item.message));
            if !coinciding.is_empty() {
                did = Did::Something;
                self.write(move |txn| coinciding.iter().try_for_each(|message| txn.coincide(*message)))?;
            }
        }
        steps.retain(|step| !matches!(step, Step::Copy { items, .. } if items.is_empty()));
        Ok((did, steps))
    }

    /// How many of the messages that vanished are in no other mailbox upstream.
    pub(super) fn count_lost(&self, vanishing: &Vanishing, all: &BTreeSet<MessageId>) -> Result<usize> {
        if !self.remote.facts().labels {
            return Ok(vanishing.messages.len());
        }
        self.read(|reader| {
            let mut lost = 0;
            for message in &vanishing.messages {
                lost += usize::from(!reader.is_held_elsewhere(*message, all)?);
            }
            Ok(lost)
        })
    }
}
