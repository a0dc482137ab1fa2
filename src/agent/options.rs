//! syncd's command line.

use std::path::PathBuf;

use super::log;

/// Mirror mail accounts, serve them to mail clients on this machine, and replay upstream what was done offline.
#[derive(Debug, clap::Parser)]
#[command(name = "syncd", version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration [default: ~/.config/mailtide/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder with the mail and the journal [default: ~/.local/share/mailtide]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Do one complete sync and exit: 0 done, 75 not finished, 77 login refused, 78 bad configuration
    #[arg(long)]
    pub once: bool,
    #[command(flatten)]
    pub log: log::Options,
}
