//! `refserver` as the other end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::imap::Imap;
use super::net::free_address;
use super::process::Process;

pub struct RefServer {
    process: Option<Process>,
    arguments: Vec<String>,
    addresses: BTreeMap<String, SocketAddr>,
    folder: tempfile::TempDir,
}

/// Every listener it knows.
const LISTENERS: [&str; 7] = ["imap", "imaps", "pop3", "pop3s", "smtp", "submission", "submissions"];

impl RefServer {
    /// With these users, each with the password `sesame`, and every listener on a port of its own choice.
    pub fn start(users: &[&str], more: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("refserver").tempdir().expect("a temporary folder");
        let ip = free_address().ip();
        let mut arguments = vec!["--data".to_owned(), folder.path().join("data").display().to_string()];
        for listener in LISTENERS {
            arguments.extend([format!("--{listener}"), format!("{ip}:0")]);
        }
        for user in users {
            arguments.extend(["--user".to_owned(), format!("{user}:sesame")]);
        }
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let mut server = Self { process: None, arguments, addresses: BTreeMap::new(), folder };
        server.restart();
        server
    }

    /// Starts it (again) on the same data. The second time on the ports of the first.
    pub fn restart(&mut self) {
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

    /// The certificate made at first start.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("data/cert.pem")
    }

    pub fn login(&self, user: &str) -> Imap {
        let mut imap = Imap::connect(self.address("imap")).expect("refserver listens");
        let reply = imap.login(user, "sesame").expect("refserver answers");
        assert_eq!(reply.status, "OK", "{}", reply.text);
        imap
    }
}
