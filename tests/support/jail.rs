//! A server of Debian's whose package cannot be installed beside another: unpacked into a root of its own (see
//! `unpack-server`), and a copy of that root by hard links for each test, with its own `/etc`, `/dev`, `/run`, `/tmp`
//! and `/var`. The server runs in it by `chroot`, which needs no mount. Nothing may be written over in `/usr`.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::dovecot::is_root;
use super::peers;
use super::process::{Process, read_lossy};

/// The user and group that the servers' mail belongs to, inside.
pub const MAIL_ID: u32 = 60_000;

pub struct Jail {
    root: tempfile::TempDir,
}

impl Jail {
    /// `None` after a printed SKIP where the package cannot be had.
    pub fn with(package: &str) -> Option<Self> {
        if !is_root() {
            peers::skip(&format!("{package} is started by chroot, which only root may"));
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/unpack-server");
        let unpacked = Command::new(script).arg(package).output().expect("a script of ours runs");
        if !unpacked.status.success() {
            let why = String::from_utf8_lossy(&unpacked.stderr);
            peers::skip(&format!("{package} cannot be unpacked: {}", why.trim()));
            return None;
        }
        let unpacked = PathBuf::from(String::from_utf8_lossy(&unpacked.stdout).trim());
        // Beside it: hard links do not reach into another file system.
        let beside = unpacked.parent().expect("it is in a folder");
        let root = tempfile::Builder::new().prefix("instance").tempdir_in(beside).expect("a temporary folder");
        let jail = Self { root };
        run(Command::new("cp").arg("-al").arg(unpacked.join(".")).arg(jail.root.path()));
        fs::set_permissions(jail.root.path(), fs::Permissions::from_mode(0o755)).expect("our own folder");
        for folder in ["dev", "etc", "run", "tmp", "var"] {
            jail.folder(folder, 0o1777);
        }
        run(Command::new("mknod").args(["-m", "666"]).arg(jail.path("dev/null")).args(["c", "1", "3"]));
        jail.write("etc/passwd", &format!("root:x:0:0:::\nmail:x:{MAIL_ID}:{MAIL_ID}::/var:\n"));
        jail.write("etc/group", &format!("root:x:0:\nmail:x:{MAIL_ID}:\n"));
        jail.keep_log();
        Some(jail)
    }

    /// A path as seen from outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.root.path().join(inside.trim_start_matches('/'))
    }

    pub fn write(&self, inside: &str, text: &str) {
        fs::write(self.path(inside), text).expect("a writable folder");
    }

    /// A folder, its parents with it.
    pub fn folder(&self, inside: &str, mode: u32) {
        let path = self.path(inside);
        fs::create_dir_all(&path).expect("a writable folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own folder");
    }

    /// A folder of the mail user's.
    pub fn mail_folder(&self, inside: &str) {
        self.folder(inside, 0o700);
        chown(self.path(inside), Some(MAIL_ID), Some(MAIL_ID)).expect("root may give a folder away");
    }

    /// Starts a program of the jail's, without an environment.
    pub fn start(&self, program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Process {
        let mut command = Command::new("chroot");
        command.arg(self.root.path()).arg(program).args(arguments).env_clear().envs(environment.iter().copied());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Process::start(&mut command, program, &self.path("output"))
    }

    /// What was said to syslog and to the standard streams.
    pub fn log(&self) -> String {
        ["syslog", "output"].map(|file| read_lossy(&self.path(file))).concat()
    }

    /// Answers each connection to a socket inside, in a thread of its own.
    pub fn serve(&self, inside: &str, answer: fn(UnixStream) -> std::io::Result<()>) {
        let path = self.path(inside);
        let listener = UnixListener::bind(&path).expect("a free socket");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("our own socket");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Whoever asks and does not wait for the answer is a server that was stopped.
                let _ = answer(stream);
            }
        });
    }

    /// Takes what is said to syslog(3).
    fn keep_log(&self) {
        let socket = UnixDatagram::bind(self.path("dev/log")).expect("a free socket");
        fs::set_permissions(self.path("dev/log"), fs::Permissions::from_mode(0o777)).expect("our own socket");
        let mut file = File::create(self.path("syslog")).expect("a writable folder");
        std::thread::spawn(move || {
            let mut line = [0; 8192];
            while let Ok(length) = socket.recv(&mut line) {
                let _ = file.write_all(&[&line[..length], b"\n"].concat());
            }
        });
    }

    /// Whoever runs in this root, parents and children: kills them.
    fn kill_all(&self) {
        let inside = |process: &fs::DirEntry| {
            fs::read_link(process.path().join("root")).is_ok_and(|root| root == self.root.path())
        };
        let processes = fs::read_dir("/proc").expect("proc(5) is there").flatten();
        let ids: Vec<String> =
            processes.filter(inside).filter_map(|process| process.file_name().into_string().ok()).collect();
        if !ids.is_empty() {
            // Some may have ended by themselves.
            let _ = Command::new("kill").arg("-KILL").args(ids).status();
        }
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        self.kill_all();
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(4000);
            eprintln!("--- the server said:\n{}", log.get(start..).unwrap_or(&log));
        }
    }
}

/// The bytes of one question, as much as comes at once.
pub fn question(stream: &mut UnixStream) -> std::io::Result<String> {
    let mut bytes = [0; 4096];
    let length = stream.read(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

fn run(command: &mut Command) {
    let output = command.output().expect("a program of every Debian");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
