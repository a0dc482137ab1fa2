//! The seam to who fetches what is not here: a wish is handed over, and a [`Ticket`] tells what became of it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::message::outline::Wanted;
use crate::store::Wake;
use crate::types::{AccountId, MessageId};

/// Who fetches what is not here.
pub trait Bringer: Send + Sync {
    /// Takes a wish on; returns at once. Where nothing can be fetched now the ticket says so already.
    fn bring(&self, account: AccountId, wish: Wish);
}

/// What somebody waits for.
pub struct Wish {
    pub message: MessageId,
    pub wanted: Wanted,
    outcome: Arc<OnceLock<Outcome>>,
    wake: Wake,
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the store.
    Here,
    /// There is no connection to fetch it by.
    Offline,
    /// The server does not give it: its words.
    Refused(String),
    /// It could be had, but the budget is spent.
    OverBudget,
}

/// Whoever waits holds it; dropped, nobody waits any more.
pub struct Ticket(Arc<OnceLock<Outcome>>);

impl Wish {
    /// A wish, and its ticket; `wake` is called once the outcome is known.
    pub fn new(message: MessageId, wanted: Wanted, wake: Wake) -> (Self, Ticket) {
        let outcome = Arc::new(OnceLock::new());
        (Self { message, wanted, outcome: Arc::clone(&outcome), wake }, Ticket(outcome))
    }

    /// Does somebody wait for it still?
    pub fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.outcome) > 1
    }

    /// That became of it.
    pub fn settle(self, outcome: Outcome) {
        if self.outcome.set(outcome).is_ok() {
            (self.wake)();
        }
    }
}

impl Ticket {
    /// What became of the wish; `None`: it is not known yet.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.0.get()
    }
}

/// What one session waits for.
pub struct Errands {
    account: AccountId,
    bringer: Option<Arc<dyn Bringer>>,
    wake: Wake,
    tickets: BTreeMap<(MessageId, Wanted), Ticket>,
}

impl Errands {
    /// Of a session of the account, woken by `wake`. Without a bringer nothing can be had.
    pub fn new(account: AccountId, bringer: Option<Arc<dyn Bringer>>, wake: Wake) -> Self {
        Self { account, bringer, wake, tickets: BTreeMap::new() }
    }

    /// Asks for what is not here, once. What became of it, told once; `None`: it is on its way.
    pub fn ask(&mut self, message: MessageId, wanted: &Wanted) -> Option<Outcome> {
        let key = (message, wanted.clone());
        match self.tickets.get(&key).map(|ticket| ticket.outcome().cloned()) {
            Some(None) => None,
            Some(outcome) => {
                self.tickets.remove(&key);
                outcome
            }
            None => {
                let Some(bringer) = &self.bringer else { return Some(Outcome::Offline) };
                let (wish, ticket) = Wish::new(message, wanted.clone(), Arc::clone(&self.wake));
                self.tickets.insert(key, ticket);
                bringer.bring(self.account, wish);
                None
            }
        }
    }

    /// Nothing of the message is waited for any more.
    pub fn forget(&mut self, message: MessageId) {
        self.tickets.retain(|(of, _), _| *of != message);
    }
}
