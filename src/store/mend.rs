//! Bytes that a disk has spoilt, where upstream can give them again.

use super::{Result, Store, outlines};
use crate::types::{ContentId, Timestamp};

impl Store {
    /// Drops the bytes of those contents of which every message is upstream: the next sync fetches them again. The others'
    /// are all that there is, and stay as they are. Returns how many messages lost their bytes.
    pub fn fetch_again(&self, damaged: &[ContentId], now: Timestamp) -> Result<usize> {
        let damaged = damaged.to_vec();
        let (messages, _) = self.remove_contents(now, move |txn, doomed| {
            let mut is_kept_by_us = txn.conn().prepare_cached(
                "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM submission WHERE content_id = ?1)
                    OR EXISTS (SELECT 1 FROM message AS m WHERE m.content_id = ?1
                               AND NOT EXISTS (SELECT 1 FROM remote_message AS r WHERE r.message_id = m.id))",
            )?;
            let mut given_again = Vec::new();
            for id in damaged {
                if !is_kept_by_us.exists([id.get()])? {
                    given_again.push(id);
                }
            }
            *doomed = txn.contents().holds().doom(given_again);
            let mut forget = txn.conn().prepare_cached("UPDATE message SET content_id = NULL WHERE content_id = ?1")?;
            doomed.iter().try_fold(0, |messages, id| {
                outlines::forget_content(txn.conn(), id.get())?;
                Ok(messages + forget.execute([id.get()])?)
            })
        })?;
        Ok(messages)
    }
}
