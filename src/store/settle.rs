//! When the hot database's write-ahead log reaches the disk, other than by a durable commit.
//!
//! Rules:
//!
//! - What a mail client was shown survives a power cut. Commits by [`super::Origin::Upstream`] are not synced: what
//!   upstream said can be asked again. But a message that is lost and fetched again may get another UID, and its UID
//!   another message, which no client that saw it could know (RFC 3501 section 2.3.1.1); the same holds for mod-sequences
//!   (RFC 7162 section 3.1) and for UIDVALIDITY. So whoever reads for a client has the log synced first, if anything in it
//!   is not. A mirror at which nobody looks pays nothing.
//! - Bytes of messages are synced before anything that refers to them is, and before a checkpoint, which is a sync.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::contents::Contents;
use super::fate::{Fate, Moment};
use super::{Error, Result, room};

/// Pages in the log from which on a commit copies them back into the database: 32 MiB. Mail that comes in writes the same pages
/// of the indexes again and again, and each is copied back once however often it is in the log.
const CHECKPOINT_PAGES: i32 = 4000;

/// The hot database's write-ahead log.
pub(super) struct Log {
    path: PathBuf,
    fate: Arc<dyn Fate>,
    /// Does it hold a commit that is not synced? Held during such a commit, so that no reader sees one before it is noted,
    /// and during a sync, so that the bytes belong to what is synced.
    is_unsynced: Mutex<bool>,
}

impl Log {
    pub(super) fn of(database: &Path, fate: Arc<dyn Fate>) -> Self {
        Self { path: path_of(database), fate, is_unsynced: Mutex::new(false) }
    }

    /// The store's folder.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Makes a commit that does not sync.
    pub(super) fn commit_unsynced(&self, commit: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut is_unsynced = self.lock();
        *is_unsynced = true;
        commit()
    }

    /// Returns once everything that a reader has seen by now would survive a power cut.
    pub(super) fn settle(&self, contents: &Contents) -> Result<()> {
        let mut is_unsynced = self.lock();
        if *is_unsynced {
            contents.sync()?;
            sync(&self.path)?;
            self.fate.at(Moment::Settled)?;
            *is_unsynced = false;
        }
        Ok(())
    }

    /// To be called between two transactions of `conn`, the one that writes.
    pub(super) fn give_back_room(&self, conn: &Connection, contents: &Contents) {
        room::give_back(&self.path, || contents.sync().and_then(|()| room::cut(conn)));
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the connection's commits checkpoint the log once it is long.
pub(super) fn checkpoint_after_contents(conn: &mut Connection, contents: Arc<Contents>) -> Result<()> {
    conn.wal_hook(Some(move |log: &mut rusqlite::hooks::Wal, pages| {
        if pages >= CHECKPOINT_PAGES {
            // The commit itself is made. A log that cannot be copied back now, because someone reads from it or the disk
            // is full, only grows until the next commit.
            let copied = contents.sync().and_then(|()| Ok(log.checkpoint()?));
            if let Err(error) = copied {
                tracing::debug!(%error, pages, "the write-ahead log was not copied back");
            }
        }
        Ok(())
    }))?;
    Ok(())
}

/// The write-ahead log that belongs to a database.
pub(super) fn path_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    PathBuf::from(path)
}

/// What SQLite itself does after a commit with `synchronous = FULL`. What a checkpoint has written back was synced by the
/// checkpoint; SQLite holds no lock on this file.
pub(super) fn sync(log: &Path) -> Result<()> {
    let synced = File::options().write(true).open(log).and_then(|log| log.sync_data());
    synced.map_err(|error| Error::io(log, error))
}
