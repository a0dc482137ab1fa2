//! What is answered about bodies that are not here, and those that were asked for. As in [`super::report`]: add, never rename.

use serde::{Deserialize, Serialize};

use super::report::State;
use crate::types::MessageId;

/// The bodies of an account: what is not here, and what fetching it costs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bodies {
    /// Of which only the header is here.
    pub absent: Amount,
    /// Of those, what the user or the configuration wants.
    pub wanted: Amount,
    /// How many of them the server does not give.
    pub withheld: u64,
    pub today: Today,
    /// How many bytes may be fetched from one midnight (UTC) to the next; `null`: as many as there are.
    pub budget_bytes: Option<u64>,
    pub budget_left_bytes: Option<u64>,
    /// Nothing is fetched that nobody asked for.
    pub metered: bool,
    /// Why nothing of what is wanted is being fetched; `null`: it is.
    pub stopped_by: Option<StoppedBy>,
}

/// Messages, and what they weigh.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub messages: u64,
    pub bytes: u64,
}

/// What was fetched since midnight (UTC).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Today {
    pub fetched_bytes: u64,
    /// Of that, what mail clients and the user asked for.
    pub on_demand_bytes: u64,
}

/// What keeps bodies from being fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoppedBy {
    /// None of them fits into what is left of today's.
    Budget,
    Metered,
}

/// What came of asking for messages and folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    pub targets: Vec<Target>,
}

/// What came of one thing that was asked for, in one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// As it was asked for.
    pub wanted: String,
    pub account: String,
    /// The mailbox, where all of one was asked for.
    pub mailbox: Option<String>,
    /// How the account is now, and why it is not online.
    pub state: State,
    pub error: Option<String>,
    /// Messages that were here before.
    pub here: u64,
    /// Messages that came.
    pub fetched: Amount,
    /// Those that cannot be had now. They come by themselves, once they can.
    pub waiting: u64,
    /// Of those, the ones that today's budget has no room for.
    pub over_budget: u64,
    /// Messages that the server does not give, and those that are gone there: the first hundred of them.
    pub refused: u64,
    pub refusals: Vec<Refusal>,
}

/// A message that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub id: MessageId,
    pub from: String,
    pub subject: String,
    pub why: String,
}

impl Target {
    /// Is everything here now?
    pub const fn is_here(&self) -> bool {
        self.waiting == 0 && self.refused == 0
    }
}
