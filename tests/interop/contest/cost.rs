//! What a pass of a program takes.

use std::path::Path;
use std::time::{Duration, Instant};

use super::line::{Line, Traffic};
use super::programs::Program;
use crate::support::process::Process;

pub struct Cost {
    pub wall: Duration,
    pub processor: Duration,
    pub memory_kib: u64,
    pub traffic: Traffic,
}

/// How long a pass may take: the slowest has a round trip for each of thousands of messages.
const PASS_MAX: Duration = Duration::from_secs(3600);

/// So exact is the time it took, and so late the last look at its memory.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs one pass, which must end well.
pub fn of_pass(program: &dyn Program, line: &Line) -> Cost {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (mut process, cost) = measure(program, line, &folder.path().join("log"));
    let status = process.ended().expect("it is over");
    assert!(status.success(), "{} ended with {status}:\n{}", program.name(), process.log());
    cost
}

/// The process is over afterwards.
pub fn measure(program: &dyn Program, line: &Line, log: &Path) -> (Process, Cost) {
    program.let_time_pass();
    line.take_traffic();
    let server_before = program.server_time();
    let mut memory_kib = 0;
    let start = Instant::now();
    let process = Process::start(&mut program.pass(), program.name(), log);
    while !process.is_over() {
        assert!(start.elapsed() < PASS_MAX, "{} does not end", program.name());
        memory_kib = process.try_memory_kib("VmHWM").unwrap_or(memory_kib);
        std::thread::sleep(LOOK_EVERY);
    }
    let wall = start.elapsed();
    let processor = process.family_processor_time() + program.server_time().saturating_sub(server_before);
    (process, Cost { wall, processor, memory_kib, traffic: line.take_traffic() })
}
