//! What must be there in the end, whoever did what: of each message, by its bytes, how many there may be. Clients act at the
//! same time on both sides, so for a message that somebody deleted, and for an act whose answer was lost, there are bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use crate::support::snapshot::Snapshot;

/// Numbers of messages made while it runs: no message of the first load has such a one.
const NEW_FROM: u64 = 7_000_000;

pub struct Ledger {
    state: Mutex<State>,
}

struct State {
    messages: BTreeMap<String, Count>,
    numbers: u64,
    /// The Message-IDs of those made while it runs, by hash.
    ids: BTreeMap<String, String>,
}

/// Of one message.
#[derive(Default, Clone, Copy)]
struct Count {
    /// Were made, as a server said.
    made: u64,
    /// May have been made: a server was asked to.
    asked: u64,
    /// May have been deleted.
    deleted: u64,
    /// There was more than one with the same bytes at some time. Which of them was moved, and which was deleted, nobody can
    /// tell who has the bytes alone (no OBJECTID, RFC 8474): then one may be made anew that was only moved.
    has_twins: bool,
}

impl Ledger {
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut messages: BTreeMap<String, Count> = BTreeMap::new();
        for entry in snapshot.values().flatten() {
            let count = messages.entry(entry.hash.clone()).or_default();
            count.made += 1;
            count.asked += 1;
            count.has_twins = count.asked > 1;
        }
        Self { state: Mutex::new(State { messages, numbers: NEW_FROM, ids: BTreeMap::new() }) }
    }

    pub fn number(&self) -> u64 {
        let mut state = self.state();
        state.numbers += 1;
        state.numbers
    }

    /// The message is [`crate::support::corpus::small`] of that number.
    pub fn is_number(&self, hash: &str, number: u64) {
        self.state().ids.insert(hash.to_owned(), format!("{number}@far.example"));
    }

    /// Before it is asked for.
    pub fn will_make(&self, hash: &str) {
        self.change(hash, |count| {
            count.asked += 1;
            count.has_twins |= count.asked > 1;
        });
    }

    pub fn made(&self, hash: &str) {
        self.change(hash, |count| count.made += 1);
    }

    /// The server said that it made nothing.
    pub fn not_made(&self, hash: &str) {
        self.change(hash, |count| count.asked -= 1);
    }

    /// Before it is asked for.
    pub fn will_delete(&self, hash: &str) {
        self.change(hash, |count| count.deleted += 1);
    }

    /// About so many messages are there.
    pub fn messages(&self) -> u64 {
        self.state().messages.values().map(|count| count.asked.saturating_sub(count.deleted)).sum()
    }

    /// What is lost, doubled or altered, one sentence each, and its Message-ID, where it was made while it ran. Of those with
    /// one of the Message-IDs `doubled` the server itself made twins; `taken` tells how many of one the agent took for its own.
    pub fn wrong(
        &self,
        snapshot: &Snapshot,
        doubled: &BTreeSet<String>,
        taken: impl Fn(&str) -> u64,
    ) -> Vec<(Option<String>, String)> {
        let mut present: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (folder, entries) in snapshot {
            entries.iter().for_each(|entry| present.entry(&entry.hash).or_default().push(folder));
        }
        let state = self.state();
        let unknown = present.keys().filter(|hash| !state.messages.contains_key(**hash));
        let mut wrong: Vec<_> =
            unknown.map(|hash| (None, format!("nobody made {hash}, in {:?}", present[hash]))).collect();
        for (hash, Count { made, asked, deleted, has_twins }) in &state.messages {
            let folders = present.get(hash.as_str()).cloned().unwrap_or_default();
            let count = folders.len() as u64;
            let id = state.ids.get(hash);
            let has_twins = *has_twins || id.is_some_and(|id| doubled.contains(id));
            let is_lost =
                count + deleted < *made && count + deleted + id.filter(|_| has_twins).map_or(0, |id| taken(id)) < *made;
            if (count > *asked && !has_twins) || is_lost {
                let what = format!("{hash}: made {made} to {asked} times, deleted up to {deleted}; is in {folders:?}");
                wrong.push((id.cloned(), what));
            }
        }
        wrong
    }

    fn change(&self, hash: &str, change: impl FnOnce(&mut Count)) {
        change(self.state().messages.entry(hash.to_owned()).or_default());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }
}
