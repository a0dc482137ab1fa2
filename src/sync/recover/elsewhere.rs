//! Something that was sent is not where it was to go, and something that came there is gone again: whether someone moved ours on.

use std::collections::{BTreeMap, BTreeSet};

use super::{Look, Sought};
use crate::journal::{Evidence, Place, intent};
use crate::store::{self, Landed, Txn};
use crate::sync::Result;
use crate::sync::pass::{Pass, Refusal};
use crate::sync::remote::Remote;
use crate::types::{MailboxId, MessageId};

impl<R: Remote> Pass<'_, R> {
    /// Something came into the target and is there no more. If it was ours, it is new in another mailbox.
    pub(super) async fn look_elsewhere(
        &mut self,
        evidence: &Evidence,
        home: MailboxId,
        mut missing: Vec<Sought>,
    ) -> Result<std::result::Result<(), Refusal>> {
        missing = match self.without_moved_twins(missing).await? {
            Ok(missing) => missing,
            Err(refused) => return Ok(Err(refused)),
        };
        let (folders, _) = self.take_listing().await?;
        for folder in folders {
            if missing.is_empty() || folder.mailbox == home {
                continue;
            }
            let landed = match self.look_in(folder.mailbox, None, evidence, &missing).await? {
                Look::Seen { landed, .. } => landed,
                Look::Gone => continue,
                Look::Refused(refused) => return Ok(Err(refused)),
            };
            self.tell_found(&landed);
            let found: BTreeSet<MessageId> = landed.iter().map(|landed| landed.message).collect();
            missing.retain(|(message, ..)| !found.contains(message));
            let evidence = evidence.clone();
            self.write(move |txn| {
                landed.iter().try_for_each(|landed| landed_elsewhere(txn, folder.mailbox, landed, &evidence))
            })?;
        }
        Ok(Ok(()))
    }

    /// Those of which all that are like them are where they were upstream.
    async fn without_moved_twins(
        &mut self,
        mut sought: Vec<Sought>,
    ) -> Result<std::result::Result<Vec<Sought>, Refusal>> {
        let mut twins: BTreeMap<MailboxId, BTreeMap<MessageId, Vec<MessageId>>> = BTreeMap::new();
        for (message, ..) in &sought {
            for (mailbox, twin) in self.read(|reader| reader.twins_upstream(*message))? {
                twins.entry(mailbox).or_default().entry(twin).or_default().push(*message);
            }
        }
        let mut doubtful: BTreeSet<MessageId> = BTreeSet::new();
        for (mailbox, twins) in twins {
            let there = match self.still_in(mailbox, twins.keys().copied().collect()).await? {
                Ok(there) => there,
                Err(refused) => return Ok(Err(refused)),
            };
            doubtful.extend(twins.into_iter().filter(|(twin, _)| !there.contains_key(twin)).flat_map(|(_, of)| of));
        }
        sought.retain(|(message, ..)| !doubtful.contains(message));
        Ok(Ok(sought))
    }
}

/// A new message that we sent to one mailbox was moved on by someone else: it follows, unless the user has put it
/// elsewhere since.
pub(super) fn landed_elsewhere(
    txn: &mut Txn<'_>,
    mailbox: MailboxId,
    landed: &Landed,
    evidence: &Evidence,
) -> store::Result<()> {
    let message = landed.message;
    txn.goes_ahead(mailbox)?;
    txn.bind(message, mailbox, landed.uid, &landed.sent)?;
    txn.observe_flags(message, &landed.shown)?;
    if landed.is_finished {
        txn.settle_parts(message, &evidence.settles)?;
    }
    let entries = txn.reader().entries_about(message)?;
    let place = intent(&entries, message).map_or(Place::Unchanged, |net| net.place);
    match place {
        Place::Unchanged => txn.follow(message, mailbox),
        Place::In(_) | Place::Gone => Ok(()),
    }
}
