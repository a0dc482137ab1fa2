//! `refserver` as the other end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::imap::Imap;
use super::net::free_address;
use super::process::Process;

pub const PASSWORD: &str = "sesame";

pub struct RefServer {
    process: Option<Process>,
    arguments: Vec<String>,
    addresses: BTreeMap<String, SocketAddr>,
    authority: Option<PathBuf>,
    pub domain: String,
    folder: tempfile::TempDir,
}

/// What differs between servers.
#[derive(Default)]
pub struct Options<'a> {
    /// Each with the password [`PASSWORD`].
    pub users: &'a [&'a str],
    /// `home.example` where it does not matter.
    pub domain: Option<&'a str>,
    /// On 127.0.0.1, which the certificate made at first start is good for.
    pub common_loopback: bool,
    /// Where the MX port is to be; else the server chooses.
    pub smtp: Option<SocketAddr>,
    /// More lines of its config file.
    pub config: String,
}

/// Every listener it knows.
const LISTENERS: [&str; 7] = ["imap", "imaps", "pop3", "pop3s", "smtp", "submission", "submissions"];

impl RefServer {
    pub fn with_users(users: &[&str]) -> Self {
        Self::start(&Options { users, ..Options::default() })
    }

    pub fn start(options: &Options) -> Self {
        let folder = tempfile::Builder::new().prefix("refserver").tempdir().expect("a temporary folder");
        let ip = if options.common_loopback { Ipv4Addr::LOCALHOST.into() } else { free_address().ip() };
        let mut arguments = vec!["--data".to_owned(), folder.path().join("data").display().to_string()];
        for listener in LISTENERS {
            let chosen = options.smtp.filter(|_| listener == "smtp").map(|address| address.to_string());
            arguments.extend([format!("--{listener}"), chosen.unwrap_or_else(|| format!("{ip}:0"))]);
        }
        for user in options.users {
            arguments.extend(["--user".to_owned(), format!("{user}:{PASSWORD}")]);
        }
        let domain = options.domain.unwrap_or("home.example").to_owned();
        arguments.extend(["--domain".to_owned(), domain.clone()]);
        if !options.config.is_empty() {
            let file = folder.path().join("refserver.toml");
            std::fs::write(&file, &options.config).expect("a writable folder");
            arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        let mut server = Self { process: None, arguments, addresses: BTreeMap::new(), authority: None, domain, folder };
        server.restart();
        server
    }

    /// Starts it again with these lines in its config file in place of those that it had.
    pub fn configure(&mut self, config: &str) {
        self.process = None;
        let file = self.folder.path().join("refserver.toml");
        std::fs::write(&file, config).expect("a writable folder");
        if !self.arguments.iter().any(|argument| argument == "--config") {
            self.arguments.extend(["--config".to_owned(), file.display().to_string()]);
        }
        self.restart();
    }

    /// Starts it again with one more `--quota`.
    pub fn limit(&mut self, quota: &str) {
        self.arguments.extend(["--quota".to_owned(), quota.to_owned()]);
        self.restart();
    }

    /// Starts it (again) on the same data. The second time on the ports of the first.
    pub fn restart(&mut self) {
        // The one before must be gone: it holds the data and the ports.
        self.process = None;
        let mut arguments = self.arguments.clone();
        for (name, address) in &self.addresses {
            let option = format!("--{name}");
            let place = arguments.iter().position(|argument| *argument == option).expect("a listener");
            arguments[place + 1] = address.to_string();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
        command.args(&arguments).env("HOME", self.folder.path());
        let log = self.folder.path().join("refserver.log");
        let mut process = Process::start_piped(&mut command, "refserver", &log);
        let mut ready = String::new();
        let output = process.child().stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut ready).expect("a ready line");
        let ready: Value = serde_json::from_str(&ready).unwrap_or_else(|error| panic!("{error} in {ready:?}"));
        self.addresses = LISTENERS
            .iter()
            .map(|&name| {
                let address = ready[name].as_str().and_then(|text| text.parse().ok());
                (name.to_owned(), address.unwrap_or_else(|| panic!("no address of {name} in {ready}")))
            })
            .collect();
        self.authority = ready["ca"].as_str().map(PathBuf::from);
        self.process = Some(process);
    }

    pub fn address(&self, listener: &str) -> SocketAddr {
        self.addresses[listener]
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a started server")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What to trust to trust the certificate made at first start.
    pub fn authority(&self) -> &Path {
        self.authority.as_deref().expect("a server with a certificate of its own")
    }

    /// As [`Self::kill`] while others talk to it.
    pub fn signal(&self, name: &str) {
        self.process.as_ref().expect("a started server").signal(name);
    }

    pub fn kill(&mut self) {
        self.process().kill();
    }

    pub fn login(&self, user: &str) -> Imap {
        let mut imap = Imap::connect(self.address("imap")).expect("refserver listens");
        let reply = imap.login(user, PASSWORD).expect("refserver answers");
        assert_eq!(reply.status, "OK", "{}", reply.text);
        imap
    }
}
