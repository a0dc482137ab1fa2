//! Worlds whose server is a provider's, as `refserver --profile NAME`: what it offers, what is wrong with it, and mailboxes
//! that are labels.
//!
//! Where they are, a message is one thing in several mailboxes. What is counted then is what is in All Mail and in the Trash,
//! each message once; a copy is a label more, a deletion a label less, but out of those two.

use mailtide::refserver::faults::{Profile, Quirk};

use super::quiet;
use super::random::Random;
use super::script::{Act, Script};
use super::template::USERS;
use super::world::World;

/// Those that are played. Of the others: Proton Bridge has labels and tells no identity of a message.
const PLAYED: [&str; 5] = ["gmail", "exchange", "icloud", "yahoo", "courier-like"];

/// The mailboxes that hold each message once, where mailboxes are labels.
const HOLD_EACH_ONCE: [&str; 2] = ["[Gmail]/All Mail", "Trash"];

/// The provider's server.
pub fn profile(name: &str) -> &'static Profile {
    Profile::ALL.iter().find(|profile| profile.name == name).expect("a profile")
}

impl Script {
    /// The server is a provider's.
    pub fn move_to_a_provider(&mut self, random: &mut Random) {
        let name = *random.pick(&PLAYED);
        let profile = profile(name);
        self.setup.provider = Some(name);
        self.setup.capabilities = profile.capabilities();
        self.setup.quirks = profile.quirks.to_vec();
        let is_backed_up = profile.all_mail.is_none() && !profile.quirks.contains(&Quirk::NoUidNext);
        self.steps.retain(|step| match step.act {
            Act::BackUp | Act::Restore => is_backed_up,
            Act::Renumber { .. } => profile.all_mail.is_none(),
            _ => true,
        });
    }
}

impl World {
    /// Are the server's mailboxes labels?
    pub fn has_labels(&self) -> bool {
        self.server.faults.all_mail().is_some()
    }

    /// Is what is in such a mailbox counted?
    pub fn counts_in(&self, folder: &str) -> bool {
        !self.has_labels() || HOLD_EACH_ONCE.contains(&folder)
    }

    /// Is a message lost to whoever deletes it in that folder? Where mailboxes are labels, not if it has come into All Mail.
    pub fn loses_by_deletion(&self, account: usize, folder: &str, number: u32) -> bool {
        let is_kept = || {
            let (store, id) = (self.server.store(), self.server.account(USERS[account]));
            quiet::numbers_in(store, id, HOLD_EACH_ONCE[0]).contains(&number)
        };
        self.counts_in(folder) || self.server.running.is_none() || !is_kept()
    }

    /// Nobody renames or deletes what holds all mail, nor what that is below.
    pub fn may_be_changed(&self, folder: &str) -> bool {
        folder != "INBOX" && !(self.has_labels() && HOLD_EACH_ONCE.iter().any(|holds| holds.starts_with(folder)))
    }
}
