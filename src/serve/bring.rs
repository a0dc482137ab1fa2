//! The seam to who fetches what is not here, or asks about it: a wish or a question is handed over, and a [`Ticket`] tells
//! what became of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::message::outline::Wanted;
use crate::message::search::Query;
use crate::store::Wake;
use crate::types::{AccountId, MailboxId, MessageId};

/// Who fetches what is not here.
pub trait Bringer: Send + Sync {
    /// Takes a wish on; returns at once. Where nothing can be fetched now the ticket says so already.
    fn bring(&self, account: AccountId, wish: Wish);

    /// Takes a question on, likewise.
    fn inquire(&self, account: AccountId, inquiry: Inquiry);
}

/// What somebody waits for.
pub struct Wish {
    pub message: MessageId,
    pub wanted: Wanted,
    promise: Promise<Outcome>,
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

/// What only the server can tell: which of a mailbox's messages hold a text that is not here.
pub struct Inquiry {
    pub mailbox: MailboxId,
    /// Each a `Text` or a `Body`.
    pub keys: Vec<Query>,
    promise: Promise<Option<Answers>>,
}

/// What the server told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The messages that it was asked about.
    pub asked: BTreeSet<MessageId>,
    /// Those that match, by key.
    pub holding: Vec<(Query, BTreeSet<MessageId>)>,
}

impl Answers {
    /// Does the message hold that? `None`: the server was not asked.
    pub fn say(&self, message: MessageId, key: &Query) -> Option<bool> {
        let (_, holding) = self.holding.iter().find(|(known, _)| known == key)?;
        self.asked.contains(&message).then(|| holding.contains(&message))
    }
}

/// Whoever waits holds it; dropped, nobody waits any more.
pub struct Ticket<T>(Arc<OnceLock<T>>);

/// The other end.
struct Promise<T> {
    outcome: Arc<OnceLock<T>>,
    wake: Wake,
}

impl Wish {
    /// A wish, and its ticket; `wake` is called once the outcome is known.
    pub fn new(message: MessageId, wanted: Wanted, wake: Wake) -> (Self, Ticket<Outcome>) {
        let (promise, ticket) = Promise::new(wake);
        (Self { message, wanted, promise }, ticket)
    }

    /// Does somebody wait for it still?
    pub fn is_awaited(&self) -> bool {
        self.promise.is_awaited()
    }

    /// That became of it.
    pub fn settle(self, outcome: Outcome) {
        self.promise.settle(outcome);
    }
}

impl Inquiry {
    /// A question, and its ticket; `wake` is called once the answer is known.
    pub fn new(mailbox: MailboxId, keys: Vec<Query>, wake: Wake) -> (Self, Ticket<Option<Answers>>) {
        let (promise, ticket) = Promise::new(wake);
        (Self { mailbox, keys, promise }, ticket)
    }

    /// Does somebody wait for it still?
    pub fn is_awaited(&self) -> bool {
        self.promise.is_awaited()
    }

    /// That is the answer; `None`: there is none to be had now.
    pub fn settle(self, answers: Option<Answers>) {
        self.promise.settle(answers);
    }
}

/// Nobody will grant it.
impl Drop for Wish {
    fn drop(&mut self) {
        self.promise.settle(Outcome::Offline);
    }
}

/// Nobody will answer.
impl Drop for Inquiry {
    fn drop(&mut self) {
        self.promise.settle(None);
    }
}

impl<T> Promise<T> {
    fn new(wake: Wake) -> (Self, Ticket<T>) {
        let outcome = Arc::new(OnceLock::new());
        (Self { outcome: Arc::clone(&outcome), wake }, Ticket(outcome))
    }

    fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.outcome) > 1
    }

    fn settle(&self, outcome: T) {
        if self.outcome.set(outcome).is_ok() {
            (self.wake)();
        }
    }
}

impl<T> Ticket<T> {
    /// What came of it; `None`: it is not known yet.
    pub fn outcome(&self) -> Option<&T> {
        self.0.get()
    }
}

/// What one session waits for.
pub struct Errands {
    account: AccountId,
    bringer: Option<Arc<dyn Bringer>>,
    wake: Wake,
    tickets: BTreeMap<(MessageId, Wanted), Ticket<Outcome>>,
    inquiry: Option<(MailboxId, Vec<Query>, Ticket<Option<Answers>>)>,
}

impl Errands {
    /// Of a session of the account, woken by `wake`. Without a bringer nothing can be had.
    pub fn new(account: AccountId, bringer: Option<Arc<dyn Bringer>>, wake: Wake) -> Self {
        Self { account, bringer, wake, tickets: BTreeMap::new(), inquiry: None }
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

    /// Asks the server which messages of the mailbox match. Its answers, told once; `None`: they are on their way.
    pub fn inquire(&mut self, mailbox: MailboxId, keys: Vec<Query>) -> Option<Option<Answers>> {
        match self.inquiry.take() {
            Some((of, asked, ticket)) if of == mailbox && asked == keys => {
                let answers = ticket.outcome().cloned();
                if answers.is_none() {
                    self.inquiry = Some((of, asked, ticket));
                }
                answers
            }
            _ => {
                let Some(bringer) = &self.bringer else { return Some(None) };
                let (inquiry, ticket) = Inquiry::new(mailbox, keys.clone(), Arc::clone(&self.wake));
                self.inquiry = Some((mailbox, keys, ticket));
                bringer.inquire(self.account, inquiry);
                None
            }
        }
    }
}
