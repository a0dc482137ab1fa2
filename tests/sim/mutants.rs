//! The checks can fail: each deliberate defect is caught by a world within a bounded number of seeds.
//!
//! `mutants.txt` says which world catches which, so that a run of all tests plays one world each; where that world does
//! not catch it any more (the script of a seed changed) it is searched for. `MAILTIDE_SIM_MUTANTS=search` begins at seed 0 for
//! each and prints the table anew.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mailtide::types::mutant::{Mutant, switch};

use super::budget;
use super::script::Script;
use super::world;

/// Worlds in which a defect must show.
const SEEDS_MAX: u64 = 3000;

const KNOWN: &str = include_str!("mutants.txt");

#[test]
fn every_deliberate_defect_is_caught() {
    let is_search = std::env::var_os("MAILTIDE_SIM_MUTANTS").is_some();
    let next = AtomicUsize::new(0);
    let table = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutant) = Mutant::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = known(*mutant).filter(|_| !is_search).and_then(|seed| catch(*mutant, seed..seed + 1));
                    let caught = caught.or_else(|| catch(*mutant, 0..SEEDS_MAX));
                    if is_search {
                        eprintln!("{mutant:?} {caught:?}");
                    }
                    table.lock().expect("no panic holds it").push((*mutant, caught));
                }
            });
        }
    });
    let mut table = table.into_inner().expect("no panic holds it");
    table.sort_by_key(|(mutant, _)| format!("{mutant:?}"));
    for (mutant, caught) in &table {
        let (seed, rule) = caught.clone().map_or(("-".to_owned(), "not caught".to_owned()), |(seed, rule)| {
            (seed.to_string(), rule.chars().take(90).collect())
        });
        println!("{:<22}{seed:>6}  {:<62}  {rule}", format!("{mutant:?}"), mutant.what().trim());
    }
    let free: Vec<_> = table.iter().filter(|(_, caught)| caught.is_none()).map(|(mutant, _)| mutant).collect();
    assert!(free.is_empty(), "not caught within {SEEDS_MAX} worlds: {free:?}");
}

/// The first seed whose world is good without the defect and bad with it, and what it breaks.
fn catch(mutant: Mutant, mut seeds: std::ops::Range<u64>) -> Option<(u64, String)> {
    seeds.find_map(|seed| {
        let broken = broken(Some(mutant), seed)?;
        self::broken(None, seed).is_none().then_some((seed, broken))
    })
}

/// What goes wrong in a world with that defect.
fn broken(mutant: Option<Mutant>, seed: u64) -> Option<String> {
    switch(mutant);
    let outcome = std::panic::catch_unwind(|| world::play(&Script::of(seed)));
    switch(None);
    match outcome {
        Ok(outcome) => outcome.violations.first().cloned(),
        Err(panic) => Some(format!("panic: {}", budget::text(panic.as_ref()))),
    }
}

/// The seed that `mutants.txt` names.
fn known(mutant: Mutant) -> Option<u64> {
    let name = format!("{mutant:?}");
    let line = KNOWN.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
