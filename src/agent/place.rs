//! The data folder under the running daemon: a daemon without one ends, since it can keep nothing that it is told.

use std::time::Duration;

use crate::store::{Error, Store};

/// What is to be durable looks by itself; this finds out where nobody writes.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Returns once the files of the store are not where they were opened.
pub(super) async fn gone(store: Store) -> Error {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        let looking = store.clone();
        // A disk that hangs holds up nobody else.
        if let Ok(Err(error)) = tokio::task::spawn_blocking(move || looking.is_in_place()).await {
            return error;
        }
    }
}
