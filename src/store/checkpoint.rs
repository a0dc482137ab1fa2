//! Copying the content database's write-ahead log back into it.
//!
//! A bulk of mirrored mail passes through that log, and its checkpoints wait for the disk. They are made on a thread of
//! their own, while the next bytes come in; a log that grows faster than that is copied back by the commit itself, which
//! is also when SQLite begins it anew: it never does while there is something to copy.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::{Error, Executor, Result, files, room, settle};

/// Pages by which the log grows between two checkpoints.
const CHECKPOINT_PAGES: usize = 1000;

/// Pages from which on the commit itself copies the log back.
const LOG_MAX_PAGES: usize = 4 * CHECKPOINT_PAGES;

/// When the log of a connection is copied back.
pub(super) struct Checkpoints {
    log: PathBuf,
    /// In the log after the last commit.
    pages: Arc<AtomicUsize>,
    /// In it when it was last copied back.
    copied_pages: usize,
    /// None: all work is done in the caller.
    background: Option<Background>,
}

struct Background {
    wake: Option<SyncSender<()>>,
    /// Held by whoever copies: SQLite would let the second pass without having copied anything.
    turn: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// In place of SQLite's own rule for `conn`, the one connection that writes to the database at `path`.
    pub(super) fn of(conn: &mut Connection, path: &Path, executor: Executor) -> Result<Self> {
        let pages = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(usize::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let background = match executor {
            Executor::Thread => Some(Background::start(path)?),
            Executor::Inline => None,
        };
        Ok(Self { log: settle::path_of(path), pages, copied_pages: 0, background })
    }

    /// The log that is copied back.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// To be called after each commit of `conn`.
    pub(super) fn after_commit(&mut self, conn: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.copied_pages {
            // SQLite began the log anew.
            self.copied_pages = 0;
        }
        if pages - self.copied_pages < CHECKPOINT_PAGES {
            return;
        }
        match &self.background {
            Some(background) if pages < LOG_MAX_PAGES => background.wake(),
            Some(background) => {
                let _turn = background.turn.lock().unwrap_or_else(PoisonError::into_inner);
                checkpoint(conn);
            }
            None => checkpoint(conn),
        }
        self.copied_pages = pages;
    }

    /// To be called between two transactions of `conn`.
    pub(super) fn give_back_room(&self, conn: &Connection) {
        room::give_back(&self.log, || {
            let _turn = self.background.as_ref().map(|it| it.turn.lock().unwrap_or_else(PoisonError::into_inner));
            room::cut(conn)
        });
    }
}

impl Background {
    fn start(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags_and_vfs(path, flags, files::VFS)?;
        files::set_up(&conn)?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        let (wake, woken) = sync_channel(1);
        let turn = Arc::new(Mutex::new(()));
        let ours = Arc::clone(&turn);
        let work = move || {
            for () in woken {
                let _turn = ours.lock().unwrap_or_else(PoisonError::into_inner);
                checkpoint(&conn);
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(work);
        Ok(Self { wake: Some(wake), turn, thread: Some(thread.map_err(|error| Error::io("a thread", error))?) })
    }

    fn wake(&self) {
        if let Some(wake) = &self.wake {
            // One that is asked for already will copy these pages as well.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.wake.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Copies back what nobody reads from the log any more. What cannot be copied now is copied by the next one.
fn checkpoint(conn: &Connection) {
    if let Err(error) = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::debug!(%error, "the write-ahead log of the content database was not copied back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    const PAGE_BYTES: u32 = 512;

    #[test]
    fn the_log_of_a_bulk_stays_short_and_nothing_is_lost() {
        for executor in [Executor::Thread, Executor::Inline] {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("bulk.db");
            let options = Options { executor, program: "test".to_owned(), max_bytes: None };
            let mut conn = files::open(&path, &options, PAGE_BYTES, 64).expect("a database");
            conn.execute_batch("CREATE TABLE piece (bytes BLOB)").expect("a table");
            let mut checkpoints = Checkpoints::of(&mut conn, &path, executor).expect("checkpoints");
            let pieces = 10 * LOG_MAX_PAGES / 100;
            for _ in 0..pieces {
                let size_bytes = i64::from(100 * PAGE_BYTES);
                conn.execute("INSERT INTO piece VALUES (zeroblob(?1))", [size_bytes]).expect("room");
                checkpoints.after_commit(&conn);
            }
            let log_bytes = std::fs::metadata(settle::path_of(&path)).expect("a log").len();
            let page_bytes = u64::from(PAGE_BYTES) + 24;
            let most_pages = (LOG_MAX_PAGES + CHECKPOINT_PAGES) as u64;
            assert!(log_bytes < most_pages * page_bytes, "{log_bytes}");
            drop((checkpoints, conn));
            let conn = Connection::open(&path).expect("a database");
            let count: i64 = conn.query_row("SELECT count(*) FROM piece", [], |row| row.get(0)).expect("a count");
            assert_eq!(count, pieces as i64);
            let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
            assert_eq!(sound, "ok");
        }
    }
}
