//! Contents, byte strings each of which is stored once: what the hot database says of where they are.
//!
//! A content is written to a pack ([`super::packs`]) and then referred to, in the transaction that needs it
//! ([`Txn::link`]). So there is nothing to take back where an upload or a transaction fails, and one sync before a
//! durable commit is all that the bytes cost it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::fate::Fate;
use super::holds::Holds;
use super::packs::{PackId, Packs, Place};
use super::trace::message_id_hash;
use super::{Error, Result, StoredContent, Txn, growth, keys};
use crate::types::{ContentHash, ContentId};

/// The bytes of messages, and who holds on to them.
pub(super) struct Contents {
    packs: Arc<Packs>,
    holds: Holds,
    /// The newest content in a transaction that is committed.
    committed: AtomicI64,
    /// The newest content of which that and every older one is on disk.
    synced: AtomicI64,
}

impl Contents {
    pub(super) fn open(folder: &Path, max_bytes: Option<u64>, fate: Arc<dyn Fate>) -> Result<Self> {
        let packs = Packs::open(folder, max_bytes, fate)?;
        Ok(Self { packs, holds: Holds::default(), committed: AtomicI64::new(0), synced: AtomicI64::new(0) })
    }

    pub(super) const fn packs(&self) -> &Arc<Packs> {
        &self.packs
    }

    pub(super) const fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Everything that was uploaded by now survives a power cut.
    pub(super) fn sync(&self) -> Result<()> {
        let committed = self.committed.load(Ordering::SeqCst);
        self.packs.sync()?;
        self.synced.fetch_max(committed, Ordering::SeqCst);
        Ok(())
    }

    /// The newest content that was committed.
    pub(super) fn note_committed(&self, newest: ContentId) {
        self.committed.store(newest.get(), Ordering::SeqCst);
    }

    /// The newest content of which that and every older one is known to be on disk.
    pub(super) fn synced(&self) -> ContentId {
        ContentId::new(self.synced.load(Ordering::SeqCst))
    }
}

/// The content with that hash whose bytes are here.
pub(super) fn find(hot: &Connection, hash: &ContentHash) -> Result<Option<ContentId>> {
    let mut select = hot.prepare_cached(
        "SELECT c.id FROM content AS c JOIN content_place AS p ON p.content_id = c.id WHERE c.hash = ?1",
    )?;
    Ok(select.query_row([hash.as_bytes()], |row| row.get("id").map(ContentId::new)).optional()?)
}

/// Where the bytes of a content are; `None`: they are not here.
pub(super) fn place(hot: &Connection, content: ContentId) -> Result<Option<Place>> {
    let mut select = hot.prepare_cached("SELECT pack, start, size_bytes FROM content_place WHERE content_id = ?1")?;
    Ok(select.query_row([content.get()], place_from_row).optional()?)
}

pub(super) fn place_from_row(row: &Row<'_>) -> rusqlite::Result<Place> {
    Ok(Place {
        pack: PackId::new(row.get("pack")?),
        start: row.get::<_, i64>("start")?.unsigned_abs(),
        size_bytes: row.get::<_, i64>("size_bytes")?.unsigned_abs(),
    })
}

/// The highest number that a content ever had.
pub(super) fn newest(hot: &Connection) -> Result<ContentId> {
    let mut select = hot.prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'content_place'")?;
    Ok(ContentId::new(select.query_row([], |row| row.get("seq")).optional()?.unwrap_or(0)))
}

/// That content and every older one are on disk: after a power cut only the younger ones' bytes are looked at.
pub(super) fn note_synced(hot: &Connection, content: ContentId) -> Result<()> {
    let mut update = hot.prepare_cached("UPDATE store_info SET synced_content = ?1 WHERE id = 1")?;
    update.execute([content.get()])?;
    Ok(())
}

/// Says where the bytes of a content are: of a new one, which gets its number, or of one that is known without its bytes.
pub(super) fn note_place(hot: &Connection, known: Option<ContentId>, place: Place) -> Result<ContentId> {
    let mut insert =
        hot.prepare_cached("INSERT INTO content_place (content_id, pack, start, size_bytes) VALUES (?1, ?2, ?3, ?4)")?;
    let (start, size) = (place.start.cast_signed(), place.size_bytes.cast_signed());
    insert.execute(params![known.map(ContentId::get), place.pack.get(), start, size])?;
    Ok(known.unwrap_or_else(|| ContentId::new(hot.last_insert_rowid())))
}

impl Txn<'_> {
    /// The content of an upload: the one with equal bytes if there is one, else a new one.
    pub(in crate::store) fn link(&self, stored: &StoredContent) -> Result<ContentId> {
        let mut select = self.conn().prepare_cached(
            "SELECT c.id, p.content_id IS NOT NULL AS is_here
             FROM content AS c LEFT JOIN content_place AS p ON p.content_id = c.id WHERE c.hash = ?1",
        )?;
        let known = select
            .query_row([stored.hash.as_bytes()], |row| Ok((ContentId::new(row.get("id")?), row.get("is_here")?)))
            .optional()?;
        match known {
            Some((same, true)) => return Ok(same),
            // A power cut took its bytes, and here they are again. What is said to be synced goes by the number.
            Some((same, false)) => {
                self.contents().packs().sync()?;
                return note_place(self.conn(), Some(same), stored.place().ok_or(Error::NoContent)?);
            }
            None => {}
        }
        let content = note_place(self.conn(), None, stored.place().ok_or(Error::NoContent)?)?;
        let summary = postcard::to_stdvec(stored.summary())
            .map_err(|error| Error::Damaged(format!("a summary that cannot be written: {error}")))?;
        let mut insert = self.conn().prepare_cached(
            "INSERT INTO content (id, hash, size_bytes, summary, message_id_hash) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let (size, message_id) = (stored.size_bytes.cast_signed(), message_id_hash(stored.summary()));
        insert.execute(params![content.get(), stored.hash.as_bytes(), size, summary, message_id])?;
        keys::note(self.conn(), content, stored.keys())?;
        growth::note(self.conn(), content, stored.growth)?;
        Ok(content)
    }
}
