//! How much is done at once for one domain: with few messages on their way to it a domain is not overrun, and the next
//! message finds a connection that another left open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::types::limits;

/// The lanes to every domain that something is done for.
#[derive(Debug)]
pub struct Lanes {
    each: usize,
    domains: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self::each_of(limits::RELAY_LANES_PER_DOMAIN)
    }
}

impl Lanes {
    /// So many to each domain.
    pub fn each_of(each: usize) -> Self {
        Self { each, domains: Mutex::default() }
    }

    /// Waits for a lane to the domain. It is free again once what this gives is dropped.
    pub(super) async fn enter(&self, domain: &str) -> Option<OwnedSemaphorePermit> {
        let lane = {
            let mut lanes = self.domains.lock().unwrap_or_else(PoisonError::into_inner);
            // Who holds or waits for a lane has a clone.
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
            let new = || Arc::new(Semaphore::new(self.each));
            Arc::clone(lanes.entry(domain.to_owned()).or_insert_with(new))
        };
        // Nobody closes it.
        lane.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn who_finds_a_domain_busy_waits_for_it_and_for_no_other() {
        let lanes = Lanes::each_of(2);
        let mut context = Context::from_waker(Waker::noop());
        let mut enter = |domain| match pin!(lanes.enter(domain)).poll(&mut context) {
            Poll::Ready(lane) => lane,
            Poll::Pending => None,
        };
        let (first, second) = (enter("far.example"), enter("far.example"));
        assert!(first.is_some() && second.is_some());
        assert!(enter("far.example").is_none(), "both lanes are taken");
        assert!(enter("other.example").is_some(), "another domain has its own");
        drop(first);
        assert!(enter("far.example").is_some(), "one is free again");
    }
}
