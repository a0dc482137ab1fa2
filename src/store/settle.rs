//! What a mail client was shown survives a power cut.
//!
//! Commits by [`super::Origin::Upstream`] are not synced: what upstream said can be asked again. But a message that is lost
//! and fetched again may get another UID, and its UID another message, which no client that saw it could know (RFC 3501
//! section 2.3.1.1); the same holds for mod-sequences (RFC 7162 section 3.1) and for UIDVALIDITY. So whoever reads for a
//! client has the log synced first, if anything in it is not. A mirror at which nobody looks pays nothing.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::fate::{Fate, Moment};
use super::{Error, Result};

/// How much of a database's write-ahead log is synced, counted in commits that were not.
pub(super) struct Log {
    path: PathBuf,
    fate: Arc<dyn Fate>,
    /// Commits that readers may see. Held during such a commit, so that none is seen before it is counted.
    committed: Mutex<u64>,
    /// Those of them that are on disk. Held during a sync, so that all who wait for one are served by it.
    synced: Mutex<u64>,
}

impl Log {
    pub(super) fn of(database: &Path, fate: Arc<dyn Fate>) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self { path: PathBuf::from(path), fate, committed: Mutex::new(0), synced: Mutex::new(0) }
    }

    /// Counts `commit`, which does not sync.
    pub(super) fn commit_unsynced(&self, commit: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut committed = lock(&self.committed);
        *committed += 1;
        commit()
    }

    /// Returns once everything that a reader has seen by now would survive a power cut.
    pub(super) fn settle(&self) -> Result<()> {
        let seen = *lock(&self.committed);
        let mut synced = lock(&self.synced);
        if *synced >= seen {
            return Ok(());
        }
        let committed = *lock(&self.committed);
        sync(&self.path)?;
        *synced = committed;
        self.fate.at(Moment::Settled)
    }
}

/// What SQLite itself does after a commit with `synchronous = FULL`. What a checkpoint has written back was synced by the
/// checkpoint; SQLite holds no lock on this file.
pub(super) fn sync(log: &Path) -> Result<()> {
    let synced = File::options().write(true).open(log).and_then(|log| log.sync_data());
    synced.map_err(|error| Error::io(log, error))
}

fn lock(count: &Mutex<u64>) -> MutexGuard<'_, u64> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}
