//! How many worlds are played: as many as fit into a time, or the seeds that the environment names; on every core, each
//! world on one thread.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::script::EIGHTH_EDITION;
use super::world::Outcome;

/// Without a wish of the environment: these worlds, which have all that scripts know, and not longer than this.
const TIME: Duration = Duration::from_secs(60);
const FIRST: u64 = EIGHTH_EDITION;
const WORLDS: u64 = 400;
/// After so many bad worlds it is enough.
const BAD_MAX: usize = 20;

/// On a long run a line is printed after so many.
const TOLD_EACH: u64 = 1000;

/// Which worlds.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    first: u64,
    end: u64,
    time: Option<Duration>,
}

/// What came of them.
pub struct Worlds {
    pub played: u64,
    pub took: Duration,
    /// The hashes of their traces, combined: equal where every world of these seeds is byte for byte what it was.
    pub traces: u128,
    /// Seeds of the bad ones, ascending, with what was violated.
    pub bad: Vec<(u64, String)>,
}

impl Seeds {
    /// `MAILTIDE_SIM_SEEDS=N` plays the first N, `MAILTIDE_SIM_SEEDS=A..B` those from A on below B.
    pub fn of_the_environment() -> Self {
        let Ok(text) = std::env::var("MAILTIDE_SIM_SEEDS") else {
            return Self { first: FIRST, end: FIRST + WORLDS, time: Some(TIME) };
        };
        let number = |text: &str| text.replace('_', "").parse::<u64>();
        let (first, end) = text.split_once("..").unwrap_or(("0", &text));
        match (number(first), number(end)) {
            (Ok(first), Ok(end)) => Self { first, end, time: None },
            _ => panic!("MAILTIDE_SIM_SEEDS is {text:?}: say a number, or A..B"),
        }
    }
}

/// Plays them.
pub fn play_all(seeds: Seeds, play: impl Fn(u64) -> Outcome + Sync) -> Worlds {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.first);
    let (bad, count, traces) = (Mutex::new(Vec::new()), AtomicU64::new(0), Mutex::new(0_u128));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let played: u64 = std::thread::scope(|scope| {
        let work = || {
            let mut played = 0;
            loop {
                let is_late = seeds.time.is_some_and(|time| began.elapsed() > time);
                let is_enough = bad.lock().expect("no panic holds it").len() >= BAD_MAX;
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end || is_late || is_enough {
                    return played;
                }
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed)));
                let violated = match outcome {
                    Ok(outcome) => {
                        *traces.lock().expect("no panic holds it") ^= outcome.trace_number();
                        outcome.violations.join("; ")
                    }
                    Err(panic) => format!("panic: {}", text(panic.as_ref())),
                };
                if !violated.is_empty() {
                    eprintln!("seed {seed}: {violated}");
                    bad.lock().expect("no panic holds it").push((seed, violated));
                }
                played += 1;
                let all = count.fetch_add(1, Ordering::Relaxed) + 1;
                if seeds.time.is_none() && all.is_multiple_of(TOLD_EACH) {
                    let rate = all as f64 / began.elapsed().as_secs_f64() * 60.0;
                    let bad = bad.lock().expect("no panic holds it").len();
                    eprintln!("{all} worlds, up to seed {seed}: {bad} bad, {rate:.0} a minute");
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).sum()
    });
    let mut bad = bad.into_inner().expect("no panic holds it");
    bad.sort();
    let traces = traces.into_inner().expect("no panic holds it");
    Worlds { played, took: began.elapsed(), traces, bad }
}

/// What a panic said.
pub fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl fmt::Display for Worlds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (played, seconds) = (self.played, self.took.as_secs_f64());
        let rate = played as f64 / seconds * 60.0;
        let (bad, traces) = (self.bad.len(), self.traces);
        write!(f, "{played} worlds in {seconds:.1} s ({rate:.0} a minute), {bad} bad, traces {traces:032x}")
    }
}
