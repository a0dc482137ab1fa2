//! Where the bytes of a maildrop's messages go: into the store, in small commits, or only into imprints.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::imprint::Imprinter;
use super::matching::Matching;
use super::seam::{LetterSink, Listed};
use crate::message::received_at;
use crate::store::{self, Fresh, NewMessage, Origin, Store, StoredContent};
use crate::sync::landing::{Landing, is_commit_due};
use crate::types::{AccountId, ContentHash, Flags, InternalDate, PoppedId, Timestamp};

/// Takes imprints of headers.
#[derive(Default)]
pub(super) struct Headers {
    now: Option<(u32, Imprinter)>,
    pub(super) of: BTreeMap<u32, ContentHash>,
}

impl LetterSink for Headers {
    fn begin(&mut self, number: u32) -> io::Result<()> {
        self.now = Some((number, Imprinter::default()));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some((_, imprinter)) = self.now.as_mut().filter(|(_, imprinter)| !imprinter.has_header()) {
            imprinter.push(bytes);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        self.of.extend(self.now.take().map(|(number, imprinter)| (number, imprinter.finish().header)));
        Ok(())
    }

    /// All of it is looked at then.
    fn refused(&mut self, _number: u32, _why: String) -> io::Result<()> {
        Ok(())
    }
}

/// Takes messages in.
pub(super) struct Intake<'a> {
    store: &'a Store,
    account: AccountId,
    now: Timestamp,
    listed: &'a BTreeMap<u32, Listed>,
    matching: &'a mut Matching,
    landing: Landing,
    letter: Option<Letter>,
    /// Numbers of which the server told what becomes of them.
    answered: BTreeSet<u32>,
    batch: Vec<(u32, Fresh)>,
    again: Vec<(PoppedId, StoredContent)>,
    batch_bytes: u64,
    /// Which each number was found to be.
    pub(super) found: BTreeMap<u32, PoppedId>,
    pub(super) arrived: Vec<(u32, PoppedId)>,
    pub(super) refused: Vec<(u32, String)>,
}

/// A message on its way in.
struct Letter {
    number: u32,
    imprinter: Imprinter,
    /// As much of its beginning as tells when the server got it.
    beginning: Vec<u8>,
}

/// A server writes its Received field at the top.
const BEGINNING_MAX_BYTES: usize = 16 * 1024;

/// Clocks differ. What came from further ahead says nothing.
const AHEAD_MAX_MS: i64 = 24 * 3_600_000;

impl<'a> Intake<'a> {
    pub(super) fn new(
        store: &'a Store,
        account: AccountId,
        now: Timestamp,
        listed: &'a BTreeMap<u32, Listed>,
        matching: &'a mut Matching,
    ) -> Self {
        Self {
            store,
            account,
            now,
            listed,
            matching,
            landing: Landing::new(store),
            letter: None,
            answered: BTreeSet::new(),
            batch: Vec::new(),
            again: Vec::new(),
            batch_bytes: 0,
            found: BTreeMap::new(),
            arrived: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Puts into the store what came whole. It may be lost in a power cut until something durable follows.
    pub(super) fn commit(&mut self) -> store::Result<()> {
        let (batch, again) = (std::mem::take(&mut self.batch), std::mem::take(&mut self.again));
        self.batch_bytes = 0;
        if batch.is_empty() && again.is_empty() {
            return Ok(());
        }
        let account = self.account;
        let (numbers, fresh): (Vec<u32>, Vec<Fresh>) = batch.into_iter().unzip();
        let ids = self.store.write(Origin::Upstream, self.now, move |txn| {
            again.iter().try_for_each(|(id, content)| txn.pop_again(*id, content))?;
            if fresh.is_empty() { Ok(Vec::new()) } else { txn.pop(account, &fresh) }
        })?;
        self.arrived.extend(numbers.into_iter().zip(ids));
        Ok(())
    }

    /// Of those that were asked for in that order, the one of which the answer did not come whole.
    pub(super) fn interrupted_at(&self, asked: &[u32]) -> Option<u32> {
        asked.iter().copied().find(|number| !self.answered.contains(number))
    }

    fn take(&mut self, letter: Letter, content: StoredContent) {
        let (number, imprint) = (letter.number, letter.imprinter.finish());
        self.batch_bytes += content.size_bytes;
        if let Some(id) = self.matching.find_by_bytes(imprint) {
            self.found.insert(number, id);
            if self.matching.known(id).is_some_and(|known| !known.has_bytes && !known.is_gone_here) {
                self.again.push((id, content));
            }
            return;
        }
        let listed = self.listed.get(&number);
        let latest_s = self.now.plus_ms(AHEAD_MAX_MS).unix_seconds();
        let received = received_at(&letter.beginning).filter(|at| at.unix_seconds() <= latest_s);
        let message = NewMessage {
            content,
            flags: Flags::default(),
            internal_date: received.unwrap_or_else(|| InternalDate::from(self.now)),
            email_id: None,
        };
        let fresh = Fresh {
            unique_id: listed.and_then(|listed| listed.unique_id.clone()).unwrap_or_default(),
            listed_bytes: listed.map_or(0, |listed| listed.size_bytes),
            header: imprint.header,
            whole: imprint.whole,
            message,
        };
        self.batch.push((number, fresh));
    }
}

impl LetterSink for Intake<'_> {
    fn begin(&mut self, number: u32) -> io::Result<()> {
        self.letter = Some(Letter { number, imprinter: Imprinter::default(), beginning: Vec::new() });
        self.landing.begin();
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(letter) = &mut self.letter {
            letter.imprinter.push(bytes);
            let room = BEGINNING_MAX_BYTES - letter.beginning.len();
            letter.beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        self.landing.write(bytes)
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(letter) = self.letter.take() else { return Ok(()) };
        self.answered.insert(letter.number);
        let Some(content) = self.landing.end()? else {
            self.refused.push((letter.number, "it is larger than what is taken here".to_owned()));
            return Ok(());
        };
        self.take(letter, content);
        match is_commit_due(self.batch.len(), self.batch_bytes) {
            true => self.commit().map_err(io::Error::other),
            false => Ok(()),
        }
    }

    fn refused(&mut self, number: u32, why: String) -> io::Result<()> {
        self.answered.insert(number);
        self.refused.push((number, why));
        Ok(())
    }
}
