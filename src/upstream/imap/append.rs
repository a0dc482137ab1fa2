//! Putting a message on the server (RFC 3501 section 6.3.11), streamed from its source.

use super::code::Code;
use super::command::Command;
use super::remote::ImapRemote;
use crate::sync::remote::{AppendUid, Outgoing, RefusalCode, RemoteError, RemoteName};

/// APPEND.
pub(super) async fn append(
    remote: &mut ImapRemote,
    to: &RemoteName,
    message: Outgoing<'_>,
) -> Result<Option<AppendUid>, RemoteError> {
    let size = message.bytes.size();
    if let Some(limit) = remote.facts.append_limit_bytes.filter(|limit| size > *limit) {
        let text = format!("the message has {size} bytes, and the server takes {limit}");
        return Err(RemoteError::Refused { request: "APPEND", code: Some(RefusalCode::TooBig), text });
    }
    let command = Command::new("APPEND", "APPEND ")
        .mailbox(to)
        .text(format!(" ({}) \"{}\" ", message.flags, message.internal_date.to_imap()))
        .stream(message.bytes);
    let answer = remote.driver.run_plain(command).await?;
    if remote.profile.hides_appended {
        // The message is there whatever becomes of this: a failure shows in the next request.
        let _ = remote.plain(Command::new("NOOP", "NOOP")).await;
    }
    Ok(match answer.code {
        Some(Code::AppendUid(uid_validity, uid)) => Some(AppendUid { uid_validity, uid }),
        _ => None,
    })
}
