//! One end of the demonstration: a real server, the line to it, the agent of one of its users, and ways to talk to each.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use tokio::runtime::Handle;

use super::line::Line;
use super::wire::Imap;
use crate::agent::daemon::Daemon;
use crate::agent::{Paths, password};
use crate::config::server::Listeners;
use crate::config::{Config, TlsIdentity};
use crate::control::outgoing::Submission;
use crate::control::report::{ClientConfig, Status};
use crate::control::{Client, Request};
use crate::imap::server::config::Capabilities;
use crate::net::Clock;
use crate::net::tls::write_private;
use crate::refserver::faults::Faults;
use crate::refserver::options::Settings;
use crate::refserver::server::{Ready, Server};
use crate::sasl::Credentials;
use crate::types::Secret;

/// What an end is made from.
pub struct Site {
    pub domain: &'static str,
    /// The first of them has an agent.
    pub users: &'static [&'static str],
    /// Where the server takes mail from other servers, and where those take theirs.
    pub smtp: SocketAddr,
    pub mx_port: u16,
    /// The zone that names them.
    pub dns: SocketAddr,
}

/// Everything that runs there. Its calls block: they are made off the runtime.
pub struct Shore {
    site: Site,
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

impl Shore {
    /// Starts the server in `folder`, and the line.
    pub async fn start(folder: PathBuf, site: Site) -> io::Result<Self> {
        let free = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        let server_password = password::make()?;
        let settings = Settings {
            faults: Faults::default(),
            data: folder.join("server"),
            domain: site.domain.to_owned(),
            listen: Listeners {
                imap: free,
                imaps: free,
                smtp: Some(site.smtp),
                submissions: free,
                ..Listeners::default()
            },
            tls: TlsIdentity::Own,
            tokens: Vec::new(),
            may_send_as: Vec::new(),
            users: site.users.iter().map(|user| ((*user).to_owned(), server_password.clone())).collect(),
            routes: std::collections::BTreeMap::new(),
            capabilities: Capabilities::all(),
            pop3_login_delay_seconds: 0,
            dns: Some(site.dns),
            mx_port: site.mx_port,
            relay_tls: crate::config::server::RelayTls::Opportunistic,
            mta_sts: true,
            https_port: crate::refserver::sts::HTTPS_PORT,
            tls_ca: None,
            quotas: Vec::new(),
            aliases: std::collections::BTreeMap::new(),
            catch_all: None,
            policy: crate::refserver::policy::Policy::default(),
            tarpit_seconds: None,
            check_senders: None,
            dkim: None,
            shared: Vec::new(),
            retention: Vec::new(),
            greet_delay_seconds: 0,
        };
        let server = Server::start(settings, Clock::system()).await.map_err(io::Error::other)?;
        let imap_line = Line::start(bound(server.ready().imaps)?).await?;
        let submission_line = Line::start(bound(server.ready().submissions)?).await?;
        Ok(Self {
            site,
            folder,
            runtime: Handle::current(),
            server,
            server_password,
            imap_line,
            submission_line,
            agent: Mutex::new(None),
        })
    }

    /// Who has the agent.
    fn user(&self) -> &'static str {
        self.site.users[0]
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
        Imap::login(address(&faces.imap)?, self.user(), &faces.password)
    }

    /// Where the agent takes mail to be sent.
    pub fn local_smtp(&self) -> io::Result<SocketAddr> {
        address(&self.faces()?.smtp)
    }

    /// What mail clients log in with.
    pub fn local_credentials(&self) -> io::Result<Credentials> {
        let password = Secret::new(self.faces()?.password);
        Ok(Credentials { user: self.user().to_owned(), authorize_as: None, password })
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
        self.ask(&Request::OutboxList { account: None, waiting: false, after: None })
    }

    /// Has the agent sync now, and waits for it.
    pub fn sync(&self) -> io::Result<()> {
        self.ask::<serde_json::Value>(&Request::Sync { account: None, wait: true }).map(drop)
    }

    /// What a person enters in a mail client: for the agent, and for the server itself.
    pub fn told(&self) -> io::Result<Vec<String>> {
        let (faces, server, user) = (self.faces()?, self.server.ready(), self.user());
        let users = self.site.users.join(" or ");
        Ok(vec![
            format!("agent:  IMAP {}  SMTP {}  user {user}  password {}", faces.imap, faces.smtp, faces.password),
            format!("server: IMAP {}  user {users}  password {}", bound(server.imap)?, self.server_password.expose()),
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
        let (user, domain) = (self.user(), self.site.domain);
        let authority = ca.as_ref().map_or(String::new(), |ca| format!("tls-ca = {:?}\n", ca.display().to_string()));
        format!(
            "[local]\nimap = \"127.0.0.1:0\"\nsmtp = \"127.0.0.1:0\"\n\n[[account]]\nname = \"{user}\"\n\
             address = \"{user}@{domain}\"\nuser = \"{user}\"\npassword = \"{}\"\n\
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
