//! Arrivals that may be what vanished, and of which only the bytes tell.
//!
//! Where messages are described first, what moved upstream comes without its bytes, and is known again by its header, its date
//! and its size. But a server may lie about sizes (QUIRKS.md row 14), and what it calls larger than what vanished may be that
//! all the same: taken for another it would be made anew where the user put it, and be there twice. So the bytes of such are
//! fetched before anything is decided. There are none of them where the server tells the truth.

use std::collections::{BTreeMap, BTreeSet};

use super::Result;
use super::haul::Taking;
use super::identity::{Sought, differ_in_size_alone};
use super::pass::{Pass, refusal, select};
use super::remote::{Remote, RemoteName};
use super::vanish::Vanishing;
use crate::store::{self, Reader};
use crate::types::{AccountId, MailboxId, RemoteUid, UidSet};

/// Arrivals by the mailboxes in which they are upstream.
type Doubtful = BTreeMap<MailboxId, UidSet<RemoteUid>>;

impl<R: Remote> Pass<'_, R> {
    /// Fetches the bytes of arrivals that are like something that vanished in all but the size.
    pub(super) async fn settle_doubts(&mut self, vanishing: &[Vanishing]) -> Result<()> {
        let account = self.account;
        for (mailbox, uids) in self.read(|reader| doubtful(reader, account, vanishing))? {
            self.fetch_doubtful(mailbox, &uids).await?;
        }
        Ok(())
    }

    /// What the server does not give stays in doubt, and is taken for something else.
    async fn fetch_doubtful(&mut self, mailbox: MailboxId, uids: &UidSet<RemoteUid>) -> Result<()> {
        self.selected = None;
        let Some(known) = self.remote_mailbox(mailbox)? else { return Ok(()) };
        let selected = match select(self.remote, &RemoteName(known.remote_name), None).await? {
            Ok(selected) if known.cursor.uid_validity == Some(selected.uid_validity) => selected,
            Ok(_) | Err(_) => return Ok(()),
        };
        let mut sink = Taking::new(self.store);
        let answer = self.remote.fetch(uids, &mut sink).await;
        let (taken, uid_validity) = (sink.into_taken(), selected.uid_validity);
        self.write(move |txn| {
            taken.iter().try_for_each(|(uid, content)| txn.fill(mailbox, uid_validity, *uid, content).map(drop))
        })?;
        if let Err(refused) = refusal(answer)? {
            tracing::warn!(uids = %uids, "the server does not give messages: {}", refused.text);
        }
        Ok(())
    }
}

fn doubtful(reader: &Reader<'_>, account: AccountId, vanishing: &[Vanishing]) -> store::Result<Doubtful> {
    let mut described = Vec::new();
    for arrival in reader.fresh_arrivals(account)?.into_iter().filter(|arrival| arrival.content.is_none()) {
        if let Some((mailbox, Some(uid))) = arrival.upstream.as_ref().map(|binding| (binding.mailbox, binding.uid)) {
            described.push((mailbox, uid, Sought::of(reader, &arrival)?));
        }
    }
    if described.is_empty() {
        return Ok(Doubtful::new());
    }
    let mut gone = Vec::new();
    for message in vanishing.iter().flat_map(|vanishing| &vanishing.messages) {
        let facts = reader.message_facts(*message)?.filter(|facts| facts.content.is_some());
        gone.extend(facts.map(|facts| Sought::of(reader, &facts)).transpose()?);
    }
    let mut doubtful: BTreeMap<MailboxId, BTreeSet<RemoteUid>> = BTreeMap::new();
    for (mailbox, uid, arrival) in described {
        if gone.iter().any(|gone| differ_in_size_alone(gone, &arrival)) {
            doubtful.entry(mailbox).or_default().insert(uid);
        }
    }
    Ok(doubtful.into_iter().map(|(mailbox, uids)| (mailbox, uids.into_iter().collect())).collect())
}
