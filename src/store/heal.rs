//! What is done at opening when the last stop was not clean, or the file with the bytes is gone.
//!
//! After a power cut commits by [`super::Origin::Upstream`] may be lost, in each database on its own: the hot one may
//! refer to bytes that are not there. Such messages lose their bytes, not their place, and are fetched again; of one that is
//! in no mailbox any more only its name is left. Bytes to which nothing refers (an upload cut short) are swept.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{Result, outlines, settle};
use crate::types::Timestamp;

/// What [`heal`] found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Healed {
    /// The last stop was not clean.
    pub was_needed: bool,
    /// Messages whose bytes will be fetched again.
    pub to_fetch_again: usize,
    /// Contents to which nothing referred.
    pub swept: usize,
    /// Contents that are missing and that upstream cannot give again: damage, which `store::check` tells in detail.
    pub lost: usize,
}

impl fmt::Display for Healed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.to_fetch_again, "messages are fetched again"),
            (self.swept, "message bodies that nothing needed were removed"),
            (self.lost, "message bodies are missing and cannot be fetched again (syncctl verify)"),
        ];
        let told = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let told = told.collect::<Vec<_>>().join(", ");
        f.write_str(if told.is_empty() { "nothing was amiss" } else { &told })
    }
}

/// Marks the store as in use; before that, if it was not stopped cleanly, makes the two databases agree.
pub(super) fn heal(
    hot: &mut Connection,
    content: &mut Connection,
    content_path: &Path,
    now: Timestamp,
) -> Result<Healed> {
    let clean: bool = hot.query_row("SELECT clean FROM store_info WHERE id = 1", [], |row| row.get("clean"))?;
    let is_needed = !clean || has_lost_all(hot, content)?;
    let mut healed = Healed { was_needed: is_needed, ..Healed::default() };
    hot.pragma_update(None, "synchronous", "FULL")?;
    let transaction = hot.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_needed {
        make_agree(&transaction, content, &mut healed)?;
        // What the last life wrote of either is on disk only by chance, and the commit below syncs the hot one.
        settle::sync(&settle::path_of(content_path))?;
        tracing::warn!(at = %now.to_rfc3339(), "the store was not stopped cleanly; it was checked: {healed}");
    }
    transaction.execute("UPDATE store_info SET clean = 0 WHERE id = 1", [])?;
    transaction.commit()?;
    Ok(healed)
}

/// Is there not one content where there are said to be some? Someone removed the file.
fn has_lost_all(hot: &Connection, content: &Connection) -> Result<bool> {
    let has_any = |conn: &Connection| conn.prepare("SELECT 1 AS one FROM content LIMIT 1")?.exists([]);
    Ok(has_any(hot)? && !has_any(content)?)
}

fn make_agree(hot: &Connection, content: &mut Connection, healed: &mut Healed) -> Result<()> {
    let complete = ids(content, "SELECT id FROM content WHERE complete = 1")?;
    let referred = ids(hot, "SELECT id FROM content")?;
    for missing in referred.difference(&complete) {
        outlines::forget_content(hot, *missing)?;
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
    let all = ids(content, "SELECT id FROM content")?;
    let transaction = content.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for orphan in all.difference(&referred) {
        transaction.prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([orphan])?;
        healed.swept += 1;
    }
    // Numbers given out before the power cut are not given out again.
    let highest = referred.last().copied().unwrap_or(0);
    let raised = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'content'";
    if transaction.execute(raised, [highest])? == 0 {
        transaction.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('content', ?1)", [highest])?;
    }
    transaction.commit()?;
    Ok(())
}

fn ids(conn: &Connection, sql: &str) -> Result<BTreeSet<i64>> {
    let mut select = conn.prepare(sql)?;
    Ok(select.query_map([], |row| row.get("id"))?.collect::<rusqlite::Result<_>>()?)
}
