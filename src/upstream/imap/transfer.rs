//! Changing messages: flags, expunging, copying, moving (RFC 3501 sections 6.4.6, 6.4.7; RFC 4315; RFC 6851).

use super::code::{Code, Condition, StatusLine};
use super::command::Command;
use super::driver::Heard;
use super::messages::{Sight, present_commands};
use super::remote::ImapRemote;
use super::untagged::Untagged;
use crate::sync::remote::{CopyUid, RemoteError, RemoteName};
use crate::types::{Flags, RemoteUid, UidSet, limits};

/// UID STORE ±FLAGS.SILENT, and which of the messages were there for it. A server that refuses the question is believed.
pub(super) async fn store(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
    sign: char,
    flags: &Flags,
) -> Result<UidSet<RemoteUid>, RemoteError> {
    let (mut sight, mut answers) = try_to_store(remote, uids, sign, flags).await?;
    // The look is worth nothing before it is stored.
    if remote.driver.waits_after(&answers).await {
        (sight, answers) = try_to_store(remote, uids, sign, flags).await?;
    }
    let looks = answers.split_off(answers.len() - present_commands(remote, uids).len());
    for answer in answers {
        remote.driver.check("STORE", answer)?;
    }
    match looks.iter().all(|answer| answer.condition == Condition::Ok) {
        true => Ok(sight.found(looks.len())?.intersection(uids)),
        false => Ok(uids.clone()),
    }
}

async fn try_to_store(
    remote: &mut ImapRemote,
    uids: &UidSet<RemoteUid>,
    sign: char,
    flags: &Flags,
) -> Result<(Sight, Vec<StatusLine>), RemoteError> {
    let mut sight = Sight::default();
    let mut commands = store_commands(remote, uids, sign, flags);
    // What is there then was there when its flags were stored.
    commands.extend(present_commands(remote, uids));
    let hear = &mut |heard| Ok(sight.hear(heard)?.is_none_or(|heard| is_ours(&heard, uids)));
    let answers = remote.driver.run(commands, hear).await?;
    Ok((sight, answers))
}

/// UID STORE in as many commands as the set needs, none where no flag is named.
pub(super) fn store_commands(
    remote: &ImapRemote,
    uids: &UidSet<RemoteUid>,
    sign: char,
    flags: &Flags,
) -> Vec<Command<'static>> {
    let arguments = format!("{sign}FLAGS.SILENT ({flags})");
    let pieces = if flags.is_empty() { Vec::new() } else { remote.pieces(uids, arguments.len()) };
    let store = |piece| Command::new("STORE", format!("UID STORE {piece} {arguments}"));
    pieces.iter().map(store).collect()
}

/// What the server tells of these messages is our own doing: mod-sequences, and flags despite .SILENT (QUIRKS.md row 10).
pub(super) fn is_ours(heard: &Heard, uids: &UidSet<RemoteUid>) -> bool {
    matches!(heard, Heard::Fetch(items) if items.uid.is_some_and(|uid| uids.contains(uid)))
}

/// UID EXPUNGE.
pub(super) async fn expunge(remote: &mut ImapRemote, uids: &UidSet<RemoteUid>) -> Result<(), RemoteError> {
    if !remote.facts.uid_plus {
        return Err(RemoteError::Impossible("this server cannot expunge single messages".to_owned()));
    }
    let commands = expunge_commands(remote, uids);
    let hear = &mut |heard| Ok(is_expunge(&heard));
    for answer in remote.driver.ask(commands, hear).await? {
        remote.driver.check("EXPUNGE", answer)?;
    }
    Ok(())
}

/// UID EXPUNGE in as many commands as the set needs. Without the NOOP some Dovecot forgets what was just flagged
/// (QUIRKS.md row 41).
pub(super) fn expunge_commands(remote: &ImapRemote, uids: &UidSet<RemoteUid>) -> Vec<Command<'static>> {
    let expunge = |piece| Command::new("EXPUNGE", format!("UID EXPUNGE {piece}"));
    let noop = std::iter::once(Command::new("NOOP", "NOOP"));
    noop.chain(remote.pieces(uids, 0).iter().map(expunge)).collect()
}

/// Does it tell that messages are gone?
pub(super) const fn is_expunge(heard: &Heard) -> bool {
    matches!(heard, Heard::Untagged(Untagged::Expunge) | Heard::Vanished(_))
}

/// UID COPY or UID MOVE. A set too long for one line goes in several commands, one after the other: after a refusal
/// nothing more is done.
pub(super) async fn copy(
    remote: &mut ImapRemote,
    request: &'static str,
    uids: &UidSet<RemoteUid>,
    to: &RemoteName,
) -> Result<Option<CopyUid>, RemoteError> {
    let mut placing = Placing::new(uids, request == "MOVE");
    for command in copy_commands(remote, request, uids, to) {
        let answers = remote.driver.ask(vec![command], &mut |heard| Ok(placing.hear(heard).is_none())).await?;
        for answer in answers {
            placing.answered(remote.driver.check(request, answer)?);
        }
    }
    Ok(placing.into_pairs())
}

/// UID COPY or UID MOVE in as many commands as the set needs.
pub(super) fn copy_commands(
    remote: &ImapRemote,
    request: &'static str,
    uids: &UidSet<RemoteUid>,
    to: &RemoteName,
) -> Vec<Command<'static>> {
    let command = |piece| Command::new(request, format!("UID {request} {piece} ")).mailbox(to);
    remote.pieces(uids, to.0.len() * 2).iter().map(command).collect()
}

/// Where the messages of a COPY or a MOVE go.
pub(super) struct Placing<'a> {
    uids: &'a UidSet<RemoteUid>,
    moves: bool,
    codes: CopyUids,
}

/// COPYUIDs as they were told. What is told beyond all measure is not kept: where those messages went is found by looking.
#[derive(Default)]
pub(super) struct CopyUids {
    kept: Vec<Code>,
    ranges: usize,
}

impl CopyUids {
    pub(super) fn keep(&mut self, code: Code) {
        let Code::CopyUid(_, from, to) = &code else { return };
        self.ranges += from.len() + to.len();
        if self.ranges <= limits::UPSTREAM_UID_RANGES_MAX {
            self.kept.push(code);
        }
    }
}

impl<'a> Placing<'a> {
    pub(super) fn new(uids: &'a UidSet<RemoteUid>, moves: bool) -> Self {
        Self { uids, moves, codes: CopyUids::default() }
    }

    /// Gives back what does not belong to it.
    pub(super) fn hear(&mut self, heard: Heard) -> Option<Heard> {
        match heard {
            // MOVE tells it before the expunges (RFC 6851 section 4.3).
            Heard::Untagged(Untagged::Status(StatusLine { code: Some(code @ Code::CopyUid(..)), .. })) => {
                self.codes.keep(code);
                None
            }
            heard if self.moves && is_expunge(&heard) => None,
            heard => Some(heard),
        }
    }

    pub(super) fn answered(&mut self, answer: StatusLine) {
        answer.code.into_iter().for_each(|code| self.codes.keep(code));
    }

    /// Takes those of `codes` that tell of its messages.
    pub(super) fn claim(&mut self, codes: &mut CopyUids) {
        let is_ours = |code: &mut Code| match code {
            Code::CopyUid(_, from, _) => from.iter().all(|(low, high)| {
                self.uids.contains(RemoteUid::new(*low)) && self.uids.contains(RemoteUid::new(*high))
            }),
            _ => false,
        };
        codes.kept.extract_if(.., is_ours).for_each(|code| self.codes.keep(code));
    }

    pub(super) fn into_pairs(self) -> Option<CopyUid> {
        pairs(&self.codes.kept, self.uids)
    }
}

/// Where each of `uids` went. `None` where it was not told, or what was told contradicts itself.
fn pairs(codes: &[Code], uids: &UidSet<RemoteUid>) -> Option<CopyUid> {
    let mut told: Option<CopyUid> = None;
    for code in codes {
        let Code::CopyUid(validity, from, to) = code else { continue };
        let told = told.get_or_insert_with(CopyUid::default);
        if told.uid_validity.get_or_insert(*validity) != validity || count(from) != count(to) {
            return None;
        }
        for (from, to) in each(from).zip(each(to)) {
            // Bounded by what was asked, whatever ranges the server names.
            if !uids.contains(from) {
                return None;
            }
            told.uids.insert(from, to);
        }
    }
    told
}

pub(super) fn count(ranges: &[(u32, u32)]) -> u64 {
    ranges.iter().map(|(low, high)| u64::from(high - low) + 1).sum()
}

pub(super) fn each(ranges: &[(u32, u32)]) -> impl Iterator<Item = RemoteUid> + '_ {
    ranges.iter().flat_map(|(low, high)| (*low..=*high).map(RemoteUid::new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::UidValidity;

    #[test]
    fn no_more_of_copyuid_is_kept_than_there_may_be() {
        let mut told = CopyUids::default();
        let ranges: Vec<(u32, u32)> = (1..=200_000).map(|nth| (2 * nth, 2 * nth)).collect();
        for _ in 0..30 {
            told.keep(Code::CopyUid(UidValidity::new(5), ranges.clone(), ranges.clone()));
        }
        assert_eq!(told.kept.len(), 2);
    }

    #[test]
    fn copyuid_pairs_in_the_order_given() {
        let uids = UidSet::parse("1:9").expect("a valid set");
        let code = |validity, from: &[(u32, u32)], to: &[(u32, u32)]| {
            Code::CopyUid(UidValidity::new(validity), from.to_vec(), to.to_vec())
        };
        let shown = |codes: &[Code]| {
            pairs(codes, &uids)
                .map(|told| told.uids.iter().map(|(from, to)| format!("{from}>{to}")).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(shown(&[code(5, &[(7, 7), (2, 4)], &[(20, 23)])]).as_deref(), Some("2>21 3>22 4>23 7>20"));
        assert_eq!(
            shown(&[code(5, &[(1, 1)], &[(20, 20)]), code(5, &[(2, 2)], &[(21, 21)])]).as_deref(),
            Some("1>20 2>21")
        );
        assert_eq!(shown(&[]), None);
        assert_eq!(shown(&[code(5, &[(1, 2)], &[(20, 20)])]), None);
        assert_eq!(shown(&[code(5, &[(1, 1)], &[(9, 9)]), code(6, &[(2, 2)], &[(9, 9)])]), None);
        assert_eq!(shown(&[code(5, &[(1, u32::MAX)], &[(1, u32::MAX)])]), None);
    }
}
