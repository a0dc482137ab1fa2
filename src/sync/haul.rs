//! Bodies that are not here, over one connection.
//!
//! Rules:
//!
//! - What is fetched is written with the UIDVALIDITY under which it was fetched; where upstream's mailbox is another one by
//!   then it is dropped, and the next sync tells what is where.
//! - Small messages come many in one FETCH, sections of many messages in one pipeline. A large message comes in pieces, each
//!   kept as it comes: a cut costs one piece.

use std::collections::BTreeMap;
use std::io;

use super::engine::{Clock, Engine};
use super::landing::Landing;
use super::pass::{refusal, select};
use super::remote::{Excerpt, Fetched, MessageSink, Piece, Remote, RemoteName};
use super::stock::Stocked;
use super::{Error, Result};
use crate::store::{self, Absent, Origin, Store, StoredContent, Txn};
use crate::types::{AccountId, BodyPolicy, ByteSource, MailboxId, MessageId, RemoteUid, UidSet, UidValidity, limits};

/// Messages above this size come in pieces of it. A piece is a round trip, and what a cut costs.
pub const PIECE_BYTES: u64 = 1024 * 1024;

/// Messages in one FETCH, and their bytes: whoever waits for something else waits for that at most.
pub(super) const FETCH_MAX_MESSAGES: usize = 100;
pub(super) const FETCH_MAX_BYTES: u64 = 2 * PIECE_BYTES;

/// The work on one connection.
pub(super) struct Hauler<'a, R> {
    pub store: &'a Store,
    pub account: AccountId,
    pub bodies: BodyPolicy,
    remote: &'a mut R,
    pub clock: Clock<'a>,
    /// Somebody waits for it.
    on_demand: bool,
    selected: Option<(MailboxId, UidValidity)>,
    pub hauled: Stocked,
}

/// A section of a message that is wanted, or a piece from its beginning.
pub(super) struct SectionOf<'a> {
    pub absent: &'a Absent,
    /// As between the brackets of FETCH.
    pub section: &'a str,
    pub piece: Option<Piece>,
    /// As it is kept.
    pub kept_as: String,
}

impl Engine {
    pub(super) fn hauler<'a, R: Remote>(
        &'a self,
        remote: &'a mut R,
        clock: Clock<'a>,
        on_demand: bool,
    ) -> Result<Hauler<'a, R>> {
        let (store, account, bodies) = (self.store(), self.account(), self.bodies_now()?);
        Ok(Hauler { store, account, bodies, remote, clock, on_demand, selected: None, hauled: Stocked::default() })
    }
}

impl<R: Remote> Hauler<'_, R> {
    /// How many bytes may still be fetched today.
    pub(super) fn left_bytes(&self) -> Result<u64> {
        let Some(budget) = self.bodies.budget_bytes else { return Ok(u64::MAX) };
        let (account, now) = (self.account, (self.clock)());
        Ok(budget.saturating_sub(self.store.read(|reader| reader.spent(account, now))?.bytes))
    }

    /// Selects a mailbox; `None` where it cannot be, or is another one than the store knows.
    pub(super) async fn select(&mut self, mailbox: MailboxId) -> Result<Option<UidValidity>> {
        if let Some((selected, uid_validity)) = self.selected
            && selected == mailbox
        {
            return Ok(Some(uid_validity));
        }
        self.selected = None;
        let Some(known) = self.store.read(|reader| reader.remote_mailbox(mailbox))? else { return Ok(None) };
        let name = RemoteName(known.remote_name);
        match select(self.remote, &name, None).await? {
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

    /// Messages with one FETCH. Those of them that the server does not give.
    pub(super) async fn take_whole(&mut self, absent: &[Absent], uid_validity: UidValidity) -> Result<Vec<MessageId>> {
        let uids: UidSet<RemoteUid> = absent.iter().map(|absent| absent.uid).collect();
        let mut sink = Taking::new(self.store);
        let answer = self.remote.fetch(&uids, &mut sink).await;
        let taken = sink.into_taken();
        let came = |absent: &&Absent| taken.iter().any(|(uid, _)| *uid == absent.uid);
        let missing: Vec<Absent> = absent.iter().filter(|absent| !came(absent)).cloned().collect();
        if let Some(mailbox) = absent.first().map(|absent| absent.mailbox) {
            self.hauled.messages += taken.len();
            self.write(taken.iter().map(|(_, content)| content.size_bytes).sum(), move |txn| {
                taken.iter().try_for_each(|(uid, content)| txn.fill(mailbox, uid_validity, *uid, content).map(drop))
            })?;
        }
        if let Err(refused) = refusal(answer)? {
            tracing::warn!(uids = %uids, "the server does not give messages: {}", refused.text);
            // Which of several it does not give is found out by asking for each.
            if missing.len() > 1 {
                let mut withheld = Vec::new();
                for absent in &missing {
                    let alone = std::slice::from_ref(absent);
                    withheld.extend(Box::pin(self.take_whole(alone, uid_validity)).await?);
                }
                return Ok(withheld);
            }
        }
        let withheld: Vec<MessageId> = missing.iter().map(|absent| absent.message).collect();
        if !withheld.is_empty() {
            let withheld = withheld.clone();
            self.write(0, move |txn| withheld.iter().try_for_each(|message| txn.withheld(*message)))?;
        }
        Ok(withheld)
    }

    /// A large message, piece by piece. Is it here now?
    pub(super) async fn take_pieces(
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
            let piece = match kept {
                Some((content, _)) => self.store.source(content)?,
                None => {
                    let piece = Some((first, PIECE_BYTES));
                    let wanted = SectionOf { absent, section: "", piece, kept_as: name };
                    match self.take_sections(&[wanted], uid_validity).await?.pop().flatten() {
                        Some(taken) => taken.source()?,
                        None => {
                            self.write(0, move |txn| txn.withheld(message))?;
                            return Ok(false);
                        }
                    }
                }
            };
            let size = piece.size();
            if size > PIECE_BYTES || first + size > limits::MESSAGE_MAX_BYTES {
                tracing::warn!(message = %message, "the server gives more than the piece of a message that was asked for");
                self.write(0, move |txn| {
                    txn.drop_sections(message)?;
                    txn.withheld(message)
                })?;
                return Ok(false);
            }
            pieces.push(piece);
            if size < PIECE_BYTES {
                break;
            }
            if is_urgent() {
                return Ok(false);
            }
        }
        let mut upload = self.store.upload();
        for piece in pieces {
            let mut at = 0;
            while at < piece.size() {
                let bytes = piece.read(at, limits::CONTENT_CHUNK_BYTES)?;
                at += bytes.len() as u64;
                upload.write(&bytes)?;
            }
        }
        let (content, mailbox, uid) = (upload.finish()?, absent.mailbox, absent.uid);
        self.hauled.messages += 1;
        self.write(0, move |txn| txn.fill(mailbox, uid_validity, uid, &content))
    }

    /// Sections of messages of the selected mailbox, of each message at most one: all of them in one pipeline. Those of the
    /// wanted that came, by their places.
    pub(super) async fn take_sections(
        &mut self,
        wanted: &[SectionOf<'_>],
        uid_validity: UidValidity,
    ) -> Result<Vec<Option<StoredContent>>> {
        let mut sink = Taking::new(self.store);
        let answer = self.remote.excerpts(&excerpts(wanted), &mut sink).await;
        let mut taken = sink.into_taken();
        let mut came = Vec::new();
        for one in wanted {
            let place = taken.iter().position(|(uid, _)| *uid == one.absent.uid);
            let content = place.map(|place| taken.swap_remove(place).1);
            let is_kept = match &content {
                Some(content) => {
                    let (message, name, kept) = (one.absent.message, one.kept_as.clone(), content.clone());
                    self.write(content.size_bytes, move |txn| txn.keep_section(message, uid_validity, &name, &kept))?
                }
                None => false,
            };
            came.push(content.filter(|_| is_kept));
        }
        let Err(refused) = refusal(answer)? else { return Ok(came) };
        tracing::warn!(count = wanted.len(), "the server does not give parts: {}", refused.text);
        // Which of several it does not give is found out by asking for each.
        if wanted.len() > 1 {
            for (one, came) in wanted.iter().zip(&mut came).filter(|(_, came)| came.is_none()) {
                let mut alone = Box::pin(self.take_sections(std::slice::from_ref(one), uid_validity)).await?;
                *came = alone.pop().flatten();
            }
        }
        Ok(came)
    }

    /// Writes what upstream gave, and that so many bytes came.
    fn write<T, F>(&mut self, bytes: u64, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> store::Result<T> + Send + 'static,
    {
        self.hauled.bytes += bytes;
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

/// What is asked for together: the same section of many messages with one command.
fn excerpts(wanted: &[SectionOf<'_>]) -> Vec<Excerpt> {
    let mut alike: BTreeMap<(&str, Option<Piece>), Vec<RemoteUid>> = BTreeMap::new();
    for one in wanted {
        alike.entry((one.section, one.piece)).or_default().push(one.absent.uid);
    }
    let excerpt = |((section, piece), uids): ((&str, _), Vec<RemoteUid>)| Excerpt {
        uids: uids.into_iter().collect(),
        section: section.to_owned(),
        piece,
    };
    alike.into_iter().map(excerpt).collect()
}

/// Takes in whole contents.
pub(super) struct Taking {
    landing: Landing,
    taken: Vec<(RemoteUid, StoredContent)>,
}

impl Taking {
    pub(super) fn new(store: &Store) -> Self {
        Self { landing: Landing::new(store), taken: Vec::new() }
    }

    pub(super) fn into_taken(self) -> Vec<(RemoteUid, StoredContent)> {
        self.taken
    }
}

impl MessageSink for Taking {
    fn begin(&mut self, _size_bytes: u64) -> io::Result<()> {
        self.landing.begin();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.landing.write(bytes)
    }

    fn end(&mut self, message: Fetched) -> io::Result<()> {
        self.taken.extend(self.landing.end()?.map(|content| (message.uid, content)));
        Ok(())
    }

    fn absent(&mut self, _uid: RemoteUid) -> io::Result<()> {
        self.landing.drop_it();
        Ok(())
    }
}
