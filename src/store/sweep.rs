//! Giving back the space of what nobody needs: messages gone long enough, bytes to which nothing refers.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Origin, Result, Store, Txn};
use crate::types::{ContentId, Timestamp};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub messages: usize,
    pub contents: usize,
}

impl Store {
    /// Forgets the messages that went before `before`, and every content to which nothing refers.
    pub fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<Swept> {
        let unreferred = self.read_both(|_, content| {
            let mut select = content.prepare_cached("SELECT id FROM content ORDER BY id")?;
            Ok(select.query_map([], |row| row.get("id").map(ContentId::new))?.collect::<rusqlite::Result<Vec<_>>>()?)
        })?;
        let (messages, contents) = self.remove_contents(now, move |txn, doomed| {
            let messages = txn.purge_gone(before)?;
            let mut is_used = txn.conn().prepare_cached(
                "SELECT 1 AS one WHERE EXISTS (SELECT 1 FROM message WHERE content_id = ?1)
                                    OR EXISTS (SELECT 1 FROM submission WHERE content_id = ?1)
                                    OR EXISTS (SELECT 1 FROM outline WHERE header_id = ?1)
                                    OR EXISTS (SELECT 1 FROM section WHERE content_id = ?1)",
            )?;
            let mut unused = Vec::new();
            for id in unreferred {
                if !is_used.exists([id.get()])? {
                    unused.push(id);
                }
            }
            *doomed = txn.contents().holds().doom(unused);
            Ok(messages)
        })?;
        Ok(Swept { messages, contents })
    }

    /// Removes contents: those that `work` names, which it has doomed and to which nothing refers when it is done. Returns
    /// what `work` does, and how many they were.
    pub(super) fn remove_contents<T, F>(&self, now: Timestamp, work: F) -> Result<(T, usize)>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>, &mut Vec<ContentId>) -> Result<T> + Send + 'static,
    {
        let doomed = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&doomed);
        // Durable, whoever put the messages there: the bytes are removed next, and must not be referred to again after
        // a power cut.
        let done = self.write(Origin::Authority, now, move |txn| {
            let mut doomed = told.lock().unwrap_or_else(PoisonError::into_inner);
            let value = work(txn, &mut doomed)?;
            for id in doomed.iter() {
                txn.conn().prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([id.get()])?;
            }
            Ok(value)
        });
        let doomed = std::mem::take(&mut *doomed.lock().unwrap_or_else(PoisonError::into_inner));
        match done {
            Ok(value) => {
                self.shared().index.forget(&doomed);
                self.contents().remove(&doomed)?;
                Ok((value, doomed.len()))
            }
            Err(error) => {
                self.contents().holds().spare(&doomed);
                Err(error)
            }
        }
    }
}
