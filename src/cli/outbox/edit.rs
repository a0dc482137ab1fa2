//! `syncctl outbox edit`: a message out of the outbox, changed in an editor and sent in its place.
//!
//! Rules: while it is edited it is put off, a while at a time, so that it goes out when it would have, whatever becomes of
//! this program; the new one is durable in the outbox before the old one goes; whoever has it already does not get it
//! again; what was written is never lost. It goes to whom it went before, but for those whose names were taken out of its
//! header, and to those whose names were put in.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::editor::{self, Draft};
use crate::agent::Exit;
use crate::cli::Context;
use crate::cli::failure::Failure;
use crate::cli::sendmail::letter::Letter;
use crate::cli::sendmail::no_address;
use crate::cli::sendmail::submit::{self, Submission as Outgoing};
use crate::control::Request;
use crate::control::report::{ClientConfig, Source, Submission};
use crate::net::Clock;
use crate::types::{SubmissionId, Timestamp};

/// How far a message that is edited is put off. An editor that is suspended, with this program, may rest that long; after
/// a kill the message waits no longer than that.
const PUT_OFF_MS: i64 = 10 * 60_000;
const PUT_OFF_AGAIN: Duration = Duration::from_secs(60);

pub(super) async fn run(context: &mut Context, number: i64) -> Result<Exit, Failure> {
    let id = SubmissionId::new(number);
    let submission: Submission = context.ask(&Request::OutboxShow { id }).await?;
    if submission.state == "sending" {
        return Err(said(format!("message {number} is being sent: try again in a moment"), Exit::TempFail));
    }
    if submission.state == "handed-over" {
        return Err(said(format!("message {number} has gone out already"), Exit::Failed));
    }
    let old = source(context, id).await?;
    let editor = editor::of(["VISUAL", "EDITOR"].map(|name| std::env::var(name).ok()));
    let failed = |cause: io::Error| said(format!("cannot edit with {editor}: {cause}"), Exit::Failed);
    let draft = Draft::of(&old).map_err(failed)?;
    put_off(context, id).await?;
    let edited = edited(context, id, &draft, &editor).await;
    let written = edited.and_then(|()| draft.bytes().map_err(failed)).and_then(|new| match new.trim_ascii() {
        b"" => Err(said("nothing was written", Exit::Failed)),
        _ => Ok(new),
    });
    let new = match written {
        Ok(new) if new == old => {
            put_back(context, &submission).await?;
            context.screen.line("Nothing was changed.")?;
            return Ok(Exit::Done);
        }
        Ok(new) => new,
        Err(failure) => {
            // Without a daemon it goes out when it was put off to.
            let _ = put_back(context, &submission).await;
            let message = format!("{}; the message stays as it was", failure.message().unwrap_or_default());
            let is_written_on = draft.bytes().is_ok_and(|new| new != old && !new.trim_ascii().is_empty());
            return Err(said(if is_written_on { kept(&message, draft) } else { message }, failure.exit()));
        }
    };
    match replace(context, &submission, &old, &new).await {
        Ok(()) => {
            context.screen.line(&format!("Message {number} was replaced by what you wrote."))?;
            Ok(Exit::Done)
        }
        Err(failure) => Err(said(kept(&failure.message().unwrap_or_default(), draft), failure.exit())),
    }
}

/// The same, and where the draft is, which stays.
fn kept(message: &str, draft: Draft) -> String {
    format!("{message}; what you wrote is in {}", draft.keep().display())
}

/// The message's bytes.
pub(super) async fn source(context: &mut Context, id: SubmissionId) -> Result<Vec<u8>, Failure> {
    let source: Source = context.ask(&Request::OutboxSource { id }).await?;
    BASE64.decode(source.base64).map_err(|_| said("the daemon's answer is no base64", Exit::Software))
}

/// The user at work on the draft.
async fn edited(context: &Context, id: SubmissionId, draft: &Draft, editor: &str) -> Result<(), Failure> {
    let failed = |cause: io::Error| said(format!("cannot edit with {editor}: {cause}"), Exit::Failed);
    let mut child = draft.open_in(editor).map_err(failed)?;
    let putting_off = async {
        loop {
            tokio::time::sleep(PUT_OFF_AGAIN).await;
            // A daemon that is away sends nothing.
            let _ = put_off(context, id).await;
        }
    };
    let status = tokio::select! {
        ended = editor::ended(&mut child) => ended?,
        () = putting_off => return Ok(()),
    };
    match status.success() {
        true => Ok(()),
        false => Err(said(format!("{editor} ended with {status}"), Exit::Failed)),
    }
}

/// Has a message that would go out soon wait for the user. What is held, parked or settled does not go by itself.
async fn put_off(context: &Context, id: SubmissionId) -> Result<(), Failure> {
    let until = Clock::system().now().plus_ms(PUT_OFF_MS);
    let submission: Submission = context.ask(&Request::OutboxShow { id }).await?;
    let next = submission.next_attempt.as_deref().and_then(Timestamp::parse_rfc3339);
    if submission.state == "queued" && next.is_none_or(|next| next < until) {
        context.ask::<Submission>(&Request::OutboxSchedule { id, at: until.to_rfc3339() }).await?;
    }
    Ok(())
}

/// Has it go out when it would have, unless something else was said of it meanwhile.
async fn put_back(context: &Context, before: &Submission) -> Result<(), Failure> {
    let now: Submission = context.ask(&Request::OutboxShow { id: before.id }).await?;
    match now.state.as_str() {
        "queued" => due_as(context, before).await,
        _ => Ok(()),
    }
}

async fn due_as(context: &Context, before: &Submission) -> Result<(), Failure> {
    if let Some(at) = before.next_attempt.clone() {
        context.ask::<Submission>(&Request::OutboxSchedule { id: before.id, at }).await?;
    }
    Ok(())
}

/// Sends what was written in place of what was there. For the moment in which both are there, the old one is held: were
/// this program killed then, it would not go out beside the new one.
async fn replace(context: &Context, before: &Submission, old: &[u8], new: &[u8]) -> Result<(), Failure> {
    let id = before.id;
    let is_settled = ["handed-over", "failed"].contains(&before.state.as_str());
    if before.state == "queued" {
        context.ask::<Submission>(&Request::OutboxHold { id }).await?;
    }
    if let Err(failure) = submit(context, before, old, new).await {
        due_as(context, before).await?;
        return Err(failure);
    }
    if !is_settled {
        context.ask::<Submission>(&Request::OutboxCancel { id }).await?;
    }
    Ok(())
}

async fn submit(context: &Context, before: &Submission, old: &[u8], new: &[u8]) -> Result<(), Failure> {
    let (old, new) = (Letter::read(old, false), Letter::read(new, false));
    let config: ClientConfig = context.ask(&Request::ClientConfig).await?;
    let (user, from) = sender(&config, before, &old, &new)?;
    let outgoing = Outgoing {
        user,
        from,
        recipients: recipients(before, &old, &new)?,
        notify: None,
        ret: None,
        envid: None,
        bytes: new.into_bytes(),
    };
    submit::submit(&config, outgoing).await
}

/// Who logs in, and as whom it is sent: as it was, or as whom a new From names.
fn sender(config: &ClientConfig, before: &Submission, old: &Letter, new: &Letter) -> Result<(String, String), Failure> {
    match new.author().map_err(|word| said(no_address(&word), Exit::Usage))? {
        Some(author) if old.author() != Ok(Some(author.clone())) => {
            let user = submit::user_for(config, None, Some(&author))?;
            Ok((user.user.clone(), author.to_string()))
        }
        _ => Ok((before.account.clone(), before.from.clone())),
    }
}

/// Whom the new message goes to.
fn recipients(submission: &Submission, old: &Letter, new: &Letter) -> Result<Vec<String>, Failure> {
    let named = |letter: &Letter| {
        let words = letter.recipients().into_iter();
        words.map(|word| word.map(|address| address.to_string())).collect::<Result<Vec<_>, _>>()
    };
    let new = named(new).map_err(|word| said(no_address(&word), Exit::Usage))?;
    // What the old one has wrong does not matter any more.
    let old: BTreeSet<String> = old.recipients().into_iter().flatten().map(|address| address.to_string()).collect();
    let has_it =
        |address: &String| submission.recipients.iter().any(|it| it.address == *address && it.state == "accepted");
    let blind = submission.recipients.iter().map(|it| it.address.clone()).filter(|address| !old.contains(address));
    // A header names people to whom the message never was to go: a list's other members, whoever was left out.
    let goes_to = |address: &String| submission.recipients.iter().any(|it| it.address == *address);
    let named = new.into_iter().filter(|address| goes_to(address) || !old.contains(address));
    let mut recipients: Vec<String> = Vec::new();
    for address in blind.chain(named) {
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
        };
        let letter = |text: &str| Letter::read(text.as_bytes(), false);
        let old = letter("To: typo@x, has@x\n\n");
        let to = |text: &str| recipients(&submission, &old, &letter(text)).ok();
        let list = |addresses: &[&str]| Some(addresses.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        assert_eq!(to("To: right@x, has@x\n\n"), list(&["blind@x", "right@x"]));
        assert_eq!(to("To: has@x\nBcc: blind@x\n\n"), list(&["blind@x"]));
        assert_eq!(to("To: nonsense\n\n"), None);
        let old = letter("To: typo@x, list@x\nCc: other@x\n\n");
        let to = |text: &str| recipients(&submission, &old, &letter(text)).ok();
        assert_eq!(to("To: typo@x, list@x\nCc: other@x\n\nanother body\n"), list(&["blind@x", "typo@x"]));
    }
}
