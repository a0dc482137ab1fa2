//! A tour in one burst: SELECT and the errands of every stop, sent without waiting for any of them.
//!
//! A server answers in the order asked where the answer to one command depends on another (RFC 3501 section 5.5), as all
//! do on SELECT. What it tells untagged belongs to the first command that is not answered yet.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::code::{Code, Condition, StatusLine};
use super::driver::Heard;
use super::itinerary::{Itinerary, Leg, known};
use super::list::{Listing, is_told};
use super::messages::{Bodies, Fingerprints, Scan, Sight};
use super::refusal;
use super::remote::ImapRemote;
use super::select::Told;
use super::transfer::{self, CopyUids, Placing};
use super::untagged::Untagged;
use crate::sync::remote::{Facts, RemoteError, Selected};
use crate::sync::tour::{Brought, Errand, Guide, Stop};
use crate::types::{RemoteUid, UidSet};

/// See [`crate::sync::remote::Remote::tour`].
pub(super) async fn tour(
    remote: &mut ImapRemote,
    stops: &[Stop],
    guide: &mut dyn Guide,
    then_lists: bool,
) -> Result<(), RemoteError> {
    let mut itinerary = Itinerary::new(remote, stops)?;
    let can_list = remote.facts.unselect && remote.lists_at_once();
    let listing = (then_lists && can_list).then(|| Listing::new(&remote.capabilities, remote.facts.cond_store));
    let list_at = listing.as_ref().map_or(0..0, |listing| itinerary.list(listing, remote));
    remote.selected = None;
    remote.is_in_one = !stops.is_empty() && listing.is_none();
    let (host, facts) = (remote.driver.host().to_owned(), remote.facts.clone());
    let mut traveller = Traveller {
        host,
        facts,
        stops,
        guide,
        legs: itinerary.legs,
        at: 0,
        early: BTreeMap::new(),
        entered: None,
        at_work: Work::Nothing,
        placed: CopyUids::default(),
        shown_early: Vec::new(),
        refused: BTreeMap::new(),
        sight: Sight::default(),
        listing,
    };
    let answers = remote.driver.run(itinerary.commands, &mut |heard| traveller.hear(heard)).await?;
    let listing = traveller.listing.filter(|_| is_told(&answers, list_at));
    // Both are about mailboxes left by now; the guide was told.
    remote.driver.take_vanished();
    remote.driver.take_touched();
    if let Some(listing) = listing {
        remote.keep_listing(listing);
    }
    Ok(())
}

/// What is being heard.
enum Work<'a> {
    Nothing,
    Entering(Told),
    Scanning(Scan<'a>),
    Fingerprinting(Fingerprints<'a>),
    Fetching(Bodies<'a>),
    /// Whether messages are there.
    Looking,
    /// Flags, expunges: they bring nothing.
    Changing,
    Placing(Placing<'a>),
}

struct Traveller<'a, 'g> {
    host: String,
    facts: Facts,
    stops: &'a [Stop],
    guide: &'g mut dyn Guide,
    legs: Vec<Leg>,
    /// The first leg that is not answered.
    at: usize,
    /// Answers to later ones.
    early: BTreeMap<usize, StatusLine>,
    /// The stop we are at, once entered.
    entered: Option<usize>,
    /// What is being heard of an errand, begun with its first command.
    at_work: Work<'a>,
    /// COPYUIDs told untagged at this stop. Dovecot does the MOVEs of a burst together and tells of the later ones before
    /// it answers the first: they are known by their UIDs.
    placed: CopyUids,
    /// Fingerprints that were told before the end of the errand before.
    shown_early: Vec<Heard>,
    /// STOREs that were refused, by their errands: told with those that are answered by the same look.
    refused: BTreeMap<usize, RemoteError>,
    /// What searches found at this stop, of whichever errand: Dovecot tells that, too, before it answers an earlier STORE.
    /// What one of them found is there for all.
    sight: Sight,
    /// What is told of all mailboxes at the end.
    listing: Option<Listing>,
}

impl Traveller<'_, '_> {
    fn hear(&mut self, heard: Heard) -> Result<bool, RemoteError> {
        if let Heard::Answered(place, status) = heard {
            return self.answered(place, status).map(|()| true);
        }
        let Some(heard) = Listing::offer(&mut self.listing, heard)? else { return Ok(true) };
        match self.legs.get(self.at).copied() {
            None | Some(Leg::Leave) => Ok(true),
            Some(Leg::Enter { .. }) => {
                if let Work::Entering(told) = &mut self.at_work {
                    return told.hear(heard);
                }
                let mut told = Told::default();
                let is_ours = told.hear(heard);
                self.at_work = Work::Entering(told);
                is_ours
            }
            Some(Leg::Errand { stop, .. } | Leg::Look { stop, .. }) if self.entered != Some(stop) => Ok(true),
            Some(Leg::Errand { stop, errand, .. } | Leg::Look { stop, last: errand, .. }) => {
                if let Heard::Untagged(Untagged::Status(StatusLine { code: Some(code @ Code::CopyUid(..)), .. })) =
                    heard
                {
                    self.placed.keep(code);
                    return Ok(true);
                }
                let Some(heard) = self.sight.hear(heard)? else { return Ok(true) };
                self.begin(stop, errand);
                let left = match &mut self.at_work {
                    Work::Scanning(scan) => scan.hear(heard),
                    Work::Fingerprinting(prints) => prints.hear(heard),
                    Work::Fetching(bodies) => bodies.hear(heard, self.guide)?,
                    Work::Placing(placing) => placing.hear(heard),
                    Work::Looking => Some(heard),
                    // What a STORE or an EXPUNGE makes the server tell is told to nobody: it was asked for.
                    Work::Changing => None,
                    Work::Nothing | Work::Entering(_) => Some(heard),
                };
                let left = left.and_then(|left| self.unless_asked_next(stop, errand, left));
                if let Some(Heard::Untagged(Untagged::Unusable("FETCH"))) = left {
                    return Ok(false);
                }
                if left.is_some_and(|left| is_news(&left)) {
                    self.guide.news(stop);
                }
                Ok(true)
            }
        }
    }

    /// Begins to hear of an errand, unless that was begun.
    fn begin(&mut self, stop: usize, errand: usize) {
        if !matches!(self.at_work, Work::Nothing) {
            return;
        }
        self.at_work = match &self.stops[stop].errands[errand] {
            Errand::Scan { uids, .. } => Work::Scanning(Scan::new(uids)),
            Errand::Fingerprint(uids) => {
                let mut prints = Fingerprints::new(uids);
                // Each of them is asked for there.
                std::mem::take(&mut self.shown_early).into_iter().for_each(|shown| drop(prints.hear(shown)));
                Work::Fingerprinting(prints)
            }
            Errand::Fetch(uids) => Work::Fetching(Bodies::new(uids)),
            Errand::Outline(uids) => Work::Fetching(Bodies::outlined(uids)),
            Errand::Present(_) => Work::Looking,
            Errand::AddFlags { .. } | Errand::RemoveFlags { .. } | Errand::Expunge(_) => Work::Changing,
            Errand::Copy { uids, .. } => Work::Placing(Placing::new(uids, false)),
            Errand::Move { uids, .. } => Work::Placing(Placing::new(uids, true)),
        };
    }

    /// An answer that overtakes others waits for them: what a server tells untagged is of the first that it has not
    /// answered, whichever answer it gives first.
    fn answered(&mut self, place: usize, status: StatusLine) -> Result<(), RemoteError> {
        self.early.insert(place, status);
        while let Some(status) = self.early.remove(&self.at) {
            let leg = self.legs[self.at];
            self.at += 1;
            match leg {
                Leg::Leave => {}
                Leg::Enter { stop } => self.enter(stop, &status)?,
                Leg::Errand { stop, errand, request, .. } if self.entered != Some(stop) => {
                    let changes = self.stops[stop].errands[errand].changes() && request != "NOOP";
                    if changes && status.condition == Condition::Ok {
                        // It was done in another mailbox, or in this one all the same: that is for those to find out who look.
                        let text = "it was done though SELECT was refused".to_owned();
                        return Err(RemoteError::Protocol { request, text });
                    }
                }
                Leg::Errand { stop, errand, is_last, .. } => self.errand(stop, errand, is_last, status)?,
                Leg::Look { stop, .. } if self.entered != Some(stop) => {}
                Leg::Look { stop, first, last, is_last } => self.look(stop, first..=last, is_last, &status)?,
            }
        }
        Ok(())
    }

    fn enter(&mut self, stop: usize, status: &StatusLine) -> Result<(), RemoteError> {
        let told = match std::mem::replace(&mut self.at_work, Work::Nothing) {
            Work::Entering(told) => told,
            _ => Told::default(),
        };
        let selected: Result<Selected, RemoteError> = match status.condition {
            Condition::Ok => {
                let known = known(&self.facts, &self.stops[stop]);
                match self.stops[stop].errands.iter().any(Errand::changes) {
                    true => told.into_changed(&self.facts, known, status),
                    false => told.into_selected(&self.facts, known, status),
                }
            }
            _ => Err(refusal::refusal(&self.host, "SELECT", status)),
        };
        self.placed = CopyUids::default();
        self.sight = Sight::default();
        self.entered = match &selected {
            Ok(_) => Some(stop),
            Err(error) if error.connection_lost() => return Err(error.clone()),
            Err(_) => None,
        };
        self.guide.enter(stop, selected)
    }

    fn errand(&mut self, stop: usize, errand: usize, is_last: bool, status: StatusLine) -> Result<(), RemoteError> {
        self.begin(stop, errand);
        let wanted = &self.stops[stop].errands[errand];
        if status.condition != Condition::Ok {
            let error = refusal::refusal(&self.host, wanted.request(), &status);
            if error.connection_lost() {
                return Err(error);
            }
            // The first refusal is told; what its other commands brought is found out by looking.
            self.skip_rest();
            self.at_work = Work::Nothing;
            if wanted.stores().is_some() {
                self.refused.insert(errand, error);
                return Ok(());
            }
            return self.guide.done(stop, errand, Err(error));
        }
        if let Work::Placing(placing) = &mut self.at_work {
            placing.answered(status);
            placing.claim(&mut self.placed);
        }
        if !is_last {
            return Ok(());
        }
        let brought = match std::mem::replace(&mut self.at_work, Work::Nothing) {
            Work::Scanning(scan) => Brought::Scanned(scan.into_scanned()),
            Work::Fingerprinting(prints) => Brought::Fingerprinted(prints.into_found()),
            Work::Looking => Brought::Present(self.present(stop, errand)?),
            Work::Placing(placing) => Brought::Placed(placing.into_pairs()),
            // It is known with the look that follows.
            Work::Changing if wanted.stores().is_some() => return Ok(()),
            _ => Brought::Nothing,
        };
        self.guide.done(stop, errand, Ok(brought))
    }

    /// Which messages are there that those errands stored flags on is known, or refused.
    fn look(
        &mut self,
        stop: usize,
        errands: RangeInclusive<usize>,
        is_last: bool,
        status: &StatusLine,
    ) -> Result<(), RemoteError> {
        self.at_work = Work::Nothing;
        let refused = match status.condition {
            Condition::Ok if !is_last => return Ok(()),
            Condition::Ok => None,
            _ => Some(refusal::refusal(&self.host, "SEARCH", status)),
        };
        if let Some(error) = refused.as_ref().filter(|error| error.connection_lost()) {
            return Err(error.clone());
        }
        if refused.is_some() {
            self.skip_rest();
        }
        for errand in errands {
            let brought = match self.refused.remove(&errand).or_else(|| refused.clone()) {
                Some(error) => Err(error),
                None => Ok(Brought::Present(self.present(stop, errand)?)),
            };
            self.guide.done(stop, errand, brought)?;
        }
        Ok(())
    }

    /// Those of an errand's messages that are there.
    fn present(&self, stop: usize, errand: usize) -> Result<UidSet<RemoteUid>, RemoteError> {
        let found = self.sight.found(self.looks_so_far(stop))?;
        Ok(match &self.stops[stop].errands[errand] {
            Errand::Present(uids) | Errand::AddFlags { uids, .. } | Errand::RemoveFlags { uids, .. } => {
                found.intersection(uids)
            }
            _ => UidSet::new(),
        })
    }

    /// How many answered commands asked at the stop which messages are there.
    fn looks_so_far(&self, here: usize) -> usize {
        let is_look = |leg: &&Leg| match leg {
            Leg::Errand { stop, request, .. } => *request == "SEARCH" && *stop == here,
            Leg::Look { stop, .. } => *stop == here,
            Leg::Leave | Leg::Enter { .. } => false,
        };
        self.legs[..self.at].iter().filter(is_look).count()
    }

    /// Dovecot answers a short FETCH before the end of a long one that it was sent behind, as RFC 3501 section 5.5 lets it: what
    /// the next errand asks for is kept for that.
    fn unless_asked_next(&mut self, stop: usize, errand: usize, heard: Heard) -> Option<Heard> {
        let Some(Errand::Fingerprint(uids)) = self.stops[stop].errands.get(errand + 1) else { return Some(heard) };
        match &heard {
            Heard::Fetch(items) if items.header.is_some() && items.uid.is_some_and(|uid| uids.contains(uid)) => {
                self.shown_early.push(heard);
                None
            }
            _ => Some(heard),
        }
    }

    /// The answers to the rest of what is refused tell nobody anything, and what was refused told nothing.
    fn skip_rest(&mut self) {
        let work_of = |leg: Leg| match leg {
            Leg::Errand { stop, errand, .. } => Some((stop, errand, false)),
            Leg::Look { stop, last, .. } => Some((stop, last, true)),
            Leg::Leave | Leg::Enter { .. } => None,
        };
        let refused = work_of(self.legs[self.at - 1]);
        let rest = self.legs[self.at - 1..].iter_mut().take_while(|leg| work_of(**leg) == refused);
        rest.for_each(|leg| *leg = Leg::Leave);
    }
}

/// Does it tell of a change in the mailbox?
fn is_news(heard: &Heard) -> bool {
    matches!(heard, Heard::Untagged(Untagged::Exists(_)) | Heard::Fetch(_)) || transfer::is_expunge(heard)
}
