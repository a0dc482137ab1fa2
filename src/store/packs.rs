//! `content-N.pack`: the bytes of messages, one after another, with nothing between them and nothing about them.
//!
//! Rules:
//!
//! - Bytes are added at the end of a pack, and those of a message lie together in one: whoever writes has the pack to
//!   himself until he is done ([`Lane`]). What was added and not finished is cut off again.
//! - Where bytes are is said by the hot database alone ([`super::contents`]). What it does not say is of no use: an upload
//!   that was cut short, a message that went. Its room is given back ([`super::reclaim`]), but not under the eyes of who
//!   reads: he looks up where bytes are and holds on to their pack in one go ([`Packs::looking`]).
//! - They are on disk once [`Packs::sync`] returns. Whatever refers to them is made durable after that.
//! - The number of a pack names no other one, ever: a file that is in the way is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use super::fate::{Fate, Moment};
use super::{Error, Result, room};

/// From this length on a pack gets no more messages: what is moved together at once is no more.
const PACK_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Files that are kept open to be read: a process may have a thousand.
const OPEN_MAX: usize = 64;

/// After so many bytes the disk is asked again what room it has, where there is plenty: what else is written meanwhile does
/// not matter then.
const ROOM_ASKED_BYTES: u64 = 4 * 1024 * 1024;
const PLENTY_BYTES: u64 = 64 * 1024 * 1024;

/// The unit in which file systems tell what a file holds (POSIX `st_blocks`, as all that matter have it).
const BLOCK_BYTES: u64 = 512;

/// The number of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PackId(i64);

impl PackId {
    pub(super) const fn new(number: i64) -> Self {
        Self(number)
    }

    pub(super) const fn get(self) -> i64 {
        self.0
    }

    fn file_name(self) -> String {
        format!("content-{}.pack", self.0)
    }

    /// The number of the pack whose file is called so.
    fn of_file(name: &str) -> Option<Self> {
        let number = name.strip_prefix("content-")?.strip_suffix(".pack")?.parse::<u32>().ok()?;
        Some(Self(number.into())).filter(|pack| pack.file_name() == name)
    }
}

/// Where bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pack: PackId,
    pub(super) start: u64,
    pub(super) size_bytes: u64,
}

impl Place {
    pub(super) const fn end(&self) -> u64 {
        self.start + self.size_bytes
    }
}

/// The packs of a store.
pub(super) struct Packs {
    folder: PathBuf,
    /// Of all packs together.
    max_bytes: Option<u64>,
    fate: Arc<dyn Fate>,
    state: Mutex<State>,
    /// Held during a sync: who finds nothing left to sync must not return before those who sync it.
    syncing: Mutex<()>,
    /// Held by who looks, and alone by who gives room back.
    looking: RwLock<()>,
}

#[derive(Default)]
struct State {
    /// The highest number given to a pack.
    last: i64,
    /// Packs with room in them that nobody writes to, and how long they are.
    resting: Vec<(PackId, u64)>,
    /// Something was added since they were synced.
    unsynced: BTreeSet<PackId>,
    /// A pack was made since the folder was synced.
    is_made: bool,
    /// How many write to them, read them or have put bytes there to which nothing refers yet.
    holders: BTreeMap<PackId, usize>,
    open: BTreeMap<PackId, Arc<File>>,
    /// Bytes in all packs. File systems round what a file holds, each in its way: about as many.
    total_bytes: u64,
    /// What may be added before the disk is asked again.
    room_bytes: u64,
}

/// Keeps a pack as it is.
pub(super) struct Hold {
    packs: Arc<Packs>,
    pack: PackId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.packs.lock();
        if let Some(holders) = state.holders.get_mut(&self.pack) {
            *holders -= 1;
            if *holders == 0 {
                state.holders.remove(&self.pack);
            }
        }
    }
}

/// A pack that one writes to.
pub(super) struct Lane {
    file: Arc<File>,
    end: u64,
    hold: Hold,
}

impl Lane {
    /// Where the next bytes go, so many of them.
    pub(super) const fn place(&self, size_bytes: u64) -> Place {
        Place { pack: self.hold.pack, start: self.end, size_bytes }
    }
}

impl Packs {
    /// Those in `folder`.
    pub(super) fn open(folder: &Path, max_bytes: Option<u64>, fate: Arc<dyn Fate>) -> Result<Arc<Self>> {
        let packs = Self {
            folder: folder.to_owned(),
            max_bytes,
            fate,
            state: Mutex::default(),
            syncing: Mutex::default(),
            looking: RwLock::default(),
        };
        let lengths = packs.lengths()?;
        let total_bytes =
            lengths.keys().map(|pack| packs.path(*pack).metadata().map_or(0, |file| bytes_in(&file))).sum();
        let mut state = packs.lock();
        state.total_bytes = total_bytes;
        state.last = lengths.last_key_value().map_or(0, |(pack, _)| pack.get());
        // The oldest is filled first.
        state.resting = lengths.into_iter().rev().filter(|(_, length)| *length < PACK_MAX_BYTES).collect();
        drop(state);
        Ok(Arc::new(packs))
    }

    /// The length of each pack, in bytes.
    pub(super) fn lengths(&self) -> Result<BTreeMap<PackId, u64>> {
        let io = |error| Error::io(&self.folder, error);
        let mut lengths = BTreeMap::new();
        for entry in std::fs::read_dir(&self.folder).map_err(io)? {
            let entry = entry.map_err(io)?;
            if let Some(pack) = entry.file_name().to_str().and_then(PackId::of_file) {
                lengths.insert(pack, entry.metadata().map_err(io)?.len());
            }
        }
        Ok(lengths)
    }

    /// Until this is dropped, the bytes of what is said to be somewhere are there. Look up where, and read them or hold on
    /// to their pack.
    pub(super) fn looking(&self) -> RwLockReadGuard<'_, ()> {
        self.looking.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hold(self: &Arc<Self>, pack: PackId) -> Hold {
        *self.lock().holders.entry(pack).or_insert(0) += 1;
        Hold { packs: Arc::clone(self), pack }
    }

    /// A pack to write to. Finish or abandon it.
    pub(super) fn lane(self: &Arc<Self>) -> Result<Lane> {
        let mut state = self.lock();
        let rested = state.resting.pop().and_then(|(pack, end)| {
            // One that cannot be written to is passed over.
            let opened = self.opened(&mut state, pack);
            let opened = opened.inspect_err(|error| tracing::warn!(%error, "bytes of messages go elsewhere"));
            Some((pack, opened.ok()?, end))
        });
        let (pack, file, end) = rested.map_or_else(|| self.make(&mut state), Ok)?;
        *state.holders.entry(pack).or_insert(0) += 1;
        Ok(Lane { file, end, hold: Hold { packs: Arc::clone(self), pack } })
    }

    fn make(&self, state: &mut State) -> Result<(PackId, Arc<File>, u64)> {
        loop {
            state.last += 1;
            let pack = PackId(state.last);
            let path = self.path(pack);
            match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    let file = Arc::new(file);
                    state.is_made = true;
                    state.remember(pack, &file);
                    return Ok((pack, file, 0));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(path, error)),
            }
        }
    }

    /// Adds bytes at the end of the lane.
    pub(super) fn add(&self, lane: &mut Lane, bytes: &[u8]) -> Result<()> {
        self.fate.at(Moment::BeforeContent)?;
        self.take_room(bytes.len() as u64)?;
        let written = lane.file.write_all_at(bytes, lane.end);
        let mut state = self.lock();
        match written {
            Ok(()) => {
                lane.end += bytes.len() as u64;
                // Now, not before: a sync that began meanwhile may have missed them.
                state.unsynced.insert(lane.hold.pack);
                Ok(())
            }
            Err(error) => {
                // What of it got there is behind the end, and is cut off with whatever else is not finished.
                state.total_bytes = state.total_bytes.saturating_sub(bytes.len() as u64);
                state.room_bytes = 0;
                Err(Error::io(self.path(lane.hold.pack), error))
            }
        }
    }

    /// The lane's last bytes are complete: hold on to them until something refers to them.
    pub(super) fn finish(&self, lane: Lane) -> Result<Hold> {
        self.rest(lane.hold.pack, lane.end);
        self.fate.at(Moment::AfterContent { durable: false })?;
        Ok(lane.hold)
    }

    /// The lane's last bytes, from `start` on, are of no use.
    pub(super) fn abandon(&self, mut lane: Lane, start: u64) {
        // Bytes that stay are room that is given back later.
        if lane.file.set_len(start).is_ok() {
            let mut state = self.lock();
            state.total_bytes = state.total_bytes.saturating_sub(lane.end - start);
            drop(state);
            lane.end = start;
        }
        self.rest(lane.hold.pack, lane.end);
    }

    fn rest(&self, pack: PackId, end: u64) {
        if end < PACK_MAX_BYTES {
            self.lock().resting.push((pack, end));
        }
    }

    /// From now on nobody writes to the pack, if nobody has it now. Is that so?
    pub(super) fn close(&self, pack: PackId) -> bool {
        let mut state = self.lock();
        let is_free = !state.holders.contains_key(&pack);
        if is_free {
            state.resting.retain(|(resting, _)| *resting != pack);
        }
        is_free
    }

    /// A closed pack may be written to again.
    pub(super) fn reopen(&self, pack: PackId) -> Result<()> {
        let file = self.opened(&mut self.lock(), pack)?;
        let end = file.metadata().map_err(|error| Error::io(self.path(pack), error))?.len();
        self.rest(pack, end);
        Ok(())
    }

    /// Gives back the room of bytes of a closed pack to which nothing refers any more, durably; they read as zeros then.
    /// Returns how many bytes the file holds less: none if somebody reads from it, or the file system cannot do that.
    pub(super) fn punch(&self, pack: PackId, unused: &[Range<u64>]) -> Result<u64> {
        let _alone = self.looking.write().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        if state.holders.contains_key(&pack) {
            return Ok(0);
        }
        let file = self.opened(&mut state, pack)?;
        self.fate.at(Moment::BeforeRemoval)?;
        let held = || file.metadata().map(|file| file.blocks() * BLOCK_BYTES);
        let punched = held().and_then(|before| {
            unused.iter().try_for_each(|unused| room::punch(&file, unused))?;
            Ok(before.saturating_sub(held()?))
        });
        let punched = punched.map_err(|error| Error::io(self.path(pack), error))?;
        state.total_bytes = state.total_bytes.saturating_sub(punched);
        self.fate.at(Moment::AfterRemoval)?;
        Ok(punched)
    }

    /// How many bytes the file of a pack holds: the disk may have been given back some.
    pub(super) fn held_bytes(&self, pack: PackId) -> Result<u64> {
        let file = self.path(pack).metadata().map_err(|error| Error::io(self.path(pack), error))?;
        Ok(file.blocks() * BLOCK_BYTES)
    }

    /// Removes a closed pack to which nothing refers any more, durably.
    pub(super) fn remove(&self, pack: PackId) -> Result<()> {
        let path = self.path(pack);
        let held = path.metadata().map_or(0, |file| bytes_in(&file));
        self.fate.at(Moment::BeforeRemoval)?;
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io(path, error)),
        }
        let mut state = self.lock();
        state.open.remove(&pack);
        state.unsynced.remove(&pack);
        state.total_bytes = state.total_bytes.saturating_sub(held);
        self.fate.at(Moment::AfterRemoval)
    }

    /// Cuts off what is behind `end`, which nothing refers to, before anybody writes.
    pub(super) fn cut(&self, pack: PackId, end: u64) -> Result<()> {
        let mut state = self.lock();
        let file = self.opened(&mut state, pack)?;
        self.fate.at(Moment::BeforeRemoval)?;
        let length = file.metadata().and_then(|found| file.set_len(end).map(|()| found.len()));
        let length = length.map_err(|error| Error::io(self.path(pack), error))?;
        state.total_bytes = state.total_bytes.saturating_sub(length.saturating_sub(end));
        state.resting.iter_mut().filter(|(resting, _)| *resting == pack).for_each(|(_, length)| *length = end);
        self.fate.at(Moment::AfterRemoval)
    }

    /// The file of a pack, to be read; `None`: there is none.
    pub(super) fn file(&self, pack: PackId) -> Result<Option<Arc<File>>> {
        match self.opened(&mut self.lock(), pack) {
            Ok(file) => Ok(Some(file)),
            Err(Error::Io { cause, .. }) if cause.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn opened(&self, state: &mut State, pack: PackId) -> Result<Arc<File>> {
        if let Some(file) = state.open.get(&pack) {
            return Ok(Arc::clone(file));
        }
        let path = self.path(pack);
        let file = File::options().read(true).write(true).open(&path).map_err(|error| Error::io(path, error))?;
        let file = Arc::new(file);
        state.remember(pack, &file);
        Ok(file)
    }

    /// Everything that was added by now survives a power cut.
    pub(super) fn sync(&self) -> Result<()> {
        let _turn = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (unsynced, is_made) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.unsynced), std::mem::take(&mut state.is_made))
        };
        if unsynced.is_empty() && !is_made {
            return Ok(());
        }
        let synced = unsynced.iter().try_for_each(|pack| self.sync_pack(*pack)).and_then(|()| match is_made {
            true => self.sync_folder(),
            false => Ok(()),
        });
        let told = synced.and_then(|()| self.fate.at(Moment::AfterContent { durable: true }));
        if told.is_err() {
            let mut state = self.lock();
            state.unsynced.extend(unsynced);
            state.is_made |= is_made;
        }
        told
    }

    /// Every pack survives a power cut, whoever wrote to it or made it.
    pub(super) fn sync_all(&self) -> Result<()> {
        self.lengths()?.keys().try_for_each(|pack| self.sync_pack(*pack))?;
        self.sync_folder()?;
        self.fate.at(Moment::AfterContent { durable: true })
    }

    fn sync_pack(&self, pack: PackId) -> Result<()> {
        match self.file(pack)? {
            Some(file) => file.sync_data().map_err(|error| Error::io(self.path(pack), error)),
            // It was moved together meanwhile, and that was synced.
            None => Ok(()),
        }
    }

    fn sync_folder(&self) -> Result<()> {
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| Error::io(&self.folder, error))
    }

    /// How many bytes more there is room for.
    pub(super) fn room_bytes(&self) -> u64 {
        let state = self.lock();
        let total_bytes = state.total_bytes;
        self.disk_bytes(&state).min(self.max_bytes.map_or(u64::MAX, |max| max.saturating_sub(total_bytes)))
    }

    /// Is there room for so many bytes more?
    fn take_room(&self, bytes: u64) -> Result<()> {
        let mut state = self.lock();
        if self.max_bytes.is_some_and(|max| state.total_bytes + bytes > max) {
            return Err(Error::DISK_FULL);
        }
        if state.room_bytes < bytes {
            let room_bytes = self.disk_bytes(&state);
            if room_bytes < bytes {
                return Err(Error::DISK_FULL);
            }
            state.room_bytes = if room_bytes < PLENTY_BYTES { bytes } else { bytes.max(ROOM_ASKED_BYTES) };
        }
        state.room_bytes -= bytes;
        state.total_bytes += bytes;
        Ok(())
    }

    /// What the disk takes. Whoever holds a pack has a message on the way, or reads one: so many are no more than that.
    fn disk_bytes(&self, state: &State) -> u64 {
        room::for_messages(&self.folder, state.holders.values().sum::<usize>() as u64)
    }

    pub(super) fn path(&self, pack: PackId) -> PathBuf {
        self.folder.join(pack.file_name())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic half way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of messages in a pack, without what was given back of it.
fn bytes_in(file: &Metadata) -> u64 {
    file.len().min(file.blocks() * BLOCK_BYTES)
}

impl State {
    fn remember(&mut self, pack: PackId, file: &Arc<File>) {
        if self.open.len() >= OPEN_MAX {
            self.open.pop_first();
        }
        self.open.insert(pack, Arc::clone(file));
    }
}
