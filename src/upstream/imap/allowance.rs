//! What a server allows its user: how much may be kept (RFC 9208), and what may be done with a mailbox (RFC 4314).
//!
//! Both are asked for along with the list of mailboxes, and a refusal is no answer. What may be done with mailboxes of others
//! a server with LIST-MYRIGHTS tells in the list itself; on another one they are known only once they were listed: the first
//! time on a connection it takes one more round trip, where there are any.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::command::Command;
use super::driver::Heard;
use super::remote::ImapRemote;
use super::token::{Malformed, Tokens};
use super::untagged::Untagged;
use crate::sync::remote::{Listed, RemoteError, RemoteName};
use crate::types::{QuotaUse, Rights, limits};

/// Of whatever INBOX counts against.
pub(super) fn quota_command() -> Command<'static> {
    Command::new("GETQUOTAROOT", "GETQUOTAROOT \"INBOX\"")
}

/// Of one mailbox.
pub(super) fn rights_command(name: &RemoteName) -> Command<'static> {
    Command::new("MYRIGHTS", "MYRIGHTS ").mailbox(name)
}

/// `quota-response = "QUOTA" SP quota-root-name SP quota-list`, with `quota-resource = resource-name SP resource-usage SP
/// resource-limit`
pub(super) fn quota(tokens: &mut Tokens<'_>) -> Result<Vec<QuotaUse>, Malformed> {
    let root = String::from_utf8_lossy(&tokens.astring()?).into_owned();
    let words = tokens.flat_list()?;
    let (resources, []) = words.as_chunks::<3>() else { return Err(Malformed("a quota resource is cut off")) };
    let number = |word: &[u8]| super::token::number(word).ok_or(Malformed("a number is missing"));
    let resource = |[name, used, limit]: &[Cow<'_, [u8]>; 3]| {
        let resource = super::code::printable(name).to_ascii_uppercase();
        let unit = if resource == QuotaUse::STORAGE { 1024 } else { 1 };
        let scaled = |word| Ok(number(word)?.saturating_mul(unit).min(i64::MAX.cast_unsigned()));
        Ok(QuotaUse { root: root.clone(), used: scaled(used)?, limit: scaled(limit)?, resource })
    };
    resources.iter().take(limits::UPSTREAM_QUOTA_RESOURCES_MAX).map(resource).collect()
}

/// `myrights-data = "MYRIGHTS" SP mailbox SP rights`
pub(super) fn my_rights(tokens: &mut Tokens<'_>) -> Result<(Vec<u8>, Rights), Malformed> {
    let name = tokens.astring()?.into_owned();
    let rights = tokens.astring()?;
    Ok((name, Rights::told(&String::from_utf8_lossy(&rights))))
}

/// Adds what may be done with mailboxes of others, where the list did not tell that.
pub(super) async fn fill_rights(remote: &mut ImapRemote, listed: &mut [Listed]) -> Result<(), RemoteError> {
    if !remote.capabilities.has("ACL") {
        return Ok(());
    }
    let is_foreign = |listed: &&mut Listed| listed.selectable && remote.namespaces.is_foreign(&listed.components);
    let mut foreign: Vec<&mut Listed> = listed.iter_mut().filter(is_foreign).collect();
    let known = foreign.iter().map(|listed| listed.name.clone()).collect();
    let asked: BTreeSet<RemoteName> = std::mem::replace(&mut remote.foreign, known).into_iter().collect();
    foreign.retain(|listed| listed.rights.is_none() && !asked.contains(&listed.name));
    if foreign.is_empty() {
        return Ok(());
    }
    let commands = foreign.iter().map(|listed| rights_command(&listed.name)).collect();
    let hear = &mut |heard| match heard {
        Heard::Untagged(Untagged::MyRights(name, rights)) => {
            if let Some(listed) = foreign.iter_mut().find(|listed| listed.name.0.as_bytes() == name) {
                listed.rights = Some(rights);
            }
            Ok(true)
        }
        _ => Ok(false),
    };
    remote.driver.run(commands, hear).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(root: &str, resource: &str, used: u64, limit: u64) -> QuotaUse {
        QuotaUse { root: root.to_owned(), resource: resource.to_owned(), used, limit }
    }

    #[test]
    fn quota_is_read_in_every_form_seen() {
        let rows = [
            ("\"User quota\" (STORAGE 10 512)", Ok(vec![one("User quota", "STORAGE", 10_240, 524_288)])),
            ("\"\" (storage 1 2 Message 3 4)", Ok(vec![one("", "STORAGE", 1024, 2048), one("", "MESSAGE", 3, 4)])),
            ("user.ann ()", Ok(vec![])),
            ("\"\" (STORAGE 18446744073709551615 1)", Ok(vec![one("", "STORAGE", i64::MAX as u64, 1024)])),
        ];
        for (text, expected) in rows {
            assert_eq!(quota(&mut Tokens::new(text.as_bytes())), expected, "{text}");
        }
        for text in ["", "x", "x (STORAGE 1)", "x (STORAGE a 1)", "x (STORAGE 1 2"] {
            assert!(quota(&mut Tokens::new(text.as_bytes())).is_err(), "{text}");
        }
    }
}
