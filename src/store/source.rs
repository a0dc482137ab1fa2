//! Reading the bytes of a content.

use std::io;

use rusqlite::{Connection, MAIN_DB, OptionalExtension, params};

use super::handle::Shared;
use super::{Error, Result, Store};
use crate::types::{ByteSource, ContentId};

/// The bytes of a content, in pieces.
pub struct ContentSource {
    store: Store,
    content: ContentId,
    size_bytes: u64,
}

impl ContentSource {
    pub(super) fn open(store: Store, content: ContentId) -> Result<Self> {
        let size_bytes = store.read(|reader| {
            let mut select = reader.conn().prepare_cached("SELECT size_bytes FROM content WHERE id = ?1")?;
            let size: Option<i64> = select.query_row([content.get()], |row| row.get("size_bytes")).optional()?;
            size.map(i64::unsigned_abs).ok_or(Error::NoContent)
        })?;
        Ok(Self { store, content, size_bytes })
    }
}

impl ByteSource for ContentSource {
    fn size(&self) -> u64 {
        self.size_bytes
    }

    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let bytes = self.store.read_content(self.content, offset, max).map_err(io::Error::other)?;
        match bytes.is_empty() && max > 0 && offset < self.size_bytes {
            true => Err(io::Error::other(Error::NoContent)),
            false => Ok(bytes),
        }
    }
}

impl Shared {
    /// An error of this store.
    pub(super) fn tell(&self, error: Error) -> Error {
        error.of_store_in(self.log.folder())
    }

    pub(super) fn read_content(&self, content: ContentId, offset: u64, max: usize) -> Result<Vec<u8>> {
        match self.content.read(|conn| read(conn, content, offset, max))? {
            Some(bytes) if !bytes.is_empty() || max == 0 => return Ok(bytes),
            // The end, or just uploaded and not committed yet.
            Some(_) | None => self.contents.commit(false)?,
        }
        self.content.read(|conn| read(conn, content, offset, max))?.ok_or(Error::NoContent)
    }
}

/// Bytes from the piece in which `offset` is; `None` without such a content.
pub(super) fn read(conn: &Connection, content: ContentId, offset: u64, max: usize) -> Result<Option<Vec<u8>>> {
    let mut select = conn.prepare_cached(
        "SELECT rowid AS row, start, length(bytes) AS length FROM chunk
         WHERE content_id = ?1 AND start <= ?2 ORDER BY start DESC LIMIT 1",
    )?;
    let piece: Option<(i64, i64, i64)> = select
        .query_row(params![content.get(), i64::try_from(offset).unwrap_or(i64::MAX)], |row| {
            Ok((row.get("row")?, row.get("start")?, row.get("length")?))
        })
        .optional()?;
    let Some((row, start, length)) = piece else {
        let mut select = conn.prepare_cached("SELECT 1 AS one FROM content WHERE id = ?1 AND complete = 1")?;
        return Ok(select.exists([content.get()])?.then(Vec::new));
    };
    let skip = usize::try_from(offset - start.unsigned_abs()).unwrap_or(usize::MAX);
    let length = usize::try_from(length).unwrap_or(0);
    let mut bytes = vec![0; length.saturating_sub(skip).min(max)];
    if !bytes.is_empty() {
        // Only the pages in question are read, however large the piece.
        conn.blob_open(MAIN_DB, "chunk", "bytes", row, true)?.read_at_exact(&mut bytes, skip)?;
    }
    Ok(Some(bytes))
}
