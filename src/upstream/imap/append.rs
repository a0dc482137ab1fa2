//! Putting a message on the server (RFC 3501 section 6.3.11), streamed from its source.

use super::code::Code;
use super::command::Command;
use super::remote::ImapRemote;
use crate::sync::remote::{AppendUid, Outgoing, RefusalCode, RemoteError, RemoteName};
use crate::types::{ByteSource, limits};

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
    // A NUL may stand in a literal8 alone (RFC 3516 section 4.4); a server that knows none makes of it what it likes.
    let form = if remote.capabilities.has("BINARY") && holds_nul(message.bytes) { "~" } else { "" };
    let command = Command::new("APPEND", "APPEND ")
        .mailbox(to)
        .text(format!(" ({}) \"{}\" {form}", message.flags, message.internal_date.to_imap()))
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

/// False where that cannot be read: sending it will tell.
fn holds_nul(bytes: &mut dyn ByteSource) -> bool {
    let mut offset = 0;
    while let Ok(piece) = bytes.read_at(offset, limits::CONTENT_CHUNK_BYTES) {
        if piece.contains(&0) {
            return true;
        }
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
    }
    false
}
