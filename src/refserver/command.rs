//! The program: options in, a ready line out, then service until a signal.

use std::io::Write;

use super::faults::{Profile, Quirk};
use super::options::{self, Arguments, Command, OptionsError, Settings};
use super::queue;
use super::server::{Server, StartError};
use crate::agent::exit::parse_arguments;
use crate::agent::{Exit, log};
use crate::net::{Clock, shutdown};

/// Runs refserver with the process's arguments.
pub fn run() -> Exit {
    let options: Arguments = match parse_arguments() {
        Ok(options) => options,
        Err(exit) => return exit,
    };
    // Who asks for something reads the answer, and no log.
    if options.command.is_none()
        && let Err(error) = log::begin(&options.log, None)
    {
        return fail(&error, Exit::Usage);
    }
    let quirks = options.quirks.iter().any(|name| name == "list").then(Quirk::list);
    let profiles = options.profile.as_ref().filter(|name| *name == "list").map(|_| Profile::list());
    if let Some(list) = quirks.or(profiles) {
        return match std::io::stdout().write_all(list.as_bytes()) {
            Ok(()) => Exit::Done,
            Err(error) => fail(&error, Exit::TempFail),
        };
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, Exit::Software),
    };
    match options.command.clone() {
        Some(Command::Queue(act)) => runtime.block_on(queue::run(options, act)),
        Some(Command::Dkim) => show_dkim(options),
        None => runtime.block_on(serve(options)),
    }
}

fn show_dkim(options: Arguments) -> Exit {
    match options::signer(options) {
        Ok(signer) => match writeln!(std::io::stdout(), "{}", signer.record()) {
            Ok(()) => Exit::Done,
            Err(error) => fail(&error, Exit::TempFail),
        },
        Err(error) => fail(&error, exit_of_options(&error)),
    }
}

async fn serve(options: Arguments) -> Exit {
    let settings = match Settings::gather(options).await {
        Ok(settings) => settings,
        Err(error) => return fail(&error, exit_of_options(&error)),
    };
    let server = match Server::start(settings, Clock::system()).await {
        Ok(server) => server,
        Err(error) => return fail(&error, exit_of_start(&error)),
    };
    // Who reads that it is ready may stop it at once.
    let stopped = match shutdown::signal() {
        Ok(stopped) => stopped,
        Err(error) => return fail(&error, Exit::Software),
    };
    let ready = serde_json::to_string(server.ready()).expect("addresses and paths are fine JSON");
    let mut out = std::io::stdout();
    if let Err(error) = writeln!(out, "{ready}").and_then(|()| out.flush()) {
        return fail(&error, Exit::TempFail);
    }
    stopped.await;
    server.stop().await;
    Exit::Done
}

pub(super) fn exit_of_options(error: &OptionsError) -> Exit {
    match error {
        OptionsError::NoData
        | OptionsError::NoDataNamed { .. }
        | OptionsError::NoListener
        | OptionsError::Capability { .. }
        | OptionsError::Quirk { .. }
        | OptionsError::Profile { .. } => Exit::Usage,
        OptionsError::Read { .. }
        | OptionsError::Config(_)
        | OptionsError::Password { .. }
        | OptionsError::NoDkim
        | OptionsError::Dkim(_) => Exit::Config,
    }
}

fn exit_of_start(error: &StartError) -> Exit {
    match error {
        StartError::Store(error) if error.is_temporary() => Exit::TempFail,
        StartError::Listen(_) | StartError::Control { .. } | StartError::Chance(_) => Exit::TempFail,
        StartError::Store(_)
        | StartError::Users(_)
        | StartError::Tls(_)
        | StartError::ReadTrust { .. }
        | StartError::Trust { .. }
        | StartError::Dkim(_) => Exit::Config,
    }
}

pub(super) fn fail(error: &dyn std::error::Error, exit: Exit) -> Exit {
    tracing::error!("{error}");
    // Where nothing is served, or by a bad --log, there is nobody to log to.
    if !tracing::dispatcher::has_been_set() {
        let _ = writeln!(std::io::stderr(), "refserver: {error}");
    }
    exit
}
