//! Mailboxes as things to make, rename and delete, and the spelling of their names.

use super::command::Command;
use super::remote::ImapRemote;
use crate::imap::syntax::utf7;
use crate::sync::remote::{RefusalCode, RemoteError, RemoteName};
use crate::types::SpecialUse;

/// The name on the server of the mailbox with these components.
pub(super) fn name_for(components: &[&str], delimiter: Option<char>) -> Result<RemoteName, RemoteError> {
    let impossible = |why: String| Err(RemoteError::Impossible(why));
    let Some(delimiter) = delimiter else {
        return match components {
            [only] => Ok(RemoteName(utf7::encode(only))),
            _ => impossible("this server's mailbox names have no hierarchy".to_owned()),
        };
    };
    if let Some(component) = components.iter().find(|component| component.contains(delimiter)) {
        return impossible(format!("{component:?} holds {delimiter:?}, which separates the levels on this server"));
    }
    let encoded: Vec<String> = components.iter().map(|component| utf7::encode(component)).collect();
    Ok(RemoteName(encoded.join(&delimiter.to_string())))
}

/// A server's name taken apart. What is no modified UTF-7 is kept as it is: it is a name all the same.
pub(super) fn components(name: &str, delimiter: Option<char>) -> Vec<String> {
    let decoded = |part: &str| utf7::decode(part.as_bytes()).unwrap_or_else(|_| part.to_owned());
    match delimiter {
        Some(delimiter) => name.split(delimiter).filter(|part| !part.is_empty()).map(decoded).collect(),
        None => vec![decoded(name)],
    }
}

/// CREATE, with its special use where the server can keep one (RFC 6154 section 3).
pub(super) async fn create(
    remote: &mut ImapRemote,
    name: &RemoteName,
    special_use: Option<SpecialUse>,
) -> Result<(), RemoteError> {
    let create = || Command::new("CREATE", "CREATE ").mailbox(name);
    if let Some(special_use) = special_use.filter(|_| remote.capabilities.has("CREATE-SPECIAL-USE")) {
        let with_use = create().text(format!(" (USE ({}))", special_use.as_str()));
        match remote.in_time(with_use).await {
            // [USEATTR] or something like it: the mailbox counts for more than its use.
            Err(RemoteError::Refused { code: None | Some(RefusalCode::Other), .. }) => {}
            done => return done,
        }
    }
    remote.in_time(create()).await
}

pub(super) async fn rename(remote: &mut ImapRemote, from: &RemoteName, to: &RemoteName) -> Result<(), RemoteError> {
    leave(remote).await?;
    remote.in_time(Command::new("RENAME", "RENAME ").mailbox(from).text(" ").mailbox(to)).await
}

pub(super) async fn delete(remote: &mut ImapRemote, name: &RemoteName) -> Result<(), RemoteError> {
    let delete = Command::new("DELETE", "DELETE ").mailbox(name);
    if !remote.is_in_one || !remote.capabilities.has("UNSELECT") {
        leave(remote).await?;
        return remote.plain(delete).await;
    }
    // At once: the less comes into it meanwhile.
    remote.has_left();
    let commands = vec![Command::new("UNSELECT", "UNSELECT"), delete];
    let answers = remote.driver.run(commands, &mut |_| Ok(false)).await?;
    for (answer, request) in answers.into_iter().zip(["UNSELECT", "DELETE"]) {
        remote.driver.check(request, answer)?;
    }
    Ok(())
}

pub(super) async fn set_subscribed(
    remote: &mut ImapRemote,
    name: &RemoteName,
    subscribed: bool,
) -> Result<(), RemoteError> {
    let (request, text) = if subscribed { ("SUBSCRIBE", "SUBSCRIBE ") } else { ("UNSUBSCRIBE", "UNSUBSCRIBE ") };
    remote.in_time(Command::new(request, text).mailbox(name)).await
}

/// Leaves the selected mailbox before a name goes: that may be its own or one above it, and servers refuse (Courier) or
/// hang up. Never by CLOSE, which expunges.
async fn leave(remote: &mut ImapRemote) -> Result<(), RemoteError> {
    if !remote.is_in_one {
        return Ok(());
    }
    remote.has_left();
    if remote.capabilities.has("UNSELECT") {
        return remote.in_time(Command::new("UNSELECT", "UNSELECT")).await;
    }
    remote.is_in_one = true;
    // Even refused it leaves the other (RFC 3501 section 6.3.1). What it tells is no news of anything. Not EXAMINE:
    // Courier then refuses to append to INBOX.
    remote.driver.run(vec![Command::new("SELECT", "SELECT \"INBOX\"")], &mut |_| Ok(true)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_and_come_back() {
        let rows: [(&[&str], Option<char>, &str); 4] = [
            (&["INBOX", "Entwürfe"], Some('.'), "INBOX.Entw&APw-rfe"),
            (&["a&b", "c"], Some('/'), "a&-b/c"),
            (&["a/b"], None, "a/b"),
            (&["a/b"], Some('.'), "a/b"),
        ];
        for (parts, delimiter, name) in rows {
            assert_eq!(name_for(parts, delimiter), Ok(RemoteName(name.to_owned())));
            assert_eq!(components(name, delimiter), parts);
        }
        assert!(name_for(&["a/b"], Some('/')).is_err());
        assert!(name_for(&["a", "b"], None).is_err());
    }

    #[test]
    fn a_name_that_cannot_be_decoded_is_kept() {
        assert_eq!(components("&bad/Gel&APY-scht/", Some('/')), ["&bad", "Gelöscht"]);
    }
}
