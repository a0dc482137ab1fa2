//! The agent's disk: a store that dies, or is full, at the moment the script names, and what a power cut leaves of it.
//!
//! The files are real, in memory where the machine has such a place. SQLite's write-ahead log is what a commit
//! appends to, and a pack what bytes of messages are, so a power cut is modelled there: up to the last sync they are safe,
//! behind that they are kept, lost or torn at any byte. A checkpoint syncs the log before it copies pages into the database and the database after it; where the
//! log was begun anew since the last sync (other salts), nothing of the new one is safe. Process ids and times of files
//! are nothing the store looks at.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtide::store::{Error, Fate, Moment};
use tokio::sync::Notify;

use super::random::Random;
use super::trace::Trace;

/// What a crash leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Only the process died: everything written is there.
    Stays,
    /// Nothing that was not synced is there.
    CutLosing,
    /// Some of it is, up to any byte; behind that there may be rubbish.
    CutTearing,
}

/// All of a store but the bytes of messages and what can be made anew.
const DATABASE: &str = "mailtide.db";

/// One life of the agent's store.
pub struct Disk {
    folder: PathBuf,
    trace: Trace,
    pub is_alive: Arc<AtomicBool>,
    pub died: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_full: bool,
    /// Dies at the moment that brings this to nothing.
    moments_left: Option<u32>,
    commits: u64,
    /// How far the database's log was synced.
    synced: Log,
    /// Up to where each pack holds what was synced.
    safe_packs: BTreeMap<PathBuf, u64>,
    /// Looks at the store after every commit.
    check: Option<Check>,
}

impl State {
    fn follow(&mut self, folder: &Path) {
        self.synced = self.synced.followed(&folder.join(DATABASE)).unwrap_or_default();
    }

    /// The packs are on disk as they are.
    fn follow_packs(&mut self, folder: &Path) {
        self.safe_packs = packs(folder);
    }

    /// What was cut off is not safe any more, whatever is written in its place.
    fn see_packs_cut(&mut self, folder: &Path) {
        for (path, length) in packs(folder) {
            self.safe_packs.entry(path).and_modify(|safe| *safe = length.min(*safe));
        }
    }
}

/// The files with the bytes of messages, and how long they are; none where the folder is gone already.
fn packs(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.expect("a file").path());
    let packs = files.filter(|path| path.extension().is_some_and(|extension| extension == "pack"));
    packs.map(|path| (path.clone(), path.metadata().expect("a file").len())).collect()
}

pub type Check = Arc<dyn Fn() + Send + Sync>;

impl Disk {
    pub fn new(folder: PathBuf, trace: Trace) -> Arc<Self> {
        let is_alive = Arc::new(AtomicBool::new(true));
        Arc::new(Self { folder, trace, is_alive, died: Arc::default(), state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_full(&self, is_full: bool) {
        self.lock().is_full = is_full;
    }

    pub fn is_full(&self) -> bool {
        self.lock().is_full
    }

    pub fn set_check(&self, check: Option<Check>) {
        self.lock().check = check;
    }

    /// The process dies at the `moments`-th moment from now; never by itself at the 0th.
    pub fn die_after(&self, moments: u32) {
        self.lock().moments_left = Some(moments).filter(|moments| *moments > 0);
    }

    /// How many commits there were: where there was none, nothing is different.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    /// The process is dead from now on: nothing of it reaches the disk or the line.
    pub fn die(&self) {
        if self.is_alive.swap(false, Ordering::SeqCst) {
            self.died.notify_one();
        }
    }

    /// The store was just opened: what opening wrote is synced.
    pub fn opened(&self) {
        let mut state = self.lock();
        state.synced = Log::of(&self.folder.join(DATABASE));
        state.follow_packs(&self.folder);
    }

    /// Copies what is left after the crash into `to`.
    pub fn leave(&self, power: Power, random: &mut Random, to: &Path) -> io::Result<()> {
        let state = self.lock();
        let (from, to_database) = (self.folder.join(DATABASE), to.join(DATABASE));
        fs::copy(&from, &to_database)?;
        let log = log_path(&from);
        if log.exists() {
            let bytes = left(fs::read(&log)?, Log::of(&from).safe_since(&state.synced), power, random);
            fs::write(log_path(&to_database), bytes)?;
        }
        for pack in packs(&self.folder).into_keys() {
            let safe = state.safe_packs.get(&pack).copied().unwrap_or(0);
            let bytes = left(fs::read(&pack)?, usize::try_from(safe).expect("a small file"), power, random);
            fs::write(to.join(pack.file_name().expect("a file")), bytes)?;
        }
        Ok(())
    }
}

/// What is left of a file, of which the beginning is safe.
fn left(mut bytes: Vec<u8>, safe: usize, power: Power, random: &mut Random) -> Vec<u8> {
    match power {
        Power::Stays => {}
        Power::CutLosing => bytes.truncate(safe),
        Power::CutTearing if bytes.len() > safe => {
            let kept = safe + random.index(bytes.len() - safe + 1);
            bytes.truncate(kept);
            if kept > safe && random.percent(50) {
                // A block that was never written holds what was there before, or nothing.
                let torn = safe + random.index(kept - safe);
                bytes[torn..].fill(0);
            }
        }
        Power::CutTearing => {}
    }
    bytes
}

impl Fate for Disk {
    fn at(&self, moment: Moment) -> Result<(), Error> {
        if !self.is_alive.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let mut state = self.lock();
        state.commits += u64::from(matches!(moment, Moment::AfterCommit { .. }));
        self.trace.event("disk", format!("{moment:?}").as_bytes());
        state.see_packs_cut(&self.folder);
        match moment {
            Moment::AfterCommit { durable: true } | Moment::Settled => {
                state.follow(&self.folder);
            }
            Moment::AfterContent { durable: true } => state.follow_packs(&self.folder),
            Moment::BeforeCommit | Moment::BeforeContent if state.is_full => return Err(Error::DISK_FULL),
            _ => {}
        }
        if let Some(left) = &mut state.moments_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.moments_left = None;
                drop(state);
                self.trace.tell(&format!("the agent dies at {moment:?}"));
                self.die();
                return Err(Error::Closed);
            }
        }
        let check = state.check.clone().filter(|_| matches!(moment, Moment::AfterCommit { .. }));
        drop(state);
        if let Some(check) = check {
            check();
        }
        Ok(())
    }
}

/// A write-ahead log (sqlite.org/fileformat2.html section 4.1): which one it is, and how much of it is valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Log {
    salts: [u8; 8],
    end: usize,
}

const LOG_HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;

impl Log {
    fn of(database: &Path) -> Self {
        Self::default().followed(database).unwrap_or_default()
    }

    /// The log as it is now, if this is how it was: only what came since is looked at. `None`: there is none.
    fn followed(self, database: &Path) -> Option<Self> {
        let log = fs::File::open(log_path(database)).ok()?;
        let length = log.metadata().ok()?.len();
        let mut header = [0; LOG_HEADER_BYTES];
        log.read_exact_at(&mut header, 0).ok()?;
        let page = u32::from_be_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let mut salts = [0; 8];
        salts.copy_from_slice(&header[16..24]);
        let mut end = if salts == self.salts { self.end.max(LOG_HEADER_BYTES) } else { LOG_HEADER_BYTES };
        let mut frame = [0; FRAME_HEADER_BYTES];
        while length >= (end + FRAME_HEADER_BYTES + page) as u64
            && log.read_exact_at(&mut frame, end as u64).is_ok()
            && frame[8..16] == salts
        {
            end += FRAME_HEADER_BYTES + page;
        }
        Some(Self { salts, end })
    }

    /// How much of it was safe when `synced` was.
    fn safe_since(&self, synced: &Self) -> usize {
        match self.salts == synced.salts {
            true => synced.end,
            false => LOG_HEADER_BYTES.min(self.end),
        }
    }
}

fn log_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    PathBuf::from(path)
}
