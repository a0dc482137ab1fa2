//! The commands of a tour, and what each is for.
//!
//! Of messages that flags are stored on it is asked whether they are there, once behind all STOREs that follow each other at a
//! stop: what is there then was there when each of its flags was stored.

use super::command::Command;
use super::list::Listing;
use super::messages;
use super::remote::ImapRemote;
use super::select;
use super::transfer;
use crate::sync::remote::{Facts, Known, RemoteError};
use crate::sync::tour::{Errand, Stop};
use crate::types::UidSet;

/// What one command is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    Leave,
    Enter {
        stop: usize,
    },
    /// One command of an errand, and whether it is the last of it.
    Errand {
        stop: usize,
        errand: usize,
        is_last: bool,
        /// What the command asks for: that of the errand itself, NOOP for nothing.
        request: &'static str,
    },
    /// One command of the question which of the messages are there that the errands `first..=last` store flags on.
    Look {
        stop: usize,
        first: usize,
        last: usize,
        is_last: bool,
    },
}

/// Each command with its leg, in the order in which they are sent.
#[derive(Default)]
pub(super) struct Itinerary {
    pub(super) legs: Vec<Leg>,
    pub(super) commands: Vec<Command<'static>>,
}

impl Itinerary {
    pub(super) fn new(remote: &ImapRemote, stops: &[Stop]) -> Result<Self, RemoteError> {
        let mut all = Self::default();
        for (at, stop) in stops.iter().enumerate() {
            // A refused SELECT leaves nothing selected (RFC 9051 section 6.3.2), but not on every server.
            let changes = stop.errands.iter().any(Errand::changes);
            let is_selected = at > 0 || remote.is_in_one;
            if is_selected && (changes || remote.profile.unselects_first) && remote.facts.unselect {
                all.leave();
            }
            all.legs.push(Leg::Enter { stop: at });
            all.commands.push(select::command(&remote.facts, &stop.name, known(&remote.facts, stop)));
            all.visit(remote, at, stop)?;
        }
        Ok(all)
    }

    /// Adds what tells of all mailboxes, none of them selected: of one that is, a server may tell what this session has
    /// seen of it (RFC 3501 section 6.3.10). Gives back the places of the commands.
    pub(super) fn list(&mut self, listing: &Listing, remote: &ImapRemote) -> std::ops::Range<usize> {
        self.leave();
        let asked = listing.ask(&mut self.commands, &remote.foreign, remote.hidden());
        self.legs.resize(self.commands.len(), Leg::Leave);
        asked
    }

    fn leave(&mut self) {
        self.legs.push(Leg::Leave);
        self.commands.push(Command::new("UNSELECT", "UNSELECT"));
    }

    fn visit(&mut self, remote: &ImapRemote, at: usize, stop: &Stop) -> Result<(), RemoteError> {
        let mut first_store = None;
        for (errand, wanted) in stop.errands.iter().enumerate() {
            self.add(errand_commands(remote, wanted)?, |request, is_last| Leg::Errand {
                stop: at,
                errand,
                is_last,
                request,
            });
            if wanted.stores().is_none() {
                continue;
            }
            let first = *first_store.get_or_insert(errand);
            if stop.errands.get(errand + 1).and_then(Errand::stores).is_none() {
                first_store = None;
                let stored = stop.errands[first..=errand].iter().filter_map(Errand::stores);
                let stored = UidSet::from_ranges(stored.flat_map(UidSet::ranges).copied());
                let look = messages::present_commands(remote, &stored);
                self.add(look, |_, is_last| Leg::Look { stop: at, first, last: errand, is_last });
            }
        }
        Ok(())
    }

    /// The leg of a command comes of what it requests, and whether it is the last of them. Never none.
    fn add(&mut self, mut commands: Vec<Command<'static>>, leg: impl Fn(&'static str, bool) -> Leg) {
        if commands.is_empty() {
            commands.push(Command::new("NOOP", "NOOP"));
        }
        let last = commands.len() - 1;
        self.legs.extend(commands.iter().enumerate().map(|(nth, command)| leg(command.request, nth == last)));
        self.commands.extend(commands);
    }
}

/// What is known of the mailbox, as far as SELECT can be told.
pub(super) fn known(facts: &Facts, stop: &Stop) -> Option<Known> {
    select::usable(facts, stop.known)
}

fn errand_commands(remote: &ImapRemote, errand: &Errand) -> Result<Vec<Command<'static>>, RemoteError> {
    let impossible = |what: &str| RemoteError::Impossible(format!("this server has no {what}"));
    Ok(match errand {
        Errand::Scan { uids, changed_since } => {
            messages::fetch_commands(remote, uids, &messages::scan_items(remote, *changed_since))
        }
        Errand::Present(uids) => messages::present_commands(remote, uids),
        Errand::Fingerprint(uids) => messages::fetch_commands(remote, uids, &messages::fingerprint_items(remote)),
        Errand::Fetch(uids) => messages::fetch_commands(remote, uids, &messages::body_items(remote)),
        Errand::Outline(uids) => messages::fetch_commands(remote, uids, &messages::outline_items(remote)),
        Errand::AddFlags { uids, flags } => transfer::store_commands(remote, uids, '+', flags),
        Errand::RemoveFlags { uids, flags } => transfer::store_commands(remote, uids, '-', flags),
        Errand::Copy { uids, to } => transfer::copy_commands(remote, "COPY", uids, to),
        Errand::Move { .. } if !remote.facts.r#move => return Err(impossible("MOVE")),
        Errand::Move { uids, to } => transfer::copy_commands(remote, "MOVE", uids, to),
        Errand::Expunge(_) if !remote.facts.uid_plus => return Err(impossible("UID EXPUNGE")),
        Errand::Expunge(uids) => transfer::expunge_commands(remote, uids),
    })
}
