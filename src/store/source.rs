//! Reading the bytes of a content.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::handle::Shared;
use super::packs::{Hold, Packs, Place};
use super::{Error, Result, contents};
use crate::types::limits::READ_BUFFER_BYTES;
use crate::types::{ByteSource, ContentHash, ContentId};

/// The bytes of a content, in pieces. They stay there for as long as this does.
pub struct ContentSource {
    file: Arc<File>,
    place: Place,
    _hold: Hold,
}

impl ContentSource {
    pub(super) fn of(shared: &Shared, content: ContentId) -> Result<Self> {
        let packs = shared.contents.packs();
        let mut known = None;
        loop {
            let _looking = packs.looking();
            let place = shared.hot.ask(|hot| contents::place(hot, content))?.ok_or(Error::NoContent)?;
            match Self::at(packs, place) {
                // It was moved since it was looked up.
                Err(Error::NoContent) if known != Some(place) => known = Some(place),
                found => return found,
            }
        }
    }

    pub(super) fn at(packs: &Arc<Packs>, place: Place) -> Result<Self> {
        let hold = packs.hold(place.pack);
        Ok(Self { file: packs.file(place.pack)?.ok_or(Error::NoContent)?, place, _hold: hold })
    }

    /// At most `max` bytes from `offset` on; empty only at the end.
    pub fn read(&self, offset: u64, max: usize) -> Result<Vec<u8>> {
        let left = self.place.size_bytes.saturating_sub(offset);
        let mut bytes = vec![0; usize::try_from(left).unwrap_or(usize::MAX).min(max)];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        match self.file.read_exact_at(&mut bytes, self.place.start + offset) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(Error::NoContent),
            Err(error) => Err(Error::io("the bytes of a message", error)),
        }
    }
}

impl ByteSource for ContentSource {
    fn size(&self) -> u64 {
        self.place.size_bytes
    }

    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        self.read(offset, max).map_err(io::Error::other)
    }
}

/// The hash of all bytes.
pub(super) fn hash_of(source: &mut ContentSource) -> io::Result<ContentHash> {
    let (mut hasher, mut offset) = (blake3::Hasher::new(), 0);
    while offset < source.size() {
        let bytes = source.read_at(offset, READ_BUFFER_BYTES)?;
        hasher.update(&bytes);
        offset += bytes.len() as u64;
    }
    Ok(ContentHash::from_bytes(*hasher.finalize().as_bytes()))
}

impl Shared {
    pub(super) fn read_content(&self, content: ContentId, offset: u64, max: usize) -> Result<Vec<u8>> {
        ContentSource::of(self, content)?.read(offset, max)
    }

    /// An error of this store.
    pub(super) fn tell(&self, error: Error) -> Error {
        error.of_store_in(self.log.folder())
    }
}
