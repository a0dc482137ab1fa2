//! A child process that dies with its value and whose output is kept for the panic message.

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

    /// Processor time used so far, its own and the kernel's for it.
    pub fn processor_time(&self) -> std::time::Duration {
        let stat = read_lossy(&Path::new("/proc").join(self.id().to_string()).join("stat"));
        // The name, in parentheses, may hold spaces; utime and stime are fields 14 and 15, in hundredths of a second.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields = after_name.split_ascii_whitespace().skip(11).take(2);
        let ticks: u64 = fields.map(|field| field.parse::<u64>().expect("a number")).sum();
        std::time::Duration::from_millis(ticks * 10)
    }

    /// A line of /proc/PID/status in KiB: `VmRSS` (now) or `VmHWM` (peak).
    pub fn memory_kib(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a living process");
        let value = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let number = value.and_then(|text| text.split_whitespace().next());
        number.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {line} in {status}"))
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
