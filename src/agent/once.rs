//! `syncd --once`: one complete sync of every account, and an exit code that says how it went.

use super::command::{NO_ACCOUNT, fail_of_store};
use super::daemon::open_store;
use super::exit::Exit;
use super::maildrop::{self, Visits};
use super::outbox;
use super::paths::Paths;
use super::reports;
use super::servers::{Incoming, Servers, ServersError};
use super::trouble::state_of;
use crate::config::{Account, Config};
use crate::control::report::{Left, State};
use crate::net::{Chance, Clock};
use crate::store::{self, Origin, Store};
use crate::sync::remote::{Connect, Remote, RemoteError};
use crate::sync::{self, Engine, Report};
use crate::types::{AccountId, Keep, Timestamp};
use crate::upstream::imap::ImapRemote;
use crate::upstream::{Pop3Connector, SmtpSender, Tcp};

/// What is sent makes a copy in Sent, which is pushed, which may bring something in: more turns than this find no end.
const TURNS_MAX: usize = 5;

/// Why an account's sync is not complete.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Servers(#[from] ServersError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Sync(#[from] sync::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("it is paused; say `syncctl online`")]
    Paused,
    #[error("{0}")]
    Unfinished(Left),
}

impl Trouble {
    const fn exit(&self) -> Exit {
        match self {
            Self::Servers(error) => error.exit(),
            Self::Remote(error) | Self::Sync(sync::Error::Remote(error)) => match state_of(error) {
                State::AuthFailed => Exit::NoPermission,
                _ => Exit::TempFail,
            },
            Self::Sync(sync::Error::Store(_)) | Self::Store(_) | Self::Paused | Self::Unfinished(_) => Exit::TempFail,
        }
    }
}

/// Syncs every account; the worst outcome decides the exit code, and what needs a person is worst.
pub(super) async fn run(paths: &Paths, config: &Config) -> Exit {
    if config.accounts.is_empty() {
        tracing::error!("{}: {NO_ACCOUNT}", paths.config.display());
        return Exit::Config;
    }
    let clock = Clock::system();
    let store = match open_store(paths, &clock) {
        Ok(store) => store,
        Err(error) => return fail_of_store(&error, &paths.data),
    };
    let mut worst = Exit::Done;
    for account in &config.accounts {
        if let Err(trouble) = sync_account(account, &store, &clock).await {
            tracing::error!(account = account.name, "not complete: {trouble}");
            let exit = trouble.exit();
            if severity(exit) > severity(worst) {
                worst = exit;
            }
        }
    }
    let names = config.accounts.iter().map(|account| account.name.as_str());
    match reports::unconfigured(&store, names) {
        Ok(left) if left.is_empty() => worst,
        Ok(left) => {
            left.iter().for_each(|left| tracing::error!("not complete: {left}"));
            if worst == Exit::Done { Exit::TempFail } else { worst }
        }
        Err(error) => fail_of_store(&error, &paths.data),
    }
}

const fn severity(exit: Exit) -> u8 {
    match exit {
        Exit::Config => 3,
        Exit::NoPermission => 2,
        Exit::Done => 0,
        Exit::Failed | Exit::Usage | Exit::Unavailable | Exit::Software | Exit::TempFail => 1,
    }
}

async fn sync_account(account: &Account, store: &Store, clock: &Clock) -> Result<(), Trouble> {
    let name = account.name.clone();
    let is_maildrop = maildrop::is_maildrop(account);
    let id =
        store.write(Origin::Upstream, clock.now(), move |txn| maildrop::ensure_account(txn, &name, is_maildrop))?;
    if store.read(|reader| reader.account(id))?.paused {
        return Err(Trouble::Paused);
    }
    let outcome = until_quiet(account, id, store, clock).await;
    let error = outcome.as_ref().err().map(ToString::to_string);
    store.write(Origin::Upstream, clock.now(), move |txn| txn.set_sync_outcome(id, error.as_deref()))?;
    outcome
}

async fn until_quiet(account: &Account, id: AccountId, store: &Store, clock: &Clock) -> Result<(), Trouble> {
    let servers = Servers::of(account, Tcp).await?;
    let mut mail = match servers.incoming {
        Incoming::Imap(connector) => {
            let remote = connector.connect().await?;
            let engine = Engine::new(store.clone(), id, account.folders.clone()).keeping(account.bodies.clone());
            tokio::time::sleep(engine.settling(clock.now())?).await;
            Mail::Mirror(engine, Box::new(remote))
        }
        Incoming::Pop3(connector, keep) => {
            let visits = Visits::new(store.clone(), id, account.bodies.clone());
            Mail::Maildrop(visits, Some((Box::new(connector), keep)))
        }
    };
    tracing::info!(account = account.name, host = account.incoming.server().host, "mail comes from there");
    let sender = match servers.smtp {
        Some(sender) => Some(outbox::open(store.clone(), id, sender, clock.now())?),
        None => None,
    };
    store.write(Origin::Upstream, clock.now(), move |txn| txn.hasten_submissions(id))?;
    for _ in 0..TURNS_MAX {
        let began = clock.now();
        let mut report = Report::default();
        let outcome = mail.sync(clock, &mut report).await;
        tracing::info!(account = account.name, "synced: {report}");
        outcome?;
        let sent = match &sender {
            Some(sender) => send(sender, began, clock).await?,
            None => false,
        };
        if !sent {
            break;
        }
    }
    if let Mail::Mirror(_, mut remote) = mail {
        remote.logout().await;
    }
    let left = store.read(|reader| reports::left(reader, id, clock.now()))?;
    if left.is_nothing() { Ok(()) } else { Err(Trouble::Unfinished(left)) }
}

/// What brings an account's mail.
enum Mail {
    Mirror(Engine, Box<ImapRemote>),
    /// `None` after the visit: what is sent changes nothing in a maildrop.
    Maildrop(Visits, Option<(Box<Pop3Connector>, Keep)>),
}

impl Mail {
    async fn sync(&mut self, clock: &Clock, report: &mut Report) -> sync::Result<()> {
        let telling = clock.clone();
        let now = &move || telling.now();
        match self {
            Self::Mirror(engine, remote) => {
                engine.sync_once(remote.as_mut(), now, report).await?;
                while engine.stock(remote.as_mut(), now, &|| false).await?.has_more {}
                Ok(())
            }
            Self::Maildrop(visits, connector) => match connector.take() {
                Some((connector, keep)) => {
                    maildrop::visit(visits, (connector.as_ref(), keep), clock, report, || Ok(())).await.map(drop)
                }
                None => Ok(()),
            },
        }
    }
}

/// Sends what is due. True if it changed something that is to be synced.
async fn send(
    engine: &crate::outbox::engine::Engine<SmtpSender>,
    synced: Timestamp,
    clock: &Clock,
) -> Result<bool, Trouble> {
    let progress = outbox::run(engine, Some(synced), clock, &Chance::system(), &|| true).await?;
    Ok(progress.sent + progress.reported + progress.filed > 0)
}
