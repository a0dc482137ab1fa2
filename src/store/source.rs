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

/// A piece no larger comes with its row: to open it by itself takes longer than to read it.
const SMALL_MAX_BYTES: usize = 64 * 1024;

/// Bytes from the piece in which `offset` is; `None` without such a content.
pub(super) fn read(conn: &Connection, content: ContentId, offset: u64, max: usize) -> Result<Option<Vec<u8>>> {
    let mut select = conn.prepare_cached(
        "SELECT rowid AS row, start, length(bytes) AS length, CASE WHEN length(bytes) <= ?3 THEN bytes END AS small
         FROM chunk WHERE content_id = ?1 AND start <= ?2 ORDER BY start DESC LIMIT 1",
    )?;
    let mut rows =
        select.query(params![content.get(), i64::try_from(offset).unwrap_or(i64::MAX), SMALL_MAX_BYTES as i64])?;
    let Some(piece) = rows.next()? else {
        let mut select = conn.prepare_cached("SELECT 1 AS one FROM content WHERE id = ?1 AND complete = 1")?;
        return Ok(select.exists([content.get()])?.then(Vec::new));
    };
    let skip = offset - piece.get::<_, i64>("start")?.unsigned_abs();
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    if let Some(small) = piece.get_ref("small")?.as_blob_or_null().map_err(rusqlite::Error::from)? {
        let rest = small.get(skip..).unwrap_or_default();
        return Ok(Some(rest[..rest.len().min(max)].to_vec()));
    }
    let length = usize::try_from(piece.get::<_, i64>("length")?).unwrap_or(0);
    let mut bytes = vec![0; length.saturating_sub(skip).min(max)];
    if !bytes.is_empty() {
        // Only the pages in question are read, however large the piece.
        conn.blob_open(MAIN_DB, "chunk", "bytes", piece.get("row")?, true)?.read_at_exact(&mut bytes, skip)?;
    }
    Ok(Some(bytes))
}
