//! From a bad world to the shortest story of it: steps are left out as long as the same rule is broken.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::budget;
use super::script::{Script, Step};
use super::trace;
use super::world::{self, Outcome};

/// Worlds played in search of a shorter one.
const TRIES_MAX: usize = 400;

/// The shrunk script's outcome, as a story with the seed, the commit and the rule.
pub fn story(script: &Script) -> String {
    let Some(first) = trace::muted(|| play(script)) else {
        return format!("seed {}: good after all; something is not deterministic", script.seed);
    };
    let (steps, outcome) = trace::muted(|| shrink(script, first));
    if std::env::var_os("MAILTIDE_SIM_TRACE").is_some() {
        eprintln!("the shortest story of seed {}, every byte:", script.seed);
        play(&script.with_steps(steps.clone()));
    }
    let commit = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!(
        "seed {} at commit {commit}\nviolated: {}\n{:?}\nin {} of {} steps:\n{}\n\nPlay it: MAILTIDE_SIM_SEEDS={}..{} \
         (MAILTIDE_SIM_TRACE=1 shows every byte, of this story too)",
        script.seed,
        outcome.violations.join("\n          "),
        script.setup,
        steps.len(),
        script.steps.len(),
        outcome.story.join("\n"),
        script.seed,
        script.seed + 1,
    )
}

/// A bad outcome, if it is one.
fn play(script: &Script) -> Option<Outcome> {
    match catch_unwind(AssertUnwindSafe(|| world::play(script))) {
        Ok(outcome) => Some(outcome).filter(|outcome| !outcome.violations.is_empty()),
        Err(panic) => Some(Outcome {
            hash: String::new(),
            violations: vec![format!("panic: {}", budget::text(panic.as_ref()))],
            story: Vec::new(),
        }),
    }
}

/// Leaves out halves, quarters, ... and single steps, as long as it stays bad in the same way.
pub fn shrink(script: &Script, first: Outcome) -> (Vec<Step>, Outcome) {
    let rule = rule_of(&first);
    let (mut steps, mut best, mut tries) = (script.steps.clone(), first, 0);
    let mut piece = steps.len().div_ceil(2).max(1);
    loop {
        let mut start = 0;
        let mut is_shorter = false;
        while start < steps.len() && tries < TRIES_MAX {
            tries += 1;
            let mut fewer = steps.clone();
            // The time that the steps took still passes.
            let passed: u64 = fewer.drain(start..(start + piece).min(steps.len())).map(|step| step.after_ms).sum();
            if let Some(next) = fewer.get_mut(start) {
                next.after_ms += passed;
            }
            match play(&script.with_steps(fewer.clone())).filter(|outcome| rule_of(outcome) == rule) {
                Some(outcome) => {
                    (steps, best, is_shorter) = (fewer, outcome, true);
                }
                None => start += piece,
            }
        }
        if tries >= TRIES_MAX || (piece == 1 && !is_shorter) {
            return (steps, best);
        }
        piece = piece.div_ceil(2).max(1);
    }
}

/// What was broken, without the numbers in it.
fn rule_of(outcome: &Outcome) -> String {
    let first = outcome.violations.first().map_or("", String::as_str);
    let words = first.split_whitespace().filter(|word| !word.contains(|character: char| character.is_ascii_digit()));
    words.take(5).collect::<Vec<_>>().join(" ")
}
