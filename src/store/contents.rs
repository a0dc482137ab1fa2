//! `content.db`: the bytes of messages in pieces.
//!
//! All writing shares one connection and one open transaction, which is committed by the writer just before the hot
//! commit that may refer to the bytes, and synced to disk when that commit is to be durable. So a bulk of mirrored
//! messages costs one commit, and nothing durable ever refers to bytes that are not.
//!
//! When the disk is full SQLite may take back the whole open transaction; transactions are numbered, and an upload
//! that wrote in a lost one knows it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OptionalExtension, params};

use super::checkpoint::Checkpoints;
use super::fate::{Fate, Moment};
use super::holds::Holds;
use super::readers::Readers;
use super::{Error, Executor, Result, files, room, settle};
use crate::types::{ContentHash, ContentId};

/// Uncommitted bytes after which the open transaction is committed, whoever needs it: SQLite spills what exceeds its
/// cache, and this bounds what a rollback can lose.
const TRANSACTION_MAX_BYTES: u64 = 32 * 1024 * 1024;

/// The content database.
pub(super) struct Contents {
    state: Mutex<State>,
    holds: Arc<Holds>,
}

struct State {
    /// Ends before the connection is closed.
    checkpoints: Checkpoints,
    conn: Connection,
    holds: Arc<Holds>,
    fate: Arc<dyn Fate>,
    /// Number of the open transaction, or of the next one.
    transaction: u64,
    is_open: bool,
    open_bytes: u64,
    /// Of those, from which on it is committed.
    max_bytes: u64,
    /// Something is committed but not synced.
    is_unsynced: bool,
}

/// The transactions in which one upload wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    span: Option<(u64, u64)>,
}

impl Written {
    /// The first and the last.
    pub(super) const fn span(self) -> Option<(u64, u64)> {
        self.span
    }

    fn add(&mut self, transaction: u64) {
        self.span = Some((self.span.map_or(transaction, |(first, _)| first), transaction));
    }
}

impl Contents {
    pub(super) fn new(mut conn: Connection, path: &Path, executor: Executor, fate: Arc<dyn Fate>) -> Result<Self> {
        let holds = Arc::new(Holds::default());
        let state = State {
            checkpoints: Checkpoints::of(&mut conn, path, executor)?,
            conn,
            holds: Arc::clone(&holds),
            fate,
            transaction: 1,
            is_open: false,
            open_bytes: 0,
            max_bytes: TRANSACTION_MAX_BYTES,
            is_unsynced: false,
        };
        Ok(Self { state: Mutex::new(state), holds })
    }

    /// A new content without bytes, pinned.
    pub(super) fn begin(&self, written: &mut Written) -> Result<ContentId> {
        let mut state = self.lock();
        let id = state.change(written, 0, |conn| {
            conn.prepare_cached("INSERT INTO content (complete) VALUES (0)")?.execute([])?;
            Ok(ContentId::new(conn.last_insert_rowid()))
        })?;
        self.holds.pin(id);
        Ok(id)
    }

    /// Adds a piece.
    pub(super) fn add(&self, id: ContentId, start: u64, bytes: &[u8], written: &mut Written) -> Result<()> {
        self.lock().change(written, bytes.len(), |conn| {
            let mut insert = conn.prepare_cached("INSERT INTO chunk (content_id, start, bytes) VALUES (?1, ?2, ?3)")?;
            insert.execute(params![id.get(), start.cast_signed(), bytes])?;
            Ok(())
        })
    }

    /// The bytes are complete. If the hot database has the same bytes already, these are dropped and the pin goes over
    /// to those: the answer says which content to refer to.
    pub(super) fn complete(
        &self,
        id: ContentId,
        hash: &ContentHash,
        hot: &Readers,
        written: &mut Written,
    ) -> Result<ContentId> {
        let mut state = self.lock();
        let same = hot.read(|conn| find(conn, hash))?.filter(|same| self.holds.pin_spared(*same));
        if let Some(same) = same {
            let shared = state.change(written, 0, |conn| share(conn, id, same));
            let shares = shared.inspect_err(|_| self.holds.unpin(same))?;
            self.holds.unpin(id);
            if shares {
                *written = Written::default();
            }
            return Ok(same);
        }
        state.change(written, 0, |conn| {
            conn.prepare_cached("UPDATE content SET complete = 1 WHERE id = ?1")?.execute([id.get()])?;
            Ok(())
        })?;
        Ok(id)
    }

    /// Drops an upload that was not finished.
    pub(super) fn abandon(&self, id: ContentId, written: &mut Written) {
        let mut state = self.lock();
        self.holds.unpin(id);
        // After a lost transaction the number may name another upload's content: what is left is swept.
        if !self.holds.is_lost(*written) {
            let _ = state.change(written, 0, |conn| remove(conn, id));
        }
    }

    /// Who holds on to which contents.
    pub(super) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Commits what is open; with `durable` everything committed so far survives a power cut.
    pub(super) fn commit(&self, durable: bool) -> Result<()> {
        let mut state = self.lock();
        state.commit()?;
        if durable { state.sync() } else { Ok(()) }
    }

    /// Everything committed so far survives a power cut.
    pub(super) fn sync(&self) -> Result<()> {
        self.lock().sync()
    }

    /// The log gives back what room it can, if that is short.
    pub(super) fn give_back_room(&self) {
        let state = self.lock();
        if !state.is_open {
            state.checkpoints.give_back_room(&state.conn);
        }
    }

    /// Removes the bytes of contents that nothing in the hot database refers to any more, a few at a time so that
    /// uploads get their turn.
    pub(super) fn remove(&self, ids: &[ContentId]) -> Result<()> {
        for id in ids {
            let mut state = self.lock();
            state.change(&mut Written::default(), 0, |conn| remove(conn, *id))?;
            self.holds.spare(&[*id]);
        }
        self.commit(false)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves at worst an open transaction, which the next commit ends.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Changes something within the open transaction, which is begun if there is none.
    fn change<T>(
        &mut self,
        written: &mut Written,
        bytes: usize,
        work: impl FnOnce(&Connection) -> Result<T>,
    ) -> Result<T> {
        if self.holds.is_lost(*written) {
            return Err(Error::UploadLost);
        }
        if !self.is_open {
            self.checkpoints.give_back_room(&self.conn);
            files::control(&self.conn, "BEGIN IMMEDIATE")?;
            self.is_open = true;
            self.max_bytes = room::transaction_max(self.checkpoints.log()).min(TRANSACTION_MAX_BYTES);
        }
        if bytes > 0 && self.max_bytes == 0 {
            return Err(Error::DISK_FULL);
        }
        written.add(self.transaction);
        match work(&self.conn) {
            Ok(value) => {
                self.open_bytes += bytes as u64;
                if self.open_bytes > self.max_bytes {
                    self.commit()?;
                }
                Ok(value)
            }
            Err(error) => {
                if self.conn.is_autocommit() {
                    self.lose();
                }
                Err(error)
            }
        }
    }

    fn commit(&mut self) -> Result<()> {
        if !self.is_open {
            return Ok(());
        }
        let committed = self.fate.at(Moment::BeforeContent).and_then(|()| Ok(files::control(&self.conn, "COMMIT")?));
        if let Err(error) = committed {
            if !self.conn.is_autocommit() {
                files::control(&self.conn, "ROLLBACK")?;
            }
            self.lose();
            return Err(error);
        }
        self.next_transaction();
        self.is_unsynced = true;
        self.checkpoints.after_commit(&self.conn);
        self.fate.at(Moment::AfterContent { durable: false })
    }

    fn sync(&mut self) -> Result<()> {
        if self.is_unsynced {
            settle::sync(self.checkpoints.log())?;
            self.fate.at(Moment::AfterContent { durable: true })?;
            self.is_unsynced = false;
        }
        Ok(())
    }

    fn lose(&mut self) {
        self.holds.lose(self.transaction);
        self.next_transaction();
    }

    fn next_transaction(&mut self) {
        self.transaction += 1;
        self.is_open = false;
        self.open_bytes = 0;
    }
}

/// The hot database's content with that hash.
pub(super) fn find(hot: &Connection, hash: &ContentHash) -> Result<Option<ContentId>> {
    let mut select = hot.prepare_cached("SELECT id FROM content WHERE hash = ?1")?;
    let id = select.query_row([hash.as_bytes()], |row| row.get::<_, i64>("id")).optional()?;
    Ok(id.map(ContentId::new))
}

/// Drops the bytes of `id` in favour of the equal ones of `same`; true if those are there. After a power cut they may
/// not be: then the new bytes take that number.
fn share(conn: &Connection, id: ContentId, same: ContentId) -> Result<bool> {
    let mut select = conn.prepare_cached("SELECT 1 AS one FROM content WHERE id = ?1 AND complete = 1")?;
    let is_there = select.exists([same.get()])?;
    if !is_there {
        remove(conn, same)?;
        conn.prepare_cached("INSERT INTO content (id, complete) VALUES (?1, 1)")?.execute([same.get()])?;
        let mut update = conn.prepare_cached("UPDATE chunk SET content_id = ?2 WHERE content_id = ?1")?;
        update.execute([id.get(), same.get()])?;
    }
    remove(conn, id)?;
    Ok(is_there)
}

fn remove(conn: &Connection, id: ContentId) -> Result<()> {
    conn.prepare_cached("DELETE FROM content WHERE id = ?1")?.execute([id.get()])?;
    Ok(())
}
