//! The stage: a folder of its own, a real server, the line, the agent, and ways to talk to each.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tokio::runtime::Handle;

use super::line::Line;
use super::wire::Imap;
use crate::agent::daemon::Daemon;
use crate::agent::{Paths, password};
use crate::config::server::Listeners;
use crate::config::{Config, TlsIdentity};
use crate::control::report::{ClientConfig, Status, Submission};
use crate::control::{Client, Request};
use crate::imap::server::config::Capabilities;
use crate::net::Clock;
use crate::net::tls::write_private;
use crate::refserver::faults::Faults;
use crate::refserver::options::Settings;
use crate::refserver::server::{Ready, Server};
use crate::sasl::Credentials;
use crate::types::Secret;

/// The user whose mail is mirrored.
pub const ANN: &str = "ann";
/// The other user.
pub const BEN: &str = "ben";
/// The domain of both.
const DOMAIN: &str = "tide.example";

/// Everything that runs. Its calls block: they are made off the runtime.
pub struct World {
    folder: PathBuf,
    runtime: Handle,
    server: Server,
    server_password: Secret,
    imap_line: Line,
    submission_line: Line,
    agent: Mutex<Option<Agent>>,
}

struct Agent {
    daemon: Daemon,
    faces: ClientConfig,
}

impl World {
    /// Starts the server in `folder`, and the line.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        let free = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server_password = password::make()?;
        let settings = Settings {
            faults: Faults::default(),
            data: folder.join("server"),
            domain: DOMAIN.to_owned(),
            listen: Listeners { imap: free, imaps: free, smtp: free, submissions: free, ..Listeners::default() },
            tls: TlsIdentity::Own,
            tokens: Vec::new(),
            users: [ANN, BEN].map(|user| (user.to_owned(), server_password.clone())).to_vec(),
            routes: std::collections::BTreeMap::new(),
            capabilities: Capabilities::all(),
            pop3_login_delay_seconds: 0,
            dns: None,
            mx_port: crate::refserver::route::SMTP_PORT,
            relay_tls: crate::config::server::RelayTls::Opportunistic,
            quotas: Vec::new(),
            aliases: std::collections::BTreeMap::new(),
            catch_all: None,
            policy: crate::refserver::policy::Policy::default(),
            tarpit_seconds: None,
            check_senders: None,
            dkim: None,
            greet_delay_seconds: 0,
        };
        let server = Server::start(settings, Clock::system()).await.map_err(io::Error::other)?;
        let imap_line = Line::start(bound(server.ready().imaps)?).await?;
        let submission_line = Line::start(bound(server.ready().submissions)?).await?;
        Ok(Self {
            folder: folder.to_owned(),
            runtime: Handle::current(),
            server,
            server_password,
            imap_line,
            submission_line,
            agent: Mutex::new(None),
        })
    }

    /// Starts the agent on the line.
    pub fn start_agent(&self) -> io::Result<()> {
        let folder = self.folder.join("agent");
        std::fs::create_dir_all(&folder)?;
        let (file, text) = (folder.join("config.toml"), self.config());
        write_private(&file, text.as_bytes())?;
        let config = Config::parse(&text, &file).map_err(io::Error::other)?;
        let paths = Paths::within(file, folder.join("data"));
        let socket = paths.data_socket();
        let agent = self.runtime.block_on(async {
            let daemon = Daemon::start(paths, config).await.map_err(io::Error::other)?;
            let mut client = Client::connect(&socket).await.map_err(io::Error::other)?;
            let faces = client.call(&Request::ClientConfig).await.map_err(io::Error::other)?;
            Ok::<_, io::Error>(Agent { daemon, faces })
        })?;
        *self.agent.lock().map_err(poisoned)? = Some(agent);
        Ok(())
    }

    /// Nothing gets through between agent and server.
    pub fn cut(&self) {
        self.imap_line.cut();
        self.submission_line.cut();
    }

    /// Everything gets through again.
    pub fn join(&self) {
        self.imap_line.join();
        self.submission_line.join();
    }

    /// A client of the server itself.
    pub fn on_server(&self, user: &str) -> io::Result<Imap> {
        Imap::login(bound(self.server.ready().imap)?, user, self.server_password.expose())
    }

    /// A client of the agent.
    pub fn locally(&self) -> io::Result<Imap> {
        let faces = self.faces()?;
        Imap::login(address(&faces.imap)?, ANN, &faces.password)
    }

    /// Where the agent takes mail to be sent.
    pub fn local_smtp(&self) -> io::Result<SocketAddr> {
        address(&self.faces()?.smtp)
    }

    /// What mail clients log in with.
    pub fn local_credentials(&self) -> io::Result<Credentials> {
        let password = Secret::new(self.faces()?.password);
        Ok(Credentials { user: ANN.to_owned(), authorize_as: None, password })
    }

    /// Where the server takes mail from other servers.
    pub fn server_mx(&self) -> io::Result<SocketAddr> {
        bound(self.server.ready().smtp)
    }

    /// What the agent says of itself.
    pub fn status(&self) -> io::Result<Status> {
        self.ask(&Request::Status)
    }

    /// The agent's outgoing mail.
    pub fn outbox(&self) -> io::Result<Vec<Submission>> {
        self.ask(&Request::OutboxList { account: None })
    }

    /// Has the agent sync now, and waits for it.
    pub fn sync(&self) -> io::Result<()> {
        self.ask::<serde_json::Value>(&Request::Sync { account: None, wait: true }).map(drop)
    }

    /// What a person enters in a mail client: for the agent, and for the server itself.
    pub fn told(&self) -> io::Result<Vec<String>> {
        let faces = self.faces()?;
        let server = self.server.ready();
        Ok(vec![
            format!("agent:  IMAP {}  SMTP {}  user {ANN}  password {}", faces.imap, faces.smtp, faces.password),
            format!(
                "server: IMAP {}  user {ANN} or {BEN}  password {}",
                bound(server.imap)?,
                self.server_password.expose()
            ),
            format!("syncctl --data {} status", self.folder.join("agent").join("data").display()),
        ])
    }

    /// Stops agent and server.
    pub async fn stop(self) {
        let agent = self.agent.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(agent) = agent {
            agent.daemon.stop().await;
        }
        self.server.stop().await;
    }

    fn config(&self) -> String {
        let Ready { ca, .. } = self.server.ready();
        let authority = ca.as_ref().map_or(String::new(), |ca| format!("tls-ca = {:?}\n", ca.display().to_string()));
        format!(
            "[local]\nimap = \"127.0.0.1:0\"\nsmtp = \"127.0.0.1:0\"\n\n[[account]]\nname = \"{ANN}\"\n\
             address = \"{ANN}@{DOMAIN}\"\nuser = \"{ANN}\"\npassword = \"{}\"\n\
             imap = {{ host = \"127.0.0.1\", port = {}, tls = \"implicit\" }}\n\
             smtp = {{ host = \"127.0.0.1\", port = {}, tls = \"implicit\" }}\n{authority}",
            self.server_password.expose(),
            self.imap_line.address().port(),
            self.submission_line.address().port(),
        )
    }

    fn faces(&self) -> io::Result<ClientConfig> {
        let agent = self.agent.lock().map_err(poisoned)?;
        agent.as_ref().map(|agent| agent.faces.clone()).ok_or_else(|| io::Error::other("the agent is not running"))
    }

    fn ask<T: serde::de::DeserializeOwned>(&self, request: &Request) -> io::Result<T> {
        let socket = self.folder.join("agent").join("data").join("control.sock");
        self.runtime.block_on(async {
            let mut client = Client::connect(&socket).await.map_err(io::Error::other)?;
            client.call(request).await.map_err(io::Error::other)
        })
    }
}

fn bound(address: Option<SocketAddr>) -> io::Result<SocketAddr> {
    address.ok_or_else(|| io::Error::other("the server does not listen where it should"))
}

fn address(text: &str) -> io::Result<SocketAddr> {
    text.parse().map_err(io::Error::other)
}

fn poisoned<T>(_: T) -> io::Error {
    io::Error::other("the demonstration failed before")
}
