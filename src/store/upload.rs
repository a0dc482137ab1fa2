//! Taking in the bytes of a message, in pieces, whatever its size: hashed, summarised and stored on the way.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::contents;
use super::handle::Shared;
use super::packs::{Hold, Lane, Place};
use super::{ContentSource, Error, Result};
use crate::message::octets::{Growth, Meter};
use crate::message::scan::Scanner;
use crate::message::{Keys, Summary};
use crate::types::{ContentHash, ContentId, limits};

/// Bytes on their way in. Dropped unfinished, nothing remains.
pub struct Upload {
    shared: Arc<Shared>,
    /// Where they are written, and where they begin.
    lane: Option<(Lane, Place)>,
    /// What has not filled a piece yet.
    piece: Vec<u8>,
    stored_bytes: u64,
    hasher: blake3::Hasher,
    scanner: Scanner,
    meter: Meter,
}

/// Bytes taken in completely. They are kept until the last clone of this is dropped, and from then on only if a
/// message or a submission refers to them.
#[derive(Clone)]
pub struct StoredContent {
    pub hash: ContentHash,
    pub size_bytes: u64,
    told: Arc<Told>,
    pub(super) growth: Growth,
    kept: Arc<Kept>,
}

/// What the bytes say, read when it is asked for first.
struct Told {
    scanner: Mutex<Option<Scanner>>,
    read: OnceLock<(Summary, Keys)>,
}

/// Keeps the bytes from being swept.
struct Kept {
    shared: Arc<Shared>,
    what: What,
}

enum What {
    /// Bytes to which nothing refers yet.
    New { place: Place, _hold: Hold },
    /// A content that was there, with the same bytes.
    Same(ContentId),
}

impl Upload {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            lane: None,
            piece: Vec::new(),
            stored_bytes: 0,
            hasher: blake3::Hasher::new(),
            scanner: Scanner::new(),
            meter: Meter::default(),
        }
    }

    /// Takes the next bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        if self.size_bytes() + bytes.len() as u64 > limits::MESSAGE_MAX_BYTES {
            return Err(Error::TooBig { limit_bytes: limits::MESSAGE_MAX_BYTES });
        }
        self.hasher.update(bytes);
        self.scanner.push(bytes);
        self.meter.push(bytes);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(limits::CONTENT_CHUNK_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            bytes = later;
            if self.piece.len() == limits::CONTENT_CHUNK_BYTES {
                self.store_piece().map_err(|error| self.shared.tell(error))?;
            }
        }
        Ok(())
    }

    /// How many bytes came so far.
    pub const fn size_bytes(&self) -> u64 {
        self.stored_bytes + self.piece.len() as u64
    }

    /// All bytes came. Equal bytes that are in the store already are shared.
    pub fn finish(self) -> Result<StoredContent> {
        let stored = self.finish_unread()?;
        stored.told.read();
        Ok(stored)
    }

    /// The same, with what the bytes say still to be read: by the writer, while whoever takes in a mailbox goes on.
    pub fn finish_unread(mut self) -> Result<StoredContent> {
        let hash = ContentHash::from_bytes(*self.hasher.finalize().as_bytes());
        let shared = Arc::clone(&self.shared);
        let what = match self.same(&hash)? {
            Some(same) => What::Same(same),
            None => self.put_down().map_err(|error| shared.tell(error))?,
        };
        let scanner = Mutex::new(Some(std::mem::take(&mut self.scanner)));
        Ok(StoredContent {
            hash,
            size_bytes: self.size_bytes(),
            told: Arc::new(Told { scanner, read: OnceLock::new() }),
            growth: std::mem::take(&mut self.meter).finish(),
            kept: Arc::new(Kept { shared, what }),
        })
    }

    /// A content with the same bytes, pinned.
    fn same(&self, hash: &ContentHash) -> Result<Option<ContentId>> {
        let find = || self.shared.hot.ask(|hot| contents::find(hot, hash));
        let holds = self.shared.contents.holds();
        let Some(same) = find()?.filter(|same| holds.pin_spared(*same)) else { return Ok(None) };
        // It may have been swept between the look and the pin; from now on it stays.
        let is_there = find().is_ok_and(|found| found == Some(same));
        if !is_there {
            holds.unpin(same);
        }
        Ok(Some(same).filter(|_| is_there))
    }

    /// The bytes are complete.
    fn put_down(&mut self) -> Result<What> {
        self.store_piece()?;
        let (lane, begin) = self.lane.take().expect("storing a piece takes a lane");
        let hold = self.shared.contents.packs().finish(lane)?;
        Ok(What::New { place: Place { size_bytes: self.stored_bytes, ..begin }, _hold: hold })
    }

    fn store_piece(&mut self) -> Result<()> {
        let packs = self.shared.contents.packs();
        let lane = match &mut self.lane {
            Some((lane, _)) => lane,
            None => {
                let lane = packs.lane()?;
                let begin = lane.place(0);
                &mut self.lane.insert((lane, begin)).0
            }
        };
        if !self.piece.is_empty() {
            packs.add(lane, &self.piece)?;
            self.stored_bytes += self.piece.len() as u64;
            self.piece.clear();
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some((lane, begin)) = self.lane.take() {
            self.shared.contents.packs().abandon(lane, begin.start);
        }
    }
}

impl StoredContent {
    /// What the message is made of.
    pub fn summary(&self) -> &Summary {
        &self.told.read().0
    }

    /// By what the message is sorted and threaded.
    pub(super) fn keys(&self) -> &Keys {
        &self.told.read().1
    }

    /// The bytes, whether or not anything refers to them yet.
    pub fn source(&self) -> Result<ContentSource> {
        match self.kept.what {
            What::New { place, .. } => ContentSource::at(self.kept.shared.contents.packs(), place),
            What::Same(content) => ContentSource::of(&self.kept.shared, content),
        }
    }

    /// Where the bytes are; `None`: where a content is that was there before.
    pub(super) fn place(&self) -> Option<Place> {
        match self.kept.what {
            What::New { place, .. } => Some(place),
            What::Same(_) => None,
        }
    }
}

impl Told {
    fn read(&self) -> &(Summary, Keys) {
        self.read.get_or_init(|| {
            let scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner).take();
            scanner.unwrap_or_default().finish()
        })
    }
}

impl std::fmt::Debug for StoredContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredContent").field("hash", &self.hash).field("size_bytes", &self.size_bytes).finish()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let What::Same(content) = self.what {
            self.shared.contents.holds().unpin(content);
        }
    }
}
