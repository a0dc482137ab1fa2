//! The checks can fail: each deliberate defect is caught by a world.
//!
//! `mutants.txt` says which world catches which, so that a run of all tests plays one world each; where that world does
//! not catch it any more (the script of a seed changed) it is searched for among a few others. `MAILTIDE_SIM_MUTANTS=search`
//! searches from the beginning for each, `MAILTIDE_SIM_MUTANTS=NAME,NAME` for those, and prints the lines for `mutants.txt`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use mailtide::types::mutant::{Mutant, switch};

use super::budget;
use super::script::{
    EIGHTH_EDITION, FIFTH_EDITION, FOURTH_EDITION, SECOND_EDITION, SEVENTH_EDITION, SIXTH_EDITION, Script,
};
use super::world;

/// Worlds in which a defect must show: on a search, and where the known world does not show it any more.
const SEARCHED_MAX: u64 = 3000;
const SEARCHED_AGAIN_MAX: u64 = 100;

const KNOWN: &str = include_str!("mutants.txt");

#[test]
fn every_deliberate_defect_is_caught() {
    let wish = std::env::var("MAILTIDE_SIM_MUTANTS").ok();
    let is_wanted = |mutant: &&Mutant| match wish.as_deref() {
        None => known(**mutant).is_some(),
        Some("search") => true,
        Some(names) => names.split(',').any(|name| name == format!("{mutant:?}")),
    };
    let wanted: Vec<Mutant> = Mutant::ALL.iter().filter(is_wanted).copied().collect();
    let (next, table) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(mutant) = wanted.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
            let caught = match (&wish, known(mutant)) {
                (None, Some(seed)) => {
                    catch(mutant, seed..seed + 1).or_else(|| catch(mutant, searched(SEARCHED_AGAIN_MAX)))
                }
                _ => catch(mutant, searched(SEARCHED_MAX)),
            };
            let (seed, rule) = caught.clone().unwrap_or((u64::MAX, "not caught".to_owned()));
            let rule: String = rule.chars().take(90).collect();
            println!("{:<22}{seed:>5}  {:<62}  {rule}", format!("{mutant:?}"), mutant.what().trim());
            table.lock().expect("no panic holds it").push((mutant, caught));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let table = table.into_inner().expect("no panic holds it");
    let free: Vec<_> = table.iter().filter(|(_, caught)| caught.is_none()).map(|(mutant, _)| mutant).collect();
    assert!(free.is_empty() && !table.is_empty(), "not caught: {free:?}");
}

/// The seeds that are searched: some of the first worlds, then those with all that scripts know by now.
fn searched(max: u64) -> impl Iterator<Item = u64> {
    // In turns, so that what only the worlds of one edition can catch is found as soon in each.
    const EDITIONS: [u64; 7] =
        [0, SECOND_EDITION, FOURTH_EDITION, FIFTH_EDITION, SIXTH_EDITION, SEVENTH_EDITION, EIGHTH_EDITION];
    (0..max).flat_map(|nth| EDITIONS.map(|first| first + nth))
}

/// The first seed whose world is good without the defect and bad with it, and what it breaks.
fn catch(mutant: Mutant, mut seeds: impl Iterator<Item = u64>) -> Option<(u64, String)> {
    seeds.find_map(|seed| {
        let broken = self::broken(Some(mutant), seed)?;
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
