//! `syncctl outbox edit`: a message out of the outbox, changed in an editor and sent in its place.
//!
//! Rules: it does not go out while it lies in the editor, which the daemon knows by this program's connection; the daemon puts
//! the new one in its place in one step; what was written is never lost. It goes to whom it went before, but for those whose
//! names were taken out of its header, and to those whose names were put in.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::editor::{self, Draft};
use super::lines;
use crate::agent::Exit;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::sendmail::letter::Letter;
use crate::cli::sendmail::no_address;
use crate::control::outgoing::Replaced;
use crate::control::outgoing::{Source, Submission};
use crate::control::{self, CallError, Client, Request};
use crate::net::Clock;
use crate::types::{SubmissionId, Timestamp};

/// How often a daemon is looked for that went away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &mut Context, number: i64) -> Result<Exit, Failure> {
    let id = SubmissionId::new(number);
    let mut daemon = context.daemon().await?;
    let before: Submission = daemon.call(&Request::OutboxEdit { id }).await?;
    let old = source(context, id).await?;
    let editor = editor::of(["VISUAL", "EDITOR"].map(|name| std::env::var(name).ok()));
    let draft = Draft::of(&lines::to_editor(&old)).map_err(|cause| cannot_edit(&editor, &cause))?;
    let written = edited(context, id, &mut daemon, &draft, &editor).await;
    let written = written.and_then(|()| draft.bytes().map_err(|cause| cannot_read(&editor, &cause)));
    let outcome = match written.map(|written| lines::from_editor(&old, &written)) {
        Ok(new) if new == old => Ok(None),
        Ok(new) if new.trim_ascii().is_empty() => {
            Err(said("nothing was written; the message stays as it was", Exit::Failed))
        }
        Ok(new) => match replace(context, &before, &old, &new).await {
            Ok(replaced) => Ok(Some(replaced)),
            Err(failure) => Err(kept(&failure.message().unwrap_or_default(), draft, failure.exit())),
        },
        Err(failure) => {
            let message = format!("{}; the message stays as it was", failure.message().unwrap_or_default());
            let written = draft.bytes().map(|written| lines::from_editor(&old, &written));
            let is_written_on = written.is_ok_and(|new| new != old && !new.trim_ascii().is_empty());
            Err(if is_written_on { kept(&message, draft, failure.exit()) } else { said(message, failure.exit()) })
        }
    };
    if let Ok(Some(replaced)) = outcome {
        context.done(&replaced, &told(number, &replaced, Clock::system().now()))?;
        return Ok(Exit::Done);
    }
    // Without a daemon it is closed with the connection.
    let closed = daemon.call(&Request::OutboxEditEnd { id }).await.unwrap_or(before);
    outcome?;
    context.done(&closed, "Nothing was changed.")?;
    Ok(Exit::Done)
}

/// The same, and where the draft is, which stays.
fn kept(message: &str, draft: Draft, exit: Exit) -> Failure {
    let message = message.trim_end_matches('.');
    said(format!("{message}; what you wrote is in {}", draft.keep().display()), exit)
}

fn cannot_edit(editor: &str, cause: &io::Error) -> Failure {
    said(format!("cannot edit with {editor}: {cause}"), Exit::Failed)
}

fn cannot_read(editor: &str, cause: &io::Error) -> Failure {
    said(format!("what {editor} was to write cannot be read: {cause}"), Exit::Failed)
}

/// What became of it.
fn told(number: i64, replaced: &Replaced, now: Timestamp) -> String {
    let Replaced { by, have_it, may_have_it } = replaced;
    let next = by.next_attempt.as_deref().and_then(Timestamp::parse_rfc3339);
    let when = match next.filter(|next| *next > now) {
        _ if by.state == "held" => "; it is held until it is released".to_owned(),
        Some(at) => format!(", not before {}", at.to_rfc3339()),
        None => String::new(),
    };
    let note = match have_it.is_empty() {
        true => String::new(),
        false => format!(" It does not go to {}, who got it as it was.", have_it.join(", ")),
    };
    let doubt = match may_have_it.is_empty() {
        true => String::new(),
        false => format!(
            " It was being sent before, and the answer was lost: {} may have it as it was.",
            may_have_it.join(", ")
        ),
    };
    let to = by.open_addressees();
    format!("Message {number} was replaced by message {}, which goes to {to}{when}.{note}{doubt}", by.id)
}

/// The message's bytes.
pub(super) async fn source(context: &mut Context, id: SubmissionId) -> Result<Vec<u8>, Failure> {
    let source: Source = context.ask(&Request::OutboxSource { id }).await?;
    BASE64.decode(source.base64).map_err(|_| said("the daemon's answer is no base64", Exit::Software))
}

/// The user at work on the draft.
async fn edited(
    context: &Context,
    id: SubmissionId,
    daemon: &mut Client,
    draft: &Draft,
    editor: &str,
) -> Result<(), Failure> {
    let mut child = draft.open_in(editor).map_err(|cause| cannot_edit(editor, &cause))?;
    let status = tokio::select! {
        ended = editor::ended(&mut child) => ended?,
        () = stay(context, id, daemon) => return Ok(()),
    };
    match status.success() {
        true => Ok(()),
        false => Err(said(format!("{editor} ended with {status}"), Exit::Failed)),
    }
}

/// Says to each daemon that is started meanwhile that the message lies in an editor.
async fn stay(context: &Context, id: SubmissionId, daemon: &mut Client) {
    loop {
        daemon.closed().await;
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let Ok(mut again) = context.daemon().await else { continue };
            match again.call::<Submission>(&Request::OutboxEdit { id }).await {
                Ok(_) => {
                    *daemon = again;
                    break;
                }
                // It was sent or taken back meanwhile: that is told once something was written.
                Err(CallError::Failed(failure)) if failure.code != control::Failure::NOT_NOW => {
                    return std::future::pending().await;
                }
                Err(_) => {}
            }
        }
    }
}

/// Has what was written sent in place of what was there.
async fn replace(context: &Context, before: &Submission, old: &[u8], new: &[u8]) -> Result<Replaced, Failure> {
    let base64 = BASE64.encode(new);
    let (old, new) = (Letter::of(old), Letter::of(new));
    let author = new.author().map_err(|word| said(no_address(&word), Exit::Usage))?;
    let author = author.filter(|author| old.author().as_ref() != Ok(&Some(author.clone())));
    let to = recipients(before, &old, &new)?;
    let author = author.map(|author| author.to_string());
    context.ask(&Request::OutboxReplace { id: before.id, base64, to, author }).await
}

/// Whom the new message is for. Who has the old one the daemon knows.
fn recipients(submission: &Submission, old: &Letter, new: &Letter) -> Result<Vec<String>, Failure> {
    let named = |letter: &Letter| {
        let words = letter.recipients().into_iter();
        words.map(|word| word.map(|address| address.to_string())).collect::<Result<Vec<_>, _>>()
    };
    let new = named(new).map_err(|word| said(no_address(&word), Exit::Usage))?;
    // What the old one has wrong does not matter any more.
    let old = old.recipients().into_iter().flatten().map(|address| address.as_str().to_ascii_lowercase());
    let old: BTreeSet<String> = old.collect();
    let was_named = |address: &str| old.contains(&address.to_ascii_lowercase());
    let went_to = submission.recipients.iter().map(|recipient| recipient.address.as_str());
    let stays_named = |address: &str| new.iter().any(|named| named.eq_ignore_ascii_case(address));
    let staying = went_to.clone().filter(|address| !was_named(address) || stays_named(address));
    // A header names people to whom the message never was to go: a list's other members, whoever was left out.
    let added = new
        .iter()
        .map(String::as_str)
        .filter(|address| !was_named(address) && !went_to.clone().any(|known| known.eq_ignore_ascii_case(address)));
    Ok(staying.chain(added).map(str::to_owned).collect())
}

fn said(message: impl Into<String>, exit: Exit) -> Failure {
    Failure::Said { message: message.into(), exit }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::outgoing::Recipient;

    #[test]
    fn blind_copies_stay_and_nobody_is_added_but_whose_name_is_put_in() {
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
            subject: String::new(),
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
            in_doubt: false,
            replaced_by: None,
        };
        let letter = |text: &str| Letter::of(text.as_bytes());
        let old = letter("To: typo@x, has@x\n\n");
        let to = |text: &str| recipients(&submission, &old, &letter(text)).ok();
        let list = |addresses: &[&str]| Some(addresses.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(to("To: right@x, has@x\n\n"), list(&["has@x", "blind@x", "right@x"]));
        assert_eq!(to("To: HAS@x\nBcc: blind@x\n\n"), list(&["has@x", "blind@x"]));
        assert_eq!(to("To: nonsense\n\n"), None);
        let old = letter("To: typo@x, list@x\nCc: other@x\n\n");
        let to = |text: &str| recipients(&submission, &old, &letter(text)).ok();
        assert_eq!(to("To: typo@x, list@x\nCc: other@x\n\nanother body\n"), list(&["typo@x", "has@x", "blind@x"]));
    }
}
