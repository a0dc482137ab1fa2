//! The program: options and configuration in, service until a signal, an exit code out.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::daemon::{Daemon, StartError};
use super::exit::{Exit, parse_arguments};
use super::faces::FacesError;
use super::options::Arguments;
use super::paths::Paths;
use super::reload::Watched;
use super::{log, once, paths, place, systemd};
use crate::config::{Config, ConfigError, Credential};
use crate::control::report::State;
use crate::net::shutdown;
use crate::store;

/// Runs syncd with the process's arguments.
pub fn run() -> Exit {
    let options: Arguments = match parse_arguments() {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    let paths = Paths::find(options.config, options.data);
    if let Err(error) = log::begin(&options.log, paths.as_ref().ok().map(|paths| paths.log.as_path())) {
        // There is no log yet to tell it to.
        let _ = writeln!(std::io::stderr(), "syncd: {error}");
        return Exit::Usage;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, Exit::Software),
    };
    let exit = match paths {
        Ok(paths) => runtime.block_on(main(paths, options.once)),
        Err(error) => fail(&error, Exit::Config),
    };
    // Session work that hangs on a dead disk must not hold up the end.
    runtime.shutdown_background();
    exit
}

async fn main(paths: Paths, is_once: bool) -> Exit {
    let config = match load(&paths.config) {
        Ok(config) => config,
        Err(error) => return fail(&error, Exit::Config),
    };
    warn_of_readers(&paths.config, &config);
    warn_of_visitors(&paths.data);
    match is_once {
        true => once::run(&paths, &config).await,
        false => serve(paths, config).await,
    }
}

/// What is said of a configuration that asks for nothing.
pub(super) const NO_ACCOUNT: &str =
    "there is no [[account]], so there is nothing to mirror; add one with `syncctl account add`, or as README.md shows";

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}; `syncctl account add` makes one, README.md shows how one begins")]
    Missing(std::io::Error),
    #[error(transparent)]
    Read(std::io::Error),
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Reads the configuration file.
pub fn load(file: &Path) -> Result<Config, LoadError> {
    let text = paths::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LoadError::Missing(error),
        _ => LoadError::Read(error),
    })?;
    Ok(Config::parse(&text, file)?)
}

/// A password in a file that others can read is no secret.
fn warn_of_readers(file: &Path, config: &Config) {
    if is_readable_by_others(file, config) {
        tracing::warn!("{} holds a password and others can read it: chmod 600 {0}", file.display());
    }
}

/// A data folder that was there before is left as it is: it may be one that is not ours alone, and what is in it is its
/// owner's alone in any case.
fn warn_of_visitors(data: &Path) {
    let mode = std::fs::metadata(data).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        tracing::warn!("others can look into {}: chmod 700 {0}", data.display());
    }
}

/// Does the file hold a password, and can others read it?
pub fn is_readable_by_others(file: &Path, config: &Config) -> bool {
    let local = config.local.password.iter();
    let mut credentials = config.accounts.iter().map(|account| &account.password).chain(local);
    let holds_password = credentials.any(|credential| matches!(credential, Credential::Password(_)));
    let mode = std::fs::metadata(file).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
    holds_password && mode & 0o077 != 0
}

async fn serve(paths: Paths, config: Config) -> Exit {
    let file = paths.config.clone();
    // Watched before it is read again, so that no change falls between.
    let watched = Watched::begin(&file)
        .inspect_err(|error| tracing::warn!("changes of {} are not seen: {error}", file.display()))
        .ok();
    let data = paths.data.clone();
    let mut daemon = match Daemon::start(paths, config).await {
        Ok(daemon) => daemon,
        Err(error) => return fail_of_start(&error, &data),
    };
    let signal = match shutdown::signal() {
        Ok(signal) => signal,
        Err(error) => return fail(&error, Exit::Software),
    };
    let served = daemon.served();
    if daemon.config().accounts.is_empty() {
        tracing::warn!("{}: {NO_ACCOUNT}", file.display());
    }
    tracing::info!(imap = %served.imap, smtp = %served.smtp, accounts = daemon.config().accounts.len(), "serving");
    systemd::ready();
    let watchdog = systemd::watchdog();
    // Each of these is gone on with after another one was first: a change half seen must not be forgotten.
    let changed = next_change(watched.as_ref());
    let gone = place::gone(daemon.agent().common.store.clone());
    tokio::pin!(signal, watchdog, changed, gone);
    let mut changes = daemon.agent().common.changes.subscribe();
    let mut told = String::new();
    let exit = loop {
        tokio::select! {
            name = &mut signal => {
                tracing::info!("stopping: {name}");
                break Exit::Done;
            }
            error = &mut gone => break fail_of_store(&error, &data),
            () = &mut watchdog => {}
            () = &mut changed => {
                changed.set(next_change(watched.as_ref()));
                let agent = Arc::clone(daemon.agent());
                let reloaded = reload(&mut daemon, &file);
                tokio::pin!(reloaded);
                // It waits for a password program or for accounts to stop: meanwhile we are alive, and can be stopped.
                let stopped_by = tokio::select! {
                    () = &mut reloaded => None,
                    name = &mut signal => Some(name),
                    () = &mut watchdog => None,
                };
                if let Some(name) = stopped_by {
                    tracing::info!("stopping: {name}");
                    agent.ask_to_stop();
                    reloaded.await;
                    break Exit::Done;
                }
            }
            _ = changes.changed() => tell_systemd(&daemon, &mut told),
        }
    };
    systemd::stopping();
    daemon.stop().await;
    exit
}

async fn next_change(watched: Option<&Watched>) {
    match watched {
        Some(watched) => watched.changed().await,
        None => std::future::pending().await,
    }
}

async fn reload(daemon: &mut Daemon, file: &Path) {
    let refused = match load(file) {
        Ok(config) if config == *daemon.config() => return,
        // Half a file, more often than a wish.
        Ok(config) if config.accounts.is_empty() && !daemon.config().accounts.is_empty() => {
            format!("{}: {NO_ACCOUNT}", file.display())
        }
        Ok(config) => match daemon.apply(config).await {
            Ok(()) => return,
            Err(error) => format!("{}: {error}", file.display()),
        },
        Err(error) => error.to_string(),
    };
    tracing::error!("the new configuration is not used, the old one stays: {refused}");
}

/// Tells how the accounts stand, when that is news.
fn tell_systemd(daemon: &Daemon, told: &mut String) {
    let mut states: Vec<State> = Vec::new();
    // All accounts: none can be unknown.
    let _ = daemon.agent().each(None, |running| states.push(running.live().state));
    let words: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let text = format!("accounts: {}", words.join(", "));
    if text != *told {
        systemd::status(&text);
        *told = text;
    }
}

fn fail_of_start(error: &StartError, data: &Path) -> Exit {
    match error {
        StartError::Store(error) => fail_of_store(error, data),
        StartError::Faces(FacesError::Listen(_)) | StartError::Control { .. } | StartError::KeepPassword { .. } => {
            fail(error, Exit::TempFail)
        }
        StartError::Faces(FacesError::Tls(_)) | StartError::Password(_) => fail(error, Exit::Config),
    }
}

/// Tells why the store in the folder `data` cannot be opened.
pub(super) fn fail_of_store(error: &store::Error, data: &Path) -> Exit {
    match error {
        store::Error::DiskFull { .. } => tracing::error!(
            "cannot start: the disk of {} is full; nothing is lost or changed: free some space, then start again",
            data.display()
        ),
        store::Error::InUse { .. } => {
            tracing::error!("{error}: stop that one first, or say --data DIR for another place")
        }
        store::Error::Gone { .. } => tracing::error!(
            "{error}; stopping. What was moved away is used again once it is back at its place; else everything that the \
             servers have is mirrored anew at the next start"
        ),
        error if error.is_damage() => tracing::error!("{error}; {}", remedy_of_damage(data)),
        error => tracing::error!("{error}"),
    }
    exit_of_store(error)
}

/// What helps where the store in the folder `data` is damaged. What is nowhere else must not be thrown away.
pub fn remedy_of_damage(data: &Path) -> String {
    format!(
        "keep a copy of {0}: what you did or wrote there and the servers do not have yet is nowhere else; then \
         move all files called mailtide.db* and content* out of {0}: everything that the servers have is mirrored anew \
         at the next start",
        data.display()
    )
}

/// A store that this program does not know, that is damaged, or that cannot be where it is said to be, needs a person.
const fn exit_of_store(error: &store::Error) -> Exit {
    match error {
        store::Error::Newer { .. } | store::Error::Folder { .. } | store::Error::OtherKind { .. } => Exit::Config,
        error if error.is_temporary() => Exit::TempFail,
        _ => Exit::Software,
    }
}

fn fail(error: &dyn std::error::Error, exit: Exit) -> Exit {
    tracing::error!("{error}");
    exit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_person_is_no_passing_trouble() {
        let path = std::path::PathBuf::from("/d");
        let cause = std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::NotADirectory));
        let folder = store::Error::Folder { path: path.clone(), cause };
        let in_use = store::Error::InUse { path, holder: "syncd".to_owned() };
        for (error, exit) in
            [(folder, Exit::Config), (in_use, Exit::TempFail), (store::Error::DISK_FULL, Exit::TempFail)]
        {
            assert_eq!(exit_of_store(&error), exit, "{error}");
        }
    }
}
