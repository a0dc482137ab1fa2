//! Giving back the space of what nobody needs: messages gone long enough, bytes to which nothing refers.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Origin, Result, Store, Txn};
use crate::types::{ContentId, Timestamp};

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub messages: usize,
    pub contents: usize,
    /// Given back to the disk.
    pub bytes: u64,
}

impl Store {
    /// Forgets the messages that went before `before`, and every content to which nothing refers; gives back their room
    /// where that is worth it.
    pub fn sweep(&self, before: Timestamp, now: Timestamp) -> Result<Swept> {
        self.sweep_while(before, now, &|| true)
    }

    /// The same, while `goes_on`: where much room is to be given back, that takes its time. What is not done by then the next
    /// one does.
    pub fn sweep_while(&self, before: Timestamp, now: Timestamp, goes_on: &dyn Fn() -> bool) -> Result<Swept> {
        let (messages, contents) = self.remove_contents(now, move |txn, doomed| {
            let messages = txn.purge_gone(before)?;
            let mut unused = txn.conn().prepare_cached(
                "SELECT c.id FROM content AS c
                 WHERE NOT EXISTS (SELECT 1 FROM message WHERE content_id = c.id)
                 AND NOT EXISTS (SELECT 1 FROM submission WHERE content_id = c.id)
                 AND NOT EXISTS (SELECT 1 FROM outline WHERE header_id = c.id)
                 AND NOT EXISTS (SELECT 1 FROM section WHERE content_id = c.id) ORDER BY c.id",
            )?;
            let unused = unused.query_map([], |row| row.get("id").map(ContentId::new))?;
            *doomed = txn.contents().holds().doom(unused.collect::<rusqlite::Result<_>>()?);
            Ok(messages)
        })?;
        Ok(Swept { messages, contents, bytes: self.reclaim(now, goes_on)? })
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
        self.contents().holds().spare(&doomed);
        let value = done?;
        self.shared().index.forget(&doomed);
        Ok((value, doomed.len()))
    }
}
