//! What became of a step whose answer was lost, or named no UIDs: found out by looking.
//!
//! In the target, from the UIDNEXT that was recorded before the step: messages that are bound to none of ours and have
//! the size and the bytes of one that was sent. Each is one message at most. In the source: whether a message that was
//! to be moved is there still. Then each is done, half done (copied, not expunged: that is finished), or not done.

use std::collections::BTreeSet;

use super::Result;
use super::identity;
use super::pass::{Pass, Refusal, from, refusal};
use super::remote::{RefusalCode, Remote, RemoteName};
use crate::journal::{Evidence, State};
use crate::store::{Landed, bound_uids};
use crate::types::{EntryId, Flags, MailboxId, MessageId, RemoteUid, UidSet};

/// Whether the target could be looked into.
enum Look {
    Found(Vec<Landed>),
    Refused(Refusal),
}

impl<R: Remote> Pass<'_, R> {
    /// Finds out what became of everything that was in flight.
    pub(super) async fn recover(&mut self) -> Result<()> {
        let entries = self.read(|reader| reader.entries(self.account))?;
        for entry in entries {
            if let State::InFlight { evidence } = entry.state {
                self.report.recovered += 1;
                self.resolve(entry.id, &evidence).await?;
            }
        }
        Ok(())
    }

    /// Finds out what became of one step, and records it. Returns the messages for which it is done.
    pub(super) async fn resolve(&mut self, carrier: EntryId, evidence: &Evidence) -> Result<Vec<MessageId>> {
        let landed = match self.look_in_target(evidence).await? {
            Look::Found(landed) => landed,
            Look::Refused(refused) => {
                let why = format!("it cannot be seen whether the server did it: {}", refused.text);
                self.report.parked += 1;
                self.write(move |txn| txn.park(carrier, &why))?;
                return Ok(Vec::new());
            }
        };
        if let Some(source) = evidence.source.as_ref().filter(|source| source.moves) {
            let messages: BTreeSet<MessageId> = landed.iter().map(|landed| landed.message).collect();
            self.finish_move(source.mailbox, &messages).await?;
        }
        let done = landed.iter().map(|landed| landed.message).collect();
        let (target, settles) = (evidence.target, evidence.settles.clone());
        self.write(move |txn| txn.landed(carrier, target, &landed, &settles))?;
        Ok(done)
    }

    /// The messages of the evidence that the target has.
    async fn look_in_target(&mut self, evidence: &Evidence) -> Result<Look> {
        let Some(known) = self.remote_mailbox(evidence.target)? else { return Ok(Look::Found(Vec::new())) };
        self.selected = None;
        let name = RemoteName(known.remote_name);
        let selected = match refusal(self.remote.select(&name, None).await)? {
            Ok(selected) => selected,
            Err(Refusal { code: Some(RefusalCode::NonExistent | RefusalCode::TryCreate), .. }) => {
                return Ok(Look::Found(Vec::new()));
            }
            Err(refused) => return Ok(Look::Refused(refused)),
        };
        self.cursor_for(evidence.target, known.cursor, &selected).await?;
        let is_same = selected.uid_validity == evidence.target_uid_validity;
        let first = if is_same { evidence.target_uid_next } else { RemoteUid::new(1) };
        let scanned = self.remote.scan(&from(first), None).await?;
        let bound = bound_uids(&self.read(|reader| reader.bound(evidence.target))?);
        let free: UidSet<RemoteUid> =
            scanned.iter().map(|scanned| scanned.uid).filter(|uid| !bound.contains(*uid)).collect();
        if free.is_empty() {
            return Ok(Look::Found(Vec::new()));
        }
        let sizes: BTreeSet<u64> = evidence.messages.iter().map(|(_, _, size)| *size).collect();
        let shown = self.remote.fingerprints(&free).await?;
        let alike = shown.iter().filter(|shown| sizes.contains(&shown.size_bytes)).map(|shown| shown.uid).collect();
        let hashes = self.hashes(&alike).await?;
        let sought = evidence.messages.iter().map(|(message, hash, _)| (*message, *hash));
        let flags_at = |uid| scanned.iter().find(|scanned| scanned.uid == uid).map(|scanned| scanned.flags.clone());
        let landed = identity::by_hash(sought, &hashes).into_iter().map(|(message, uid)| {
            let base: Flags = flags_at(uid).unwrap_or_default();
            Landed { message, uid, base }
        });
        Ok(Look::Found(landed.collect()))
    }

    /// Messages that have reached the target leave the source, if they are there still.
    pub(super) async fn finish_move(&mut self, source: MailboxId, messages: &BTreeSet<MessageId>) -> Result<()> {
        if messages.is_empty() || self.select_source(source).await?.is_err() {
            return Ok(());
        }
        let bound = self.read(|reader| reader.bound(source))?;
        let moved = bound.iter().filter(|bound| messages.contains(&bound.message)).filter_map(|bound| bound.uid);
        let uids: UidSet<RemoteUid> = moved.collect();
        if uids.is_empty() {
            return Ok(());
        }
        let there: UidSet<RemoteUid> = self.remote.scan(&uids, None).await?.iter().map(|scanned| scanned.uid).collect();
        if !there.is_empty()
            && let Err(refused) = self.expunge_upstream(&there).await?
        {
            self.leave(source, there, refused.text)?;
        }
        Ok(())
    }
}
