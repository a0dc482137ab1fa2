//! Read connections: as many as there are readers at one time, a few kept for the next.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::Result;
use super::files::{VFS, control};

/// Idle connections kept open: each holds a page cache.
const IDLE_MAX: usize = 4;

/// Read connections to one database file.
pub(super) struct Readers {
    path: PathBuf,
    cache_kib: i64,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) const fn new(path: PathBuf, cache_kib: i64) -> Self {
        Self { path, cache_kib, idle: Mutex::new(Vec::new()) }
    }

    /// Runs `work` in a read transaction: all it sees is of one moment.
    pub(super) fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.lend(|conn| {
            // A panic drops the connection with its transaction.
            control(conn, "BEGIN")?;
            let value = work(conn);
            control(conn, "COMMIT")?;
            Ok(value)
        })?
    }

    /// Runs `work`, which is one statement and so sees one moment by itself.
    pub(super) fn ask<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.lend(|conn| Ok(work(conn)))?
    }

    fn lend<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let conn = match self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            Some(conn) => conn,
            None => self.open()?,
        };
        let value = work(&conn)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(conn);
        }
        Ok(value)
    }

    /// Closes the idle ones.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn open(&self) -> Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags_and_vfs(&self.path, flags, VFS)?;
        super::files::set_up(&conn)?;
        conn.execute_batch("PRAGMA query_only = 1; PRAGMA temp_store = MEMORY")?;
        conn.pragma_update(None, "cache_size", -self.cache_kib)?;
        Ok(conn)
    }
}
