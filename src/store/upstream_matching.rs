//! Which mailbox that upstream lists is which of those known, and how it is called here. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{ListedMailbox, RemoteMailbox};
use crate::journal::{Entry, Op};
use crate::types::{MailboxId, MailboxName};

/// Which listed mailbox is which of those known.
pub(super) struct Matching {
    pub(super) mailboxes: Vec<Option<MailboxId>>,
    unmatched: BTreeMap<MailboxId, RemoteMailbox>,
}

impl Matching {
    /// Those that have the name upstream that they had.
    pub(super) fn new(known: Vec<RemoteMailbox>, listed: &[ListedMailbox]) -> Self {
        let by_name: BTreeMap<&str, MailboxId> =
            known.iter().map(|known| (known.remote_name.as_str(), known.mailbox)).collect();
        let mailboxes: Vec<Option<MailboxId>> =
            listed.iter().map(|listed| by_name.get(listed.remote_name.as_str()).copied()).collect();
        let matched: BTreeSet<MailboxId> = mailboxes.iter().flatten().copied().collect();
        let unmatched = known.into_iter().filter(|known| !matched.contains(&known.mailbox));
        Self { mailboxes, unmatched: unmatched.map(|known| (known.mailbox, known)).collect() }
    }

    /// Mailboxes that have upstream one of the names that an open RENAME gives them: its answer was lost. Several may have been
    /// to get one name, one after the other: the one of that UIDVALIDITY has it first.
    pub(super) fn renamed_by_us(&self, listed: &[ListedMailbox], entries: &[Entry]) -> Vec<(MailboxId, usize)> {
        let named: Vec<(&RemoteMailbox, Vec<MailboxName>)> = self
            .unmatched
            .values()
            .map(|known| (known, names_given(known.mailbox, known.name.as_ref(), entries)))
            .collect();
        let mut pairs: Vec<(MailboxId, usize)> = Vec::new();
        for is_certain in [true, false] {
            for (known, names) in &named {
                let is_it = |at: &usize| {
                    names.contains(&listed[*at].name)
                        && !self.is_linked(*at)
                        && !pairs.iter().any(|(mailbox, taken)| *mailbox == known.mailbox || taken == at)
                        && (!is_certain || listed[*at].uid_validity == known.cursor.uid_validity)
                };
                let found = (0..listed.len()).find(is_it);
                pairs.extend(found.map(|at| (known.mailbox, at)));
            }
        }
        pairs
    }

    /// Mailboxes missing under their name while exactly one new name has the same UIDVALIDITY, and may hold as much.
    pub(super) fn renamed_upstream(&self, listed: &[ListedMailbox]) -> Vec<(MailboxId, usize)> {
        let is_like = |known: &RemoteMailbox, listed: &ListedMailbox| {
            known.cursor.uid_validity.is_some()
                && known.cursor.uid_validity == listed.uid_validity
                && listed.uid_next.is_some_and(|uid_next| uid_next >= known.cursor.uid_next)
        };
        let mut pairs = Vec::new();
        for known in self.unmatched.values() {
            let like = |at: &usize| !self.is_linked(*at) && is_like(known, &listed[*at]);
            let candidates: Vec<usize> = (0..listed.len()).filter(like).collect();
            if let [only] = candidates[..]
                && self.unmatched.values().filter(|other| is_like(other, &listed[only])).count() == 1
            {
                pairs.push((known.mailbox, only));
            }
        }
        pairs
    }

    pub(super) fn link(&mut self, mailbox: MailboxId, at: usize) {
        self.mailboxes[at] = Some(mailbox);
        self.unmatched.remove(&mailbox);
    }

    pub(super) fn is_linked(&self, at: usize) -> bool {
        self.mailboxes[at].is_some()
    }

    /// Was it upstream, and is nothing listed that it could be?
    pub(super) fn is_missing(&self, mailbox: MailboxId) -> bool {
        self.unmatched.contains_key(&mailbox)
    }

    pub(super) fn missing(&self) -> Vec<MailboxId> {
        self.unmatched.keys().copied().collect()
    }
}

/// The names that the open entries give a mailbox, walking back from the one it has now (`name`) to the one it was made
/// with.
pub(super) fn names_given(id: MailboxId, name: Option<&MailboxName>, entries: &[Entry]) -> Vec<MailboxName> {
    let mut names = Vec::new();
    let mut name = name.cloned();
    for entry in entries.iter().rev() {
        match &entry.op {
            Op::CreateMailbox { mailbox, .. } if *mailbox == id => break,
            Op::DeleteMailbox { mailbox, name: last } if *mailbox == id => name = Some(last.clone()),
            Op::RenameMailbox { from, to, .. } => {
                if let Some(before) = name.as_ref().and_then(|name| name.rebased(to, from)) {
                    names.extend(name.replace(before));
                }
            }
            _ => {}
        }
    }
    names
}

/// What a mailbox is called here that upstream calls `name`: the renames that are still to be done are done here.
pub(super) fn name_here(name: &MailboxName, entries: &[Entry]) -> MailboxName {
    let mut name = name.clone();
    for entry in entries {
        if let Op::RenameMailbox { from, to, .. } = &entry.op {
            name = name.rebased(from, to).unwrap_or(name);
        }
    }
    name
}

/// Does an open entry decide what the mailbox called `name` here is called?
pub(super) fn is_named_by_entries(id: MailboxId, name: &MailboxName, entries: &[Entry]) -> bool {
    entries.iter().any(|entry| match &entry.op {
        Op::RenameMailbox { mailbox, to, .. } => *mailbox == id || name == to || name.is_below(to),
        Op::CreateMailbox { mailbox, .. } => *mailbox == id,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::State;
    use crate::store::Cursor;
    use crate::types::{AccountId, EntryId, Flags, Timestamp, UidValidity};

    fn name(text: &str) -> MailboxName {
        MailboxName::parse(text).expect("a name")
    }

    fn entries(ops: Vec<Op>) -> Vec<Entry> {
        let entry = |(nth, op)| Entry {
            id: EntryId::new(nth),
            account: AccountId::new(1),
            created: Timestamp::from_unix_ms(0),
            op,
            state: State::Pending,
            attempts: 0,
            open: Vec::new(),
        };
        (1..).zip(ops).map(entry).collect()
    }

    fn rename(mailbox: i64, from: &str, to: &str) -> Op {
        Op::RenameMailbox { mailbox: MailboxId::new(mailbox), from: name(from), to: name(to) }
    }

    #[test]
    fn what_upstream_names_has_here_the_name_that_open_renames_make_of_it() {
        let swap = entries(vec![rename(1, "A", "T"), rename(2, "B", "A"), rename(1, "T", "B")]);
        for (there, here) in [("A", "B"), ("A/x", "B/x"), ("B/y", "A/y"), ("C", "C")] {
            assert_eq!(name_here(&name(there), &swap), name(here), "{there}");
        }
    }

    #[test]
    fn the_names_given_end_with_the_one_it_was_made_with() {
        let id = MailboxId::new(1);
        let open = entries(vec![
            rename(7, "Mine", "Old"),
            Op::CreateMailbox { mailbox: id, name: name("A") },
            rename(1, "A", "B/a"),
            rename(2, "B", "Mine"),
        ]);
        assert_eq!(names_given(id, Some(&name("Mine/a")), &open), [name("Mine/a"), name("B/a")]);
        assert_eq!(names_given(id, Some(&name("Other")), &open), []);
    }
    #[test]
    fn of_two_mailboxes_that_were_to_get_a_name_one_has_it_and_that_of_its_uidvalidity_first() {
        let open = entries(vec![rename(1, "A", "X"), rename(1, "X", "Y"), rename(2, "B", "X")]);
        let known = |id: i64, remote_name: &str, here: &str, uid_validity: u32| RemoteMailbox {
            mailbox: MailboxId::new(id),
            remote_name: remote_name.to_owned(),
            name: Some(name(here)),
            selectable: true,
            cursor: Cursor::start(Some(UidValidity::new(uid_validity))),
            permanent_flags: Flags::none(),
            any_keyword: false,
        };
        for (uid_validity, expected) in [(7, 1), (8, 2), (9, 1)] {
            let listed = [ListedMailbox {
                remote_name: "X".to_owned(),
                name: name("X"),
                special_use: None,
                selectable: true,
                subscribed: true,
                uid_validity: Some(UidValidity::new(uid_validity)),
                uid_next: None,
                is_wanted: true,
                rights: None,
            }];
            let matching = Matching::new(vec![known(1, "A", "Y", 7), known(2, "B", "X", 8)], &listed);
            assert_eq!(matching.renamed_by_us(&listed, &open), [(MailboxId::new(expected), 0)], "{uid_validity}");
        }
    }
}
