//! Hands a message to the daemon's local SMTP server.

use super::temporary;
use crate::agent::Exit;
use crate::cli::failure::Failure;
use crate::control::report::{ClientConfig, ClientUser};
use crate::net::chance::nonce;
use crate::outbox::sender::{Envelope, Outcome, Recipient, SendError, Sender};
use crate::smtp::address::Address;
use crate::types::{Secret, SecretKind};
use crate::upstream::{ClientTls, Endpoint, Login, SmtpSender, Tcp, TlsMode};

/// A message with its envelope.
pub(in crate::cli) struct Submission {
    /// Who logs in.
    pub user: String,
    pub from: String,
    pub recipients: Vec<String>,
    pub notify: Option<String>,
    pub ret: Option<String>,
    /// In its xtext form.
    pub envid: Option<String>,
    pub bytes: Vec<u8>,
}

/// The user whose account sends as `from`, or else as the message's author; where neither is said, or the sender is
/// null, the first one.
pub(in crate::cli) fn user_for<'a>(
    config: &'a ClientConfig,
    from: Option<&str>,
    author: Option<&Address>,
) -> Result<&'a ClientUser, Failure> {
    let author = author.map(Address::as_str);
    let named: Vec<&str> = from.into_iter().chain(author).filter(|address| !address.is_empty()).collect();
    let found = named.iter().find_map(|address| config.users.iter().find(|user| is_address_of(address, user)));
    if let Some(user) = found.or_else(|| config.users.first().filter(|_| named.is_empty())) {
        return Ok(user);
    }
    let known: Vec<&str> = config.users.iter().map(|user| user.address.as_str()).collect();
    let message = match named.first() {
        Some(address) => format!(
            "no account here sends as {address}; say -f with one of these: {}",
            if known.is_empty() { "(there is none)".to_owned() } else { known.join(", ") }
        ),
        None => "no account here sends mail".to_owned(),
    };
    Err(Failure::Said { message, exit: Exit::NoPermission })
}

/// The account's address, with or without a `+tag`.
fn is_address_of(address: &str, user: &ClientUser) -> bool {
    let untagged = address.split_once('+').and_then(|(name, rest)| {
        let (_, domain) = rest.rsplit_once('@')?;
        Some(format!("{name}@{domain}"))
    });
    user.address.eq_ignore_ascii_case(address) || untagged.is_some_and(|it| user.address.eq_ignore_ascii_case(&it))
}

/// Submits it: to everyone, or it is an error and what was refused is said.
pub(in crate::cli) async fn submit(config: &ClientConfig, submission: Submission) -> Result<(), Failure> {
    let Submission { user, from, recipients, notify, ret, envid, mut bytes } = submission;
    let (host, port) =
        config.smtp.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?))).ok_or(
            Failure::Said { message: format!("{} is no address of a server", config.smtp), exit: Exit::Software },
        )?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    // It is our own daemon on this machine, told over a socket that is ours alone.
    let endpoint = Endpoint { host, port, tls: TlsMode::Opportunistic, allow_plaintext: true };
    let login = Login { user, password: Secret::new(&config.password), kind: SecretKind::Password, nonce };
    let sender = SmtpSender::new(Tcp, endpoint, ClientTls::unauthenticated(), Some(login), "localhost");
    let is_ascii = from.is_ascii() && recipients.iter().all(|recipient| recipient.is_ascii());
    let recipient = |address: &String| Recipient { address: address.clone(), notify: notify.clone(), orcpt: None };
    let envelope = Envelope {
        mail_from: from,
        recipients: recipients.iter().map(recipient).collect(),
        eight_bit: !bytes.is_ascii(),
        smtp_utf8: !is_ascii,
        ret,
        envid,
    };
    let outcomes = sender.send(&envelope, &mut bytes).await.map_err(|error| refused(&error))?;
    let mut exit = None;
    let mut said = Vec::new();
    for (recipient, outcome) in recipients.iter().zip(outcomes) {
        let (reply, kind) = match outcome {
            Outcome::Accepted(_) | Outcome::AcceptedSilently(_) => continue,
            Outcome::Deferred(reply) => (reply, Exit::TempFail),
            Outcome::Failed(reply) => (reply, Exit::Failed),
        };
        said.push(format!("{recipient}: {} {}", reply.code, reply.text));
        exit = Some(exit.map_or(kind, |exit| if kind == Exit::Failed { kind } else { exit }));
    }
    match exit {
        None => Ok(()),
        Some(exit) => Err(Failure::Said { message: format!("not taken for {}", said.join("; ")), exit }),
    }
}

fn refused(error: &SendError) -> Failure {
    match error {
        SendError::LoginRefused { .. } | SendError::Insecure { .. } => {
            Failure::Said { message: error.to_string(), exit: Exit::NoPermission }
        }
        _ => temporary(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_senders_address_says_which_account() {
        let user = |user: &str, address: &str| ClientUser { user: user.to_owned(), address: address.to_owned() };
        let config = ClientConfig {
            imaps: None,
            smtps: None,
            pop3s: None,
            imap: String::new(),
            smtp: String::new(),
            pop3: None,
            security: "none".to_owned(),
            certificate_authority: None,
            users: vec![user("work", "me@work.example"), user("home", "me@home.example")],
            password: String::new(),
        };
        for (from, author, expected) in [
            (None, None, Some("work")),
            (Some("ME+x@home.example"), None, Some("home")),
            (None, Some("me@home.example"), Some("home")),
            (Some("bounce@x"), Some("me@home.example"), Some("home")),
            (Some(""), Some("me@home.example"), Some("home")),
            (Some(""), None, Some("work")),
            (Some("someone@x"), None, None),
            (None, Some("someone@x"), None),
        ] {
            let author = author.and_then(Address::parse);
            let found = user_for(&config, from, author.as_ref()).ok().map(|user| user.user.as_str());
            assert_eq!(found, expected, "{from:?} {author:?}");
        }
    }
}
