//! Bodies that are not here, fetched: those of which somebody waits, and those that the user or the configuration wants.
//!
//! Rules:
//!
//! - What is fetched is written with the UIDVALIDITY under which it was fetched; where upstream's mailbox is another one by
//!   then it is dropped, and the next sync tells what is where.
//! - Small messages come many in one FETCH. A large one comes in pieces, each kept as it comes: a cut costs one piece.
//! - Nothing that nobody waits for is fetched beyond the day's budget; on a metered line only what the user asked for.

use std::io;

use super::engine::{Clock, Engine};
use super::pass::refusal;
use super::remote::{Fetched, MessageSink, Remote, RemoteName};
use super::{Error, Result};
use crate::message::outline::Wanted;
use crate::store::{self, Absent, AbsentCounts, Origin, Reader, Spent, Store, StoredContent, Txn, Upload};
use crate::types::{AccountId, BodyPolicy, MailboxId, MessageId, RemoteUid, Timestamp, UidSet, UidValidity, limits};

/// Messages above this size come in pieces of it. A piece is a round trip, and what a cut costs.
pub const PIECE_BYTES: u64 = 1024 * 1024;

/// Messages in one FETCH, and their bytes: whoever waits for something else waits for that at most.
const FETCH_MAX_MESSAGES: usize = 100;
const FETCH_MAX_BYTES: u64 = 2 * PIECE_BYTES;

/// How long a turn of work in the background lasts before the mailboxes are looked at again.
const TURN_MS: i64 = 5_000;

/// What a turn of [`Engine::stock`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stocked {
    pub messages: usize,
    pub bytes: u64,
    /// There is more to be fetched at once.
    pub has_more: bool,
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// It is here.
    Here,
    /// The server does not give it.
    Refused(String),
    /// The day's budget is spent.
    OverBudget,
}

/// How much of what is wanted is not here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    pub absent: AbsentCounts,
    /// What of it the user or the configuration wants.
    pub wanted: AbsentCounts,
    /// What of that is fetched on such a line.
    pub due: AbsentCounts,
    /// How many messages of it the server does not give.
    pub withheld: u64,
    /// What was fetched today.
    pub spent: Spent,
    /// How many bytes may be fetched in a day; `None`: as many as there are.
    pub budget_bytes: Option<u64>,
    /// Nothing is fetched but what the user asked for.
    pub metered: bool,
}

impl Waiting {
    /// How many bytes may still be fetched today; `None`: as many as there are.
    pub fn left_bytes(&self) -> Option<u64> {
        self.budget_bytes.map(|budget| budget.saturating_sub(self.spent.bytes))
    }

    /// Does nothing fit any more into what may be fetched today?
    pub fn is_over_budget(&self) -> bool {
        self.due.messages > 0 && self.left_bytes().is_some_and(|left| left < self.due.least_bytes)
    }
}

impl Engine {
    /// Fetches one message, or a section of it, for somebody who waits.
    pub async fn bring<R: Remote>(
        &self,
        remote: &mut R,
        message: MessageId,
        wanted: &Wanted,
        clock: Clock<'_>,
    ) -> Result<Brought> {
        self.stocker(remote, clock, true)?.bring(message, wanted).await
    }

    /// Fetches some of what the user or the configuration wants. Ends early where `is_urgent` says that something else has
    /// to be done.
    pub async fn stock<R: Remote>(
        &self,
        remote: &mut R,
        clock: Clock<'_>,
        is_urgent: &(dyn Fn() -> bool + Sync),
    ) -> Result<Stocked> {
        let mut stocker = self.stocker(remote, clock, false)?;
        stocker.stock(is_urgent).await?;
        Ok(stocker.stocked)
    }

    /// What waits to be fetched.
    pub fn waiting(&self, now: Timestamp) -> store::Result<Waiting> {
        let (account, bodies) = (self.account(), self.bodies_now()?);
        self.store().read(|reader| waiting(reader, account, &bodies, now))
    }

    fn stocker<'a, R: Remote>(
        &'a self,
        remote: &'a mut R,
        clock: Clock<'a>,
        on_demand: bool,
    ) -> Result<Stocker<'a, R>> {
        let (store, account, bodies) = (self.store(), self.account(), self.bodies_now()?);
        Ok(Stocker { store, account, bodies, remote, clock, on_demand, selected: None, stocked: Stocked::default() })
    }
}

fn waiting(reader: &Reader<'_>, account: AccountId, bodies: &BodyPolicy, now: Timestamp) -> store::Result<Waiting> {
    let BodyPolicy { metered, budget_bytes, .. } = *bodies;
    let mut waiting = Waiting { metered, budget_bytes, ..Waiting::default() };
    for known in reader.remote_mailboxes(account)? {
        let bounds = known.name.and_then(|name| bodies.of(&name).bounds(now));
        waiting.wanted.add(reader.absent_within(known.mailbox, bounds.as_ref())?);
        waiting.due.add(reader.absent_within(known.mailbox, bounds.filter(|_| !metered).as_ref())?);
    }
    waiting.absent = reader.absent_counts(account)?;
    waiting.withheld = reader.withheld_count(account)?;
    waiting.spent = reader.spent(account, now)?;
    Ok(waiting)
}

/// The work on one connection.
struct Stocker<'a, R> {
    store: &'a Store,
    account: AccountId,
    bodies: BodyPolicy,
    remote: &'a mut R,
    clock: Clock<'a>,
    /// Somebody waits for it.
    on_demand: bool,
    selected: Option<(MailboxId, UidValidity)>,
    stocked: Stocked,
}

impl<R: Remote> Stocker<'_, R> {
    async fn bring(&mut self, message: MessageId, wanted: &Wanted) -> Result<Brought> {
        let Some(absent) = self.store.read(|reader| reader.absent_message(message))? else {
            return Ok(match self.store.read(|reader| reader.message_facts(message))? {
                Some(facts) if facts.content.is_some() => Brought::Here,
                _ => Brought::Refused("the server does not have the message (any more)".to_owned()),
            });
        };
        if self.left_bytes()? == 0 {
            return Ok(Brought::OverBudget);
        }
        let Some(uid_validity) = self.select(absent.mailbox).await? else {
            return Ok(Brought::Refused("the mailbox cannot be opened on the server".to_owned()));
        };
        let is_here = match wanted {
            Wanted::Whole if absent.size_bytes > PIECE_BYTES => {
                self.take_pieces(&absent, uid_validity, &|| false).await?
            }
            Wanted::Whole => self.take_whole(std::slice::from_ref(&absent), uid_validity).await?,
            Wanted::Section { name, first_bytes } => {
                let piece = first_bytes.map(|count| (0, count));
                self.take_section(&absent, uid_validity, name, piece, &wanted.to_string()).await?.is_some()
            }
        };
        match is_here {
            true => Ok(Brought::Here),
            false => Ok(Brought::Refused("the server does not give it".to_owned())),
        }
    }

    async fn stock(&mut self, is_urgent: &(dyn Fn() -> bool + Sync)) -> Result<()> {
        let until = (self.clock)().plus_ms(TURN_MS);
        let account = self.account;
        let mut mailboxes = self.store.read(|reader| reader.remote_mailboxes(account))?;
        mailboxes.sort_by_key(|known| !known.remote_name.eq_ignore_ascii_case("INBOX"));
        for known in mailboxes {
            let Some(name) = known.name.filter(|_| known.selectable) else { continue };
            loop {
                let now = (self.clock)();
                let bounds = self.bodies.of(&name).bounds(now).filter(|_| !self.bodies.metered);
                let max = FETCH_MAX_MESSAGES;
                let absent = self.store.read(|reader| reader.absent(known.mailbox, bounds.as_ref(), max))?;
                let absent = batch(absent, self.left_bytes()?);
                if absent.is_empty() {
                    break;
                }
                if now >= until || is_urgent() {
                    self.stocked.has_more = true;
                    return Ok(());
                }
                let Some(uid_validity) = self.select(known.mailbox).await? else { break };
                if !self.take(&absent, uid_validity, is_urgent).await? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Fetches a batch. `false`: nothing came of it.
    async fn take(
        &mut self,
        absent: &[Absent],
        uid_validity: UidValidity,
        is_urgent: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let before = self.stocked.bytes;
        match absent {
            [large] if large.size_bytes > PIECE_BYTES => {
                self.take_pieces(large, uid_validity, is_urgent).await?;
            }
            _ => {
                self.take_whole(absent, uid_validity).await?;
            }
        }
        Ok(self.stocked.bytes > before)
    }

    /// How many bytes may still be fetched today.
    fn left_bytes(&self) -> Result<u64> {
        let Some(budget) = self.bodies.budget_bytes else { return Ok(u64::MAX) };
        let (account, now) = (self.account, (self.clock)());
        Ok(budget.saturating_sub(self.store.read(|reader| reader.spent(account, now))?.bytes))
    }

    /// Selects a mailbox; `None` where it cannot be, or is another one than the store knows.
    async fn select(&mut self, mailbox: MailboxId) -> Result<Option<UidValidity>> {
        if let Some((selected, uid_validity)) = self.selected
            && selected == mailbox
        {
            return Ok(Some(uid_validity));
        }
        self.selected = None;
        let Some(known) = self.store.read(|reader| reader.remote_mailbox(mailbox))? else { return Ok(None) };
        match refusal(self.remote.select(&RemoteName(known.remote_name), None).await)? {
            Ok(selected) if known.cursor.uid_validity == Some(selected.uid_validity) => {
                self.selected = Some((mailbox, selected.uid_validity));
                Ok(Some(selected.uid_validity))
            }
            Ok(_) => Ok(None),
            Err(refused) => {
                tracing::warn!(mailbox = %mailbox, "a mailbox cannot be opened to fetch from it: {}", refused.text);
                Ok(None)
            }
        }
    }

    /// Messages with one FETCH. Are they all here now?
    async fn take_whole(&mut self, absent: &[Absent], uid_validity: UidValidity) -> Result<bool> {
        let uids: UidSet<RemoteUid> = absent.iter().map(|absent| absent.uid).collect();
        let mut sink = Taking::new(self.store);
        let answer = self.remote.fetch(&uids, &mut sink).await;
        let taken = std::mem::take(&mut sink.taken);
        let missing: Vec<MessageId> = absent
            .iter()
            .filter(|absent| !taken.iter().any(|(uid, _)| *uid == absent.uid))
            .map(|absent| absent.message)
            .collect();
        let mailbox = absent.first().map(|absent| absent.mailbox);
        if let Some(mailbox) = mailbox {
            self.stocked.messages += taken.len();
            self.write(taken.iter().map(|(_, content)| content.size_bytes).sum(), move |txn| {
                taken.iter().try_for_each(|(uid, content)| txn.fill(mailbox, uid_validity, *uid, content).map(drop))
            })?;
        }
        let refused = refusal(answer)?.err();
        if let Some(refused) = &refused {
            tracing::warn!(uids = %uids, "the server does not give messages: {}", refused.text);
        }
        // Which of several it does not give is found out by asking for each.
        if refused.is_some() && missing.len() > 1 {
            for absent in absent.iter().filter(|absent| missing.contains(&absent.message)) {
                Box::pin(self.take_whole(std::slice::from_ref(absent), uid_validity)).await?;
            }
            return Ok(false);
        }
        let is_all = missing.is_empty();
        if !is_all {
            self.write(0, move |txn| missing.iter().try_for_each(|message| txn.withheld(*message)))?;
        }
        Ok(is_all)
    }

    /// A large message, piece by piece. Is it here now?
    async fn take_pieces(
        &mut self,
        absent: &Absent,
        uid_validity: UidValidity,
        is_urgent: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let message = absent.message;
        let mut pieces = Vec::new();
        loop {
            let first = pieces.len() as u64 * PIECE_BYTES;
            let name = format!("<{first}.{PIECE_BYTES}>");
            let kept = self.store.read(|reader| reader.section(message, &name))?;
            let (content, size) = match kept {
                Some(kept) => kept,
                None => {
                    let piece = Some((first, PIECE_BYTES));
                    match self.take_section(absent, uid_validity, "", piece, &name).await? {
                        Some(taken) => (taken.content(), taken.size_bytes),
                        None => {
                            self.write(0, move |txn| txn.withheld(message))?;
                            return Ok(false);
                        }
                    }
                }
            };
            if size > PIECE_BYTES || first + size > limits::MESSAGE_MAX_BYTES {
                tracing::warn!(message = %message, "the server gives more than the piece of a message that was asked for");
                self.write(0, move |txn| {
                    txn.drop_sections(message)?;
                    txn.withheld(message)
                })?;
                return Ok(false);
            }
            pieces.push((content, size));
            if size < PIECE_BYTES {
                break;
            }
            if is_urgent() {
                return Ok(false);
            }
        }
        let mut upload = self.store.upload();
        for (content, size) in pieces {
            let mut at = 0;
            while at < size {
                let bytes = self.store.read_content(content, at, limits::CONTENT_CHUNK_BYTES)?;
                if bytes.is_empty() {
                    return Err(store::Error::NoContent.into());
                }
                at += bytes.len() as u64;
                upload.write(&bytes)?;
            }
        }
        let (content, mailbox, uid) = (upload.finish()?, absent.mailbox, absent.uid);
        self.stocked.messages += 1;
        self.write(0, move |txn| txn.fill(mailbox, uid_validity, uid, &content))
    }

    /// A section of a message, or a piece of one; `None`: the server does not give it.
    async fn take_section(
        &mut self,
        absent: &Absent,
        uid_validity: UidValidity,
        section: &str,
        piece: Option<(u64, u64)>,
        name: &str,
    ) -> Result<Option<StoredContent>> {
        let mut sink = Taking::new(self.store);
        let answer = self.remote.section(absent.uid, section, piece, &mut sink).await;
        if let Err(refused) = refusal(answer)? {
            tracing::warn!(uid = %absent.uid, section = name, "the server does not give a part: {}", refused.text);
            return Ok(None);
        }
        let Some((_, content)) = sink.taken.pop() else { return Ok(None) };
        let (message, name, kept) = (absent.message, name.to_owned(), content.clone());
        let is_kept =
            self.write(content.size_bytes, move |txn| txn.keep_section(message, uid_validity, &name, &kept))?;
        Ok(is_kept.then_some(content))
    }

    /// Writes what upstream gave, and that so many bytes came.
    fn write<T, F>(&mut self, bytes: u64, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
    {
        self.stocked.bytes += bytes;
        let (account, on_demand) = (self.account, self.on_demand);
        let written = self.store.write(Origin::Upstream, (self.clock)(), move |txn| {
            if bytes > 0 {
                txn.spend(account, bytes, on_demand)?;
            }
            work(txn)
        });
        written.map_err(Error::from)
    }
}

/// What is fetched together: within the budget, many small messages or one large one.
fn batch(mut absent: Vec<Absent>, left_bytes: u64) -> Vec<Absent> {
    absent.retain(|absent| absent.size_bytes <= left_bytes);
    let mut bytes = 0;
    let fits = absent.iter().take_while(|absent| {
        bytes += absent.size_bytes;
        bytes <= FETCH_MAX_BYTES.min(left_bytes) && absent.size_bytes <= PIECE_BYTES
    });
    let count = fits.count().max(1);
    absent.truncate(count);
    absent
}

/// Takes in whole contents.
struct Taking<'a> {
    store: &'a Store,
    upload: Option<Upload>,
    taken: Vec<(RemoteUid, StoredContent)>,
}

impl<'a> Taking<'a> {
    const fn new(store: &'a Store) -> Self {
        Self { store, upload: None, taken: Vec::new() }
    }
}

impl MessageSink for Taking<'_> {
    fn begin(&mut self, _size_bytes: u64) -> io::Result<()> {
        self.upload = Some(self.store.upload());
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        match upload.write(bytes) {
            Ok(()) => Ok(()),
            // It is passed over: the server did not give it, then.
            Err(store::Error::TooBig { .. }) => {
                self.upload = None;
                Ok(())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn end(&mut self, message: Fetched) -> io::Result<()> {
        let Some(upload) = self.upload.take() else { return Ok(()) };
        self.taken.push((message.uid, upload.finish().map_err(io::Error::other)?));
        Ok(())
    }

    fn absent(&mut self, _uid: RemoteUid) -> io::Result<()> {
        self.upload = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::InternalDate;

    fn absent(size_bytes: u64) -> Absent {
        Absent {
            message: MessageId::new(1),
            mailbox: MailboxId::new(1),
            uid: RemoteUid::new(1),
            size_bytes,
            internal_date: InternalDate::new(0, 0),
            pinned: false,
        }
    }

    fn sizes(all: &[u64], left_bytes: u64) -> Vec<u64> {
        batch(all.iter().copied().map(absent).collect(), left_bytes).iter().map(|absent| absent.size_bytes).collect()
    }

    #[test]
    fn many_small_messages_come_together_and_a_large_one_alone() {
        assert_eq!(sizes(&[10, 20, PIECE_BYTES + 1, 30], u64::MAX), [10, 20]);
        assert_eq!(sizes(&[PIECE_BYTES + 1, 30], u64::MAX), [PIECE_BYTES + 1]);
        assert_eq!(sizes(&[PIECE_BYTES, PIECE_BYTES, 1], u64::MAX), [PIECE_BYTES, PIECE_BYTES]);
    }

    #[test]
    fn what_does_not_fit_into_the_budget_waits_and_what_does_goes_on() {
        assert_eq!(sizes(&[50, 30, 20, 10], 40), [30]);
        assert_eq!(sizes(&[50], 40), [0_u64; 0]);
    }
}
