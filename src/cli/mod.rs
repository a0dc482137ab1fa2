//! syncctl: shows and steers the daemon. One file a command.
//!
//! Rules: what is read by people goes through [`screen`]; `--json` gives the daemon's own answer, unchanged; colour only
//! on a terminal and never with `NO_COLOR`; every command ends with an [`Exit`].

mod account;
mod acts;
mod client_config;
mod completions;
mod conflicts;
mod daemon;
mod demo;
mod doctor;
mod done;
mod failure;
mod fetch;
mod guard;
mod journal;
mod metered;
mod online;
mod outbox;
mod recover;
mod screen;
mod search;
mod sendmail;
mod status;
mod sync;
mod verify;
mod why;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};

use crate::agent::Exit;
use acts::Acts;
use screen::Screen;

/// What every command takes stands apart from its own options.
const EVERYWHERE: &str = "Options of every command";

/// Show and steer Mailtide, the offline-first mail sync agent.
#[derive(Debug, Parser)]
#[command(name = "syncctl", version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration [default: ~/.config/mailtide/config.toml]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder with the daemon's data [default: ~/.local/share/mailtide]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The daemon's control socket [default: control.sock in the data folder, else in $XDG_RUNTIME_DIR/mailtide]
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Print JSON, for scripts
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what each account is doing
    Status(status::Arguments),
    /// Sync now
    Sync(sync::Arguments),
    /// Stop talking to the servers; mail stays usable
    Offline(online::Arguments),
    /// Talk to the servers again
    Online(online::Arguments),
    /// Fetch messages or whole folders now, and keep them, whatever the configuration says
    Fetch(fetch::Arguments),
    /// Say whether every byte is dear: then nothing is fetched that nobody asked for
    Metered(metered::Arguments),
    /// Show and steer what waits to be done on the servers
    Journal(Acts<journal::Act>),
    /// Show and steer outgoing mail
    Outbox(Acts<outbox::Act>),
    /// Submit a message, as sendmail does
    Sendmail(sendmail::Arguments),
    /// Show what is still to be sent, as mailq does
    #[command(hide = true)]
    Mailq(sendmail::MailqArguments),
    /// Show what was changed on both sides, and what came of it
    Conflicts(Acts<conflicts::Act>),
    /// Show what vanished, and put it back
    Recover(Acts<recover::Act>),
    /// Show what is known of a message: where it is, what is pending, what happened to it
    Why(why::Arguments),
    /// Find mail
    Search(search::Arguments),
    /// Audit the store, and compare it with the servers
    Verify(verify::Arguments),
    /// Find out what is wrong with the configuration, the files, the daemon or the servers
    Doctor,
    /// Accept a mass removal on the server that was held back
    Confirm(guard::Arguments),
    /// Refuse a mass removal on the server that was held back: what is here is kept
    Reject(guard::Arguments),
    /// Show what to enter in a mail client
    ClientConfig,
    /// Add and list accounts, or try to log in to their servers
    Account(Acts<account::Act>),
    /// See it work: mirror, cut the line, work offline, join it again, compare
    Demo(demo::Arguments),
    /// Print completions for a shell
    Completions(completions::Arguments),
}

/// What every command gets.
struct Context {
    socket: Option<PathBuf>,
    config: Option<PathBuf>,
    data: Option<PathBuf>,
    json: bool,
    screen: Screen,
}

/// What the process was started with. Under the name `sendmail` or `mailq` (links to syncctl) it is the command of
/// that name.
pub fn command_line() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments.first().and_then(|path| Path::new(path).file_name()?.to_str().map(str::to_owned));
    if let Some(name @ ("sendmail" | "mailq")) = name.as_deref() {
        arguments.insert(1, name.into());
    }
    if let Some(at) = place_of_command(&arguments).filter(|at| arguments[*at] == "search") {
        search::spare_dashes(&mut arguments[at..]);
    }
    arguments
}

/// Where the command's name stands: options, some with a value behind them, may stand before it.
fn place_of_command(arguments: &[OsString]) -> Option<usize> {
    let command = Arguments::command();
    let takes_next = |word: &str| {
        let mut options = command.get_arguments().filter(|option| option.get_action().takes_values());
        options.any(|option| option.get_long().is_some_and(|long| word.strip_prefix("--") == Some(long)))
    };
    let mut at = 1;
    while let Some(word) = arguments.get(at)?.to_str().filter(|word| word.starts_with('-')) {
        at += if takes_next(word) { 2 } else { 1 };
    }
    Some(at)
}

/// Runs the command and says how it ended.
pub async fn run(arguments: Arguments) -> Exit {
    let mut context = Context {
        socket: arguments.socket,
        config: arguments.config,
        data: arguments.data,
        json: arguments.json,
        screen: Screen::stdout(),
    };
    let outcome = match arguments.command {
        Command::Status(arguments) => status::run(&mut context, arguments).await,
        Command::Sync(arguments) => sync::run(&mut context, arguments).await,
        Command::Offline(arguments) => online::run(&mut context, arguments, false).await,
        Command::Online(arguments) => online::run(&mut context, arguments, true).await,
        Command::Fetch(arguments) => fetch::run(&mut context, arguments).await,
        Command::Metered(arguments) => metered::run(&mut context, arguments).await,
        Command::Journal(acts) => journal::run(&mut context, acts).await,
        Command::Outbox(acts) => outbox::run(&mut context, acts).await,
        Command::Sendmail(arguments) => sendmail::run(&mut context, arguments).await,
        Command::Mailq(arguments) => sendmail::mailq(&mut context, arguments).await,
        Command::Conflicts(acts) => conflicts::run(&mut context, acts).await,
        Command::Recover(acts) => recover::run(&mut context, acts).await,
        Command::Why(arguments) => why::run(&mut context, arguments).await,
        Command::Search(arguments) => search::run(&mut context, arguments).await,
        Command::Verify(arguments) => verify::run(&mut context, arguments).await,
        Command::Doctor => doctor::run(&mut context).await,
        Command::Confirm(arguments) => guard::run(&mut context, arguments, true).await,
        Command::Reject(arguments) => guard::run(&mut context, arguments, false).await,
        Command::ClientConfig => client_config::run(&mut context).await,
        Command::Account(acts) => account::run(&mut context, acts).await,
        Command::Demo(arguments) => demo::run(&mut context, arguments).await,
        Command::Completions(arguments) => completions::run(&mut context, arguments),
    };
    outcome.unwrap_or_else(|failure| failure.tell())
}
