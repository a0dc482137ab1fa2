//! Mail that is never nowhere: what a side has had and nobody deleted is always somewhere there, also while the agent moves
//! it. At the agent: as long as the server has it. And how often it is there, for what is copied again and again.

use std::collections::{BTreeMap, BTreeSet};

use mailtide::store::{Store, With};
use mailtide::types::{AccountId, ContentId, LocalUid, UidSet};

use super::{mail, quiet};

/// What one store has had.
#[derive(Debug, Default)]
pub struct Presence {
    had: BTreeSet<u32>,
    numbers: BTreeMap<ContentId, Option<u32>>,
    /// Commits of the store when it was last looked at, and what was there.
    looked_at: Option<u64>,
    pub there: BTreeMap<u32, i32>,
}

impl Presence {
    /// Looks at the mail of these accounts, unless nothing was committed since the last look. Returns what was there once
    /// and is there no more.
    pub fn look(&mut self, store: &Store, accounts: &[AccountId], commits: u64) -> Vec<u32> {
        if self.looked_at.replace(commits) == Some(commits) {
            return Vec::new();
        }
        self.there.clear();
        for content in accounts.iter().flat_map(|account| contents(store, *account)) {
            let number = self.numbers.entry(content);
            if let Some(number) = number.or_insert_with(|| mail::number_of(&quiet::bytes(store, content))) {
                *self.there.entry(*number).or_default() += 1;
            }
        }
        self.had.extend(self.there.keys());
        self.had.iter().copied().filter(|number| !self.there.contains_key(number)).collect()
    }
}

/// The content of every message in a mailbox of the account.
fn contents(store: &Store, account: AccountId) -> Vec<ContentId> {
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let read = store.read(|reader| {
        let mut contents = Vec::new();
        for mailbox in reader.mailboxes(account)? {
            let messages = reader.messages_in(mailbox.id, &all, With::Columns)?;
            contents.extend(messages.into_iter().filter_map(|message| message.content));
        }
        Ok(contents)
    });
    read.unwrap_or_else(|error| panic!("the mail of {account}: {error}"))
}
