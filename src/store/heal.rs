//! What is done at opening when the last stop was not clean, or bytes of messages are gone.
//!
//! After a power cut commits by [`super::Origin::Upstream`] may be lost, and bytes that were not synced: the database may
//! refer to some that are not there, or are others. Such messages lose their bytes, not their place, and are fetched again;
//! of one that is in no mailbox any more only its name is left. Bytes to which nothing refers (an upload cut short) are cut
//! off. What upstream's mailboxes count says little then: what was forgotten here may be undone there as well, and as much
//! have come in its place. So each is looked into, however quiet it seems.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};

use super::fate::{Fate, Moment};
use super::packs::{PackId, Packs};
use super::source::{ContentSource, hash_of};
use super::{Error, Result, contents, outlines};
use crate::types::Timestamp;
use crate::types::mutant::mutant;

/// What [`heal`] found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Healed {
    /// The last stop was not clean.
    pub was_needed: bool,
    /// Messages whose bytes will be fetched again.
    pub to_fetch_again: usize,
    /// Bytes to which nothing referred.
    pub cut_off_bytes: u64,
    /// Contents that are missing and that upstream cannot give again: damage, which `store::check` tells in detail.
    pub lost: usize,
}

impl fmt::Display for Healed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.to_fetch_again as u64, "messages are fetched again"),
            (self.cut_off_bytes, "bytes that nothing needed were removed"),
            (self.lost as u64, "message bodies are missing and cannot be fetched again (syncctl verify)"),
        ];
        let told = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let told = told.collect::<Vec<_>>().join(", ");
        f.write_str(if told.is_empty() { "nothing was amiss" } else { &told })
    }
}

/// Marks the store as in use; before that, if it was not stopped cleanly, makes true what it says of bytes.
pub(super) fn heal(hot: &mut Connection, packs: &Arc<Packs>, fate: &dyn Fate, now: Timestamp) -> Result<Healed> {
    let clean: bool = hot.query_row("SELECT clean FROM store_info WHERE id = 1", [], |row| row.get("clean"))?;
    let (ends, lengths) = (ends(hot)?, packs.lengths()?);
    let is_short = |(pack, end): (&PackId, &u64)| lengths.get(pack).is_none_or(|length| length < end);
    let is_needed = !clean || ends.iter().any(is_short);
    let mut healed = Healed { was_needed: is_needed, ..Healed::default() };
    hot.pragma_update(None, "synchronous", "FULL")?;
    let transaction = hot.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_needed {
        let gone = places_gone(&transaction, packs, &lengths)?;
        if mutant!(NotedBeforeForgotten) {
            contents::note_synced(&transaction, contents::newest(&transaction)?)?;
            transaction.execute_batch("COMMIT; BEGIN IMMEDIATE")?;
            fate.at(Moment::AfterCommit { durable: true })?;
        }
        forget_places(&transaction, &gone)?;
        forget_missing(&transaction, &mut healed)?;
        transaction.execute("UPDATE remote_mailbox SET is_ahead = 1", [])?;
        if healed.lost == 0 && healed.to_fetch_again == 0 {
            // Else nothing is thrown away: the database may be of another day than the packs.
            healed.cut_off_bytes = cut_off(packs, &lengths, &ends)?;
        }
        // What the last life wrote is on disk only by chance, and the commit below syncs what refers to it.
        if !mutant!(HealedNotSynced) {
            packs.sync_all()?;
        }
        tracing::warn!(at = %now.to_rfc3339(), "the store was not stopped cleanly; it was checked: {healed}");
    }
    contents::note_synced(&transaction, contents::newest(&transaction)?)?;
    transaction.execute("UPDATE store_info SET clean = 0 WHERE id = 1", [])?;
    fate.at(Moment::BeforeCommit)?;
    transaction.commit()?;
    fate.at(Moment::AfterCommit { durable: true })?;
    Ok(healed)
}

/// Up to where something refers to each pack.
fn ends(hot: &Connection) -> Result<BTreeMap<PackId, u64>> {
    let mut select = hot.prepare("SELECT pack, max(start + size_bytes) AS end FROM content_place GROUP BY pack")?;
    let ends =
        select.query_map([], |row| Ok((PackId::new(row.get("pack")?), row.get::<_, i64>("end")?.unsigned_abs())))?;
    Ok(ends.collect::<rusqlite::Result<_>>()?)
}

/// The contents whose bytes are not at their places. Those that were synced are there if the pack is long enough; of the
/// others each byte is looked at.
fn places_gone(hot: &Connection, packs: &Arc<Packs>, lengths: &BTreeMap<PackId, u64>) -> Result<Vec<i64>> {
    let mut select = hot.prepare(
        "SELECT p.content_id, p.pack, p.start, p.size_bytes, c.hash, p.content_id <= i.synced_content AS is_synced
         FROM content_place AS p JOIN content AS c ON c.id = p.content_id JOIN store_info AS i ON i.id = 1
         ORDER BY p.content_id",
    )?;
    let mut gone = Vec::new();
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let place = contents::place_from_row(row)?;
        let is_long = lengths.get(&place.pack).is_some_and(|length| *length >= place.end());
        let is_there = match (is_long, row.get("is_synced")?) {
            (true, false) => {
                let found = hash_of(&mut ContentSource::at(packs, place)?).map_err(Error::unreadable)?;
                row.get_ref("hash")?.as_blob().is_ok_and(|hash| hash == found.as_bytes())
            }
            (is_long, _) => is_long,
        };
        if !is_there {
            gone.push(row.get("content_id")?);
        }
    }
    Ok(gone)
}

fn forget_places(hot: &Connection, gone: &[i64]) -> Result<()> {
    let mut forget = hot.prepare_cached("DELETE FROM content_place WHERE content_id = ?1")?;
    gone.iter().try_for_each(|content| forget.execute([content]).map(drop))?;
    Ok(())
}

/// What refers to contents whose bytes are nowhere does so no more, where they can be had again.
fn forget_missing(hot: &Connection, healed: &mut Healed) -> Result<()> {
    let mut select =
        hot.prepare("SELECT id FROM content WHERE id NOT IN (SELECT content_id FROM content_place) ORDER BY id")?;
    let missing = select.query_map([], |row| row.get("id"))?.collect::<rusqlite::Result<Vec<i64>>>()?;
    for missing in missing {
        outlines::forget_content(hot, missing)?;
        let mut forget = hot.prepare_cached(
            "UPDATE message SET content_id = NULL
             WHERE content_id = ?1 AND (EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = message.id)
               OR EXISTS (SELECT 1 FROM popped AS p WHERE p.message_id = message.id AND p.missing_ms IS NULL))",
        )?;
        healed.to_fetch_again += forget.execute([missing])?;
        // What upstream gave and took away again just before the power went can be had from nowhere.
        let mut forget =
            hot.prepare_cached("UPDATE message SET content_id = NULL WHERE content_id = ?1 AND mailbox_id IS NULL")?;
        forget.execute([missing])?;
        let mut delete = hot.prepare_cached(
            "DELETE FROM content WHERE id = ?1
             AND NOT EXISTS (SELECT 1 FROM message AS m WHERE m.content_id = content.id)
             AND NOT EXISTS (SELECT 1 FROM submission AS s WHERE s.content_id = content.id)",
        )?;
        healed.lost += usize::from(delete.execute([missing])? == 0);
    }
    Ok(())
}

/// Cuts off what is behind the last bytes to which something refers. Returns how much that was.
fn cut_off(packs: &Arc<Packs>, lengths: &BTreeMap<PackId, u64>, ends: &BTreeMap<PackId, u64>) -> Result<u64> {
    let mut cut_bytes = 0;
    for (pack, length) in lengths {
        let end = ends.get(pack).copied().unwrap_or(0);
        if end < *length {
            packs.cut(*pack, end)?;
            cut_bytes += length - end;
        }
    }
    Ok(cut_bytes)
}
