//! Copying the content database's write-ahead log back into it.
//!
//! A bulk of mirrored mail passes through that log, and its checkpoints wait for the disk. They are made on a thread of
//! their own, while the next bytes come in; a log that grows faster than that is copied back by the commit itself, which
//! is also when SQLite begins it anew: it never does while there is something to copy.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::{Connection, OpenFlags};

use super::{Error, Executor, Result, files};

/// Pages by which the log grows between two checkpoints.
const CHECKPOINT_PAGES: usize = 1000;

/// Pages from which on the commit itself copies the log back.
const LOG_MAX_PAGES: usize = 4 * CHECKPOINT_PAGES;

/// When the log of a connection is copied back.
pub(super) struct Checkpoints {
    /// In the log after the last commit.
    pages: Arc<AtomicUsize>,
    /// In it when it was last copied back.
    copied_pages: usize,
    /// None: all work is done in the caller.
    background: Option<Background>,
}

struct Background {
    wake: Option<SyncSender<()>>,
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
        Ok(Self { pages, copied_pages: 0, background })
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
            _ => checkpoint(conn),
        }
        self.copied_pages = pages;
    }
}

impl Background {
    fn start(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        files::set_up(&conn)?;
        conn.pragma_update(None, "synchronous", "NORMAL")?;
        let (wake, woken) = sync_channel(1);
        let work = move |woken: Receiver<()>| woken.iter().for_each(|()| checkpoint(&conn));
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(move || work(woken));
        Ok(Self { wake: Some(wake), thread: Some(thread.map_err(|error| Error::io("a thread", error))?) })
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
