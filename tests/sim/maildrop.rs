//! Worlds in which the agent takes its mail from a maildrop (POP3): INBOX at the server, that other programs empty as well.
//!
//! What may be expected of the agent then. All that ever came into the maildrop is here, once, unless someone deleted it there
//! before it was taken; and what people here do with it stays as they did it, whatever becomes of it at the server. In the end
//! there is at the server what the configuration says: nothing that is here ([`Keep::Never`]), or nothing that was deleted
//! here ([`Keep::UntilDeleted`]).

use mailtide::store::Store;
use mailtide::types::{AccountId, BodyPolicy, Keep};

use super::quiet;
use super::random::Random;
use super::script::{Act, Doing, Script};
use super::template::USERS;
use super::world::World;

impl Script {
    /// The one account has a maildrop.
    pub fn take_from_a_maildrop(&mut self, random: &mut Random) {
        let days = u16::try_from(random.between(1, 20)).expect("a small number");
        self.setup.maildrop = Some(*random.pick(&[Keep::Always, Keep::UntilDeleted, Keep::Days(days), Keep::Never]));
        self.setup.accounts = 1;
        self.setup.quirks.clear();
        self.setup.bodies = BodyPolicy::ALL;
        self.steps.retain(|step| has_a_meaning(&step.act));
    }
}

/// Does it mean anything in a world with one account, of which nothing is mirrored?
fn has_a_meaning(act: &Act) -> bool {
    match act {
        Act::BackUp | Act::Restore | Act::Mirror { .. } | Act::Bodies { .. } | Act::Bring { .. } => false,
        Act::Deliver { account }
        | Act::Renumber { account, .. }
        | Act::Configure { account, .. }
        | Act::Quota { account, .. }
        | Act::SetPaused { account, .. } => *account == 0,
        Act::Submit { to, .. } => to.is_none_or(|to| to == 0),
        _ => true,
    }
}

/// May someone at the server do it? Of what others do there the agent takes no notice, but for what is deleted.
pub const fn may_be_done_there(doing: &Doing) -> bool {
    matches!(doing, Doing::Open { .. } | Doing::Look | Doing::Idle | Doing::Delete { .. })
}

impl World {
    /// The stores and accounts whose mail is counted: the server's, or the agent's where that has a maildrop.
    pub fn counted(&self) -> Vec<(Store, AccountId)> {
        if let (Some(_), Some(life)) = (self.maildrop, &self.agent.life) {
            return life.accounts().into_iter().map(|account| (life.store.clone(), account)).collect();
        }
        let server = self.server.store();
        let users = USERS[..self.agent.accounts].iter();
        users.map(|user| (server.clone(), self.server.account(user))).collect()
    }

    /// What is still to be taken from the maildrop, or to be deleted there.
    pub fn left_in_maildrop(&self, keep: Keep, here: &quiet::Snapshot) -> Option<String> {
        let there = quiet::numbers_in(self.server.store(), self.server.account(USERS[0]), "INBOX");
        let is_here = |number: &u32| here.values().flatten().any(|(here, _)| *here == number.to_string());
        let is_unwanted = |number: &u32| self.ledger.messages.get(number).is_some_and(|entry| entry.is_unwanted);
        for number in &there {
            let is_left = match (keep, is_here(number)) {
                (Keep::Never, _) | (Keep::UntilDeleted, false) => true,
                (Keep::Always | Keep::Days(_), false) => !is_unwanted(number),
                (_, true) => false,
            };
            if is_left {
                return Some(format!("message {number} is in the maildrop"));
            }
        }
        None
    }
}
