//! What the programs log, and to where. Secrets never come here (they cannot be printed), but some crates we use would
//! log the wire as it is: they are capped in code, whatever the filter asks for.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Filter, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, filter, fmt};

use super::log_file::LogFile;
use crate::upstream::{LOG_CAPS, WIRE_TRACE_TARGET};

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// For people and journald.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// What to log.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// How log lines look
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: Format,
    /// What is logged, for instance "debug" or "warn,mailtide::sync=debug"
    #[arg(long, env = "RUST_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// Keep the log in FILE, too [default of syncd: ~/.local/state/mailtide/syncd.log; with --data, in DIR]
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// Write what this program says to servers as their client, and they to it (without passwords), to FILE
    #[arg(long, value_name = "FILE")]
    pub trace_wire: Option<PathBuf>,
}

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("--log {filter:?} is not a filter: {cause}; try \"debug\" or \"info,mailtide::sync=debug\"")]
    Filter { filter: String, cause: filter::ParseError },
    #[error(
        "--log {filter:?}: {word:?} is no level (off, error, warn, info, debug, trace); a part of the program is named with one: {word}=debug"
    )]
    Level { filter: String, word: String },
    #[error("cannot write the wire trace to {}: {cause}", path.display())]
    Trace { path: PathBuf, cause: io::Error },
    #[error("logging was begun before")]
    Twice,
}

/// Begins logging to standard error, and to a file (`usual_file`, unless the options say which), for the rest of the
/// program.
pub fn begin(options: &Options, usual_file: Option<&Path>) -> Result<(), LogError> {
    let terminal = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // journald notes the time of each line by itself.
    let look = Look { terminal, time: std::env::var_os("JOURNAL_STREAM").is_none() };
    let lines = layer(options.log_format, look, io::stderr, filter(options)?);
    let path = options.log_file.as_deref().or(usual_file);
    let (file, failed) = match path.map(LogFile::open) {
        Some(Ok(file)) => (Some(Mutex::new(file)), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    };
    let look = Look { terminal: false, time: true };
    let kept = file.map(|file| Ok(layer(options.log_format, look, file, filter(options)?))).transpose()?;
    let wire = options.trace_wire.as_deref().map(wire_layer).transpose()?;
    together([Some(lines), kept, wire]).try_init().map_err(|_| LogError::Twice)?;
    if let (Some(error), Some(path)) = (failed, path) {
        tracing::warn!("no log is kept in {}: {error}; --log-file FILE keeps it elsewhere", path.display());
    }
    Ok(())
}

/// What is asked for, but for what would show secrets (see [`LOG_CAPS`]).
fn filter(options: &Options) -> Result<impl Filter<Registry> + Send + Sync + 'static, LogError> {
    let wanted = match options.log.as_deref().filter(|filter| !filter.is_empty()) {
        Some(filter) => {
            if let Some(word) = misspelt_level(filter) {
                return Err(LogError::Level { filter: filter.to_owned(), word: word.to_owned() });
            }
            EnvFilter::try_new(filter).map_err(|cause| LogError::Filter { filter: filter.to_owned(), cause })?
        }
        None => EnvFilter::new("info"),
    };
    let capped = filter::filter_fn(|metadata| *metadata.level() <= loudest(metadata.target()));
    Ok(wanted.and(capped.with_max_level_hint(Level::TRACE)))
}

/// A word that stands alone and is no level would be taken for the name of a part, and silence all others. A path or a span is
/// meant so.
fn misspelt_level(filter: &str) -> Option<&str> {
    let words =
        filter.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.contains(['=', ':', '[', ']', '}']));
    words.into_iter().find(|word| word.parse::<filter::LevelFilter>().is_err())
}

/// Each has a filter of its own, and there is nothing around them: so what none of them wants costs a look at a flag.
fn together(all: impl IntoIterator<Item = Option<Lines>>) -> impl Subscriber + Send + Sync + 'static {
    let all: Vec<Lines> = all.into_iter().flatten().collect();
    tracing_subscriber::registry().with(all)
}

/// How lines of text look.
#[derive(Clone, Copy)]
struct Look {
    terminal: bool,
    time: bool,
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

fn layer<W, F>(format: Format, look: Look, writer: W, filter: F) -> Lines
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    F: Filter<Registry> + Send + Sync + 'static,
{
    let text = fmt::layer().with_target(false).with_ansi(look.terminal);
    match (format, look.time) {
        (Format::Json, _) => fmt::layer().json().flatten_event(true).with_writer(writer).with_filter(filter).boxed(),
        (Format::Text, true) => text.with_writer(writer).with_filter(filter).boxed(),
        (Format::Text, false) => text.with_writer(writer).without_time().with_filter(filter).boxed(),
    }
}

/// The wire trace in a file of its own, readable by its owner: it holds mail.
fn wire_layer(path: &Path) -> Result<Lines, LogError> {
    let file = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|cause| LogError::Trace { path: path.to_owned(), cause })?;
    let only_wire = filter::Targets::new().with_target(WIRE_TRACE_TARGET, Level::TRACE);
    Ok(fmt::layer().with_ansi(false).with_target(false).with_writer(Arc::new(file)).with_filter(only_wire).boxed())
}

fn loudest(target: &str) -> Level {
    let is_within =
        |name| target.strip_prefix(name).is_some_and(|rest: &str| rest.is_empty() || rest.starts_with("::"));
    LOG_CAPS.iter().find(|(name, _)| is_within(*name)).map_or(Level::TRACE, |(_, level)| *level)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_wants_is_not_made() {
        let look = Look { terminal: false, time: false };
        let lines = || {
            let filter = filter(&Options::default()).expect("a filter");
            Some(layer(Format::Text, look, io::sink, filter))
        };
        let folder = tempfile::tempdir().expect("a folder");
        let wire = || Some(wire_layer(&folder.path().join("wire")).expect("a file"));
        for (wire, is_wanted) in [(None, false), (wire(), true)] {
            tracing::subscriber::with_default(together([lines(), lines(), wire]), || {
                assert_eq!(tracing::enabled!(target: WIRE_TRACE_TARGET, Level::TRACE), is_wanted);
                assert!(!tracing::enabled!(target: "mailtide::sync", Level::DEBUG));
                assert!(tracing::enabled!(target: "mailtide::sync", Level::INFO));
            });
        }
    }

    #[test]
    fn a_level_that_is_misspelt_is_said_to_be() {
        for meant in
            ["debug", "WARN", "off", "info,mailtide::sync=debug", "mailtide::sync", "[pull{mailbox,n}]", "hyper=trace"]
        {
            assert_eq!(misspelt_level(meant), None, "{meant}");
        }
        for wrong in ["debgu", "info,debgu", "mailtide::sync=debug, verbose"] {
            let options = Options { log: Some(wrong.to_owned()), ..Options::default() };
            let Err(error) = filter(&options).map(drop) else { panic!("{wrong} is taken") };
            assert!(error.to_string().contains("is no level"), "{error}");
        }
    }

    #[test]
    fn crates_that_would_log_secrets_are_capped() {
        for (name, level) in LOG_CAPS {
            assert_eq!(loudest(&format!("{name}::stream")), level);
            assert_eq!(loudest(&format!("{name}s")), Level::TRACE);
        }
        assert_eq!(loudest("mailtide::sync"), Level::TRACE);
    }
}
