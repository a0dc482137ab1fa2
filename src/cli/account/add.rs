//! `syncctl account add`: an account of options, or of answers on a terminal, appended to the configuration.
//!
//! Rules: what stands in the file stays as it is, comments and all; nothing is written that the daemon would refuse, nor,
//! unless it is asked for, what the servers refuse; the file is replaced whole or not at all.

use std::io::{self, BufRead, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use toml::Value;

use super::{Tested, hidden, show, test_account, worst};
use crate::agent::password::put_into_keyring;
use crate::agent::{Exit, paths};
use crate::cli::Context;
use crate::cli::done::answer;
use crate::cli::failure::Failure;
use crate::config::Config;
use crate::net::shutdown;
use crate::net::tls::write_private;
use crate::types::Secret;

/// As the configuration has them.
const TLS_MODES: [&str; 3] = ["implicit", "starttls", "none"];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// The user name at the local servers
    #[arg(long)]
    name: Option<String>,
    /// The mail address
    #[arg(long)]
    address: Option<String>,
    /// The IMAP server
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "pop3")]
    imap: Option<String>,
    /// The POP3 server, for an account without IMAP: its mail is taken into INBOX, and stays on the server unless the
    /// configuration says otherwise
    #[arg(long, value_name = "HOST[:PORT]")]
    pop3: Option<String>,
    /// The SMTP server; an empty one for an account that only reads
    #[arg(long, value_name = "HOST[:PORT]")]
    smtp: Option<String>,
    /// How the connections are protected [default: starttls on the ports 143, 110, 587 and 25, else implicit]
    #[arg(long, value_name = "MODE", value_parser = TLS_MODES)]
    tls: Option<String>,
    /// How the one to the IMAP server is protected, where it is not as --tls says
    #[arg(long, value_name = "MODE", value_parser = TLS_MODES)]
    imap_tls: Option<String>,
    /// How the one to the POP3 server is protected, where it is not as --tls says
    #[arg(long, value_name = "MODE", value_parser = TLS_MODES)]
    pop3_tls: Option<String>,
    /// How the one to the SMTP server is protected, where it is not as --tls says
    #[arg(long, value_name = "MODE", value_parser = TLS_MODES)]
    smtp_tls: Option<String>,
    /// The user name at the servers [default: the address]
    #[arg(long)]
    user: Option<String>,
    /// A program, with its arguments, that prints the password
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    password_command: Option<Vec<String>>,
    /// Read the password from standard input
    #[arg(long, conflicts_with = "password_command")]
    password_stdin: bool,
    /// Keep the password in the key ring of the desktop (Secret Service, by secret-tool)
    #[arg(long, conflicts_with = "password_command")]
    keyring: bool,
    /// A PEM file with one more trust root
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<String>,
    /// Do not log in to the servers first
    #[arg(long)]
    no_test: bool,
}

/// A signal ends it before anything is written, with the terminal as it was.
pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let signal = shutdown::signal()?;
    tokio::select! {
        biased;
        outcome = add(context, arguments) => outcome,
        signal = signal => Err(said(&format!("{signal}: nothing was written"), Exit::Failed)),
    }
}

async fn add(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let file = context.paths()?.config;
    let old = match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        _ => paths::read_to_string(&file).map_err(|error| said(&error, Exit::Config))?,
    };
    // A file that is broken already is told as it is.
    Config::parse(&old, &file).map_err(|error| said(&error, Exit::Config))?;
    let no_test = arguments.no_test;
    let name = asked(context, "Name (the user name at the local servers)", arguments.name.clone(), "--name", None)?;
    let block = block(context, arguments, &name).await?;
    let gap = if old.is_empty() || old.ends_with("\n\n") { "" } else { "\n" };
    let end = if old.is_empty() || old.ends_with('\n') { "" } else { "\n" };
    let new = format!("{old}{end}{gap}{block}");
    let config = Config::parse(&new, &file).map_err(|error| said(&error, Exit::Config))?;
    let account = config.accounts.iter().find(|account| account.name == name);
    let tested: Vec<Tested> = match account.filter(|_| !no_test) {
        Some(account) => test_account(account).await,
        None => Vec::new(),
    };
    show(context, &tested)?;
    if worst(&tested) != Exit::Done {
        return Err(said(&refusal(worst(&tested)), worst(&tested)));
    }
    replace(&file, &new).map_err(|error| said(&format!("cannot write {}: {error}", file.display()), Exit::TempFail))?;
    if !context.json {
        let text = format!("{name} is added to {}; a running syncd takes it up at once.", file.display());
        context.screen.line(&text)?;
    }
    Ok(Exit::Done)
}

/// Why nothing was written, and what may help.
fn refusal(worst: Exit) -> String {
    let remedy = match worst {
        Exit::NoPermission => "the login was refused: look at --user and the password",
        Exit::Config => "what was said of the account must be mended first",
        _ => {
            "look at host and port, and at --imap-tls, --pop3-tls and --smtp-tls: they say how a server is protected where that was \
              guessed wrong"
        }
    };
    format!("nothing was written; {remedy}; --no-test writes it all the same")
}

fn said(message: &dyn std::fmt::Display, exit: Exit) -> Failure {
    Failure::Said { message: message.to_string(), exit }
}

/// The account as it is written.
async fn block(context: &Context, arguments: Arguments, name: &str) -> Result<String, Failure> {
    let address = asked(context, "Mail address", arguments.address, "--address", None)?;
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
    let guess = |kind: &str| Some(format!("{kind}.{domain}"));
    let (key, incoming, incoming_tls) = match arguments.pop3 {
        Some(pop3) => ("pop3", pop3, arguments.pop3_tls),
        None => {
            let imap = asked(context, "IMAP server", arguments.imap, "--imap", guess("imap"))?;
            ("imap", imap, arguments.imap_tls)
        }
    };
    let smtp = asked(context, "SMTP server", arguments.smtp, "--smtp", guess("smtp"))?;
    let user = asked(
        context,
        "User name at the servers",
        arguments.user.or_else(|| without_asking(context, &address)),
        "--user",
        Some(address.clone()),
    )?;
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let mut lines = vec!["[[account]]".to_owned()];
    lines.push(format!("name = {}", quoted(name)));
    lines.push(format!("address = {}", quoted(&address)));
    for (key, server, tls) in [(key, &incoming, incoming_tls), ("smtp", &smtp, arguments.smtp_tls)] {
        if !server.is_empty() {
            lines.push(format!("{key} = {}", server_value(server, tls.as_ref().or(arguments.tls.as_ref()))));
        }
    }
    lines.push(format!("user = {}", quoted(&user)));
    lines.push(match arguments.password_command {
        Some(argv) => {
            let argv: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
            format!("password-command = [{}]", argv.join(", "))
        }
        None => {
            let password = password(arguments.password_stdin, context).await?;
            match arguments.keyring {
                true => in_keyring(name, password).await?,
                false => format!("password = {}", quoted(&password)),
            }
        }
    });
    lines.extend(arguments.tls_ca.map(|path| format!("tls-ca = {}", quoted(&path))));
    Ok(lines.join("\n") + "\n")
}

/// `HOST[:PORT]` as the configuration has it.
fn server_value(server: &str, tls: Option<&String>) -> String {
    let (host, port) = match server.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
        Some((host, Ok(port))) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    let tls = tls.map_or(usual_tls(port), String::as_str);
    let port = port.map(|port| format!(", port = {port}")).unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    format!("{{ host = {}{port}, tls = \"{tls}\" }}", Value::String(host.to_owned()))
}

/// What servers do on a port (RFC 8314 section 3): in plain text until STARTTLS, or TLS from the start.
const fn usual_tls(port: Option<u16>) -> &'static str {
    match port {
        Some(143 | 110 | 587 | 25) => "starttls",
        _ => "implicit",
    }
}

/// Where nobody can be asked, what would be proposed is taken.
fn without_asking(context: &Context, proposal: &str) -> Option<String> {
    (!can_ask(context)).then(|| proposal.to_owned())
}

fn can_ask(context: &Context) -> bool {
    !context.json && io::stdin().is_terminal()
}

/// The option's value, or what is answered; an empty answer is the proposal.
fn asked(
    context: &Context,
    question: &str,
    given: Option<String>,
    option: &str,
    proposal: Option<String>,
) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    if !can_ask(context) {
        return Err(said(&format!("say {option}; there is no terminal to ask on"), Exit::Usage));
    }
    let shown = proposal.as_ref().map(|proposal| format!(" [{proposal}]")).unwrap_or_default();
    let typed = answer(&format!("{question}{shown}: "))?;
    Ok(if typed.is_empty() { proposal.unwrap_or_default() } else { typed })
}

async fn password(from_stdin: bool, context: &Context) -> Result<String, Failure> {
    if from_stdin {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    if !can_ask(context) {
        return Err(said(&"say --password-command or --password-stdin", Exit::Usage));
    }
    hidden::answer("Password: ").await?.ok_or_else(|| said(&"interrupted; nothing was written", Exit::Failed))
}

/// The password goes where it stays, whatever becomes of the account: to be tried, it must be there.
async fn in_keyring(name: &str, password: String) -> Result<String, Failure> {
    let stored = put_into_keyring(name, &Secret::new(password)).await;
    stored.map(|()| "keyring = true".to_owned()).map_err(|error| said(&error, Exit::Config))
}

/// Replaces the file in one step; a link to it stays one. It is its owner's alone then: it may hold a password.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let file = std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    write_private(&file, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_port_which_decides_how_it_is_protected() {
        for (server, tls, expected) in [
            ("imap.b.example", None, "{ host = \"imap.b.example\", tls = \"implicit\" }"),
            ("imap.b.example", Some("starttls"), "{ host = \"imap.b.example\", tls = \"starttls\" }"),
            ("imap.b.example:993", None, "{ host = \"imap.b.example\", port = 993, tls = \"implicit\" }"),
            ("imap.b.example:143", None, "{ host = \"imap.b.example\", port = 143, tls = \"starttls\" }"),
            ("smtp.b.example:587", None, "{ host = \"smtp.b.example\", port = 587, tls = \"starttls\" }"),
            ("[::1]:143", Some("none"), "{ host = \"::1\", port = 143, tls = \"none\" }"),
            ("::1", None, "{ host = \"::1\", tls = \"implicit\" }"),
        ] {
            assert_eq!(server_value(server, tls.map(str::to_owned).as_ref()), expected);
        }
    }
}
