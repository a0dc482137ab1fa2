//! The simulator: one seed, one world. See README.md in this folder.

mod agent;
mod backup;
mod budget;
mod client;
mod disk;
mod ledger;
mod mail;
mod maildrop;
mod mutants;
mod network;
mod people;
mod presence;
mod provider;
mod quiet;
mod random;
mod script;
mod server;
mod shrink;
mod template;
mod trace;
mod world;

use script::Script;

/// Seeds that once showed a bug, one a line with what they found.
const BAD_SEEDS: &str = include_str!("seeds.txt");

#[test]
fn nothing_is_lost_or_doubled_in_any_world() {
    let worlds = budget::play_all(budget::Seeds::of_the_environment(), |seed| world::play(&Script::of(seed)));
    eprintln!("{worlds}");
    if let Some((seed, _)) = worlds.bad.first() {
        panic!("{}", shrink::story(&Script::of(*seed)));
    }
}

#[test]
fn seeds_that_were_bad_once_stay_good() {
    for line in BAD_SEEDS.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let seed = line.split_whitespace().next().and_then(|seed| seed.parse().ok());
        let script = Script::of(seed.unwrap_or_else(|| panic!("no seed: {line}")));
        let outcome = world::play(&script);
        assert!(outcome.violations.is_empty(), "{line}\n{}", shrink::story(&script));
    }
}

#[test]
fn a_seed_is_the_same_world_every_time_and_in_every_process() {
    // The other process prints what it saw and is this same test.
    let hashes = || (40..46).map(|seed| world::play(&Script::of(seed)).hash).collect::<Vec<_>>().join(" ");
    let first = hashes();
    println!("worlds 40 to 45: {first}");
    assert_eq!(first, hashes());
    if std::env::var_os("MAILTIDE_SIM_OTHER").is_none() {
        let name = "a_seed_is_the_same_world_every_time_and_in_every_process";
        let program = std::env::current_exe().expect("this program");
        let other = std::process::Command::new(program)
            .args([name, "--exact", "--nocapture"])
            .env("MAILTIDE_SIM_OTHER", "1")
            .output()
            .expect("the other process");
        let said = String::from_utf8_lossy(&other.stdout).into_owned();
        assert!(said.contains(&first), "{first} here; there {said}");
    }
}
