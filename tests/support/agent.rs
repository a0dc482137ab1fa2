//! `syncd` and `syncctl` as a person runs them: real binaries, a config file, folders of their own.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use serde_json::Value;

use super::imap::Imap;
use super::net::free_address;
use super::pop3::Pop3;
use super::process::Process;
use super::refserver::{self, RefServer};
use super::smtp::Smtp;
use super::wait::{SOON, wait_for, wait_until};

/// What mail clients log in with.
pub const LOCAL_PASSWORD: &str = "local secret";

pub struct Agent {
    process: Option<Process>,
    pub imap: SocketAddr,
    pub smtp: SocketAddr,
    pub pop3: SocketAddr,
    pub data: PathBuf,
    folder: tempfile::TempDir,
}

/// An account as the config file has it; more keys go into `more`.
pub struct Account<'a> {
    pub name: &'a str,
    pub address: String,
    pub imap: SocketAddr,
    pub smtp: SocketAddr,
    /// `none`, `starttls`, `implicit`; for both.
    pub tls: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    pub more: &'a str,
}

impl<'a> Account<'a> {
    /// The account of a refserver's user, in plaintext; the IMAP address may be a proxy's.
    pub fn at(server: &RefServer, user: &'a str, imap: SocketAddr) -> Self {
        Self {
            name: user,
            address: format!("{user}@{}", server.domain),
            imap,
            smtp: server.address("submission"),
            tls: "none",
            user,
            password: refserver::PASSWORD,
            more: "",
        }
    }

    pub fn text(&self) -> String {
        let Self { name, address, imap, smtp, tls, user, password, more } = self;
        let (imap_host, imap_port, smtp_host, smtp_port) = (imap.ip(), imap.port(), smtp.ip(), smtp.port());
        format!(
            "[[account]]\nname = \"{name}\"\naddress = \"{address}\"\n\
             imap = {{ host = \"{imap_host}\", port = {imap_port}, tls = \"{tls}\" }}\n\
             smtp = {{ host = \"{smtp_host}\", port = {smtp_port}, tls = \"{tls}\" }}\n\
             user = \"{user}\"\npassword = \"{password}\"\n{more}\n"
        )
    }
}

/// What `syncctl` said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Agent {
    /// Writes the config, starts nothing.
    pub fn new(accounts: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("agent").tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let agent =
            Self { process: None, imap: free_address(), smtp: free_address(), pop3: free_address(), data, folder };
        std::fs::create_dir(agent.run_folder()).expect("a writable folder");
        agent.configure(accounts);
        agent
    }

    /// Starts it and waits until it serves.
    pub fn started(accounts: &str) -> Self {
        let mut agent = Self::new(accounts);
        agent.start();
        agent
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.toml")
    }

    /// Writes the config anew; a running agent sees it.
    pub fn configure(&self, accounts: &str) {
        let text = format!(
            "[local]\nimap = \"{}\"\nsmtp = \"{}\"\npop3 = \"{}\"\npassword = \"{LOCAL_PASSWORD}\"\n{accounts}",
            self.imap, self.smtp, self.pop3
        );
        std::fs::write(self.config(), text).expect("a writable folder");
    }

    pub fn start(&mut self) {
        self.start_with(|_| ());
    }

    /// The same, with more in its environment.
    pub fn start_with(&mut self, change: impl FnOnce(&mut Command)) {
        self.spawn_with(change);
        wait_until("syncd to serve", SOON, || {
            let process = self.process.as_mut().expect("just started");
            if let Some(status) = process.ended() {
                panic!("syncd ended with {status}");
            }
            Imap::connect(self.imap).is_ok() && self.ctl(&["status"]).code == 0
        });
    }

    /// Starts it without waiting for anything.
    pub fn spawn(&mut self) {
        self.spawn_with(|_| ());
    }

    /// The same, with more in its environment.
    pub fn spawn_with(&mut self, change: impl FnOnce(&mut Command)) {
        let mut command = self.command(env!("CARGO_BIN_EXE_syncd"));
        change(&mut command);
        self.process = Some(Process::start(&mut command, "syncd", &self.log_file()));
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a started agent")
    }

    /// A line of /proc/PID/status in KiB.
    pub fn memory_kib(&self, line: &str) -> u64 {
        self.process.as_ref().expect("a started agent").memory_kib(line)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.process().kill();
    }

    /// SIGTERM, and the exit status.
    pub fn stop(&mut self) -> ExitStatus {
        self.process().ask_to_stop();
        self.process().wait_end(SOON)
    }

    pub fn log(&self) -> String {
        super::process::read_lossy(&self.log_file())
    }

    /// One complete sync in a process of its own.
    pub fn once(&self) -> Said {
        said(self.command(env!("CARGO_BIN_EXE_syncd")).arg("--once"))
    }

    pub fn ctl(&self, arguments: &[&str]) -> Said {
        said(self.command(env!("CARGO_BIN_EXE_syncctl")).args(arguments))
    }

    /// A `syncctl` that must succeed.
    pub fn ctl_ok(&self, arguments: &[&str]) -> String {
        let said = self.ctl(arguments);
        assert_eq!(said.code, 0, "syncctl {arguments:?}: {said:?}");
        said.out
    }

    pub fn ctl_json(&self, arguments: &[&str]) -> Value {
        let text = self.ctl_ok(arguments);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("syncctl {arguments:?}: {error} in {text}"))
    }

    pub fn status(&self) -> Value {
        self.ctl_json(&["status", "--json"])
    }

    /// The status of the only account.
    pub fn account(&self) -> Value {
        self.status()["accounts"][0].clone()
    }

    /// Journal entries that are neither done nor parked.
    pub fn unsettled(&self) -> u64 {
        let journal = &self.account()["journal"];
        journal["pending"].as_u64().expect("a count") + journal["in_flight"].as_u64().expect("a count")
    }

    /// Waits for one sync that ends well, whatever may be parked or blocked. The first tries may come while the agent
    /// still backs off.
    pub fn sync(&self) {
        wait_for("a sync to succeed", SOON, || {
            let said = self.ctl(&["sync", "--wait", "--timeout", "60", "--json"]);
            let synced: Value = serde_json::from_str(&said.out).ok()?;
            let accounts = synced["accounts"].as_array()?;
            accounts.iter().all(|account| account["error"].is_null()).then_some(())
        });
    }

    pub fn login(&self, account: &str) -> Imap {
        self.try_login(account).expect("syncd serves")
    }

    pub fn try_login(&self, account: &str) -> io::Result<Imap> {
        let mut imap = Imap::connect(self.imap)?;
        let reply = imap.login(account, LOCAL_PASSWORD)?;
        if reply.status == "OK" { Ok(imap) } else { Err(io::Error::other(reply.text)) }
    }

    pub fn login_smtp(&self, account: &str) -> Smtp {
        let mut smtp = Smtp::connect(self.smtp).expect("syncd serves");
        let answer = smtp.login(account, LOCAL_PASSWORD).expect("syncd answers");
        assert_eq!(answer.code, 235, "{answer:?}");
        smtp
    }

    pub fn login_pop3(&self, account: &str) -> Pop3 {
        let mut pop3 = Pop3::connect(self.pop3).expect("syncd serves");
        pop3.ok(&format!("USER {account}"));
        pop3.ok(&format!("PASS {LOCAL_PASSWORD}"));
        pop3
    }

    /// Runs one of the binaries on this agent's files, with nothing of the caller's own environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = self.bare_command(program);
        command.arg("--config").arg(self.config()).arg("--data").arg(&self.data);
        command
    }

    /// The same without any argument: the agent's folder is the home folder.
    pub fn bare_command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.folder()).env("XDG_RUNTIME_DIR", self.run_folder());
        for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "NOTIFY_SOCKET", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    fn run_folder(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("syncd.log")
    }
}

/// How long a command that should end may take.
const COMMAND_MAX: Duration = Duration::from_secs(120);

fn said(command: &mut Command) -> Said {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let file = |path| std::fs::File::create(path).expect("a writable folder");
    let mut process = Process::start_with(command.stdout(file(&out)).stderr(file(&err)), "command", &err);
    let status = process.wait_end(COMMAND_MAX);
    let read = super::process::read_lossy;
    Said { code: status.code().unwrap_or(-1), out: read(&out), err: read(&err) }
}
