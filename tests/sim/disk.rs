//! The agent's disk: a store that dies, or is full, at the moment the script names, and what a power cut leaves of it.
//!
//! The files are real, in memory where the machine has such a place. SQLite's write-ahead log is what a commit
//! appends to, and a pack what bytes of messages are, so a power cut is modelled there: up to the last sync they are safe,
//! behind that they are kept, lost or torn at any byte. A checkpoint syncs the log before it copies pages into the database
//! and the database after it; where the log was begun anew since the last sync (other salts), nothing of the new one is
//! safe. What was removed of a pack and not synced may be there again. Process ids and times of files are nothing the store
//! looks at.
//!
//! What is safe outlasts a life: whoever opens the store after a process that was killed finds bytes that a power cut still
//! takes, until they are synced.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtide::store::{Error, Fate, Moment};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::random::Random;
use super::template;
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
    /// Are openings and removals moments as well?
    has_all_moments: bool,
    pub is_alive: Arc<AtomicBool>,
    pub died: Arc<Notify>,
    state: Mutex<State>,
}

struct State {
    is_full: bool,
    /// The store is not open yet.
    is_opening: bool,
    /// Dies at the moment that brings this to nothing.
    moments_left: Option<u32>,
    /// Dies before it is open.
    death: Option<(Power, Random)>,
    /// What that left: whoever opens the store closes its files on the way out, and changes them.
    remains: Option<(TempDir, Safe)>,
    commits: u64,
    safe: Safe,
    /// Looks at the store after every commit.
    check: Option<Check>,
}

/// What a power cut leaves.
#[derive(Debug, Clone, Default)]
pub struct Safe {
    /// How far the database's log was synced.
    log: Log,
    /// Up to where each pack holds what was synced.
    packs: BTreeMap<String, u64>,
    /// What each pack was, and up to where that was safe, before something of them was removed that is not synced yet.
    removed: BTreeMap<String, (Vec<u8>, u64)>,
}

impl Safe {
    /// All that is in the folder is on disk.
    pub fn all(folder: &Path) -> Self {
        Self { log: Log::of(&folder.join(DATABASE)), packs: packs(folder), removed: BTreeMap::new() }
    }

    fn follow_log(&mut self, folder: &Path) {
        self.log = self.log.followed(&folder.join(DATABASE)).unwrap_or_default();
    }

    /// The packs are on disk as they are.
    fn follow_packs(&mut self, folder: &Path) {
        self.packs = packs(folder);
        self.removed.clear();
    }

    /// What was cut off is not safe any more, whatever is written in its place.
    fn see_packs_cut(&mut self, folder: &Path) {
        for (name, length) in packs(folder) {
            self.packs.entry(name).and_modify(|safe| *safe = length.min(*safe));
        }
    }

    /// Something of the packs is about to be removed.
    fn remember_packs(&mut self, folder: &Path) {
        for name in packs(folder).into_keys() {
            let safe = self.packs.get(&name).copied().unwrap_or(0);
            let bytes = fs::read(folder.join(&name)).expect("a file");
            self.removed.entry(name).or_insert((bytes, safe));
        }
    }

    /// Copies what is left after the crash into `to`. Returns what of that is safe.
    fn leave(&self, folder: &Path, power: Power, random: &mut Random, to: &Path) -> io::Result<Self> {
        let (from, to_database) = (folder.join(DATABASE), to.join(DATABASE));
        fs::copy(&from, &to_database)?;
        let log = log_path(&from);
        if log.exists() {
            let bytes = left(fs::read(&log)?, Log::of(&from).safe_since(&self.log), power, random);
            fs::write(log_path(&to_database), bytes)?;
        }
        for name in packs(folder).into_keys() {
            let safe = self.packs.get(&name).copied().unwrap_or(0);
            let bytes = left(fs::read(folder.join(&name))?, safe_length(safe), power, random);
            fs::write(to.join(name), bytes)?;
        }
        if power == Power::Stays {
            return Ok(self.clone());
        }
        for (name, (bytes, safe)) in &self.removed {
            if power == Power::CutLosing || random.percent(50) {
                fs::write(to.join(name), left(bytes.clone(), safe_length(*safe), power, random))?;
            }
        }
        Ok(Self::all(to))
    }
}

fn safe_length(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a small file")
}

/// The names of the files with the bytes of messages, and how long they are; none where the folder is gone already.
fn packs(folder: &Path) -> BTreeMap<String, u64> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|file| file.expect("a file"));
    let named = files.map(|file| (file.file_name().into_string().expect("a name"), file));
    let packs = named.filter(|(name, _)| name.ends_with(".pack"));
    packs.map(|(name, file)| (name, file.metadata().expect("a file").len())).collect()
}

pub type Check = Arc<dyn Fn() + Send + Sync>;

impl Disk {
    /// The disk of a store that is about to be opened.
    pub fn new(folder: PathBuf, trace: Trace, safe: Safe, has_all_moments: bool) -> Arc<Self> {
        let is_alive = Arc::new(AtomicBool::new(true));
        let state = State {
            is_full: false,
            is_opening: true,
            moments_left: None,
            death: None,
            remains: None,
            commits: 0,
            safe,
            check: None,
        };
        Arc::new(Self { folder, trace, has_all_moments, is_alive, died: Arc::default(), state: Mutex::new(state) })
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

    /// The process dies at the `moments`-th moment from now, if the store is not open by then.
    pub fn die_opening(&self, moments: u32, power: Power, random: Random) {
        let mut state = self.lock();
        (state.moments_left, state.death) = (Some(moments), Some((power, random)));
    }

    /// The store is open. What of a death on the way was still to come does not come.
    pub fn opened(&self) {
        let mut state = self.lock();
        (state.is_opening, state.moments_left, state.death) = (false, None, None);
    }

    /// What a death on the way left.
    pub fn take_remains(&self) -> Option<(TempDir, Safe)> {
        self.lock().remains.take()
    }

    /// Copies what is left after the crash into `to`. Returns what of that is safe.
    pub fn leave(&self, power: Power, random: &mut Random, to: &Path) -> io::Result<Safe> {
        self.lock().safe.leave(&self.folder, power, random, to)
    }

    /// Is that a moment at which a world has something to happen?
    fn counts(&self, state: &State, moment: Moment) -> bool {
        let is_removal = matches!(moment, Moment::BeforeRemoval | Moment::AfterRemoval);
        self.has_all_moments || !(state.is_opening || is_removal)
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
        state.safe.see_packs_cut(&self.folder);
        match moment {
            Moment::AfterCommit { durable: true } | Moment::Settled => state.safe.follow_log(&self.folder),
            Moment::AfterContent { durable: true } => state.safe.follow_packs(&self.folder),
            _ => {}
        }
        if !self.counts(&state, moment) {
            return Ok(());
        }
        state.commits += u64::from(matches!(moment, Moment::AfterCommit { .. }));
        self.trace.event("disk", format!("{moment:?}").as_bytes());
        match moment {
            Moment::BeforeRemoval => state.safe.remember_packs(&self.folder),
            Moment::BeforeCommit | Moment::BeforeContent if state.is_full => return Err(Error::DISK_FULL),
            _ => {}
        }
        if let Some(left) = &mut state.moments_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                state.moments_left = None;
                let how = state.death.take().map(|(power, mut random)| {
                    let folder = template::folder();
                    let safe = state.safe.leave(&self.folder, power, &mut random, folder.path());
                    state.remains = Some((folder, safe.expect("files that can be copied")));
                    format!(", opening its store: {power:?}")
                });
                drop(state);
                self.trace.tell(&format!("the agent dies at {moment:?}{}", how.unwrap_or_default()));
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
