//! Giving back the room of bytes that are of no use. A pack of which they are the greater part is moved together: what is
//! of use in it goes elsewhere, and the file is removed. In the others, and where the disk has little room left, they are
//! given back where they are, which needs none, but not every file system can do it, and the file is as long as before.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::packs::{Hold, PackId, Place};
use super::source::ContentSource;
use super::{Origin, Result, Store, contents};
use crate::types::limits::CONTENT_CHUNK_BYTES;
use crate::types::{ContentId, Timestamp};

/// A pack with fewer bytes of no use is left alone: file systems give back blocks.
const UNUSED_MIN_BYTES: u64 = 4 * 1024;

/// So many contents are said to be elsewhere in one transaction.
const MOVED_AT_ONCE: usize = 500;

impl Store {
    /// Gives back what room it can, where that is worth it, while `goes_on`. Returns how many bytes that was.
    pub(super) fn reclaim(&self, now: Timestamp, goes_on: &dyn Fn() -> bool) -> Result<u64> {
        let packs = self.contents().packs();
        // Looked at first: what is added meanwhile does not count as unused.
        let lengths = packs.lengths()?;
        let used = self.read(|reader| used_bytes(reader.conn()))?;
        let mut given_back = 0;
        for (pack, length) in lengths.into_iter().take_while(|_| goes_on()) {
            let used = used.get(&pack).copied().unwrap_or(0);
            let unused = length.saturating_sub(used);
            let held = packs.held_bytes(pack)?.saturating_sub(used);
            let done = match held {
                0..UNUSED_MIN_BYTES => continue,
                // What does not end well must not take the last room there is.
                _ if unused > used && packs.room_bytes() / 2 >= used => self.remove_pack(pack, held, now, goes_on),
                _ => self.punch_pack(pack, length, now),
            };
            match done {
                Ok(bytes) => given_back += bytes,
                // It stays as it is: a full disk, or one with bytes that cannot be read.
                Err(error) => tracing::warn!(%error, pack = pack.get(), "room was not given back"),
            }
        }
        Ok(given_back)
    }

    /// Gives back what is between the bytes that are of use.
    fn punch_pack(&self, pack: PackId, length: u64, now: Timestamp) -> Result<u64> {
        let packs = self.contents().packs();
        if !packs.close(pack) {
            return Ok(0);
        }
        let there = self.write(Origin::Authority, now, move |txn| contents_of(txn.conn(), pack))?;
        let mut unused = Vec::new();
        let mut end = 0;
        for (_, place) in &there {
            unused.push(end..place.start);
            end = place.end();
        }
        unused.push(end..length.max(end));
        unused.retain(|unused| unused.end - unused.start >= UNUSED_MIN_BYTES);
        let punched = self.settle().and_then(|()| packs.punch(pack, &unused));
        packs.reopen(pack)?;
        punched
    }

    /// Moves what is of use elsewhere and removes the pack, unless somebody needs it. `held`: what the rest takes.
    fn remove_pack(&self, pack: PackId, held: u64, now: Timestamp, goes_on: &dyn Fn() -> bool) -> Result<u64> {
        let packs = self.contents().packs();
        if !packs.close(pack) || !self.empty(pack, now, goes_on)? {
            return Ok(0);
        }
        self.settle()?;
        packs.remove(pack)?;
        Ok(held)
    }

    /// Is nothing of use in it any more?
    fn empty(&self, pack: PackId, now: Timestamp, goes_on: &dyn Fn() -> bool) -> Result<bool> {
        loop {
            // Asked of the writer: it knows what was referred to just now and is not committed yet.
            let there = self.write(Origin::Authority, now, move |txn| contents_of(txn.conn(), pack))?;
            if there.is_empty() {
                return Ok(true);
            }
            for some in there.chunks(MOVED_AT_ONCE) {
                if !goes_on() {
                    return Ok(false);
                }
                self.move_out(some, pack, now)?;
            }
        }
    }

    fn move_out(&self, some: &[(ContentId, Place)], pack: PackId, now: Timestamp) -> Result<()> {
        let mut copies = Vec::with_capacity(some.len());
        for (content, from) in some {
            copies.push((*content, self.copy(*from)?));
        }
        // Durable, bytes and all: the pack goes next.
        self.write(Origin::Authority, now, move |txn| {
            let mut update = txn
                .conn()
                .prepare_cached("UPDATE content_place SET pack = ?2, start = ?3 WHERE content_id = ?1 AND pack = ?4")?;
            for (content, (to, _hold)) in &copies {
                // One that went meanwhile leaves its copy unused.
                update.execute(params![content.get(), to.pack.get(), to.start.cast_signed(), pack.get()])?;
            }
            Ok(())
        })
    }

    /// The same bytes once more, elsewhere.
    fn copy(&self, from: Place) -> Result<(Place, Hold)> {
        let packs = self.contents().packs();
        let source = ContentSource::at(packs, from)?;
        let mut lane = packs.lane()?;
        let to = lane.place(from.size_bytes);
        let mut copied = 0;
        while copied < to.size_bytes {
            let piece = source.read(copied, CONTENT_CHUNK_BYTES);
            match piece.and_then(|piece| packs.add(&mut lane, &piece).map(|()| piece.len())) {
                Ok(bytes) => copied += bytes as u64,
                Err(error) => {
                    packs.abandon(lane, to.start);
                    return Err(error);
                }
            }
        }
        Ok((to, packs.finish(lane)?))
    }
}

fn used_bytes(hot: &Connection) -> Result<BTreeMap<PackId, u64>> {
    let mut select = hot.prepare_cached("SELECT pack, sum(size_bytes) AS bytes FROM content_place GROUP BY pack")?;
    let used =
        select.query_map([], |row| Ok((PackId::new(row.get("pack")?), row.get::<_, i64>("bytes")?.unsigned_abs())))?;
    Ok(used.collect::<rusqlite::Result<_>>()?)
}

fn contents_of(hot: &Connection, pack: PackId) -> Result<Vec<(ContentId, Place)>> {
    let mut select = hot.prepare_cached(
        "SELECT content_id, pack, start, size_bytes FROM content_place WHERE pack = ?1 ORDER BY start",
    )?;
    let there = select
        .query_map([pack.get()], |row| Ok((ContentId::new(row.get("content_id")?), contents::place_from_row(row)?)))?;
    Ok(there.collect::<rusqlite::Result<_>>()?)
}
