//! `syncctl account`.

mod add;
mod hidden;

use clap::Subcommand;
use serde::Serialize;

use super::Context;
use super::acts::Acts;
use super::failure::Failure;
use super::screen::Tone;
use crate::agent::daemon::no_account;
use crate::agent::servers::{Incoming, Servers};
use crate::agent::{Exit, paths};
use crate::config::{self, Account, Config, Server, TlsMode};
use crate::outbox::sender::SendError;
use crate::sync::maildrop::seam::{Maildrop, OpenMaildrop};
use crate::sync::remote::{Connect, Remote, RemoteError};
use crate::types::{BodyPolicy, MailboxName};
use crate::upstream::{Connector, Pop3Connector, SmtpSender, Tcp};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Act {
    /// Add an account to the configuration, by options or by asking, once its servers took the login
    Add(Box<add::Arguments>),
    /// Show the accounts of the configuration
    List,
    /// Try to log in to the servers of an account, or of all; no daemon is needed
    Test { account: Option<String> },
}

pub(super) async fn run(context: &mut Context, acts: Acts<Act>) -> Result<Exit, Failure> {
    match acts.act.unwrap_or(Act::List) {
        Act::Add(arguments) => add::run(context, *arguments).await,
        Act::List => list(context, &context.config()?),
        Act::Test { account } => test(context, &context.config()?, account.as_deref()).await,
    }
}

/// An account as scripts read it; passwords are in no output.
#[derive(Serialize)]
struct Listed {
    name: String,
    address: String,
    user: String,
    imap: Option<String>,
    pop3: Option<String>,
    smtp: Option<String>,
}

fn list(context: &mut Context, config: &Config) -> Result<Exit, Failure> {
    let listed: Vec<Listed> = config.accounts.iter().map(listed).collect();
    if context.json {
        context.screen.json(&listed)?;
    } else {
        let rows: Vec<Vec<String>> = listed
            .into_iter()
            .map(|account| {
                let incoming = account.imap.or(account.pop3.map(|pop3| format!("{pop3} POP3")));
                vec![account.name, account.address, incoming.unwrap_or_default(), account.smtp.unwrap_or_default()]
            })
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
        imap: matches!(account.incoming, config::Incoming::Imap(_)).then(|| shown(account.incoming.server())),
        pop3: matches!(account.incoming, config::Incoming::Pop3 { .. }).then(|| shown(account.incoming.server())),
        smtp: Some(account.smtp.iter().map(shown).collect::<Vec<_>>().join(", ")).filter(|smtp| !smtp.is_empty()),
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

/// How one server of an account answered.
#[derive(Serialize)]
pub(super) struct Tested {
    pub account: String,
    /// `imap`, `pop3` or `smtp`.
    pub server: &'static str,
    pub address: String,
    pub ok: bool,
    /// What went wrong; what was found, where nothing did.
    pub text: String,
    #[serde(skip)]
    pub exit: Exit,
}

async fn test(context: &mut Context, config: &Config, account: Option<&str>) -> Result<Exit, Failure> {
    let chosen: Vec<&Account> =
        config.accounts.iter().filter(|one| account.is_none_or(|name| one.name == name)).collect();
    if let (Some(name), true) = (account, chosen.is_empty()) {
        let names = config.accounts.iter().map(|account| account.name.as_str());
        return Err(Failure::Said { message: no_account(name, names), exit: Exit::Usage });
    }
    let mut tested = Vec::new();
    for account in chosen {
        tested.extend(test_account(account).await);
    }
    show(context, &tested)?;
    Ok(worst(&tested))
}

fn show(context: &mut Context, tested: &[Tested]) -> std::io::Result<()> {
    if context.json {
        return context.screen.json(&tested);
    }
    for one in tested {
        let tone = if one.ok { Tone::Good } else { Tone::Bad };
        let place = format!("  {}  {}  ", one.server, one.address);
        context.screen.toned(&[(Tone::Bold, &one.account), (Tone::Plain, &place), (tone, &one.text)])?;
    }
    Ok(())
}

/// What needs a person is worth more than what may pass.
fn worst(tested: &[Tested]) -> Exit {
    let worst = [Exit::Config, Exit::NoPermission, Exit::TempFail];
    worst.into_iter().find(|bad| tested.iter().any(|one| one.exit == *bad)).unwrap_or(Exit::Done)
}

pub(super) async fn test_account(account: &Account) -> Vec<Tested> {
    let tested = |server, address: &Server, outcome: Result<String, (String, Exit)>| Tested {
        account: account.name.clone(),
        server,
        address: shown(address),
        ok: outcome.is_ok(),
        exit: outcome.as_ref().map_or_else(|(_, exit)| *exit, |_| Exit::Done),
        text: outcome.unwrap_or_else(|(text, _)| text),
    };
    let protocol = match account.incoming {
        config::Incoming::Imap(_) => "imap",
        config::Incoming::Pop3 { .. } => "pop3",
    };
    let servers = match Servers::of(account, Tcp).await {
        Ok(servers) => servers,
        Err(error) => {
            return vec![tested(protocol, account.incoming.server(), Err((error.to_string(), error.exit())))];
        }
    };
    let outcome = match &servers.incoming {
        Incoming::Imap(connector) => test_imap(connector).await,
        Incoming::Pop3(connector, _) => test_pop3(connector, &account.bodies).await,
    };
    let mut all = vec![tested(protocol, account.incoming.server(), outcome.map_err(failed))];
    let senders = servers.smtp.iter().flat_map(SmtpSender::each);
    for (sender, address) in senders.zip(&account.smtp) {
        let outcome = sender.check().await.map(|()| "logged in".to_owned());
        let outcome = outcome.map_err(|error| {
            let refused = matches!(error, SendError::LoginRefused { .. });
            (error.to_string(), if refused { Exit::NoPermission } else { Exit::TempFail })
        });
        all.push(tested("smtp", address, outcome));
    }
    all
}

fn failed(error: RemoteError) -> (String, Exit) {
    let refused = matches!(error, RemoteError::LoginRefused { .. });
    (error.to_string(), if refused { Exit::NoPermission } else { Exit::TempFail })
}

async fn test_pop3(connector: &Pop3Connector, bodies: &BodyPolicy) -> Result<String, RemoteError> {
    let mut maildrop = connector.open().await?;
    let messages = maildrop.list().await?.len();
    let is_lacking = !bodies.fetches_at_once(&MailboxName::inbox()) && !maildrop.gives_headers();
    let lack =
        if is_lacking { "; without TOP, so messages are fetched whole, whatever `mirror` says of bodies" } else { "" };
    let text = format!("logged in; {messages} messages; {}{lack}", maildrop.extensions());
    maildrop.leave().await?;
    Ok(text)
}

async fn test_imap(connector: &Connector) -> Result<String, RemoteError> {
    let mut remote = connector.connect().await?;
    let mailboxes = remote.list().await?.len();
    let facts = remote.facts();
    let extensions = [
        (facts.idle, "IDLE"),
        (facts.qresync, "QRESYNC"),
        (facts.cond_store && !facts.qresync, "CONDSTORE"),
        (facts.uid_plus, "UIDPLUS"),
        (facts.r#move, "MOVE"),
    ];
    let has = extensions.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect::<Vec<_>>().join(" ");
    let has = if has.is_empty() { "no extensions" } else { &has };
    let ways = remote.known_ways().map(|ways| format!("; {ways}")).unwrap_or_default();
    let text = format!("logged in; {mailboxes} mailboxes; {has}{ways}");
    remote.logout().await;
    Ok(text)
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
