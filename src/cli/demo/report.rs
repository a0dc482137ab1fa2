//! The account that the demonstration gives of itself: steps with counts and times, the proof, the end.

use std::time::{Duration, Instant};

use serde::Serialize;

/// One thing that was done.
#[derive(Debug, Serialize)]
pub struct StepDone {
    pub what: String,
    pub ms: u64,
}

/// Everything that was done and found.
#[derive(Debug, Serialize)]
pub struct Report {
    pub version: u32,
    pub equal: bool,
    pub steps: Vec<StepDone>,
    /// What was compared.
    pub compared: Vec<String>,
    /// What differed; empty when all is well.
    pub differences: Vec<String>,
    #[serde(skip)]
    is_quiet: bool,
    #[serde(skip)]
    since: Instant,
}

impl Report {
    /// An empty account. With `is_quiet` nothing is printed on the way.
    pub fn new(is_quiet: bool) -> Self {
        Self {
            version: 1,
            equal: false,
            steps: Vec::new(),
            compared: Vec::new(),
            differences: Vec::new(),
            is_quiet,
            since: Instant::now(),
        }
    }

    /// Notes what was done since the last note, and prints it.
    pub fn step(&mut self, what: impl Into<String>) {
        let step = StepDone { what: what.into(), ms: millis(self.since.elapsed()) };
        self.say(&format!("{:>7} ms  {}", step.ms, step.what));
        self.steps.push(step);
        self.since = Instant::now();
    }

    /// Notes what was compared, with its outcome.
    pub fn compare(&mut self, what: impl Into<String>, differences: Vec<String>) {
        let what = what.into();
        self.say(&format!("  {}  {what}", if differences.is_empty() { "  equal" } else { "DIFFERS" }));
        for difference in &differences {
            self.say(&format!("           {difference}"));
        }
        self.compared.push(what);
        self.differences.extend(differences);
    }

    /// Says how it ended.
    pub fn finish(&mut self) {
        self.equal = self.differences.is_empty();
        let total_ms: u64 = self.steps.iter().map(|step| step.ms).sum();
        self.say(&match self.equal {
            true => format!("Both sides are equal; nothing was lost, nothing doubled ({total_ms} ms in all)."),
            false => format!("{} differences: see above.", self.differences.len()),
        });
    }

    /// Prints a line for people.
    fn say(&self, line: &str) {
        if !self.is_quiet {
            println!("{line}");
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
