//! `syncctl doctor`: everything that must be right for mail to flow, looked at one after the other; what is wrong is told
//! with its remedy. Needs no daemon.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use super::Context;
use super::account::test_account;
use super::failure::Failure;
use super::screen::{Tone, counted};
use crate::agent::command::{self, LoadError, is_readable_by_others, remedy_of_damage};
use crate::agent::{Exit, Paths};
use crate::config::Config;
use crate::control::Request;
use crate::control::report::{Account, State, Status, Verified};
use crate::net::listener::remedy;
use crate::store::{self, Inspected};

/// With less than this the next large message may not fit.
const SPACE_MIN_BYTES: u64 = 256 * 1024 * 1024;

/// File systems round times, and clocks are set now and then.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How long the database of a store is read that no daemon has open.
const STORE_MAX: Duration = Duration::from_secs(20);

/// What one look found.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    /// `ok`, `note` or `wrong`.
    state: &'static str,
    text: String,
    remedy: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

impl Finding {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: "ok", text: text.into(), remedy: None, exit: Exit::Done }
    }

    fn note(what: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, state: "note", text: text.into(), remedy: Some(remedy.into()), exit: Exit::Done }
    }

    fn wrong(what: &'static str, text: impl Into<String>, remedy: impl Into<String>, exit: Exit) -> Self {
        Self { what, state: "wrong", text: text.into(), remedy: Some(remedy.into()), exit }
    }
}

pub(super) async fn run(context: &mut Context) -> Result<Exit, Failure> {
    let paths = context.paths()?;
    let mut findings = Vec::new();
    let config = configuration(&paths, &mut findings);
    data(&paths.data, &mut findings);
    clock(&paths, &mut findings);
    let status: Option<Status> = context.ask(&Request::Status).await.ok();
    match &status {
        Some(status) => {
            findings.push(Finding::ok("daemon", "it answers"));
            findings.extend(status.accounts.iter().map(account));
            findings.extend(status.unconfigured.iter().map(|left| {
                let remedy = "put it back, or give up what waits: `syncctl outbox cancel`, `syncctl journal discard`";
                Finding::wrong("account", left.to_string(), remedy, Exit::TempFail)
            }));
            findings.push(served_store(context, &paths).await);
        }
        None => {
            let remedy = "start it with `syncd`, or `systemctl --user start mailtide`";
            findings.push(Finding::note("daemon", "no syncd answers", remedy));
            findings.push(resting_store(&paths));
            ports(config.as_ref(), &mut findings);
        }
    }
    for account in config.iter().flat_map(|config| &config.accounts) {
        for tested in test_account(account).await {
            let text = format!("{} {}, {}: {}", tested.account, tested.server, tested.address, tested.text);
            let remedy = match tested.exit {
                Exit::NoPermission => "mend user and password in the configuration",
                Exit::Config => "mend the account in the configuration",
                _ => "look at host, port and tls in the configuration, and at the network",
            };
            findings.push(match tested.ok {
                true => Finding::ok("server", text),
                false => Finding::wrong("server", text, remedy, tested.exit),
            });
        }
    }
    show(context, &findings)?;
    let worst = [Exit::Config, Exit::NoPermission, Exit::Failed, Exit::TempFail];
    Ok(worst.into_iter().find(|bad| findings.iter().any(|finding| finding.exit == *bad)).unwrap_or(Exit::Done))
}

fn show(context: &mut Context, findings: &[Finding]) -> std::io::Result<()> {
    if context.json {
        return context.screen.json(&findings);
    }
    for finding in findings {
        let tone = match finding.state {
            "ok" => Tone::Good,
            "note" => Tone::Busy,
            _ => Tone::Bad,
        };
        let state = format!("{:<6}", finding.state);
        context.screen.toned(&[(tone, &state), (Tone::Plain, &format!("{}: {}", finding.what, finding.text))])?;
        if let Some(remedy) = &finding.remedy {
            context.screen.line(&format!("      {remedy}"))?;
        }
    }
    Ok(())
}

fn configuration(paths: &Paths, findings: &mut Vec<Finding>) -> Option<Config> {
    let shown = paths.config.display();
    let config = match command::load(&paths.config) {
        Ok(config) => config,
        Err(error) => {
            let remedy = match &error {
                LoadError::Missing(_) => "`syncctl account add` makes one",
                LoadError::Read(_) => "make it readable for you, or say --config FILE",
                LoadError::Config(_) => "mend it at that place; a running syncd goes on with what it read last",
            };
            findings.push(Finding::wrong("configuration", error.to_string(), remedy, Exit::Config));
            return None;
        }
    };
    findings.push(match config.accounts.len() {
        0 => Finding::wrong("configuration", format!("{shown} has no account"), "`syncctl account add`", Exit::Config),
        count => Finding::ok("configuration", format!("{shown}, accounts: {count}")),
    });
    if is_readable_by_others(&paths.config, &config) {
        let text = format!("{shown} holds a password and others can read it");
        findings.push(Finding::note("configuration", text, format!("chmod 600 {shown}")));
    }
    Some(config)
}

fn data(folder: &Path, findings: &mut Vec<Finding>) {
    let shown = folder.display();
    let metadata = match std::fs::metadata(folder) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return findings.push(Finding::ok("data", format!("{shown} will be made at the first start")));
        }
        Err(error) => {
            let remedy = "make it yours, or say --data DIR";
            return findings.push(Finding::wrong("data", format!("{shown}: {error}"), remedy, Exit::Config));
        }
    };
    let can_write = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    findings.push(match (metadata.is_dir(), can_write, metadata.permissions().mode() & 0o077) {
        (false, ..) => Finding::wrong("data", format!("{shown} is not a folder"), "say --data DIR", Exit::Config),
        (true, false, _) => Finding::wrong("data", format!("{shown} cannot be written"), "make it yours", Exit::Config),
        (true, true, 0) => Finding::ok("data", format!("{shown} is yours alone")),
        (true, true, _) => Finding::note("data", format!("others can look into {shown}"), format!("chmod 700 {shown}")),
    });
    match rustix::fs::statvfs(folder).map(|space| space.f_bavail.saturating_mul(space.f_frsize)) {
        Ok(free) if free < SPACE_MIN_BYTES => {
            let text = format!("only {} MB are free", free / (1024 * 1024));
            findings.push(Finding::wrong(
                "disk",
                text,
                "free some space: new mail is refused on a full disk",
                Exit::TempFail,
            ));
        }
        Ok(free) => findings.push(Finding::ok("disk", format!("{} MB are free", free / (1024 * 1024)))),
        Err(error) => findings.push(Finding::note("disk", format!("its space is not known: {error}"), "look at `df`")),
    }
}

/// Times, certificates and the order of things depend on it.
fn clock(paths: &Paths, findings: &mut Vec<Finding>) {
    let files = [&paths.config, &paths.data.join("mailtide.db")];
    let newest =
        files.iter().filter_map(|file| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok()).max();
    let behind = newest.and_then(|newest| newest.duration_since(SystemTime::now()).ok());
    findings.push(match behind.filter(|behind| *behind > CLOCK_TOLERANCE) {
        Some(behind) => {
            let text = format!("it is {} s behind what was written here last", behind.as_secs());
            Finding::wrong("clock", text, "set the clock: certificates may seem not to be valid yet", Exit::Failed)
        }
        None => Finding::ok("clock", "nothing here is from the future"),
    });
}

/// Is a port of ours taken by someone else?
fn ports(config: Option<&Config>, findings: &mut Vec<Finding>) {
    let Some(local) = config.map(|config| &config.local) else { return };
    for (key, address) in [("imap", Some(local.imap)), ("smtp", Some(local.smtp)), ("pop3", local.pop3)] {
        let Some(address) = address else { continue };
        findings.push(match TcpListener::bind(address) {
            Ok(_) => Finding::ok("port", format!("{address} is free")),
            Err(error) => {
                let remedy = remedy(&error, &format!("at `{key}` in [local]"));
                Finding::wrong("port", format!("{address}: {error}"), remedy, Exit::TempFail)
            }
        });
    }
}

fn account(account: &Account) -> Finding {
    let told = account.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
    let text = format!("{} is {}{told}", account.name, account.state.as_str());
    let parked = account.journal.parked + account.outbox.parked;
    match account.state {
        State::Online | State::Syncing if parked > 0 => Finding::note(
            "account",
            format!("{text}; {parked} parked"),
            "`syncctl journal list` and `syncctl outbox list` show them",
        ),
        State::Online | State::Syncing if !account.not_given.is_empty() || account.bodies.withheld > 0 => {
            let count = account.not_given.len() as u64 + account.bodies.withheld;
            let remedy = "`syncctl status` tells which and when they are asked for again; the others go on";
            let what = counted(count, "message", "messages");
            Finding::note("account", format!("{text}; {what} that its server does not give"), remedy)
        }
        State::Online | State::Syncing => Finding::ok("account", text),
        State::Paused => Finding::note("account", text, "`syncctl online` lets it talk to its servers"),
        State::Offline => Finding::note("account", text, "it is tried again by itself"),
        State::AuthFailed => {
            Finding::wrong("account", text, "mend the password in the configuration", Exit::NoPermission)
        }
        State::Blocked => {
            let name = &account.name;
            let remedy = format!("`syncctl status {name}`, then `syncctl confirm {name}` or `syncctl reject {name}`");
            Finding::wrong("account", text, remedy, Exit::Failed)
        }
    }
}

/// The store as the daemon finds it.
async fn served_store(context: &Context, paths: &Paths) -> Finding {
    match context.ask::<Verified>(&Request::Verify { account: None, store_only: true }).await {
        Ok(verified) if verified.store.is_empty() => {
            Finding::ok("store", format!("sound; {} message bodies read", verified.contents))
        }
        Ok(verified) => {
            let text = format!("{} faults; the first: {}", verified.store.len(), verified.store[0]);
            Finding::wrong("store", text, "`syncctl verify` tells all; keep a copy of the data folder", Exit::Failed)
        }
        Err(failure) => {
            let text = failure.message().unwrap_or_default();
            let remedy = format!("look at the log: {}", paths.log.display());
            Finding::wrong("store", text, remedy, failure.exit())
        }
    }
}

/// The store while no daemon has it.
fn resting_store(paths: &Paths) -> Finding {
    let began = Instant::now();
    match store::inspect(&paths.data, move || began.elapsed() > STORE_MAX) {
        Ok(Inspected::Absent) => Finding::ok("store", "there is none yet"),
        Ok(Inspected::Sound) => Finding::ok("store", "its database holds together"),
        Ok(Inspected::SoundSoFar) => {
            let text = format!("its database holds together as far as {} s go", STORE_MAX.as_secs());
            Finding::note("store", text, "`syncctl verify` reads all of it, once syncd runs")
        }
        Err(error) if error.is_damage() => {
            Finding::wrong("store", error.to_string(), remedy_of_damage(&paths.data), Exit::Failed)
        }
        Err(error @ store::Error::Newer { .. }) => {
            Finding::wrong("store", error.to_string(), "install the newer Mailtide again", Exit::Config)
        }
        Err(error) => {
            let remedy = format!("make {} and all in it yours to read and write", paths.data.display());
            Finding::wrong("store", error.to_string(), remedy, Exit::Failed)
        }
    }
}
