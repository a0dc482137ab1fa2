//! How many messages are on their way to one domain at once: a domain is not overrun, and the next message finds a
//! connection that another left open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::types::limits;

/// The lanes to every domain that mail is on its way to.
#[derive(Debug, Default)]
pub struct Lanes(Mutex<BTreeMap<String, Arc<Semaphore>>>);

impl Lanes {
    /// Waits for a lane to the domain. It is free again once what this gives is dropped.
    pub(super) async fn enter(&self, domain: &str) -> Option<OwnedSemaphorePermit> {
        let lane = {
            let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Who holds or waits for a lane has a clone.
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
            let new = || Arc::new(Semaphore::new(limits::RELAY_LANES_PER_DOMAIN));
            Arc::clone(lanes.entry(domain.to_owned()).or_insert_with(new))
        };
        // Nobody closes it.
        lane.acquire_owned().await.ok()
    }
}
