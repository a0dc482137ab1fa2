//! Taking in the bytes of a message, in pieces, whatever its size: hashed, summarised and stored on the way.

use std::sync::Arc;

use super::contents::Written;
use super::handle::Shared;
use super::{Error, Result};
use crate::message::octets::{Growth, Meter};
use crate::message::scan::Scanner;
use crate::message::{Keys, Summary};
use crate::types::{ContentHash, ContentId, limits};

/// Bytes on their way in. Dropped unfinished, nothing remains.
pub struct Upload {
    shared: Arc<Shared>,
    content: Option<ContentId>,
    written: Written,
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
    pub summary: Arc<Summary>,
    pub(super) keys: Arc<Keys>,
    pub(super) growth: Growth,
    pin: Arc<Pin>,
}

/// Keeps a sweep away.
struct Pin {
    shared: Arc<Shared>,
    content: ContentId,
    written: Written,
}

impl Upload {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            content: None,
            written: Written::default(),
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
                self.store_piece()?;
            }
        }
        Ok(())
    }

    /// How many bytes came so far.
    pub const fn size_bytes(&self) -> u64 {
        self.stored_bytes + self.piece.len() as u64
    }

    /// All bytes came. Equal bytes that are in the store already are shared.
    pub fn finish(mut self) -> Result<StoredContent> {
        self.store_piece()?;
        let content = self.content.expect("storing a piece makes the content");
        let hash = ContentHash::from_bytes(*self.hasher.finalize().as_bytes());
        let shared = Arc::clone(&self.shared);
        let completed = shared.contents.complete(content, &hash, &shared.hot, &mut self.written);
        let content = completed.map_err(|error| shared.tell(error))?;
        self.content = None;
        let (summary, keys) = std::mem::take(&mut self.scanner).finish();
        let growth = std::mem::take(&mut self.meter).finish();
        let (summary, keys) = (Arc::new(summary), Arc::new(keys));
        let pin = Arc::new(Pin { shared, content, written: self.written });
        Ok(StoredContent { hash, size_bytes: self.stored_bytes, summary, keys, growth, pin })
    }

    fn store_piece(&mut self) -> Result<()> {
        self.try_store_piece().map_err(|error| self.shared.tell(error))
    }

    fn try_store_piece(&mut self) -> Result<()> {
        let content = match self.content {
            Some(content) => content,
            None => *self.content.insert(self.shared.contents.begin(&mut self.written)?),
        };
        if !self.piece.is_empty() {
            self.shared.contents.add(content, self.stored_bytes, &self.piece, &mut self.written)?;
            self.stored_bytes += self.piece.len() as u64;
            self.piece.clear();
        }
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some(content) = self.content {
            self.shared.contents.abandon(content, &mut self.written);
        }
    }
}

impl StoredContent {
    /// Where the bytes are.
    pub fn content(&self) -> ContentId {
        self.pin.content
    }

    pub(super) fn written(&self) -> Written {
        self.pin.written
    }
}

impl std::fmt::Debug for StoredContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredContent").field("hash", &self.hash).field("size_bytes", &self.size_bytes).finish()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.shared.contents.holds().unpin(self.content);
    }
}
