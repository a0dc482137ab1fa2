//! Everything that happens in a world, in order: a hash that two runs of a seed must share, and the story for people.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// The trace of one world. Clones share it.
#[derive(Clone)]
pub struct Trace(Arc<Mutex<Inner>>);

struct Inner {
    began: Instant,
    hasher: blake3::Hasher,
    /// What people did and what befell them.
    story: Vec<String>,
    /// Events are printed as they happen.
    is_loud: bool,
    events: u64,
}

thread_local! {
    static IS_MUTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `play` without a word of its traces.
pub fn muted<T>(play: impl FnOnce() -> T) -> T {
    let was = IS_MUTED.replace(true);
    let played = play();
    IS_MUTED.set(was);
    played
}

impl Trace {
    /// A trace that begins now. With `MAILTIDE_SIM_TRACE` set it is printed, unless it is [`muted`].
    pub fn begin() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: Instant::now(),
            hasher: blake3::Hasher::new(),
            story: Vec::new(),
            is_loud: !IS_MUTED.get() && std::env::var_os("MAILTIDE_SIM_TRACE").is_some(),
            events: 0,
        })))
    }

    /// Does someone read every byte of it?
    pub fn is_loud(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_loud
    }

    /// Something happened on the wire or on the disk.
    pub fn event(&self, what: &str, detail: &[u8]) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ms = inner.began.elapsed().as_millis();
        inner.events += 1;
        inner.hasher.update(&ms.to_le_bytes());
        inner.hasher.update(what.as_bytes());
        inner.hasher.update(&(detail.len() as u64).to_le_bytes());
        inner.hasher.update(detail);
        if inner.is_loud {
            eprintln!("{:>12} {what} {}", moment(ms), detail.escape_ascii());
        }
    }

    /// Something happened that belongs into the story.
    pub fn tell(&self, line: &str) {
        self.event(line, b"");
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = format!("{:>12}  {line}", moment(inner.began.elapsed().as_millis()));
        inner.story.push(told);
    }

    /// The hash of everything so far, in hex.
    pub fn hash(&self) -> String {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.hasher.finalize().to_hex()[..32].to_owned()
    }

    pub fn story(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).story.clone()
    }
}

/// `3d 04:05:06.789`
fn moment(ms: u128) -> String {
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (days, hours, minutes, seconds) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match days {
        0 => format!("{hours:02}:{minutes:02}:{seconds:02}.{ms:03}"),
        _ => format!("{days}d {hours:02}:{minutes:02}:{seconds:02}.{ms:03}"),
    }
}
