//! How many IMAP sessions each user has open: one user cannot shut the others out, from however many addresses.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::types::{AccountId, limits};

/// The sessions that users have open. One value for all sessions of a program.
#[derive(Debug, Clone)]
pub struct Sessions {
    open: Arc<Mutex<BTreeMap<AccountId, usize>>>,
    max: usize,
}

/// A session's place; dropped, it is free again.
#[derive(Debug)]
pub(super) struct Seat {
    sessions: Sessions,
    account: AccountId,
}

impl Sessions {
    /// At most `max` of each user.
    pub fn at_most(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    /// A place for one more, unless the user has them all.
    pub(super) fn take(&self, account: AccountId) -> Option<Seat> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(account).or_insert(0);
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Seat { sessions: self.clone(), account })
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::at_most(limits::SESSIONS_PER_USER_MAX)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.sessions.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.account) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.account)),
        }
    }
}
