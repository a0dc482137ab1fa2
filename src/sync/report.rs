//! What a sync did, for one line that a person can follow.

use std::fmt;

use crate::store::Mirrored;
use crate::types::MailboxName;

/// Counts of one sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that arrived.
    pub arrived: usize,
    /// Messages whose flags upstream changed.
    pub flags_in: usize,
    /// Messages that upstream moved.
    pub moved_in: usize,
    /// Messages that upstream expunged.
    pub gone: usize,
    pub appended: usize,
    pub copied: usize,
    pub moved: usize,
    pub expunged: usize,
    /// Messages whose flags were changed upstream.
    pub flags_out: usize,
    /// Mailboxes and subscriptions changed upstream.
    pub folders: usize,
    /// Steps found done (or not) after an answer was lost.
    pub recovered: usize,
    pub conflicts: usize,
    pub parked: usize,
    /// Messages that the server named but did not give.
    pub skipped: usize,
    /// Mailboxes in quarantine, by name.
    pub blocked: Vec<String>,
    /// Mailboxes that the configuration leaves out of the mirror from now on.
    pub left_out: Vec<String>,
    /// Mailboxes that are mirrored again.
    pub mirrored_again: Vec<String>,
    /// Mailboxes to be left out, once what waits in them is done upstream.
    pub held: Vec<String>,
    /// Mailboxes that the server did not let us look into, with what it said.
    pub refused: Vec<(String, String)>,
}

impl Report {
    /// Did anything change upstream by it?
    pub const fn has_pushed(&self) -> bool {
        self.appended + self.copied + self.moved + self.expunged + self.flags_out + self.folders > 0
    }

    /// Is there anything that only another pull sees?
    pub const fn has_restored(&self) -> bool {
        self.recovered > 0 || self.conflicts > 0
    }

    /// Adds what another round did.
    pub fn add(&mut self, round: Self) {
        self.arrived += round.arrived;
        self.flags_in += round.flags_in;
        self.moved_in += round.moved_in;
        self.gone += round.gone;
        self.appended += round.appended;
        self.copied += round.copied;
        self.moved += round.moved;
        self.expunged += round.expunged;
        self.flags_out += round.flags_out;
        self.folders += round.folders;
        self.recovered += round.recovered;
        self.conflicts += round.conflicts;
        self.parked += round.parked;
        // The same in each round.
        self.skipped = self.skipped.max(round.skipped);
        self.blocked = round.blocked;
        self.refused = round.refused;
        self.left_out.extend(round.left_out);
        self.mirrored_again.extend(round.mirrored_again);
        self.held = round.held;
    }

    /// Which mailboxes came into the mirror and went out of it.
    pub(super) fn take_mirrored(&mut self, mirrored: &Mirrored) {
        let texts = |names: &[MailboxName]| names.iter().map(MailboxName::to_string).collect::<Vec<_>>();
        self.left_out.extend(texts(&mirrored.hidden));
        self.mirrored_again.extend(texts(&mirrored.shown));
        self.held = texts(&mirrored.held);
    }

    const fn counts(&self) -> [(usize, &'static str); 14] {
        [
            (self.arrived, "arrived"),
            (self.flags_in, "reflagged"),
            (self.moved_in, "moved upstream"),
            (self.gone, "gone"),
            (self.appended, "appended"),
            (self.copied, "copied"),
            (self.moved, "moved"),
            (self.expunged, "expunged"),
            (self.flags_out, "flags sent"),
            (self.folders, "folder changes sent"),
            (self.recovered, "recovered"),
            (self.conflicts, "conflicts"),
            (self.parked, "parked"),
            (self.skipped, "not given"),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        let told = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let blocked = self.blocked.iter().map(|name| format!("{name} blocked"));
        let refused = self.refused.iter().map(|(name, why)| format!("{name} not readable ({why})"));
        let left_out = self.left_out.iter().map(|name| format!("{name} is no longer mirrored"));
        let again = self.mirrored_again.iter().map(|name| format!("{name} is mirrored again"));
        let held = self.held.iter().map(|name| format!("{name} is mirrored until what waits in it is done"));
        let mirror = left_out.chain(again).chain(held);
        let parts: Vec<String> = told.chain(blocked).chain(refused).chain(mirror).collect();
        match parts.is_empty() {
            true => f.write_str("no change"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_told() {
        assert_eq!(Report::default().to_string(), "no change");
        let report = Report { arrived: 3, expunged: 1, blocked: vec!["Work".to_owned()], ..Report::default() };
        assert_eq!(report.to_string(), "3 arrived, 1 expunged, Work blocked");
    }
}
