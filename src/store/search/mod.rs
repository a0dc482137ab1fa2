//! `search.db`: an index of what messages say, in a database of its own that can be deleted at any time.
//!
//! Rules:
//!
//! - It is never the truth. What it says of a message is what reading the message would say, and what is not in it is
//!   read ([`lookup`]). If it fails it is thrown away, and made anew.
//! - Its rows are of contents, which never change, not of messages. Each bears the beginning of its content's hash;
//!   nobody asks the index before those that belong to no content any more are gone, as after a power cut ([`build`]).
//! - It is made in the background by whoever calls [`super::Store::index_more`], in batches so small that nobody waits
//!   for one, and without syncing anything. A store whose owner never calls it has no index, and no such file.
//! - It takes no room that mail needs ([`super::room`]): where room is short it does not grow and keeps no log, and where
//!   there is none to copy its log back it goes altogether.

mod build;
mod grams;
mod lookup;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use build::Builder;
pub use lookup::Findings;

use super::readers::Readers;
use super::room::Advice;
use super::{Error, Options, files, room, settle};
use crate::types::ContentId;

/// Page cache of a reader, in KiB: texts are read once.
const READER_CACHE_KIB: i64 = 1024;

/// The index of one store.
pub(super) struct Index {
    path: PathBuf,
    options: Options,
    /// `None` until the first batch.
    builder: Mutex<Option<Builder>>,
    /// Every row in it is of a content that is there.
    is_ready: AtomicBool,
    readers: Readers,
}

impl Index {
    pub(super) fn new(path: PathBuf, options: &Options) -> Self {
        let readers = Readers::new(path.clone(), READER_CACHE_KIB);
        Self { path, options: options.clone(), builder: Mutex::new(None), is_ready: AtomicBool::new(false), readers }
    }

    /// Forgets contents that are gone.
    pub(super) fn forget(&self, contents: &[ContentId]) {
        let mut builder = self.lock();
        if let Some(Err(error)) = builder.as_mut().map(|builder| builder.forget(contents)) {
            self.throw_away(&mut builder, &error);
        }
    }

    /// Gives back its log, where room is short. Nobody waits for a batch that is being made: it does so itself.
    pub(super) fn give_back_room(&self) {
        match self.builder.try_lock() {
            Ok(mut builder) => self.give_back_from(&mut builder),
            Err(TryLockError::Poisoned(poisoned)) => self.give_back_from(&mut poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn give_back_from(&self, builder: &mut Option<Builder>) {
        let Some(open) = builder else { return };
        let cut = match room::advice(&settle::path_of(&self.path)) {
            Advice::Keep => return,
            Advice::Cut => open.cut_log(),
            Advice::TooLate => Err(Error::DISK_FULL),
        };
        match cut {
            Err(error @ Error::DiskFull { .. }) => self.throw_away(builder, &error),
            Err(error) => tracing::debug!(%error, "room is short, and the log of the search index could not be cut"),
            Ok(()) => {}
        }
    }

    /// What closes it copies its log back.
    pub(super) fn close(&self) {
        self.readers.close();
        let mut builder = self.lock();
        self.give_back_from(&mut builder);
        *builder = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Builder>> {
        self.builder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// It cannot be used: the next batch makes it anew.
    fn throw_away(&self, builder: &mut Option<Builder>, error: &Error) {
        self.is_ready.store(false, Ordering::Release);
        if builder.take().is_some() {
            match error {
                Error::DiskFull { .. } => tracing::warn!("the search index is removed for its room: {error}"),
                error => tracing::warn!("the search index is made anew: {error}"),
            }
            self.readers.close();
            files::remove_database(&self.path);
        }
    }
}
