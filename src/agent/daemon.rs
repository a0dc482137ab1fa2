//! The running agent: store, local servers, accounts, control socket.
//!
//! What must be right for anything to work (the store, the local servers, a control socket) is opened at the start or the
//! start fails; what depends on the world outside (the accounts' servers) may fail and is tried again.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::account::{Common, Running};
use super::control::Control;
use super::faces::{Faces, FacesError, Parts};
use super::indexing::index_at_rest;
use super::maildrop;
use super::password::{self, PasswordError};
use super::paths::Paths;
use super::reports;
use super::supply::Wishes;
use super::users::{LocalUsers, User};
use crate::config::{self, Config, Local};
use crate::control::{self, Failure};
use crate::net::{Chance, Clock, Shutdown};
use crate::serve::pop3::Maildrops;
use crate::serve::sessions::Sessions;
use crate::serve::submission::Sequence;
use crate::store::{self, Store};
use crate::types::{Secret, SecretKind, limits};

/// What nobody needs any more is swept this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(6 * 3600);

/// The first sweep waits for the first syncs to be over.
const SWEEP_FIRST: Duration = Duration::from_secs(15 * 60);

/// The agent as its parts see it.
pub struct Agent {
    pub common: Common,
    pub users: Arc<LocalUsers>,
    accounts: Mutex<Vec<Running>>,
    served: Mutex<Served>,
    stop: Shutdown,
}

/// Where mail clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub imap: SocketAddr,
    pub smtp: SocketAddr,
    pub pop3: Option<SocketAddr>,
    /// Under TLS from the start.
    pub imaps: Option<SocketAddr>,
    pub smtps: Option<SocketAddr>,
    pub pop3s: Option<SocketAddr>,
    pub has_tls: bool,
    /// What to trust, where the certificate was made here.
    pub authority: Option<PathBuf>,
}

/// The running agent, for who started it.
pub struct Daemon {
    agent: Arc<Agent>,
    paths: Paths,
    config: Config,
    faces: Option<Faces>,
    parts: Parts,
    /// Sweeping, and answering syncctl.
    tasks: JoinSet<()>,
}

/// Why the agent cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Faces(#[from] FacesError),
    #[error("the local password: {0}")]
    Password(#[from] PasswordError),
    #[error("cannot keep the local password in {}: {cause}", path.display())]
    KeepPassword { path: PathBuf, cause: io::Error },
    #[error("cannot make the control socket {}: {cause}", path.display())]
    Control { path: PathBuf, cause: io::Error },
}

impl Agent {
    /// Calls `act` with one account, or with all of them in the order of the configuration.
    pub fn each(&self, account: Option<&str>, mut act: impl FnMut(&Running)) -> Result<(), Failure> {
        let accounts = self.accounts();
        let wanted = |running: &&Running| account.is_none_or(|name| running.config.name == name);
        let mut found = false;
        for running in accounts.iter().filter(wanted) {
            found = true;
            act(running);
        }
        match account.filter(|_| !found) {
            Some(name) => {
                let names = accounts.iter().map(|running| running.config.name.as_str());
                Err(Failure::not_found(no_account(name, names)))
            }
            None => Ok(()),
        }
    }

    /// Begins to stop. A reload is not waited for any more than it must.
    pub fn ask_to_stop(&self) {
        self.stop.request();
        self.accounts().iter().for_each(|running| running.ask_to_stop());
    }

    /// Where mail clients connect.
    pub fn served(&self) -> Served {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn accounts(&self) -> MutexGuard<'_, Vec<Running>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of an account that is in no configuration.
pub fn no_account<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> String {
    match names.collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => format!("there is no account {name:?}, nor any other"),
        names => format!("there is no account {name:?}; there is: {names}"),
    }
}

impl Daemon {
    /// Starts everything. Once it returns, mail clients and syncctl are served.
    pub async fn start(paths: Paths, config: Config) -> Result<Self, StartError> {
        let clock = Clock::system();
        let store = open_store(&paths, &clock)?;
        let password = local_password(&config.local, &paths).await?;
        let users = Arc::new(LocalUsers::new(password.clone()));
        // Before the first client can ask: one that is refused throws its password away.
        users.replace(password, undo_ms(&config), users_of(&config, &store, &clock)?);
        let parts = Parts {
            store: store.clone(),
            users: Arc::clone(&users),
            clock: clock.clone(),
            maildrops: Maildrops::default(),
            sessions: Sessions::default(),
            sequence: Sequence::default(),
            wishes: Wishes::default(),
        };
        let faces = Faces::open(&config.local, &parts, &paths.data).await?;
        let changes = Arc::new(watch::Sender::new(0));
        let common = Common { store, clock, chance: Chance::system(), changes, wishes: parts.wishes.clone() };
        let (served, stop) = (Mutex::new(served(&faces)), Shutdown::new());
        let agent = Arc::new(Agent { common, users, accounts: Mutex::default(), served, stop: stop.clone() });
        let mut tasks = JoinSet::new();
        for listener in control_sockets(&paths).await? {
            let (control, stop) = (Arc::new(Control(Arc::clone(&agent))), stop.clone());
            tasks.spawn(async move { control::serve(listener, control, stop.requested()).await });
        }
        tasks.spawn(sweep_now_and_then(Arc::clone(&agent), stop.clone()));
        tasks.spawn(index_at_rest(agent.common.store.clone(), stop));
        let mut daemon = Self { agent, paths, config, faces: Some(faces), parts, tasks };
        daemon.start_accounts()?;
        daemon.tell_unconfigured();
        Ok(daemon)
    }

    /// Where mail clients connect.
    pub fn served(&self) -> Served {
        self.agent.served()
    }

    /// The agent, to ask and to steer it.
    pub fn agent(&self) -> &Arc<Agent> {
        &self.agent
    }

    /// The configuration it works by.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Works by another configuration from now on. One that the store cannot follow changes nothing; what else cannot be
    /// taken over is told, and the old stays in its place.
    pub async fn apply(&mut self, config: Config) -> store::Result<()> {
        let users = users_of(&config, &self.agent.common.store, &self.agent.common.clock)?;
        let password = match config.local.password == self.config.local.password {
            true => self.agent.users.password(),
            // Before anything is changed: a password program may take its time.
            false => tokio::select! {
                biased;
                () = self.agent.stop.requested() => return Ok(()),
                password = local_password(&config.local, &self.paths) => password.unwrap_or_else(|error| {
                    tracing::error!("{error}; the old local password stays");
                    self.agent.users.password()
                }),
            },
        };
        let old = std::mem::replace(&mut self.config, config);
        self.apply_local(&old.local).await;
        self.agent.users.replace(password, undo_ms(&self.config), users);
        let left = self.take_accounts_that_differ();
        let stopped = left.len();
        // All at once: each may take its time.
        left.iter().for_each(|running| running.ask_to_stop());
        // Threads are waited for where waiting is allowed.
        let joined = tokio::task::spawn_blocking(|| left.into_iter().for_each(Running::join)).await;
        if joined.is_err() {
            tracing::error!("an account did not stop cleanly");
        }
        if self.agent.stop.is_requested() {
            return Ok(());
        }
        match self.start_accounts() {
            Ok(started) => tracing::info!(stopped, started, "the configuration is reloaded"),
            Err(error) => tracing::error!("cannot start an account of the new configuration: {error}"),
        }
        self.tell_unconfigured();
        self.agent.common.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn apply_local(&mut self, old: &Local) {
        let addresses = |local: &Local| (local.imap, local.smtp, local.pop3, local.tls.clone());
        if addresses(old) == addresses(&self.config.local) {
            return;
        }
        if let Some(faces) = self.faces.take() {
            faces.close().await;
        }
        let opened = match Faces::open(&self.config.local, &self.parts, &self.paths.data).await {
            Ok(faces) => Ok(faces),
            Err(error) => {
                tracing::error!("{error}; the local servers stay as they were");
                Faces::open(old, &self.parts, &self.paths.data).await
            }
        };
        match opened {
            Ok(faces) => {
                *self.agent.served.lock().unwrap_or_else(PoisonError::into_inner) = served(&faces);
                self.faces = Some(faces);
            }
            Err(error) => tracing::error!("{error}; there are no local servers now"),
        }
    }

    /// Takes out the accounts that the configuration has no more, or otherwise.
    fn take_accounts_that_differ(&self) -> Vec<Running> {
        let stays = |running: &Running| self.config.accounts.contains(&running.config);
        let mut accounts = self.agent.accounts();
        let (stay, leave) = std::mem::take(&mut *accounts).into_iter().partition(stays);
        *accounts = stay;
        leave
    }

    /// Starts the accounts that do not run yet; says how many.
    fn start_accounts(&mut self) -> store::Result<usize> {
        let mut accounts = self.agent.accounts();
        let mut started = 0;
        for config in &self.config.accounts {
            if !accounts.iter().any(|running| running.config.name == config.name) {
                accounts.push(Running::start(config.clone(), &self.agent.common)?);
                started += 1;
            }
        }
        let place = |running: &Running| self.config.accounts.iter().position(|one| one.name == running.config.name);
        accounts.sort_by_key(place);
        Ok(started)
    }

    /// What was taken over for an account that the configuration names no more does not go by itself.
    fn tell_unconfigured(&self) {
        let names = self.config.accounts.iter().map(|account| account.name.as_str());
        match reports::unconfigured(&self.agent.common.store, names) {
            Ok(left) => left.iter().for_each(|left| tracing::warn!("{left}")),
            Err(error) => tracing::warn!("cannot look for accounts that are not in the configuration: {error}"),
        }
    }

    /// Stops everything: clients first, then the accounts, then the store.
    pub async fn stop(mut self) {
        self.agent.ask_to_stop();
        let running = std::mem::take(&mut *self.agent.accounts());
        if let Some(faces) = self.faces.take() {
            faces.close().await;
        }
        let joined = tokio::task::spawn_blocking(|| running.into_iter().for_each(Running::join)).await;
        if joined.is_err() {
            tracing::error!("an account did not stop cleanly");
        }
        while self.tasks.join_next().await.is_some() {}
        for socket in [Some(self.paths.data_socket()), self.paths.runtime_socket.clone()].into_iter().flatten() {
            // Another daemon's socket at the second place answers, and stays.
            if tokio::net::UnixStream::connect(&socket).await.is_err() {
                let _ = std::fs::remove_file(&socket);
            }
        }
    }
}

/// Opens the store of a data folder. Editors that were open are not, as far as is known.
pub fn open_store(paths: &Paths, clock: &Clock) -> store::Result<Store> {
    let options = store::Options { executor: store::Executor::Thread, program: "syncd".to_owned(), max_bytes: None };
    let opened = Store::open(&paths.data, &options, clock.now())?;
    opened.write(store::Origin::LocalUser, clock.now(), |txn| txn.leave_editors())?;
    Ok(opened)
}

async fn local_password(local: &Local, paths: &Paths) -> Result<Secret, StartError> {
    match &local.password {
        Some(credential) => Ok(password::resolve(credential, SecretKind::Password).await?),
        None => {
            let path = paths.local_password();
            password::kept(&path).map_err(|cause| StartError::KeepPassword { path, cause })
        }
    }
}

/// The socket beside the data, and the user's own at its well-known place where no other daemon has it.
async fn control_sockets(paths: &Paths) -> Result<Vec<tokio::net::UnixListener>, StartError> {
    let mut sockets = Vec::new();
    let mut failed = None;
    for path in [paths.runtime_socket.clone(), Some(paths.data_socket())].into_iter().flatten() {
        match control::server::bind(&path).await {
            Ok(listener) => sockets.push(listener),
            Err(cause) => {
                tracing::warn!("cannot make the control socket {}: {cause}", path.display());
                failed = Some(StartError::Control { path, cause });
            }
        }
    }
    match failed.filter(|_| sockets.is_empty()) {
        Some(error) => Err(error),
        None => Ok(sockets),
    }
}

fn served(faces: &Faces) -> Served {
    Served {
        imap: faces.imap,
        smtp: faces.smtp,
        pop3: faces.pop3,
        imaps: faces.imaps,
        smtps: faces.smtps,
        pop3s: faces.pop3s,
        has_tls: faces.identity.is_some(),
        authority: faces.identity.as_ref().and_then(|identity| identity.authority.clone()),
    }
}

/// The accounts of the configuration as users of the local servers. Those that are new are made in the store: all of them,
/// or none where one cannot be.
fn users_of(config: &Config, store: &Store, clock: &Clock) -> store::Result<BTreeMap<String, User>> {
    let accounts = config.accounts.clone();
    store.write(store::Origin::Upstream, clock.now(), move |txn| {
        let mut user = |config: config::Account| {
            let account = maildrop::ensure_account(txn, &config.name, maildrop::is_maildrop(&config))?;
            let can_send = !config.smtp.is_empty();
            Ok((config.name, User { account, address: config.address, can_send }))
        };
        accounts.into_iter().map(&mut user).collect()
    })
}

fn undo_ms(config: &Config) -> i64 {
    i64::from(config.local.undo_seconds) * 1000
}

/// Gives back the space of what is recoverable no longer.
async fn sweep_now_and_then(agent: Arc<Agent>, stop: Shutdown) {
    let mut pause = SWEEP_FIRST;
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(pause) => pause = SWEEP_INTERVAL,
        }
        let (agent, stop) = (Arc::clone(&agent), stop.clone());
        let swept = tokio::task::spawn_blocking(move || sweep(&agent, &stop)).await;
        match swept {
            Ok(Ok(swept)) if swept == store::Swept::default() => {}
            Ok(Ok(swept)) => tracing::info!(?swept, "swept"),
            Ok(Err(error)) => tracing::warn!("cannot sweep: {error}"),
            Err(error) => tracing::error!("the sweep failed: {error}"),
        }
    }
}

fn sweep(agent: &Agent, stop: &Shutdown) -> store::Result<store::Swept> {
    let now = agent.common.clock.now();
    let before = now.plus_ms(-limits::RECOVERY_MS);
    let store = &agent.common.store;
    let accounts = store.read(|reader| reader.accounts())?;
    store.write(store::Origin::Upstream, now, move |txn| {
        accounts.iter().try_for_each(|account| txn.forget_submissions(account.id, before).map(drop))
    })?;
    store.sweep_while(before, now, &|| !stop.is_requested())
}
