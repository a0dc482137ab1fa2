//! What the server has had and nobody has deleted is always somewhere at the server, also while the agent moves it.

use std::collections::{BTreeMap, BTreeSet};

use mailtide::store::{Store, With};
use mailtide::types::{ContentId, LocalUid, UidSet};

use super::ledger::Ledger;
use super::server::Server;
use super::template::USERS;
use super::{mail, quiet};

/// See the module.
#[derive(Debug, Default)]
pub struct Presence {
    had: BTreeSet<u32>,
    numbers: BTreeMap<ContentId, Option<u32>>,
}

impl Presence {
    /// Looks at the mail of the first `accounts` users; returns what is missing.
    pub fn look(&mut self, server: &Server, accounts: usize, ledger: &Ledger) -> Vec<String> {
        let mut there = BTreeSet::new();
        for user in &USERS[..accounts] {
            for content in contents(server.store(), user, server) {
                let number = self.numbers.entry(content);
                there.extend(*number.or_insert_with(|| mail::number_of(&quiet::bytes(server.store(), content))));
            }
        }
        let is_missing =
            |number: &u32| ledger.messages.get(number).is_some_and(|entry| entry.least > 0 && !entry.is_unwanted);
        let missing = self.had.difference(&there).copied().filter(is_missing);
        let missing = missing.map(|number| format!("message {number}, that nobody deleted, is nowhere at the server"));
        let missing = missing.collect();
        self.had.append(&mut there);
        missing
    }
}

fn contents(store: &Store, user: &str, server: &Server) -> BTreeSet<ContentId> {
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let account = server.account(user);
    let read = store.read(|reader| {
        let mut contents = BTreeSet::new();
        for mailbox in reader.mailboxes(account)? {
            let messages = reader.messages_in(mailbox.id, &all, With::Columns)?;
            contents.extend(messages.into_iter().filter_map(|message| message.content));
        }
        Ok(contents)
    });
    read.unwrap_or_else(|error| panic!("the server's mail: {error}"))
}
