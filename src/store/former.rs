//! Stores from before there were packs: their bytes are in a database of their own, `content.db`, and are moved from there
//! when such a store is opened. A crash on the way leaves them in both; the next opening goes on.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;

use super::packs::{Hold, Packs, Place};
use super::{Options, Result, contents, files, migrate};
use crate::types::ContentId;

/// Page size and cache with which it was used.
const PAGE_BYTES: u32 = 16 * 1024;
const CACHE_KIB: i64 = 2 * 1024;

/// After so many bytes what was moved is made durable.
const MOVED_AT_ONCE_BYTES: u64 = 64 * 1024 * 1024;

/// Moves what is in the former database at `path` to packs, and removes it.
pub(super) fn move_in(hot: &mut Connection, packs: &Arc<Packs>, path: &Path, options: &Options) -> Result<()> {
    if !path.try_exists().map_err(|error| super::Error::io(path, error))? {
        return Ok(());
    }
    let mut former = files::open(path, options, PAGE_BYTES, CACHE_KIB)?;
    migrate::migrate(&mut former, migrate::CONTENT)?;
    hot.pragma_update(None, "synchronous", "FULL")?;
    let mut after = 0;
    while let Some(last) = move_some(hot, packs, &former, after)? {
        after = last;
    }
    drop(former);
    files::remove_database(path);
    Ok(())
}

/// Moves contents that come after that one. Returns the last; `None`: there are no more.
fn move_some(hot: &mut Connection, packs: &Arc<Packs>, former: &Connection, after: i64) -> Result<Option<i64>> {
    let transaction = hot.transaction()?;
    let mut last = None;
    let mut moved = Vec::new();
    {
        let mut select = transaction.prepare(
            "SELECT id, size_bytes FROM content WHERE id > ?1 AND id NOT IN (SELECT content_id FROM content_place)
             ORDER BY id",
        )?;
        let mut rows = select.query([after])?;
        let mut bytes = 0;
        while let Some(row) = rows.next()?.filter(|_| bytes < MOVED_AT_ONCE_BYTES) {
            let (id, size): (i64, i64) = (row.get("id")?, row.get("size_bytes")?);
            last = Some(id);
            bytes += size.unsigned_abs();
            moved.extend(copy(packs, former, id, size.unsigned_abs())?.map(|(place, hold)| (id, place, hold)));
        }
    }
    for (id, place, _hold) in &moved {
        contents::note_place(&transaction, Some(ContentId::new(*id)), *place)?;
    }
    packs.sync()?;
    if let Some(last) = last {
        contents::note_synced(&transaction, ContentId::new(last))?;
    }
    transaction.commit()?;
    Ok(last)
}

/// The same bytes in a pack; `None`: not all of them are there.
fn copy(packs: &Arc<Packs>, former: &Connection, id: i64, size_bytes: u64) -> Result<Option<(Place, Hold)>> {
    let mut lane = packs.lane()?;
    let place = lane.place(size_bytes);
    let copied = (|| {
        let mut select = former.prepare_cached("SELECT 1 AS one FROM content WHERE id = ?1 AND complete = 1")?;
        let is_complete = select.exists([id])?;
        let mut select = former.prepare_cached("SELECT bytes FROM chunk WHERE content_id = ?1 ORDER BY start")?;
        let mut rows = select.query([id])?;
        while let Some(row) = rows.next()? {
            packs.add(&mut lane, row.get_ref("bytes")?.as_blob().map_err(rusqlite::Error::from)?)?;
        }
        Ok(is_complete && lane.place(0).start == place.end())
    })();
    match copied {
        Ok(true) => Ok(Some((place, packs.finish(lane)?))),
        incomplete => {
            packs.abandon(lane, place.start);
            incomplete.map(|_| None)
        }
    }
}
