//! A child process that dies with its value and whose output is kept for the panic message.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::wait::wait_for;

pub struct Process {
    child: Child,
    name: String,
    output: PathBuf,
}

impl Process {
    /// Starts it with both output streams in `log`, which is appended to.
    pub fn start(command: &mut Command, name: &str, log: &Path) -> Self {
        let output = open_log(log);
        let errors = output.try_clone().expect("a second handle on the log");
        Self::start_with(command.stdout(Stdio::from(output)).stderr(Stdio::from(errors)), name, log)
    }

    /// Starts it with standard output as a pipe, errors in `log`.
    pub fn start_piped(command: &mut Command, name: &str, log: &Path) -> Self {
        Self::start_with(command.stdout(Stdio::piped()).stderr(Stdio::from(open_log(log))), name, log)
    }

    /// Starts it with the streams the command has; `log` is where what it says can be read.
    pub fn start_with(command: &mut Command, name: &str, log: &Path) -> Self {
        let child =
            command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self { child, name: name.to_owned(), output: log.to_owned() }
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        read_lossy(&self.output)
    }

    /// The exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    pub fn wait_end(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} to end", self.name);
        wait_for(&what, limit, || self.ended())
    }

    /// SIGKILL: no chance to tidy.
    pub fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().expect("a killed child ends");
    }

    /// SIGTERM.
    pub fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(status.expect("kill(1) is there").success(), "{} is gone already", self.name);
    }

    /// It has ended, and was not asked how ([`Self::ended`]): until then it can be asked what it has used.
    pub fn is_over(&self) -> bool {
        // The first thread may have ended before the others.
        Stat::of(self.id()).is_none_or(|stat| stat.state == "Z" && stat.threads <= 1)
    }

    /// Processor time used so far, its own and the kernel's for it.
    pub fn processor_time(&self) -> Duration {
        Stat::of(self.id()).expect("a process that was not waited for").own
    }

    /// The same of it and all processes that it has started and they have, also those that have ended.
    pub fn family_processor_time(&self) -> Duration {
        let processes = std::fs::read_dir("/proc").expect("Linux").filter_map(|entry| {
            let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((id, Stat::of(id)?))
        });
        let processes: BTreeMap<u32, Stat> = processes.collect();
        let is_family = |id: u32| {
            let parent = |id: &u32| Some(processes.get(id)?.parent);
            std::iter::successors(Some(id), parent).any(|ancestor| ancestor == self.id())
        };
        let family = processes.iter().filter(|(id, _)| is_family(**id));
        family.map(|(_, stat)| stat.own + stat.of_ended_children).sum()
    }

    /// A line of /proc/PID/status in KiB: `VmRSS` (now) or `VmHWM` (peak).
    pub fn memory_kib(&self, line: &str) -> u64 {
        self.try_memory_kib(line).unwrap_or_else(|| panic!("no {line} of {}", self.name))
    }

    /// `None` of a process that has ended.
    pub fn try_memory_kib(&self, line: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))?;
        value.split_whitespace().next()?.parse().ok()
    }
}

/// What /proc/PID/stat says.
struct Stat {
    state: String,
    parent: u32,
    own: Duration,
    of_ended_children: Duration,
    threads: u32,
}

impl Stat {
    fn of(id: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name, in parentheses, may hold spaces; the state is field 3, the parent 4, utime and stime are 14 and 15, the
        // children's 16 and 17, in hundredths of a second; the threads are 20.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let time = |first: usize| {
            let ticks = fields[first - 3..first - 1].iter().map(|field| field.parse::<u64>().expect("a number"));
            Duration::from_millis(ticks.sum::<u64>() * 10)
        };
        let (parent, threads) = (fields[1].parse().expect("a number"), fields[17].parse().expect("a number"));
        Some(Self { state: fields[0].to_owned(), parent, own: time(14), of_ended_children: time(16), threads })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, tail(&self.log(), 80));
        }
    }
}

pub fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

fn open_log(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("a log file can be made")
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
