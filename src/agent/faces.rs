//! The local face: the servers that mail clients on this machine connect to.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::supply::Wishes;
use super::users::{LocalUsers, SendingUsers};
use crate::config::{Local, TlsIdentity};
use crate::imap::server as imap;
use crate::net::chance::nonce;
use crate::net::listener::{Accepted, Admission, ListenError, MakeSession, Security, Service, listen, serve};
use crate::net::tls::{Identity, TlsError};
use crate::net::{Clock, Shutdown};
use crate::pop3::server as pop3;
use crate::serve::imap::MailBackend;
use crate::serve::pop3::{MaildropBackend, Maildrops};
use crate::serve::sessions::Sessions;
use crate::serve::submission::{Sequence, SubmissionBackend};
use crate::smtp::server as smtp;
use crate::store::{Origin, Store};
use crate::types::limits;

/// What clients of this machine call it.
const HOSTNAME: &str = "localhost";

/// What sessions are made from.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub users: Arc<LocalUsers>,
    pub clock: Clock,
    pub maildrops: Maildrops,
    pub sessions: Sessions,
    pub sequence: Sequence,
    pub wishes: Wishes,
}

/// The running local servers.
pub struct Faces {
    pub imap: SocketAddr,
    pub smtp: SocketAddr,
    pub pop3: Option<SocketAddr>,
    /// Under TLS from the start.
    pub imaps: Option<SocketAddr>,
    pub smtps: Option<SocketAddr>,
    pub pop3s: Option<SocketAddr>,
    /// Where `tls` is set.
    pub identity: Option<Identity>,
    stop: Shutdown,
    listeners: JoinSet<()>,
}

/// Why the local servers cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum FacesError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Faces {
    /// Opens every listener, or none.
    pub async fn open(local: &Local, parts: &Parts, data: &Path) -> Result<Self, FacesError> {
        let identity = local.tls.as_ref().map(|tls| identity(tls, local, data)).transpose()?;
        let acceptor = identity.as_ref().map(Identity::acceptor).transpose()?;
        // Opened before any is served: all of them, or none.
        let mut opened = Vec::new();
        let imap = open(&mut opened, Face::Imap, "imap", local.imap).await?;
        let smtp = open(&mut opened, Face::Smtp, "smtp", local.smtp).await?;
        let mut bound = [None; 4];
        let optional = [
            (Face::Pop3, "pop3", local.pop3),
            (Face::Imap, "imaps", local.imaps),
            (Face::Smtp, "smtps", local.smtps),
            (Face::Pop3, "pop3s", local.pop3s),
        ];
        for ((face, name, address), bound) in optional.into_iter().zip(&mut bound) {
            if let Some(address) = address {
                *bound = Some(open(&mut opened, face, name, address).await?);
            }
        }
        let [pop3, imaps, smtps, pop3s] = bound;
        let (stop, mut listeners, admission) = (Shutdown::new(), JoinSet::new(), Admission::new());
        for (listener, face, name) in opened {
            let security = match &acceptor {
                Some(acceptor) if name.ends_with('s') => Security::Implicit(acceptor.clone()),
                Some(acceptor) => Security::Upgradable(acceptor.clone()),
                None => Security::Plain,
            };
            let service = Service { name, security, make: face.make(parts.clone()), busy: face.busy() };
            listeners.spawn(serve(listener, service, admission.clone(), parts.clock.clone(), stop.clone()));
        }
        Ok(Self { imap, smtp, pop3, imaps, smtps, pop3s, identity, stop, listeners })
    }

    /// Says goodbye to every client and closes the listeners.
    pub async fn close(mut self) {
        self.stop.request();
        while self.listeners.join_next().await.is_some() {}
    }
}

fn identity(tls: &TlsIdentity, local: &Local, data: &Path) -> Result<Identity, TlsError> {
    match tls {
        TlsIdentity::Files { certificate, key } => {
            Ok(Identity { certificate: certificate.clone(), key: key.clone(), authority: None })
        }
        TlsIdentity::Own => {
            let mut names = vec![HOSTNAME.to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
            let optional = [local.pop3, local.imaps, local.smtps, local.pop3s].into_iter().flatten();
            names.extend([local.imap, local.smtp].into_iter().chain(optional).map(|address| address.ip().to_string()));
            names.sort();
            names.dedup();
            Identity::in_folder(data, &names)
        }
    }
}

/// A protocol that is served.
#[derive(Clone, Copy)]
enum Face {
    Imap,
    Smtp,
    Pop3,
}

impl Face {
    fn make(self, parts: Parts) -> MakeSession {
        match self {
            Self::Imap => make_imap(parts),
            Self::Smtp => make_smtp(parts),
            Self::Pop3 => make_pop3(parts),
        }
    }

    /// What who is not admitted is told.
    const fn busy(self) -> &'static [u8] {
        match self {
            Self::Imap => b"* BYE [UNAVAILABLE] Too many connections\r\n",
            Self::Smtp => b"421 4.3.2 Too many connections\r\n",
            Self::Pop3 => b"-ERR [SYS/TEMP] Too many connections\r\n",
        }
    }
}

/// A listener, its protocol, and the key that it has in the configuration.
type Opened = (TcpListener, Face, &'static str);

async fn open(
    opened: &mut Vec<Opened>,
    face: Face,
    name: &'static str,
    address: SocketAddr,
) -> Result<SocketAddr, ListenError> {
    let (listener, bound) = listen(address, &format!("at `{name}` in [local] of the configuration")).await?;
    opened.push((listener, face, name));
    Ok(bound)
}

fn make_imap(parts: Parts) -> MakeSession {
    Arc::new(move |accepted: Accepted| {
        let clock = parts.clock.clone();
        let now = clock.now();
        let backend = MailBackend::new(
            parts.store.clone(),
            Origin::LocalUser,
            parts.users.clone(),
            Arc::new(move || clock.now()),
            accepted.wake.callback(),
        );
        let backend = backend.among(parts.sessions.clone()).fetching(Arc::new(parts.wishes.clone()));
        let config = imap::SessionConfig {
            scram_nonce: nonce(),
            binding: accepted.tls.as_ref().and_then(|tls| tls.binding.clone()),
            name: "Mailtide".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            plaintext_login: accepted.tls.is_some() || accepted.is_loopback(),
            tokens: true,
            starttls: accepted.can_upgrade,
            capabilities: imap::Capabilities::all(),
        };
        Box::new(imap::Session::new(config, backend, now))
    })
}

fn make_smtp(parts: Parts) -> MakeSession {
    Arc::new(move |accepted: Accepted| {
        let backend = SubmissionBackend::new(
            parts.store.clone(),
            Arc::new(SendingUsers(parts.users.clone())),
            Arc::new(SendingUsers(parts.users.clone())),
            parts.sequence.clone(),
        );
        let config = smtp::Config {
            hostname: HOSTNAME.to_owned(),
            peer: accepted.peer.ip().to_canonical().to_string(),
            // Other users of this machine reach loopback as well: who sends must log in.
            role: smtp::Role::Submission { anonymous: false },
            plaintext_auth: accepted.is_loopback(),
            tls: match (&accepted.tls, accepted.can_upgrade) {
                (Some(facts), _) => smtp::Tls::Active(facts.clone()),
                (None, true) => smtp::Tls::Offered,
                (None, false) => smtp::Tls::Absent,
            },
            scram_nonce: nonce(),
            message_max_bytes: limits::MESSAGE_MAX_BYTES,
            hold_max_seconds: limits::HOLD_MAX_SECONDS,
            greet_delay_ms: 0,
            tarpit_ms: if accepted.is_loopback() { 0 } else { limits::TARPIT_MS },
        };
        Box::new(smtp::Session::new(backend, config))
    })
}

fn make_pop3(parts: Parts) -> MakeSession {
    Arc::new(move |accepted: Accepted| {
        let backend =
            MaildropBackend::new(parts.store.clone(), Origin::LocalUser, parts.users.clone(), parts.maildrops.clone());
        let backend = backend.fetching(Arc::new(parts.wishes.clone()), accepted.wake.callback());
        let config = pop3::Config {
            hostname: HOSTNAME.to_owned(),
            tls: match (&accepted.tls, accepted.can_upgrade) {
                (Some(_), _) => pop3::Tls::Active,
                (None, true) => pop3::Tls::Offered,
                (None, false) => pop3::Tls::Absent,
            },
            plaintext_auth: accepted.is_loopback(),
            scram_nonce: nonce(),
            binding: accepted.tls.as_ref().and_then(|tls| tls.binding.clone()),
            login_delay_seconds: 0,
            tarpit_ms: if accepted.is_loopback() { 0 } else { limits::TARPIT_MS },
        };
        Box::new(pop3::Session::new(backend, config))
    })
}
