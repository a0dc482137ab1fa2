//! A server that is restored from an older backup: what happened at it since is undone, and UIDs that it gave out are given
//! out again, under the same UIDVALIDITY. (One that is kept well gives its mailboxes another, as `Act::Renumber` does.)
//!
//! What may be expected of the agent then. Nothing that it holds is lost: what the server has no more goes as if someone
//! had deleted it, recoverable here. Nothing is doubled: it is not put there again, but for what was still to be put there.
//! What the server has again is here again. A UID under which it knew a message may name another: it must see that UIDNEXT
//! or HIGHESTMODSEQ fell behind what it knows. If as much came since as was undone, nobody can see it; so nothing comes behind
//! that, and nobody acts at the server, until the agent has looked.

use std::collections::BTreeMap;

use mailtide::journal::{Op, State};
use mailtide::store::{Bound, RemoteMailbox, Store, With};
use mailtide::types::{AccountId, LocalUid, ModSeq, UidSet};

use super::ledger::Side;
use super::mail;
use super::quiet;
use super::template::USERS;
use super::world::World;

type Counts = BTreeMap<u32, i32>;

impl World {
    /// The server is backed up.
    pub fn back_up(&mut self) {
        if self.server.running.is_some() {
            self.trace.tell("the server is backed up");
            self.server.back_up();
        }
    }

    /// The server is what it was when it was backed up.
    pub fn restore_server(&mut self) {
        let Some(life) = self.agent.life.as_ref().filter(|_| !self.agent.is_dead()) else { return };
        if self.server.running.is_none() || !self.server.has_backup() {
            return;
        }
        self.trace.tell("the server is restored from its backup");
        let store = life.store.clone();
        let accounts: Vec<AccountId> = (0..self.agent.accounts).map(|number| life.account(number)).collect();
        let (held, open) = (counts(&store, &accounts), open(&store, &accounts, |_| true));
        // The server may have done it, and the answer be on its way.
        let untold = self::open(&store, &accounts, |state| matches!(state, State::InFlight { .. }));
        let friend = [self.server.account("friend")];
        let delivered = counts(self.server.store(), &friend);
        self.server.stop();
        self.disconnect(Side::There);
        self.server.restore();
        self.server.start();
        self.keep_quotas();
        let there = counts(self.server.store(), &self.accounts_there());
        let kept = counts(self.server.store(), &friend);
        for sent in &mut self.ledger.sent {
            sent.is_undone |= delivered.contains_key(&sent.number) && !kept.contains_key(&sent.number);
        }
        let is_sent = |number: &u32| self.ledger.sent.iter().any(|sent| sent.number == *number);
        let sent: Vec<u32> = self.ledger.messages.keys().copied().filter(is_sent).collect();
        for (number, entry) in &mut self.ledger.messages {
            let of = |counts: &Counts| counts.get(number).copied().unwrap_or(0);
            entry.is_contested = true;
            entry.least = i32::from(!entry.is_unwanted && of(&there) + of(&open) - of(&untold) > 0);
            entry.most = of(&there) + of(&open) + i32::from(sent.contains(number));
            entry.must_be_recoverable |= !entry.is_unwanted && of(&held) > 0;
        }
        self.forget_the_servers_past();
    }

    /// What waits in the journal is put at a restored server, which may have less of it than people made. Be it that the agent
    /// starts on what a power cut left, which forgot that a step was done: it is done again, as it was asked for. Be it that a
    /// user moved here what was deleted there before the backup, and the agent did not know.
    pub fn expect_again(&mut self) {
        let is_known = self.server.was_restored() && self.server.running.is_some();
        let Some(life) = self.agent.life.as_ref().filter(|_| is_known) else { return };
        let accounts: Vec<AccountId> = (0..self.agent.accounts).map(|number| life.account(number)).collect();
        let (open, there) =
            (open(&life.store, &accounts, |_| true), counts(self.server.store(), &self.accounts_there()));
        for (number, entry) in &mut self.ledger.messages {
            let of = |counts: &Counts| counts.get(number).copied().unwrap_or(0);
            entry.most = entry.most.max((of(&there) + of(&open)).min(entry.most_made));
        }
    }

    /// What people may hold is the administrator's word, and no part of what is undone: were a quota that was lifted since
    /// in force again, nobody would lift it in the end, and what waits for room would have to be given up.
    fn keep_quotas(&self) {
        for (account, user) in USERS[..self.agent.accounts].iter().enumerate() {
            self.server.set_full(user, self.full.contains(&account));
        }
    }

    fn accounts_there(&self) -> Vec<AccountId> {
        USERS[..self.agent.accounts].iter().map(|user| self.server.account(user)).collect()
    }

    /// Does the agent know UIDs or mod-sequences that the server has still to give out (again)?
    pub fn is_undone(&self, account: usize) -> bool {
        self.server.was_restored() && self.mailboxes_behind(account).is_none_or(|behind| behind > 0)
    }

    /// May one more message come into INBOX without bringing its UIDNEXT to where the agent takes it to be?
    pub fn may_come(&self, account: usize) -> bool {
        !self.is_undone(account) || self.is_far_behind(account)
    }

    fn is_far_behind(&self, account: usize) -> bool {
        let Some((known, _)) = self.known(account) else { return false };
        let inbox = known.iter().find(|(mailbox, _)| mailbox.remote_name == "INBOX");
        inbox.is_some_and(|(mailbox, next)| self.there(account, mailbox).is_some_and(|(there, _)| there + 1 < *next))
    }

    fn mailboxes_behind(&self, account: usize) -> Option<usize> {
        let (known, _) = self.known(account)?;
        let is_behind = |(mailbox, next): &&(RemoteMailbox, u32)| {
            let there = self.there(account, mailbox);
            there.is_some_and(|(there, mod_seq)| there < *next || mod_seq < mailbox.cursor.highest_mod_seq)
        };
        Some(known.iter().filter(is_behind).count())
    }

    /// Each mailbox as the agent knows it, with the UIDNEXT that follows from that.
    fn known(&self, account: usize) -> Option<(Vec<(RemoteMailbox, u32)>, AccountId)> {
        let life = self.agent.life.as_ref().filter(|_| !self.agent.is_dead())?;
        let id = life.account(account);
        let known = life.store.read(|reader| {
            let mailboxes = reader.remote_mailboxes(id)?.into_iter().map(|mailbox| {
                let bound = reader.bound(mailbox.mailbox)?;
                let last = bound.iter().filter_map(|bound: &Bound| bound.uid).map(|uid| uid.get()).max();
                let next = mailbox.cursor.uid_next.get().max(last.map_or(0, |last| last + 1));
                Ok((mailbox, next))
            });
            mailboxes.collect()
        });
        Some((known.ok()?, id))
    }

    /// UIDNEXT and HIGHESTMODSEQ.
    fn there(&self, account: usize, mailbox: &RemoteMailbox) -> Option<(u32, ModSeq)> {
        let id = self.server.account(USERS[account]);
        let all = self.server.store().read(|reader| reader.mailboxes(id)).ok()?;
        let is_it = |name: &str| name == mailbox.remote_name;
        let found = all.into_iter().find(|one| one.name.as_ref().is_some_and(|name| is_it(name.as_str())))?;
        Some((found.uid_next.get(), found.highest_mod_seq))
    }
}

/// How often each message is in a mailbox.
fn counts(store: &Store, accounts: &[AccountId]) -> Counts {
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let mut counts = Counts::new();
    for account in accounts {
        for mailbox in store.read(|reader| reader.mailboxes(*account)).expect("mailboxes") {
            let messages = store.read(|reader| reader.messages_in(mailbox.id, &all, With::Columns)).expect("messages");
            for content in messages.into_iter().filter_map(|message| message.content) {
                if let Some(number) = mail::number_of(&quiet::bytes(store, content)) {
                    *counts.entry(number).or_default() += 1;
                }
            }
        }
    }
    counts
}

/// How many of each message the agent has still to put into a mailbox at the server, by entries in such a state.
fn open(store: &Store, accounts: &[AccountId], is_so: fn(&State) -> bool) -> Counts {
    let mut counts = Counts::new();
    for account in accounts {
        for entry in store.read(|reader| reader.entries(*account)).expect("entries") {
            if !matches!(entry.op, Op::Append { .. } | Op::Copy { .. } | Op::Move { .. }) || !is_so(&entry.state) {
                continue;
            }
            for message in &entry.open {
                let facts = store.read(|reader| reader.message_facts(*message)).expect("facts");
                let content = facts.and_then(|facts| facts.content);
                if let Some(number) = content.and_then(|content| mail::number_of(&quiet::bytes(store, content))) {
                    *counts.entry(number).or_default() += 1;
                }
            }
        }
    }
    counts
}
