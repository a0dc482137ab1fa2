//! Selecting a mailbox, with what changed since it was last covered where the server can tell (RFC 7162).

use super::code::{Code, StatusLine};
use super::command::Command;
use super::driver::{Heard, Ranges};
use super::fetch::FetchedItems;
use super::list;
use super::messages;
use super::remote::{ImapRemote, SelectedMailbox};
use super::untagged::Untagged;
use crate::sync::remote::{Facts, Known, RemoteError, RemoteName, Resync, Scanned, Selected};
use crate::types::{Flag, Flags, ModSeq, RemoteUid, SystemFlag, UidValidity, limits};

/// What the untagged responses to SELECT told.
#[derive(Default)]
pub(super) struct Told {
    exists: Option<u32>,
    uid_next: Option<RemoteUid>,
    uid_validity: Option<UidValidity>,
    highest_mod_seq: Option<ModSeq>,
    permanent_flags: Option<Vec<String>>,
    vanished: Ranges,
    changed: Vec<Scanned>,
    /// A VANISHED could not be read, or too much changed: what changed since is not known.
    is_incomplete: bool,
}

/// SELECT.
pub(super) async fn select(
    remote: &mut ImapRemote,
    name: &RemoteName,
    known: Option<Known>,
) -> Result<Selected, RemoteError> {
    if remote.profile.unselects_first && remote.is_in_one && remote.capabilities.has("UNSELECT") {
        remote.in_time(Command::new("UNSELECT", "UNSELECT")).await?;
    }
    // From here on no mailbox is selected until the tagged OK (RFC 3501 section 6.3.1), and news of the last one are stale.
    remote.selected = None;
    let known = usable(&remote.facts, known);
    let command = command(&remote.facts, name, known);
    let mut told = Told::default();
    let answer = remote.driver.ask(vec![command], &mut |heard| told.hear(heard)).await?.pop();
    remote.driver.take_vanished();
    remote.driver.take_touched();
    let unanswered = || remote.driver.protocol("no answer");
    let answer = remote.driver.check("SELECT", answer.ok_or_else(unanswered)?)?;
    remote.selected = Some(SelectedMailbox { uid_next: None, exists: 0 });
    remote.is_in_one = true;
    if told.uid_next.is_none() || told.uid_validity.is_none() || told.exists.is_none() {
        fill(remote, name, &mut told).await?;
    }
    let vanished = told.vanished.to_set();
    let selected = told.into_selected(&remote.facts, known, &answer)?;
    if selected.since.is_none() {
        remote.driver.vanish(vanished.ranges())?;
    }
    remote.selected = Some(SelectedMailbox { uid_next: selected.uid_next, exists: selected.exists });
    Ok(selected)
}

/// What was known, where the server can tell what changed since.
pub(super) fn usable(facts: &Facts, known: Option<Known>) -> Option<Known> {
    known.filter(|known| facts.qresync && known.highest_mod_seq.get() > 0)
}

/// SELECT with what the server is to tell.
pub(super) fn command(facts: &Facts, name: &RemoteName, known: Option<Known>) -> Command<'static> {
    let parameters = match known {
        Some(known) => format!(" (QRESYNC ({} {}))", known.uid_validity, known.highest_mod_seq),
        None if facts.cond_store => " (CONDSTORE)".to_owned(),
        None => String::new(),
    };
    Command::new("SELECT", "SELECT ").mailbox(name).text(parameters)
}

impl Told {
    pub(super) fn hear(&mut self, heard: Heard) -> Result<bool, RemoteError> {
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
            Heard::Vanished(ranges) => self.vanished.add("SELECT", &ranges)?,
            Heard::Fetch(FetchedItems { uid: Some(_), flags: Some(_), .. })
                if self.changed.len() == limits::UPSTREAM_CHANGED_MAX =>
            {
                self.is_incomplete = true;
            }
            Heard::Fetch(FetchedItems { uid: Some(uid), flags: Some(flags), mod_seq, .. }) => {
                self.changed.push(Scanned { uid, flags, mod_seq });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The mailbox, once all was told and `answer` was OK.
    pub(super) fn into_selected(
        self,
        facts: &Facts,
        known: Option<Known>,
        answer: &StatusLine,
    ) -> Result<Selected, RemoteError> {
        let missing =
            |what: &str| RemoteError::Refused { request: "SELECT", code: None, text: format!("OK without {what}") };
        let uid_validity = self.uid_validity.ok_or_else(|| missing("UIDVALIDITY"))?;
        let exists = self.exists.ok_or_else(|| missing("the number of messages"))?;
        let highest_mod_seq = self.highest_mod_seq.filter(|_| facts.cond_store);
        let has_resync = known.is_some_and(|known| known.uid_validity == uid_validity)
            && highest_mod_seq.is_some()
            && !self.is_incomplete;
        let since = has_resync.then(|| Resync { vanished: self.vanished.to_set(), changed: self.changed });
        let read_only = answer.code == Some(Code::ReadOnly);
        let (permanent_flags, any_keyword) = match &self.permanent_flags {
            // Of one that may only be read it is to say so, if it keeps any.
            None if read_only => (Flags::none(), false),
            told => permanent_flags(told.as_deref()),
        };
        Ok(Selected {
            uid_validity,
            uid_next: self.uid_next,
            exists,
            highest_mod_seq,
            read_only,
            permanent_flags,
            any_keyword,
            since,
        })
    }

    /// As [`Self::into_selected`], where changes were sent along: they are done by now, and how many messages there are
    /// concerns none of them (QUIRKS.md row 30).
    pub(super) fn into_changed(
        mut self,
        facts: &Facts,
        known: Option<Known>,
        answer: &StatusLine,
    ) -> Result<Selected, RemoteError> {
        self.exists.get_or_insert(0);
        self.into_selected(facts, known, answer).map_err(|error| match error {
            RemoteError::Refused { request, text, .. } => RemoteError::Protocol { request, text },
            error => error,
        })
    }
}

/// Asks for what SELECT left out (QUIRKS.md rows 22 and 30).
async fn fill(remote: &mut ImapRemote, name: &RemoteName, told: &mut Told) -> Result<(), RemoteError> {
    let answer = list::status(remote, std::slice::from_ref(name)).await?.pop();
    if let Some(Ok(status)) = answer {
        told.uid_next = told.uid_next.or(status.uid_next);
        told.uid_validity = told.uid_validity.or(Some(status.uid_validity));
        told.exists = told.exists.or(Some(status.messages));
    }
    // STATUS may be answered with nothing: the messages are counted.
    if told.exists.is_none() {
        let count = messages::search(remote, "ALL").await?.len();
        told.exists = Some(u32::try_from(count).unwrap_or(u32::MAX));
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Beyond that all messages are looked at.
    #[test]
    fn no_more_changes_are_kept_than_there_may_be() {
        let mut told = Told::default();
        let change = || FetchedItems { uid: Some(RemoteUid::new(1)), flags: Some(Flags::none()), ..Default::default() };
        for _ in 0..=limits::UPSTREAM_CHANGED_MAX {
            assert_eq!(told.hear(Heard::Fetch(change())), Ok(true));
        }
        assert!(told.is_incomplete && told.changed.len() == limits::UPSTREAM_CHANGED_MAX);
    }
}
