//! The properties of `tests/properties`, on their seeds, on what once broke them, and on mixtures of seeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::properties::{self, ALL, Property, seeds};

/// Mixtures tried of each property. `PROPTEST_CASES` asks for more.
const CASES: u32 = 150;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Checks, and tells the input where the property does not hold.
fn check(property: Property, input: &[u8], what: &str) {
    let outcome = std::panic::catch_unwind(|| (property.check)(input));
    if outcome.is_err() {
        panic!("{} does not hold for {what}: b\"{}\"", property.name, input.escape_ascii());
    }
}

#[test]
fn every_property_holds_for_its_seeds() {
    for property in ALL {
        let seeds = seeds::of(property.name, root());
        assert!(!seeds.is_empty(), "{} has no seeds", property.name);
        for (place, seed) in seeds.iter().enumerate() {
            check(property, seed, &format!("seed {place}"));
        }
    }
}

#[test]
fn every_property_holds_for_what_once_broke_it() {
    let regressions = root().join("tests/regressions");
    for folder in fs::read_dir(&regressions).expect("the regressions") {
        let folder = folder.expect("a folder").path();
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a readable name");
        let property = ALL.into_iter().find(|property| property.name == name);
        let property = property.unwrap_or_else(|| panic!("no property is called {name}"));
        for file in fs::read_dir(&folder).expect("a folder of inputs") {
            let file = file.expect("an input").path();
            check(property, &fs::read(&file).expect("a readable input"), &file.display().to_string());
        }
    }
}

#[test]
fn every_property_has_a_fuzz_target() {
    let fuzz = root().join("fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the fuzz package's manifest");
    for Property { name, .. } in ALL {
        let target = fs::read_to_string(fuzz.join("targets").join(format!("{name}.rs"))).unwrap_or_default();
        assert!(target.contains(&format!("mailtide_fuzz::target!({name});")), "fuzz/targets/{name}.rs");
        assert!(manifest.contains(&format!("[[bin]]\nname = \"{name}\"")), "[[bin]] {name} in fuzz/Cargo.toml");
    }
}

/// Lines of the seeds in another order, some with changes, and noise.
fn mixture(seeds: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let first: BTreeSet<u8> = seeds.iter().filter_map(|seed| seed.first().copied()).collect();
    let first: Vec<u8> = first.into_iter().collect();
    let lines: Vec<Vec<u8>> =
        seeds.iter().flat_map(|seed| seed.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec)).collect();
    let lines: Vec<Vec<u8>> = lines.into_iter().filter(|line| line.len() < 4000).collect();
    let line = prop::sample::select(lines);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    let changed = (line.clone(), changes).prop_map(|(mut line, changes)| {
        for (place, byte) in changes {
            let place = place.index(line.len());
            match byte {
                0..64 => line[place] = byte,
                64..128 => line.insert(place, byte),
                128..192 if line.len() > 1 => drop(line.remove(place)),
                _ => line.truncate(place + 1),
            }
        }
        line
    });
    let noise = prop::collection::vec(any::<u8>(), 0..30);
    let pieces = prop::collection::vec(prop_oneof![6 => line, 4 => changed, 1 => noise], 0..25);
    (prop::sample::select(first), pieces).prop_map(|(first, pieces)| [vec![first], pieces.concat()].concat())
}

/// The same mixtures every time, so that a run says what another run says.
fn holds_for_mixtures(name: &str) {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&mixture(&seeds::of(name, root())), |input| {
        properties::check(name, &input);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => panic!("{name} does not hold for b\"{}\": {why}", input.escape_ascii()),
        Err(TestError::Abort(why)) => panic!("{name} was not tried: {why}"),
    }
}

/// A test for each property, so that they run beside one another.
macro_rules! mixtures {
    ($($name:ident)*) => {
        mod mixtures {
            $(#[test]
            fn $name() {
                super::holds_for_mixtures(stringify!($name));
            })*
            /// None is forgotten.
            #[test]
            fn are_tried_of_every_property() {
                let named = [$(stringify!($name)),*];
                assert!(super::ALL.iter().all(|property| named.contains(&property.name)));
            }
        }
    };
}
mixtures! {
    config control dsn imap_command imap_session imap_upstream message pop3_session scram search smtp_session
    smtp_upstream words
}
