//! The programs: how each is told to mirror an account, how its copy is read, and how it is changed without the server.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::mail::{self, Change, Held};
use super::maildir;
use crate::support::agent::{Account, Agent};
use crate::support::dovecot::{self, Dovecot};
use crate::support::imap::Imap;
use crate::support::peers;
use crate::support::proxy::Proxy;

pub trait Program {
    fn name(&self) -> &'static str;

    /// One pass both ways, that ends.
    fn pass(&self) -> Command;

    /// What its copy holds.
    fn held(&mut self) -> Held;

    /// Changes its copy while the server cannot be reached.
    fn act(&mut self, changes: &[Change]);

    /// Called before each pass.
    fn let_time_pass(&self) {}

    /// What a server that keeps its copy has used.
    fn server_time(&self) -> Duration {
        Duration::ZERO
    }
}

/// Where a program finds the account.
#[derive(Clone, Copy)]
pub struct Upstream<'a> {
    pub address: SocketAddr,
    /// Behind that address: what breaks the line.
    pub proxy: &'a Proxy,
    pub user: &'a str,
}

pub struct Ours<'a> {
    agent: Agent,
    upstream: Upstream<'a>,
}

impl<'a> Ours<'a> {
    pub fn new(upstream: Upstream<'a>) -> Self {
        let Upstream { address, user, .. } = upstream;
        let account = Account {
            name: user,
            address: format!("{user}@home.example"),
            imap: address,
            smtp: address,
            tls: "none",
            user,
            password: dovecot::PASSWORD,
            more: "",
        };
        Self { agent: Agent::new(&account.text()), upstream }
    }

    /// Has a mail client talk to it while the server cannot be reached.
    fn serve<T>(&mut self, client: impl FnOnce(&mut Imap) -> T) -> T {
        self.upstream.proxy.cut();
        self.agent.start();
        let result = client(&mut self.agent.login(self.upstream.user));
        assert!(self.agent.stop().success(), "{}", self.agent.log());
        self.upstream.proxy.join();
        result
    }
}

impl Program for Ours<'_> {
    fn name(&self) -> &'static str {
        "Mailtide"
    }

    fn pass(&self) -> Command {
        let mut command = self.agent.command(env!("CARGO_BIN_EXE_syncd"));
        command.arg("--once");
        command
    }

    fn held(&mut self) -> Held {
        self.serve(mail::held)
    }

    fn act(&mut self, changes: &[Change]) {
        self.serve(|imap| mail::act(imap, changes));
    }
}

/// A program that keeps a tree of Maildirs.
struct Filing {
    name: &'static str,
    command: Vec<String>,
    folder: TempDir,
}

impl Filing {
    /// Both take the same words: `-c`, and one that says that all accounts are to be synced, once.
    fn new(name: &'static str, word: &str, config: impl FnOnce(&Path) -> String) -> Option<Self> {
        let program = peers::find(name)?.display().to_string();
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("mail")).expect("a writable folder");
        let file = folder.path().join("config");
        fs::write(&file, config(folder.path())).expect("a writable folder");
        Some(Self { name, command: vec![program, "-c".into(), file.display().to_string(), word.into()], folder })
    }

    fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }
}

impl Program for Filing {
    fn name(&self) -> &'static str {
        self.name
    }

    fn pass(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).env("HOME", self.folder.path());
        command
    }

    fn held(&mut self) -> Held {
        maildir::held(&self.mail())
    }

    fn act(&mut self, changes: &[Change]) {
        maildir::act(&self.mail(), changes);
    }

    fn let_time_pass(&self) {
        maildir::let_time_pass(&self.mail());
    }
}

pub fn mbsync(upstream: Upstream<'_>) -> Option<Box<dyn Program + '_>> {
    let Upstream { address, user, .. } = upstream;
    let config = |folder: &Path| {
        format!(
            "IMAPAccount server\nHost {}\nPort {}\nUser {user}\nPass {}\nSSLType None\nAuthMechs LOGIN\n\n\
             IMAPStore server\nAccount server\n\n\
             MaildirStore files\nPath {mail}/\nInbox {mail}/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :server:\nNear :files:\nPatterns *\nCreate Near\nExpunge Both\nSyncState *\nSync All\n",
            address.ip(),
            address.port(),
            dovecot::PASSWORD,
            mail = folder.join("mail").display(),
        )
    };
    Some(Box::new(Filing::new("mbsync", "-a", config)?))
}

/// Its manual advises two or three connections. Without a word on them it opens one folder anew for each message.
pub fn offlineimap(upstream: Upstream<'_>) -> Option<Box<dyn Program + '_>> {
    let Upstream { address, user, .. } = upstream;
    let config = |folder: &Path| {
        format!(
            "[general]\naccounts = all\nmetadata = {folder}/meta\nui = quiet\nfsync = true\n\n\
             [Account all]\nlocalrepository = files\nremoterepository = server\n\n\
             [Repository files]\ntype = Maildir\nlocalfolders = {folder}/mail\nsep = /\n\n\
             [Repository server]\ntype = IMAP\nremotehost = {}\nremoteport = {}\nremoteuser = {user}\n\
             remotepass = {}\nssl = no\nstarttls = no\nauth_mechanisms = LOGIN\nmaxconnections = 3\n",
            address.ip(),
            address.port(),
            dovecot::PASSWORD,
            folder = folder.display(),
        )
    };
    Some(Box::new(Filing::new("offlineimap", "-o", config)?))
}

/// It keeps its copy in another IMAP server.
struct Interimap {
    program: PathBuf,
    local: Dovecot,
    user: String,
    folder: TempDir,
}

pub fn interimap(upstream: Upstream<'_>) -> Option<Box<dyn Program + '_>> {
    let program = peers::find("interimap")?;
    let local = Dovecot::start(&dovecot::Options { fsync: "optimized", ..dovecot::Options::default() })?;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Upstream { address, user, .. } = upstream;
    let mut config = format!("database = {}/database\n", folder.path().display());
    for (side, address) in [("local", local.imap), ("remote", address)] {
        config += &format!(
            "[{side}]\ntype = imap\nhost = {}\nport = {}\nSTARTTLS = NO\nauth = LOGIN\nusername = {user}\npassword = {}\n",
            address.ip(),
            address.port(),
            dovecot::PASSWORD,
        );
    }
    fs::write(folder.path().join("config"), config).expect("a writable folder");
    Some(Box::new(Interimap { program, local, user: user.to_owned(), folder }))
}

impl Program for Interimap {
    fn name(&self) -> &'static str {
        "interimap"
    }

    fn pass(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--quiet").arg("--config").arg(self.folder.path().join("config"));
        command.env("HOME", self.folder.path()).env("XDG_DATA_HOME", self.folder.path());
        command
    }

    fn held(&mut self) -> Held {
        mail::held(&mut self.local.login(&self.user))
    }

    fn act(&mut self, changes: &[Change]) {
        mail::act(&mut self.local.login(&self.user), changes);
    }

    fn server_time(&self) -> Duration {
        self.local.processor_time()
    }
}
