//! Putting messages on the server (RFC 3501 section 6.3.11), streamed from their source.
//!
//! All go out in one burst, as far as the server takes literals unasked (RFC 7888); where it has MULTIAPPEND (RFC 3502)
//! small ones share a command. Such a command is done whole or not at all: refused, its messages are sent one by one, for
//! the refusal may be about one of them. Where a server asks to wait, so are they once it has been waited.

use super::code::{Code, StatusLine};
use super::command::Command;
use super::driver::{Heard, asked_wait_ms};
use super::remote::ImapRemote;
use super::transfer::{count, each};
use crate::sync::remote::{AppendUid, AppendsTold, Outgoing, RefusalCode, RemoteError, RemoteName};
use crate::types::{ByteSource, limits};

/// APPEND. `told` hears of each message by its place.
pub(super) async fn append(
    remote: &mut ImapRemote,
    to: &RemoteName,
    mut messages: Vec<Outgoing<'_>>,
    told: &mut AppendsTold<'_>,
) -> Result<(), RemoteError> {
    let limit = remote.facts.append_limit_bytes.unwrap_or(u64::MAX);
    let mut waiting = Vec::new();
    for (place, size) in messages.iter().map(|message| message.bytes.size()).enumerate() {
        if size <= limit {
            waiting.push((place, size));
            continue;
        }
        let text = format!("the message has {size} bytes, and the server takes {limit}");
        told(place, Err(RemoteError::Refused { request: "APPEND", code: Some(RefusalCode::TooBig), text }));
    }
    let groups = groups(&waiting, remote.capabilities.has("MULTIAPPEND"));
    let (singly, refused) = send(remote, to, &mut messages, groups, false, told).await?;
    remote.driver.waits_after(&refused).await;
    send(remote, to, &mut messages, singly.into_iter().map(|place| vec![place]).collect(), true, told).await?;
    if remote.profile.hides_appended {
        // The messages are there whatever becomes of this: a failure shows in the next request.
        let _ = remote.plain(Command::new("NOOP", "NOOP")).await;
    }
    Ok(())
}

/// The messages that go in one command, each by its place and its size.
fn groups(messages: &[(usize, u64)], are_many: bool) -> Vec<Vec<usize>> {
    let (mut groups, mut bytes): (Vec<Vec<usize>>, u64) = (Vec::new(), 0);
    for (place, size) in messages {
        bytes = bytes.saturating_add(*size);
        match groups.last_mut().filter(|group| {
            are_many
                && bytes <= limits::UPSTREAM_APPEND_TOGETHER_BYTES
                && group.len() < limits::UPSTREAM_APPENDS_TOGETHER
        }) {
            Some(group) => group.push(*place),
            None => {
                groups.push(vec![*place]);
                bytes = *size;
            }
        }
    }
    groups
}

/// Sends each group as one command. Returns the messages of those that were refused and may not be when they go alone, or
/// later, and the refusals.
async fn send(
    remote: &mut ImapRemote,
    to: &RemoteName,
    messages: &mut [Outgoing<'_>],
    groups: Vec<Vec<usize>>,
    is_last: bool,
    told: &mut AppendsTold<'_>,
) -> Result<(Vec<usize>, Vec<StatusLine>), RemoteError> {
    // A NUL may stand in a literal8 alone (RFC 3516 section 4.4); a server that knows none makes of it what it likes.
    let is_binary = remote.capabilities.has("BINARY");
    let mut sources = messages.iter_mut().enumerate();
    let commands = groups.iter().map(|group| {
        group.iter().fold(Command::new("APPEND", "APPEND ").mailbox(to), |command, place| {
            let (_, message) = sources.find(|(at, _)| at == place).expect("groups name places in order");
            let form = if is_binary && holds_nul(message.bytes) { "~" } else { "" };
            let date = message.internal_date.to_imap();
            command.text(format!(" ({}) \"{date}\" {form}", message.flags)).stream(&mut *message.bytes)
        })
    });
    let commands: Vec<Command<'_>> = commands.collect();
    let mut answers: Vec<(usize, StatusLine)> = Vec::new();
    let hear = &mut |heard| {
        if let Heard::Answered(place, status) = heard {
            answers.push((place, status));
        }
        Ok(false)
    };
    let ended = remote.driver.run(commands, hear).await;
    let (mut singly, mut refused) = (Vec::new(), Vec::new());
    for (at, status) in answers {
        let group = &groups[at];
        match remote.driver.check("APPEND", status.clone()) {
            Ok(status) => {
                let uids = appended_uids(status.code, group.len());
                group.iter().zip(uids).for_each(|(place, uid)| told(*place, Ok(uid)));
            }
            // Without the mailbox there is no place for any of them.
            Err(RemoteError::Refused { code, .. }) if group.len() > 1 && code != Some(RefusalCode::TryCreate) => {
                singly.extend(group);
            }
            Err(RemoteError::Wait { .. }) if !is_last && asked_wait_ms(&status).is_some() => {
                singly.extend(group);
                refused.push(status);
            }
            Err(error) => group.iter().for_each(|place| told(*place, Err(error.clone()))),
        }
    }
    singly.sort_unstable();
    ended.map(|_| (singly, refused))
}

/// The UID of each message of a command, where they are told: "in the order they were transmitted" (RFC 4315 section 3).
fn appended_uids(code: Option<Code>, messages: usize) -> Vec<Option<AppendUid>> {
    match code {
        Some(Code::AppendUid(uid_validity, uids)) if count(&uids) == messages as u64 => {
            each(&uids).map(|uid| Some(AppendUid { uid_validity, uid })).collect()
        }
        _ => vec![None; messages],
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_messages_share_a_command_where_the_server_takes_several() {
        let together = limits::UPSTREAM_APPEND_TOGETHER_BYTES;
        let messages = [(0, 10), (1, together - 10), (3, 1), (4, together + 1), (5, 2), (6, 2)];
        assert_eq!(groups(&messages, true), [vec![0, 1], vec![3], vec![4], vec![5, 6]]);
        assert_eq!(groups(&messages, false).len(), messages.len());
        let many: Vec<(usize, u64)> = (0..1000).map(|place| (place, 1)).collect();
        assert!(groups(&many, true).iter().all(|group| group.len() <= limits::UPSTREAM_APPENDS_TOGETHER));
    }
}
