//! The handle by which everyone else uses the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::anchor::Anchor;
use super::contents::Contents;
use super::fate::{Fair, Fate};
use super::files::{self, Files};
use super::heal::{self, Healed};
use super::lock::Lock;
use super::readers::Readers;
use super::search::Index;
use super::settle::Log;
use super::uid_lists::UidLists;
use super::watch::{Wake, Watchers};
use super::writer::{Pending, Writer};
use super::{ContentSource, Origin, Reader, Result, Txn, Upload, Watch};
use crate::types::mutant::mutant;
use crate::types::{AccountId, ContentId, Timestamp};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where write transactions run.
    pub executor: Executor,
    /// The program's name, told to a second process that wants the same store.
    pub program: String,
    /// Largest size of each database; a write beyond it fails like a full disk.
    pub max_bytes: Option<u64>,
}

/// Where write transactions run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executor {
    /// On a thread of the store's own, which groups what waits into one commit.
    Thread,
    /// In the caller, one by one: for simulations, where a free thread would break determinism.
    Inline,
}

/// The store. Clones share it; it is closed when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    shared: Arc<Shared>,
    healed: Healed,
    _lock: Lock,
}

/// What the writer and the callers share.
pub(super) struct Shared {
    pub(super) anchor: Anchor,
    pub(super) contents: Arc<Contents>,
    pub(super) hot: Readers,
    /// The hot database's.
    pub(super) log: Log,
    pub(super) watchers: Arc<Watchers>,
    pub(super) index: Index,
    pub(super) uid_lists: UidLists,
    /// Commits so far.
    pub(super) commits: AtomicU64,
    pub(super) fate: Arc<dyn Fate>,
}

impl Store {
    /// Opens (or makes) the store in `folder`. After a stop that was not clean it is healed first.
    pub fn open(folder: &Path, options: &Options, now: Timestamp) -> Result<Self> {
        Self::open_under(folder, options, now, Arc::new(Fair))
    }

    /// As [`Self::open`], with someone who has a say in what becomes of its commits.
    pub fn open_under(folder: &Path, options: &Options, now: Timestamp, fate: Arc<dyn Fate>) -> Result<Self> {
        Self::try_open(folder, options, now, fate)
            .map_err(|error| files::told_by_room(folder, error).of_store_in(folder))
    }

    fn try_open(folder: &Path, options: &Options, now: Timestamp, fate: Arc<dyn Fate>) -> Result<Self> {
        files::make_folder(folder)?;
        let paths = Files::of(folder);
        let lock = Lock::take(&paths.lock, &options.program)?;
        let contents = Contents::open(folder, options.max_bytes, Arc::clone(&fate))?;
        let mut hot = files::open_writing(&paths, options, contents.packs())?;
        let healed = heal::heal(&mut hot, contents.packs(), fate.as_ref(), now)?;
        if contents.packs().room_bytes() == 0 {
            let folder = folder.display();
            tracing::warn!("the disk of {folder} has no room for mail: it is refused until some space is freed there");
        }
        let shared = Arc::new(Shared {
            anchor: Anchor::at([&paths.hot, &paths.lock])?,
            contents: Arc::new(contents),
            log: Log::of(&paths.hot, Arc::clone(&fate)),
            hot: Readers::new(paths.hot, files::HOT_READER_CACHE_KIB),
            watchers: Arc::new(Watchers::default()),
            index: Index::new(paths.search, options),
            uid_lists: UidLists::default(),
            commits: AtomicU64::new(0),
            fate,
        });
        let writer = Writer::start(hot, options.executor, Arc::clone(&shared))?;
        Ok(Self { inner: Arc::new(Inner { writer, shared, healed, _lock: lock }) })
    }

    /// What was done at opening because the last stop was not clean.
    pub fn healed(&self) -> Healed {
        self.inner.healed
    }

    /// Runs `work` in a write transaction and returns once it is committed (see [`Origin`] for how durably). If `work`
    /// fails or panics nothing of it remains. `work` must not call the store.
    pub fn write<T, F>(&self, origin: Origin, now: Timestamp, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T> + Send + 'static,
    {
        self.begin_write(origin, now, work)?.wait()
    }

    /// As [`Self::write`], without waiting for the commit. Writes are made in the order in which they were begun.
    pub fn begin_write<T, F>(&self, origin: Origin, now: Timestamp, work: F) -> Result<Pending<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> Result<T> + Send + 'static,
    {
        self.inner.writer.begin_write(origin, now, work)
    }

    /// Runs `work` on the store as it is at one moment. Never waits for a writer.
    pub fn read<T>(&self, work: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let shared = &self.inner.shared;
        shared.hot.read(|conn| work(&Reader::of_committed(conn, &shared.uid_lists)))
    }

    /// As [`Self::read`], for what a mail client is to be told: what `work` saw survives a power cut.
    pub fn show<T>(&self, work: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let seen = self.read(work)?;
        if !mutant!(ShownBeforeSync) {
            self.settle()?;
        }
        Ok(seen)
    }

    /// Returns once everything that was written by now would survive a power cut.
    pub fn settle(&self) -> Result<()> {
        self.inner.shared.log.settle(&self.inner.shared.contents)
    }

    /// Begins to take in the bytes of a message.
    pub fn upload(&self) -> Upload {
        Upload::new(Arc::clone(&self.inner.shared))
    }

    /// At most `max` bytes of a content from `offset` on; empty only at the end.
    pub fn read_content(&self, content: ContentId, offset: u64, max: usize) -> Result<Vec<u8>> {
        self.inner.shared.read_content(content, offset, max)
    }

    /// The bytes of a content, to be read in pieces.
    pub fn source(&self, content: ContentId) -> Result<ContentSource> {
        ContentSource::of(&self.inner.shared, content)
    }

    /// Calls `wake` after every commit that changed the account, in commit order, until the watch is dropped.
    pub fn watch(&self, account: AccountId, wake: Wake) -> Watch {
        self.inner.shared.watchers.watch(account, wake)
    }

    /// An error if the store's files are not where they were opened.
    pub fn is_in_place(&self) -> Result<()> {
        self.inner.shared.anchor.holds()
    }

    /// How many commits were made since the store was opened: whether anybody is at work.
    pub fn commits(&self) -> u64 {
        self.inner.shared.commits.load(Ordering::Relaxed)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.inner.shared.contents
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.hot.close();
        self.shared.index.close();
        self.writer.stop();
    }
}
