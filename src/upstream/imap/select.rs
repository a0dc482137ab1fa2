//! Selecting a mailbox, with what changed since it was last covered where the server can tell (RFC 7162).

use super::code::Code;
use super::command::Command;
use super::driver::Heard;
use super::fetch::FetchedItems;
use super::list;
use super::remote::{ImapRemote, SelectedMailbox};
use super::untagged::Untagged;
use crate::sync::remote::{Known, RemoteError, RemoteName, Resync, Scanned, Selected};
use crate::types::{Flag, Flags, ModSeq, RemoteUid, SystemFlag, UidSet, UidValidity};

/// What the untagged responses to SELECT told.
#[derive(Default)]
struct Told {
    exists: Option<u32>,
    uid_next: Option<RemoteUid>,
    uid_validity: Option<UidValidity>,
    highest_mod_seq: Option<ModSeq>,
    permanent_flags: Option<Vec<String>>,
    vanished: Vec<(u32, u32)>,
    changed: Vec<Scanned>,
    /// A VANISHED could not be read: what changed since is not known.
    is_incomplete: bool,
}

/// SELECT.
pub(super) async fn select(
    remote: &mut ImapRemote,
    name: &RemoteName,
    known: Option<Known>,
) -> Result<Selected, RemoteError> {
    if remote.profile.unselects_first && remote.selected.is_some() && remote.capabilities.has("UNSELECT") {
        remote.plain(Command::new("UNSELECT", "UNSELECT")).await?;
    }
    // From here on no mailbox is selected until the tagged OK (RFC 3501 section 6.3.1), and news of the last one are stale.
    remote.selected = None;
    let known = known.filter(|known| remote.facts.qresync && known.highest_mod_seq.get() > 0);
    let parameters = match known {
        Some(known) => format!(" (QRESYNC ({} {}))", known.uid_validity, known.highest_mod_seq),
        None if remote.facts.cond_store => " (CONDSTORE)".to_owned(),
        None => String::new(),
    };
    let command = Command::new("SELECT", "SELECT ").mailbox(name).text(parameters);
    let mut told = Told::default();
    let answer = remote.driver.run_one(command, &mut |heard| told.hear(heard)).await?;
    if !remote.facts.cond_store {
        told.highest_mod_seq = None;
    }
    remote.driver.take_vanished();
    remote.driver.take_touched();
    remote.selected = Some(SelectedMailbox { name: name.clone(), uid_next: None, exists: 0 });
    if told.uid_next.is_none() || told.uid_validity.is_none() || told.exists.is_none() {
        fill(remote, name, &mut told).await?;
    }
    let missing =
        |what: &str| RemoteError::Refused { request: "SELECT", code: None, text: format!("OK without {what}") };
    let uid_validity = told.uid_validity.ok_or_else(|| missing("UIDVALIDITY"))?;
    let exists = told.exists.ok_or_else(|| missing("the number of messages"))?;
    remote.selected = Some(SelectedMailbox { name: name.clone(), uid_next: told.uid_next, exists });
    let has_resync = known.is_some_and(|known| known.uid_validity == uid_validity)
        && told.highest_mod_seq.is_some()
        && !told.is_incomplete;
    let since = match has_resync {
        true => Some(Resync { vanished: UidSet::from_ranges(told.vanished), changed: told.changed }),
        false => {
            remote.driver.vanish(&told.vanished)?;
            None
        }
    };
    let (permanent_flags, any_keyword) = permanent_flags(told.permanent_flags.as_deref());
    Ok(Selected {
        uid_validity,
        uid_next: told.uid_next,
        exists,
        highest_mod_seq: told.highest_mod_seq,
        read_only: answer.code == Some(Code::ReadOnly),
        permanent_flags,
        any_keyword,
        since,
    })
}

impl Told {
    fn hear(&mut self, heard: Heard) -> Result<bool, RemoteError> {
        match heard {
            Heard::Untagged(Untagged::Exists(count)) => self.exists = Some(count),
            Heard::Untagged(Untagged::Unusable("VANISHED")) => self.is_incomplete = true,
            Heard::Untagged(Untagged::Status(status)) => match status.code {
                Some(Code::UidNext(uid)) => self.uid_next = Some(uid),
                Some(Code::UidValidity(validity)) => self.uid_validity = Some(validity),
                Some(Code::HighestModSeq(mod_seq)) => self.highest_mod_seq = Some(mod_seq),
                Some(Code::NoModSeq) => self.highest_mod_seq = None,
                Some(Code::PermanentFlags(flags)) => self.permanent_flags = Some(flags),
                // What came before was about the mailbox that was selected (RFC 7162 section 3.2.11).
                Some(Code::Other(name)) if name == "CLOSED" => *self = Self::default(),
                _ => return Ok(false),
            },
            Heard::Vanished(ranges) => self.vanished.extend(ranges),
            Heard::Fetch(FetchedItems { uid: Some(uid), flags: Some(flags), mod_seq, .. }) => {
                self.changed.push(Scanned { uid, flags, mod_seq });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Asks by STATUS for what SELECT left out (QUIRKS.md rows 22 and 30).
async fn fill(remote: &mut ImapRemote, name: &RemoteName, told: &mut Told) -> Result<(), RemoteError> {
    let answer = list::status(remote, std::slice::from_ref(name)).await?.pop();
    if let Some(Ok(status)) = answer {
        told.uid_next = told.uid_next.or(status.uid_next);
        told.uid_validity = told.uid_validity.or(Some(status.uid_validity));
        told.exists = told.exists.or(Some(status.messages));
    }
    Ok(())
}

/// PERMANENTFLAGS; where it is missing every flag can be stored (RFC 3501 section 7.1).
fn permanent_flags(told: Option<&[String]>) -> (Flags, bool) {
    match told {
        Some(flags) => {
            (flags.iter().filter_map(|flag| Flag::parse(flag)).collect(), flags.iter().any(|flag| flag == "\\*"))
        }
        None => (SystemFlag::ALL.into_iter().map(Flag::from).collect(), true),
    }
}
