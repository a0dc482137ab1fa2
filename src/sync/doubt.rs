//! Arrivals that are like something that vanished in all but the size.
//!
//! Where messages are described first, what moves upstream may come without its bytes, or have gone without them, and is known
//! again by its header, its date and its size. But a server may lie about sizes (QUIRKS.md row 14), so that one size is what
//! it tells and the other what the bytes have: taken for another message, it would be made anew where the user put it, and be
//! there twice, or lose what the user did to it. So before anything is decided, the bytes of the arrival are fetched where
//! those of the other are here; and where they are not, the server is asked for the size of the arrival.
//!
//! There are no such arrivals where the server tells the truth. Of what it does not give nothing more is known.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::haul::Taking;
use super::identity::{Sought, differ_in_size_alone};
use super::pass::{Pass, refusal, select};
use super::remote::{Remote, RemoteName};
use super::vanish::Vanishing;
use crate::store::{self, MessageFacts, Reader};
use crate::types::{AccountId, MailboxId, MessageId, RemoteUid, UidValidity};

/// Arrivals by their UIDs upstream.
type Arrivals = BTreeMap<RemoteUid, MessageId>;

/// Those of one mailbox.
#[derive(Default)]
struct Doubtful {
    without_bytes: Arrivals,
    with_bytes: Arrivals,
}

impl<R: Remote> Pass<'_, R> {
    /// Learns what tells doubtful arrivals from what vanished.
    pub(super) async fn settle_doubts(&mut self, vanishing: &[Vanishing]) -> Result<()> {
        let account = self.account;
        for (mailbox, Doubtful { without_bytes, with_bytes }) in
            self.read(|reader| doubtful(reader, account, vanishing))?
        {
            let Some(uid_validity) = self.select_known(mailbox).await? else { continue };
            if !without_bytes.is_empty() {
                self.fill(mailbox, uid_validity, &without_bytes).await?;
            }
            let uids: Vec<RemoteUid> = with_bytes.keys().copied().collect();
            let (shown, _) = self.show_each(&uids).await?;
            let told = shown.iter().filter_map(|shown| Some((*with_bytes.get(&shown.uid)?, shown.size_bytes)));
            self.told_sizes.extend(told);
        }
        Ok(())
    }

    async fn fill(&mut self, mailbox: MailboxId, uid_validity: UidValidity, arrivals: &Arrivals) -> Result<()> {
        let mut sink = Taking::new(self.store);
        let answer = self.remote.fetch(&arrivals.keys().copied().collect(), &mut sink).await;
        let taken = sink.into_taken();
        self.write(move |txn| {
            taken.iter().try_for_each(|(uid, content)| txn.fill(mailbox, uid_validity, *uid, content).map(drop))
        })?;
        if let Err(refused) = refusal(answer)? {
            tracing::warn!(%mailbox, "the server does not give messages: {}", refused.text);
        }
        Ok(())
    }

    /// Selects a mailbox if it is the one that the store knows.
    async fn select_known(&mut self, mailbox: MailboxId) -> Result<Option<UidValidity>> {
        self.selected = None;
        let Some(known) = self.remote_mailbox(mailbox)? else { return Ok(None) };
        let selected = select(self.remote, &RemoteName(known.remote_name), None).await?;
        let uid_validity = selected.ok().map(|selected| selected.uid_validity);
        Ok(uid_validity.filter(|_| uid_validity == known.cursor.uid_validity))
    }
}

fn doubtful(
    reader: &Reader<'_>,
    account: AccountId,
    vanishing: &[Vanishing],
) -> store::Result<BTreeMap<MailboxId, Doubtful>> {
    let mut doubtful: BTreeMap<MailboxId, Doubtful> = BTreeMap::new();
    let all: BTreeSet<MessageId> = vanishing.iter().flat_map(|vanishing| vanishing.messages.iter().copied()).collect();
    if all.is_empty() {
        return Ok(doubtful);
    }
    let mut arrivals = reader.fresh_arrivals(account)?;
    arrivals.retain(|arrival| !all.contains(&arrival.message));
    let mut gone = Vec::new();
    for message in all.iter().filter(|_| !arrivals.is_empty()) {
        gone.extend(reader.message_facts(*message)?);
    }
    // Of two with bytes these decide, and of two without them the server told both sizes.
    let is_other_kind = |one: &MessageFacts, other: &MessageFacts| one.content.is_some() != other.content.is_some();
    let some = |facts: &[MessageFacts], has_bytes| facts.iter().any(|one| one.content.is_some() == has_bytes);
    if ![true, false].iter().any(|kind| some(&arrivals, *kind) && some(&gone, !kind)) {
        return Ok(doubtful);
    }
    let gone = gone.iter().map(|gone| Ok((gone, Sought::of(reader, gone)?))).collect::<store::Result<Vec<_>>>()?;
    for arrival in &arrivals {
        let sought = Sought::of(reader, arrival)?;
        let is_it = |(gone, known): &(&MessageFacts, Sought)| {
            is_other_kind(arrival, gone) && differ_in_size_alone(known, &sought)
        };
        let binding = arrival.upstream.as_ref().and_then(|binding| Some((binding.mailbox, binding.uid?)));
        let Some((mailbox, uid)) = binding.filter(|_| gone.iter().any(is_it)) else { continue };
        let Doubtful { without_bytes, with_bytes } = doubtful.entry(mailbox).or_default();
        let those = if arrival.content.is_some() { with_bytes } else { without_bytes };
        those.insert(uid, arrival.message);
    }
    Ok(doubtful)
}
