//! The agent's disk: a store that dies, or is full, at the moment the script names, and what a power cut leaves of it.
//!
//! The files are real, in memory where the machine has such a place. SQLite's write-ahead log is what a commit
//! appends to, so a power cut is modelled there: up to the last sync it is safe, behind that it is kept, lost or torn
//! at any byte. A checkpoint syncs the log before it copies pages into the database and the database after it; where the
//! log was begun anew since the last sync (other salts), nothing of the new one is safe. Process ids and times of files
//! are nothing the store looks at.

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

/// The two databases of a store.
const DATABASES: [&str; 2] = ["mailtide.db", "content.db"];

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
    /// How far the log of each database was synced.
    synced: [Log; 2],
    /// Looks at the store after every commit.
    check: Option<Check>,
}

impl State {
    fn follow(&mut self, folder: &Path, which: usize) {
        self.synced[which] = self.synced[which].followed(&folder.join(DATABASES[which])).unwrap_or_default();
    }
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
        self.lock().synced = DATABASES.map(|name| Log::of(&self.folder.join(name)));
    }

    /// Copies what is left after the crash into `to`.
    pub fn leave(&self, power: Power, random: &mut Random, to: &Path) -> io::Result<()> {
        let state = self.lock();
        for (name, synced) in DATABASES.iter().zip(&state.synced) {
            let from = self.folder.join(name);
            fs::copy(&from, to.join(name))?;
            let (from_log, to_log) = (log_path(&from), log_path(&to.join(name)));
            if !from_log.exists() {
                continue;
            }
            let mut bytes = fs::read(&from_log)?;
            let safe = Log::of(&from).safe_since(synced);
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
            fs::write(&to_log, bytes)?;
        }
        Ok(())
    }
}

impl Fate for Disk {
    fn at(&self, moment: Moment) -> Result<(), Error> {
        if !self.is_alive.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let mut state = self.lock();
        state.commits += u64::from(matches!(moment, Moment::AfterCommit { .. }));
        self.trace.event("disk", format!("{moment:?}").as_bytes());
        match moment {
            Moment::AfterCommit { durable: true } | Moment::Settled => {
                state.follow(&self.folder, 0);
            }
            Moment::AfterContent { durable: true } => state.follow(&self.folder, 1),
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
