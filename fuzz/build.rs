//! Writes the seeds of every target where cargo-fuzz looks for its corpus, `corpus/TARGET`: what the tests' files hold
//! anyway is not committed twice.

use std::fs;
use std::path::Path;

#[path = "../tests/properties/seeds.rs"]
mod seeds;

fn main() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().expect("fuzz lies within the package it tests");
    for folder in ["tests/properties/seeds.rs", "tests/transcripts", "tests/corpus", "tests/it", "src/cli/demo/mail"] {
        println!("cargo::rerun-if-changed=../{folder}");
    }
    for target in fs::read_dir(here.join("targets")).expect("the targets") {
        let target = target.expect("a target").path();
        let name = target.file_stem().and_then(|stem| stem.to_str()).expect("a readable name");
        let corpus = here.join("corpus").join(name);
        fs::create_dir_all(&corpus).expect("a folder for the corpus");
        let regressions = root.join("tests/regressions").join(name);
        let regressions = fs::read_dir(regressions).into_iter().flatten();
        let regressions = regressions.map(|file| fs::read(file.expect("a file").path()).expect("a readable file"));
        for (place, seed) in seeds::of(name, root).into_iter().chain(regressions).enumerate() {
            fs::write(corpus.join(format!("seed-{place}")), seed).expect("a seed is written");
        }
    }
}
