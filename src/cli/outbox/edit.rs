//! `syncctl outbox edit`: a message out of the outbox, changed in an editor and sent in its place.
//!
//! Rules: it is held while it is edited; the new one is durable in the outbox before the old one goes; whoever has it
//! already does not get it again. Whoever the new header names gets it, and whoever only the envelope named (blind
//! copies) still does.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::agent::Exit;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::sendmail::letter::Letter;
use crate::cli::sendmail::submit::{self, Submission as Outgoing};
use crate::control::Request;
use crate::control::report::{ClientConfig, Source, Submission};
use crate::types::SubmissionId;

pub(super) async fn run(context: &mut Context, number: i64) -> Result<Exit, Failure> {
    let id = SubmissionId::new(number);
    let submission: Submission = context.ask(&Request::OutboxShow { id }).await?;
    let is_settled = ["handed-over", "failed"].contains(&submission.state.as_str());
    let old = source(context, id).await?;
    if !is_settled {
        context.ask::<Submission>(&Request::OutboxHold { id }).await?;
    }
    let new = edited(&old)?;
    if new == old {
        if !is_settled && submission.state != "held" {
            context.ask::<Submission>(&Request::OutboxRelease { id }).await?;
        }
        context.screen.line("Nothing was changed.")?;
        return Ok(Exit::Done);
    }
    let (old, new) = (Letter::read(&old, false), Letter::read(&new, false));
    let recipients = recipients(&submission, &old, &new)?;
    let config: ClientConfig = context.ask(&Request::ClientConfig).await?;
    let outgoing = Outgoing {
        user: submission.account,
        from: submission.from,
        recipients,
        notify: None,
        ret: None,
        envid: None,
        bytes: new.into_bytes(),
    };
    submit::submit(&config, outgoing).await?;
    if !is_settled {
        context.ask::<Submission>(&Request::OutboxCancel { id }).await?;
    }
    context.screen.line(&format!("Message {number} was replaced by what you wrote."))?;
    Ok(Exit::Done)
}

/// The message's bytes.
pub(super) async fn source(context: &mut Context, id: SubmissionId) -> Result<Vec<u8>, Failure> {
    let source: Source = context.ask(&Request::OutboxSource { id }).await?;
    BASE64.decode(source.base64).map_err(|_| said("the daemon's answer is no base64", Exit::Software))
}

/// What the user makes of it.
fn edited(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok()).filter(|it| !it.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let failed = |cause: std::io::Error| said(format!("cannot edit with {editor}: {cause}"), Exit::Failed);
    let mut file = tempfile_in_private_folder().map_err(failed)?;
    file.file.write_all(bytes).map_err(failed)?;
    let mut words = editor.split_whitespace();
    let status = Command::new(words.next().unwrap_or("vi")).args(words).arg(&file.path).status().map_err(failed)?;
    if !status.success() {
        return Err(said(format!("{editor} ended with {status}: the message stays held as it was"), Exit::Failed));
    }
    std::fs::read(&file.path).map_err(failed)
}

/// A file that nobody else can read, gone with this value.
struct Draft {
    path: std::path::PathBuf,
    file: std::fs::File,
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn tempfile_in_private_folder() -> std::io::Result<Draft> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let name = format!("mailtide-{}-{}.eml", std::process::id(), getrandom::u32().unwrap_or_default());
    let path = std::env::temp_dir().join(name);
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    Ok(Draft { path, file })
}

/// Whom the new message goes to.
fn recipients(submission: &Submission, old: &Letter, new: &Letter) -> Result<Vec<String>, Failure> {
    let named = |letter: &Letter| {
        let words = letter.recipients().into_iter();
        words.map(|word| word.map(|address| address.to_string())).collect::<Result<Vec<_>, _>>()
    };
    let new = named(new).map_err(|word| said(format!("{word:?} is no mail address"), Exit::Usage))?;
    // What the old one has wrong does not matter any more.
    let old: BTreeSet<String> = old.recipients().into_iter().flatten().map(|address| address.to_string()).collect();
    let has_it =
        |address: &String| submission.recipients.iter().any(|it| it.address == *address && it.state == "accepted");
    let blind = submission.recipients.iter().map(|it| it.address.clone()).filter(|address| !old.contains(address));
    let mut recipients: Vec<String> = Vec::new();
    for address in blind.chain(new) {
        if !has_it(&address) && !recipients.contains(&address) {
            recipients.push(address);
        }
    }
    match recipients.is_empty() {
        true => Err(said("nobody is left to send it to", Exit::Usage)),
        false => Ok(recipients),
    }
}

fn said(message: impl Into<String>, exit: Exit) -> Failure {
    Failure::Said { message: message.into(), exit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::report::Recipient;

    #[test]
    fn blind_copies_stay_and_who_has_it_does_not_get_it_again() {
        let recipient = |address: &str, state: &str| Recipient {
            address: address.to_owned(),
            state: state.to_owned(),
            reply: None,
        };
        let submission = Submission {
            id: SubmissionId::new(1),
            account: "work".to_owned(),
            created: String::new(),
            state: "queued".to_owned(),
            filed: false,
            message_id: String::new(),
            from: String::new(),
            recipients: vec![
                recipient("typo@x", "failed"),
                recipient("has@x", "accepted"),
                recipient("blind@x", "waiting"),
            ],
            size_bytes: 0,
            attempts: 0,
            next_attempt: None,
            last_error: None,
        };
        let letter = |text: &str| Letter::read(text.as_bytes(), false);
        let old = letter("To: typo@x, has@x\n\n");
        let to = |text: &str| recipients(&submission, &old, &letter(text)).ok();
        let list = |addresses: &[&str]| Some(addresses.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(to("To: right@x, has@x\n\n"), list(&["blind@x", "right@x"]));
        assert_eq!(to("To: has@x\nBcc: blind@x\n\n"), list(&["blind@x"]));
        assert_eq!(to("To: nonsense\n\n"), None);
    }
}
