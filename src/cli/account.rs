//! `syncctl account`.

use clap::Subcommand;
use serde::Serialize;

use super::Context;
use super::failure::Failure;
use crate::agent::{Exit, paths};
use crate::config::{Account, Config, Server, TlsMode};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Show the accounts of the configuration
    List,
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let config = context.config()?;
    match arguments.act.unwrap_or(Act::List) {
        Act::List => list(context, &config),
    }
}

/// An account as scripts read it; passwords are in no output.
#[derive(Serialize)]
struct Listed {
    name: String,
    address: String,
    user: String,
    imap: String,
    smtp: Option<String>,
}

fn list(context: &mut Context, config: &Config) -> Result<Exit, Failure> {
    let listed: Vec<Listed> = config.accounts.iter().map(listed).collect();
    if context.json {
        context.screen.json(&listed)?;
    } else {
        let rows: Vec<Vec<String>> = listed
            .into_iter()
            .map(|account| vec![account.name, account.address, account.imap, account.smtp.unwrap_or_default()])
            .collect();
        context.screen.table("", &["NAME", "ADDRESS", "IMAP", "SMTP"], &rows, &[])?;
    }
    Ok(Exit::Done)
}

fn listed(account: &Account) -> Listed {
    Listed {
        name: account.name.clone(),
        address: account.address.clone(),
        user: account.user.clone(),
        imap: shown(&account.imap),
        smtp: account.smtp.as_ref().map(shown),
    }
}

fn shown(server: &Server) -> String {
    let security = match server.tls {
        TlsMode::Implicit => "TLS",
        TlsMode::StartTls => "STARTTLS",
        TlsMode::None => "plain text",
    };
    format!("{}:{} ({security})", server.host, server.port)
}

impl Context {
    /// The configuration the daemon would read.
    fn config(&self) -> Result<Config, Failure> {
        let path = self.paths()?.config;
        let wrong = |error: &dyn std::fmt::Display| Failure::Said { message: error.to_string(), exit: Exit::Config };
        let text = paths::read_to_string(&path).map_err(|error| wrong(&error))?;
        Config::parse(&text, &path).map_err(|error| wrong(&error))
    }
}
