//! `syncctl sendmail`: what programs that know only sendmail submit their mail by (cron, git send-email, mutt, PHP).
//!
//! Rules: the mail goes through the daemon's local SMTP server like any other, so it is durable in the outbox when this
//! ends with 0; the sender's address says which account it goes out by, and one that belongs to none is refused here.

mod addressees;
mod arguments;
pub(super) mod letter;
mod relay;
pub(super) mod submit;

use std::io::Read;

use super::Context;
use super::failure::Failure;
use crate::agent::Exit;
use crate::control::Request;
use crate::control::report::ClientConfig;
use crate::smtp::address::Address;
use crate::types::limits;

use arguments::{Mode, Options};
use letter::Letter;
use submit::Submission;

/// `-h` is an option of sendmail itself.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    override_usage = "syncctl sendmail [OPTION]... [RECIPIENT]... < MESSAGE",
    after_help = arguments::HELP
)]
pub(super) struct Arguments {
    /// Print this
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

/// What a link called `mailq` is given: options of sendmail are taken, and the queue is shown.
#[derive(Debug, clap::Args)]
#[command(override_usage = "mailq [OPTION]...")]
pub(super) struct MailqArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<String>,
}

pub(super) async fn mailq(context: &mut Context, arguments: MailqArguments) -> Result<Exit, Failure> {
    Options::parse(&arguments.arguments).map_err(|mistake| usage(mistake.to_string()))?;
    super::outbox::list(context, None, true).await
}

pub(super) async fn run(context: &mut Context, arguments: Arguments) -> Result<Exit, Failure> {
    let options = Options::parse(&arguments.arguments).and_then(Options::check);
    let options = options.map_err(|mistake| usage(mistake.to_string()))?;
    match options.mode {
        Mode::Message => message(context, options).await,
        Mode::Smtp => {
            let config: ClientConfig = context.ask(&Request::ClientConfig).await?;
            let user = submit::user_for(&config, options.from.as_deref(), None)?.user.clone();
            relay::run(config, user).await
        }
        Mode::ShowQueue => super::outbox::list(context, None, true).await,
        Mode::RunQueue => {
            context.ask::<serde_json::Value>(&Request::OutboxFlush { account: None }).await?;
            Ok(Exit::Done)
        }
    }
}

async fn message(context: &mut Context, options: Options) -> Result<Exit, Failure> {
    let sender = options.from.as_deref().map(sender).transpose()?;
    let config: ClientConfig = context.ask(&Request::ClientConfig).await?;
    let mut input = Vec::new();
    let read = std::io::stdin().lock().take(limits::MESSAGE_MAX_BYTES + 1).read_to_end(&mut input);
    read.map_err(|error| temporary(format!("cannot read the message: {error}")))?;
    let mut letter = Letter::read(&input, !options.dot_is_text);
    drop(input);
    let author = letter.author().map_err(|word| usage(no_address(&word)))?;
    let user = submit::user_for(&config, sender.as_deref(), author.as_ref())?.clone();
    if author.is_none() {
        letter.add_from(&user.address, options.full_name.as_deref());
    }
    let written = options.recipients.iter().flat_map(|argument| addressees::parse_list(argument.as_bytes()));
    let mut recipients: Vec<Result<Address, String>> = written.collect();
    if options.recipients_in_header {
        recipients.extend(letter.recipients());
    }
    let from = sender.unwrap_or_else(|| author.map_or_else(|| user.address.clone(), |author| author.to_string()));
    let submission = Submission {
        user: user.user,
        from,
        recipients: addresses(recipients)?,
        notify: options.notify,
        ret: options.ret,
        envid: options.envid,
        bytes: letter.into_bytes(),
    };
    submit::submit(&config, submission).await?;
    Ok(Exit::Done)
}

/// What `-f` says: an address, with or without a name; nothing is the null sender.
fn sender(text: &str) -> Result<String, Failure> {
    match &addressees::parse_list(text.as_bytes())[..] {
        [] if text.is_empty() => Ok(String::new()),
        [Ok(address)] => Ok(address.to_string()),
        _ => Err(usage(no_address(text))),
    }
}

/// Each recipient once; a word that is no address stops everything, before anyone gets anything.
fn addresses(named: Vec<Result<Address, String>>) -> Result<Vec<String>, Failure> {
    let mut addresses: Vec<String> = Vec::new();
    for address in named {
        let address = address.map_err(|word| usage(no_address(&word)))?.to_string();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(usage("nobody is named to send it to: name recipients, or say -t where the header names them"));
    }
    Ok(addresses)
}

pub(in crate::cli) fn no_address(word: &str) -> String {
    format!("{word:?} is no mail address")
}

fn usage(message: impl Into<String>) -> Failure {
    Failure::Said { message: message.into(), exit: Exit::Usage }
}

fn temporary(message: impl Into<String>) -> Failure {
    Failure::Said { message: message.into(), exit: Exit::TempFail }
}
