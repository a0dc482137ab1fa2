//! A running server: the store and its listeners.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mail_auth::MessageAuthenticator;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::delivery::{Delivery, DeliveryBackend};
use super::dkim::{DkimError, Signer};
use super::faults::Quirky;
use super::home::Home;
use super::lanes::Lanes;
use super::options::Settings;
use super::policy::Sent;
use super::post::Seen;
use super::queue::{self, QueueControl};
use super::relay::{MailExchangers, Queues, RelaySender};
use super::route::Dns;
use super::senders::{DnsChecker, Senders};
use super::sts::{Policies, Trust};
use super::users::{Users, UsersError};
use super::{residents, retention};
use crate::agent::indexing::index_at_rest;
use crate::config::TlsIdentity;
use crate::config::server::RelayTls;
use crate::control;
use crate::imap::server::Session as ImapSession;
use crate::imap::server::config::SessionConfig;
use crate::net::chance::nonce;
use crate::net::listener::{self, Accepted, Admission, ListenError, MakeSession, Security, Service, serve};
use crate::net::tls::{Identity, TlsError};
use crate::net::{Chance, Clock, Shutdown};
use crate::pop3::server as pop3;
use crate::serve::failures::Failures;
use crate::serve::imap::MailBackend;
use crate::serve::neighbours::Neighbours;
use crate::serve::pop3::{Expiries, MaildropBackend, Maildrops};
use crate::serve::sessions::Sessions;
use crate::serve::submission::Sequence;
use crate::smtp::server as smtp;
use crate::store::{Executor, Options as StoreOptions, Origin, Store};
use crate::types::limits;
use crate::upstream::smtp::Kept;
use crate::upstream::{ClientTls, TrustError};

/// Bytes of expunged messages are removed this often: they share one look over all contents.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// A server that takes connections until it is stopped.
pub struct Server {
    ready: Ready,
    parts: Arc<Parts>,
    shutdown: Shutdown,
    listeners: JoinSet<()>,
}

/// What a server says of itself once it is ready: one JSON object.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Ready {
    pub domain: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imap: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imaps: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pop3s: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smtp: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lmtp: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submissions: Option<SocketAddr>,
    /// What clients trust to trust the certificate, where it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Users(#[from] UsersError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot read tls-ca {}: {cause}", path.display())]
    ReadTrust { path: PathBuf, cause: io::Error },
    #[error("tls-ca {}: {cause}", path.display())]
    Trust { path: PathBuf, cause: TrustError },
    #[error(transparent)]
    Dkim(#[from] DkimError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot open the control socket {}: {cause}", path.display())]
    Control { path: PathBuf, cause: io::Error },
    #[error("no random numbers: {0}")]
    Chance(getrandom::Error),
}

/// What every session is made from.
struct Parts {
    store: Store,
    users: Arc<Users>,
    delivery: Arc<Delivery>,
    neighbours: Neighbours,
    maildrops: Maildrops,
    expiries: Arc<Expiries>,
    sessions: Sessions,
    failures: Failures,
    dns: Dns,
    trust: Trust,
    signer: Option<Arc<Signer>>,
    settings: Settings,
    clock: Clock,
}

/// A protocol on a port, in its role.
#[derive(Clone, Copy)]
enum Face {
    Imap,
    Pop3,
    Smtp(smtp::Role),
}

impl Server {
    /// Opens the store, binds every address, and begins to serve.
    pub async fn start(settings: Settings, clock: Clock) -> Result<Self, StartError> {
        let now = clock.now();
        let store_options =
            StoreOptions { executor: Executor::Thread, program: "refserver".to_owned(), max_bytes: None };
        let store = Store::open(&settings.data, &store_options, now)?;
        let users = Arc::new(residents::open_users(&settings, &store, &clock)?);
        let neighbours = residents::open_shared(&settings, &store, &clock)?;
        let accounts: Vec<_> = users.accounts().map(|(name, account)| (name.to_owned(), account)).collect();
        if let Some(name) = retention::unknown_user(&settings.retention, &users) {
            return Err(UsersError::Name(name.to_owned()).into());
        }
        let identity = match &settings.tls {
            TlsIdentity::Own => Identity::in_folder(&settings.data, &names(&settings.domain))?,
            TlsIdentity::Files { certificate, key } => {
                Identity { certificate: certificate.clone(), key: key.clone(), authority: None }
            }
        };
        let acceptor = identity.acceptor()?;
        let dns = settings.dns.map_or_else(Dns::of_the_system, Dns::at);
        let trust = match &settings.tls_ca {
            Some(path) => trust(path)?,
            None => Trust::default(),
        };
        let signer = settings.dkim.as_ref().map(|dkim| Signer::open(dkim, &settings.domain, &settings.data));
        let signer = signer.transpose()?.map(Arc::new);
        if let Some(signer) = &signer {
            tracing::info!("others check our signatures by this DNS record: {}", signer.record());
        }
        let delivery = Delivery {
            store: store.clone(),
            users: Arc::clone(&users),
            hostname: settings.domain.clone(),
            seen: Seen::default(),
            sequence: Sequence::default(),
            policy: settings.policy.clone(),
            sent: Sent::default(),
            senders: senders(&settings, &dns),
        };
        let parts = Arc::new(Parts {
            store,
            users,
            delivery: Arc::new(delivery),
            neighbours,
            maildrops: Maildrops::default(),
            expiries: Arc::new(retention::expiries(&accounts, &settings.retention)),
            sessions: Sessions::default(),
            failures: Failures::default(),
            dns,
            trust,
            signer,
            settings,
            clock,
        });
        let shutdown = Shutdown::new();
        let mut ready = Ready { domain: parts.settings.domain.clone(), ca: identity.authority, ..Ready::default() };
        let mut listeners = parts.listen(&acceptor, &shutdown, &mut ready).await?;
        let relay = parts.queues().start(shutdown.clone());
        listeners.spawn(async { relay.await.unwrap_or_else(|error| tracing::error!(%error, "the relay failed")) });
        let socket = queue::socket(&parts.settings.data);
        let failed = |cause| StartError::Control { path: socket.clone(), cause };
        let control = control::server::bind(&socket).await.map_err(failed)?;
        let handler = Arc::new(QueueControl::new(parts.store.clone(), Arc::clone(&parts.users), parts.clock.clone()));
        let stopped = shutdown.clone();
        listeners.spawn(async move { control::serve(control, handler, stopped.requested()).await });
        listeners.spawn(sweep_now_and_then(parts.store.clone(), parts.clock.clone(), shutdown.clone()));
        let (rules, store) = (parts.settings.retention.clone(), parts.store.clone());
        let (clock, stopped) = (parts.clock.clone(), shutdown.clone());
        listeners.spawn(retention::follow_now_and_then(store, accounts, neighbours, rules, clock, stopped));
        listeners.spawn(index_at_rest(parts.store.clone(), shutdown.clone()));
        tracing::info!(domain = ready.domain, data = %parts.settings.data.display(), "serving");
        Ok(Self { ready, parts, shutdown, listeners })
    }

    /// Where it listens.
    pub const fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Says goodbye to every session and stops. What was acknowledged is durable already.
    pub async fn stop(mut self) {
        self.shutdown.request();
        while self.listeners.join_next().await.is_some() {}
        let Parts { delivery, store, clock, .. } = &*self.parts;
        if let Err(error) = delivery.seen.forget(store, clock.now()) {
            tracing::warn!(%error, "the last messages stay noted: sent again, they count as repetitions");
        }
        tracing::info!("stopped");
    }
}

impl Parts {
    async fn listen(
        self: &Arc<Self>,
        acceptor: &TlsAcceptor,
        shutdown: &Shutdown,
        ready: &mut Ready,
    ) -> Result<JoinSet<()>, StartError> {
        let listen = self.settings.listen;
        let submission = Face::Smtp(smtp::Role::Submission { anonymous: false });
        let (plain, implicit) = (Security::Upgradable(acceptor.clone()), Security::Implicit(acceptor.clone()));
        let ports = [
            ("imap", Face::Imap, &plain, listen.imap, &mut ready.imap),
            ("imaps", Face::Imap, &implicit, listen.imaps, &mut ready.imaps),
            ("pop3", Face::Pop3, &plain, listen.pop3, &mut ready.pop3),
            ("pop3s", Face::Pop3, &implicit, listen.pop3s, &mut ready.pop3s),
            ("smtp", Face::Smtp(smtp::Role::Mx), &plain, listen.smtp, &mut ready.smtp),
            ("lmtp", Face::Smtp(smtp::Role::Lmtp), &plain, listen.lmtp, &mut ready.lmtp),
            ("submission", submission, &plain, listen.submission, &mut ready.submission),
            ("submissions", submission, &implicit, listen.submissions, &mut ready.submissions),
        ];
        let admission = Admission::new();
        let mut listeners = JoinSet::new();
        for (name, face, security, address, bound) in ports {
            let Some(address) = address else { continue };
            let (listener, at) =
                listener::listen(address, &format!("with --{name}, or at `{name}` in its configuration")).await?;
            *bound = Some(at);
            let service = Service { name, security: security.clone(), make: self.sessions(face), busy: face.busy() };
            listeners.spawn(serve(listener, service, admission.clone(), self.clock.clone(), shutdown.clone()));
        }
        Ok(listeners)
    }

    fn queues(&self) -> Queues<RelaySender<Dns, MailExchangers>> {
        let hostname = self.settings.domain.clone();
        let hosts = MailExchangers {
            dial: self.dns.clone(),
            tls: ClientTls::unauthenticated(),
            require_tls: self.settings.relay_tls == RelayTls::Required,
            kept: Kept::default(),
            trust: self.trust.clone(),
            proved: Kept::default(),
        };
        let file = self.settings.data.join("mta-sts.json");
        let policies =
            || Policies::open(self.dns.clone(), self.trust.clone(), self.settings.https_port, self.clock.clone(), file);
        Queues {
            store: self.store.clone(),
            accounts: self.users.accounts().map(|(_, account)| account).collect(),
            sender: RelaySender {
                routes: self.settings.routes.clone(),
                dns: self.dns.clone(),
                hostname: hostname.clone(),
                hosts,
                mx_port: self.settings.mx_port,
                chance: Chance::system(),
                signer: self.signer.clone(),
                lanes: Lanes::default(),
                policies: self.settings.mta_sts.then(policies),
                home: Some(Home { delivery: Arc::clone(&self.delivery), clock: self.clock.clone() }),
            },
            hostname,
            clock: self.clock.clone(),
        }
    }

    fn sessions(self: &Arc<Self>, face: Face) -> MakeSession {
        let parts = Arc::clone(self);
        match face {
            Face::Imap if parts.settings.faults.is_empty() => Arc::new(move |accepted| Box::new(parts.imap(&accepted))),
            Face::Imap => {
                Arc::new(move |accepted| Box::new(Quirky::new(parts.imap(&accepted), &parts.settings.faults)))
            }
            Face::Pop3 => Arc::new(move |accepted| Box::new(parts.pop3(&accepted))),
            Face::Smtp(role) => Arc::new(move |accepted| Box::new(parts.smtp(accepted, role))),
        }
    }

    fn imap(&self, accepted: &Accepted) -> ImapSession<MailBackend> {
        let users: Arc<dyn crate::serve::Users> = Arc::clone(&self.users) as _;
        let clock = self.clock.clone();
        let backend = MailBackend::new(
            self.store.clone(),
            Origin::Authority,
            users,
            Arc::new(move || clock.now()),
            accepted.wake.callback(),
        );
        let mut backend = backend
            .among(self.sessions.clone())
            .with_labels(self.settings.faults.all_mail())
            .with_neighbours(self.neighbours);
        // Behind an address of this machine are all of its users.
        if !accepted.peer.ip().is_loopback() {
            backend = backend.from(accepted.peer.ip(), self.failures.clone());
        }
        let config = SessionConfig {
            scram_nonce: nonce(),
            binding: accepted.tls.as_ref().and_then(|tls| tls.binding.clone()),
            name: self.settings.faults.server_name().unwrap_or("Mailtide refserver").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            plaintext_login: is_private(accepted),
            tokens: true,
            starttls: accepted.can_upgrade,
            capabilities: self.settings.faults.capabilities(self.settings.capabilities),
        };
        ImapSession::new(config, backend, self.clock.now())
    }

    fn pop3(&self, accepted: &Accepted) -> pop3::Session<MaildropBackend> {
        let users: Arc<dyn crate::serve::Users> = Arc::clone(&self.users) as _;
        let backend = MaildropBackend::new(self.store.clone(), Origin::Authority, users, self.maildrops.clone());
        let tls = match (&accepted.tls, accepted.can_upgrade) {
            (Some(_), _) => pop3::Tls::Active,
            (None, true) => pop3::Tls::Offered,
            (None, false) => pop3::Tls::Absent,
        };
        let hostname = self.settings.domain.clone();
        let login_delay_seconds = self.settings.pop3_login_delay_seconds;
        let backend = backend.with_login_delay(login_delay_seconds).expiring(Arc::clone(&self.expiries));
        let (plaintext_auth, tarpit_ms) = (is_private(accepted), self.tarpit_ms(accepted));
        pop3::Session::new(
            backend,
            pop3::Config {
                hostname,
                tls,
                plaintext_auth,
                scram_nonce: nonce(),
                binding: accepted.tls.as_ref().and_then(|tls| tls.binding.clone()),
                login_delay_seconds,
                tarpit_ms,
            },
        )
    }

    /// How long who makes mistakes waits.
    fn tarpit_ms(&self, accepted: &Accepted) -> i64 {
        match self.settings.tarpit_seconds {
            Some(seconds) => i64::from(seconds) * 1000,
            None if accepted.is_loopback() => 0,
            None => limits::TARPIT_MS,
        }
    }

    fn smtp(&self, accepted: Accepted, role: smtp::Role) -> smtp::Session<DeliveryBackend> {
        let (plaintext_auth, tarpit_ms) = (is_private(&accepted), self.tarpit_ms(&accepted));
        let tls = match (accepted.tls, accepted.can_upgrade) {
            (Some(facts), _) => smtp::Tls::Active(facts),
            (None, true) => smtp::Tls::Offered,
            (None, false) => smtp::Tls::Absent,
        };
        let config = smtp::Config {
            hostname: self.settings.domain.clone(),
            peer: accepted.peer.ip().to_string(),
            role,
            tls,
            plaintext_auth,
            scram_nonce: nonce(),
            message_max_bytes: match self.delivery.senders.as_ref() {
                Some(senders) if role == smtp::Role::Mx && senders.are_checked_from(accepted.peer.ip()) => {
                    limits::CHECKED_MESSAGE_MAX_BYTES
                }
                _ => limits::MESSAGE_MAX_BYTES,
            },
            hold_max_seconds: match role {
                smtp::Role::Submission { .. } => limits::HOLD_MAX_SECONDS,
                smtp::Role::Mx | smtp::Role::Lmtp => 0,
            },
            tarpit_ms: if role == smtp::Role::Lmtp { 0 } else { tarpit_ms },
            // Who has to wait is who comes from elsewhere: our own users and servers are known.
            greet_delay_ms: match role {
                smtp::Role::Mx => i64::from(self.settings.greet_delay_seconds) * 1000,
                smtp::Role::Lmtp | smtp::Role::Submission { .. } => 0,
            },
        };
        let backend = DeliveryBackend::new(Arc::clone(&self.delivery), role).reached_at(accepted.local.ip());
        smtp::Session::new(backend, config)
    }
}

/// Gives back the space of messages that were expunged.
async fn sweep_now_and_then(store: Store, clock: Clock, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(SWEEP_INTERVAL) => {}
        }
        let (store, now) = (store.clone(), clock.now());
        match tokio::task::spawn_blocking(move || store.sweep(now, now)).await {
            Ok(Ok(swept)) => tracing::debug!(?swept, "swept"),
            Ok(Err(error)) => tracing::warn!("cannot sweep: {error}"),
            Err(error) => tracing::error!("the sweep failed: {error}"),
        }
    }
}

impl Face {
    /// What who is not admitted is told.
    const fn busy(self) -> &'static [u8] {
        match self {
            Self::Imap => b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n",
            Self::Pop3 => b"-ERR [SYS/TEMP] Too many connections, try again later\r\n",
            Self::Smtp(_) => b"421 4.7.0 Too many connections, try again later\r\n",
        }
    }
}

/// May a password travel in the clear? Under TLS it does not, and on loopback nobody listens in between.
fn is_private(accepted: &Accepted) -> bool {
    accepted.tls.is_some() || accepted.is_loopback()
}

/// Senders are looked at by the same DNS that mail is sent by. Without any there is nobody to ask.
fn senders(settings: &Settings, dns: &Dns) -> Option<Senders> {
    let checker = DnsChecker {
        authenticator: MessageAuthenticator(dns.resolver()?.clone()),
        hostname: settings.domain.clone(),
        runtime: tokio::runtime::Handle::current(),
    };
    Some(Senders::new(settings.check_senders, Arc::new(checker)))
}

fn trust(path: &Path) -> Result<Trust, StartError> {
    let pem = std::fs::read(path).map_err(|cause| StartError::ReadTrust { path: path.to_owned(), cause })?;
    Trust::with(&pem).map_err(|cause| StartError::Trust { path: path.to_owned(), cause })
}

fn names(domain: &str) -> Vec<String> {
    let mut names = vec![domain.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.dedup();
    names
}
