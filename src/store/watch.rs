//! Who wants to know when an account changes. A hint only: readers look at mod-sequences themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::types::AccountId;

/// What is called after a commit. It must not call the store, and should only set something off.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Every watcher.
#[derive(Default)]
pub(super) struct Watchers {
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    next: u64,
    by_account: BTreeMap<AccountId, BTreeMap<u64, Wake>>,
}

/// A watcher's place in the list; dropped, it is called no more.
pub struct Watch {
    account: AccountId,
    number: u64,
    watchers: Weak<Watchers>,
}

impl Watchers {
    pub(super) fn watch(self: &Arc<Self>, account: AccountId, wake: Wake) -> Watch {
        let mut list = self.lock();
        list.next += 1;
        let number = list.next;
        list.by_account.entry(account).or_default().insert(number, wake);
        Watch { account, number, watchers: Arc::downgrade(self) }
    }

    /// Calls those who watch any of `accounts`, in the order in which they came.
    pub(super) fn wake(&self, accounts: &BTreeSet<AccountId>) {
        for account in accounts {
            // Called without the lock: a watcher may be dropped by what it sets off.
            let wakes: Vec<Wake> =
                self.lock().by_account.get(account).map(|some| some.values().cloned().collect()).unwrap_or_default();
            wakes.iter().for_each(|wake| wake());
        }
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let Some(watchers) = self.watchers.upgrade() else { return };
        let mut list = watchers.lock();
        let removed = list.by_account.get_mut(&self.account).and_then(|some| some.remove(&self.number));
        drop(list);
        drop(removed);
    }
}
