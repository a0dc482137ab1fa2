//! From the configuration of an account to the values that connect to its servers.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::Exit;
use super::password::{self, PasswordError};
use crate::config::{self, Account, Server, TlsMode};
use crate::net::chance::nonce;
use crate::types::{Keep, Secret, SecretKind};
use crate::upstream::smtp::Login;
use crate::upstream::{
    self, ClientTls, Connector, Dial, Endpoint, Pop3Connector, SmtpSender, Tcp, Timeouts, TrustError,
};

/// What EHLO says: the servers of an account know us by our login, and the machine's name is nobody's business.
const HELLO_NAME: &str = "localhost";

/// The servers of an account, as values.
#[derive(Debug, Clone)]
pub struct Servers<D = Tcp> {
    pub incoming: Incoming<D>,
    pub smtp: Option<SmtpSender<D>>,
}

/// Where an account's mail comes from, as a value that connects.
#[derive(Debug, Clone)]
pub enum Incoming<D = Tcp> {
    Imap(Connector<D>),
    Pop3(Pop3Connector<D>, Keep),
}

/// The servers of an account, made when first needed and kept while logins work, so that a password program is not asked
/// for each connection. Clones share them.
#[derive(Debug, Clone)]
pub struct ServersOf<D = Tcp> {
    account: Account,
    dial: D,
    kept: Arc<Mutex<Option<Servers<D>>>>,
}

impl<D: Dial + Clone> ServersOf<D> {
    /// The account's servers, to be reached by `dial`.
    pub fn new(account: Account, dial: D) -> Self {
        Self { account, dial, kept: Arc::default() }
    }

    /// What they are reached by.
    pub const fn dial(&self) -> &D {
        &self.dial
    }

    /// Is the account's mail taken from a maildrop?
    pub const fn is_maildrop(&self) -> bool {
        super::maildrop::is_maildrop(&self.account)
    }

    /// Does the account have a server to send by?
    pub fn can_send(&self) -> bool {
        !self.account.smtp.is_empty()
    }

    /// The servers; where they must be made and another is making them, that is waited for.
    pub async fn get(&self) -> Result<Servers<D>, ServersError> {
        let mut kept = self.kept.lock().await;
        if let Some(servers) = &*kept {
            return Ok(servers.clone());
        }
        let servers = Servers::of(&self.account, self.dial.clone()).await?;
        *kept = Some(servers.clone()).filter(|_| !self.change());
        Ok(servers)
    }

    /// A token is good for an hour or so: it is asked for whenever somebody is about to log in.
    pub fn change(&self) -> bool {
        self.account.secret == SecretKind::Token
    }

    /// A login was refused: the password may be another now.
    pub async fn forget(&self) {
        *self.kept.lock().await = None;
    }
}

/// Why an account's servers cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ServersError {
    #[error("cannot read tls-ca {}: {cause}", path.display())]
    ReadTrust { path: PathBuf, cause: std::io::Error },
    #[error("tls-ca {}: {cause}", path.display())]
    Trust { path: PathBuf, cause: TrustError },
    #[error(transparent)]
    Password(#[from] PasswordError),
}

impl ServersError {
    /// Is it the configuration that must change (and not the moment)?
    pub const fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::ReadTrust { .. }
                | Self::Trust { .. }
                | Self::Password(
                    PasswordError::Start { .. } | PasswordError::Empty { .. } | PasswordError::NoKeyring(_)
                )
        )
    }

    /// How a program ends that cannot go on.
    pub const fn exit(&self) -> Exit {
        match self {
            Self::Password(PasswordError::Late { .. }) => Exit::TempFail,
            error if error.is_configuration() => Exit::Config,
            _ => Exit::NoPermission,
        }
    }
}

impl<D: Dial + Clone> Servers<D> {
    /// Reads the trust root and gets the password.
    pub async fn of(account: &Account, dial: D) -> Result<Self, ServersError> {
        let tls = client_tls(account)?;
        let password = password::resolve(&account.password, account.secret).await?;
        Ok(Self::with_password(account, dial, &tls, &password))
    }

    fn with_password(account: &Account, dial: D, tls: &ClientTls, password: &Secret) -> Self {
        let login = Login { user: account.user.clone(), password: password.clone(), kind: account.secret, nonce };
        let sender = |(first, more): (&Server, &[Server])| SmtpSender {
            more: more.iter().map(endpoint).collect(),
            ..SmtpSender::new(dial.clone(), endpoint(first), tls.clone(), Some(login.clone()), HELLO_NAME)
        };
        Self {
            smtp: account.smtp.split_first().map(sender),
            incoming: match &account.incoming {
                config::Incoming::Imap(server) => Incoming::Imap(Connector {
                    quirks: account.quirks.clone(),
                    nonce,
                    kind: account.secret,
                    ..Connector::new(
                        dial.clone(),
                        endpoint(server),
                        tls.clone(),
                        account.user.clone(),
                        password.clone(),
                    )
                }),
                config::Incoming::Pop3 { server, keep } => {
                    let connector = Pop3Connector {
                        dial: dial.clone(),
                        endpoint: endpoint(server),
                        tls: tls.clone(),
                        user: account.user.clone(),
                        password: password.clone(),
                        kind: account.secret,
                        timeouts: Timeouts::default(),
                        nonce,
                    };
                    Incoming::Pop3(connector, *keep)
                }
            },
        }
    }
}

/// Where nothing is protected by TLS there is nothing to trust, and no store of roots to be read; a file that is named
/// must be there all the same.
fn client_tls(account: &Account) -> Result<ClientTls, ServersError> {
    let pem = match &account.tls_ca {
        Some(path) => Some(std::fs::read(path).map_err(|cause| ServersError::ReadTrust { path: path.clone(), cause })?),
        None => None,
    };
    let is_protected = |server: &Server| server.tls != TlsMode::None;
    if !is_protected(account.incoming.server()) && !account.smtp.iter().any(is_protected) {
        return Ok(ClientTls::unauthenticated());
    }
    let path = || account.tls_ca.clone().unwrap_or_default();
    ClientTls::new(pem.as_deref()).map_err(|cause| ServersError::Trust { path: path(), cause })
}

/// The configuration was refused where plain text is neither to this machine nor allowed, so `none` is meant.
fn endpoint(server: &Server) -> Endpoint {
    let tls = match server.tls {
        TlsMode::Implicit => upstream::TlsMode::Implicit,
        TlsMode::StartTls => upstream::TlsMode::StartTls,
        TlsMode::None => upstream::TlsMode::None,
    };
    Endpoint { host: server.host.clone(), port: server.port, tls, allow_plaintext: server.tls == TlsMode::None }
}
