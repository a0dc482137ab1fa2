//! The search index is made while nobody else is at work: by syncd and by refserver.
//!
//! A batch is made where no commit came for a moment, and as long as none comes; a store that is never at rest has one
//! made now and then all the same. Between batches there is as long a pause as a batch takes.

use std::time::{Duration, Instant};

use crate::net::Shutdown;
use crate::store::Store;

/// How long nothing was committed where nobody is at work.
const REST: Duration = Duration::from_secs(1);

/// After so many [`REST`]s in which something was committed, a batch is made nevertheless.
const DISTURBED_MAX: u32 = 60;

/// After a failure nothing is tried for this many of them.
const AFTER_FAILURE: u32 = 300;

/// Makes the index of a store, until the program ends.
pub async fn index_at_rest(store: Store, stop: Shutdown) {
    let (mut seen, mut disturbed) = (None, 0);
    let mut complete_at = None;
    let mut skipped = 0;
    loop {
        tokio::select! {
            () = stop.requested() => return,
            () = tokio::time::sleep(REST) => {}
        }
        let commits = store.commits();
        if skipped > 0 || complete_at == Some(commits) {
            skipped = u32::saturating_sub(skipped, 1);
            continue;
        }
        if seen != Some(commits) && disturbed < DISTURBED_MAX {
            (seen, disturbed) = (Some(commits), disturbed + 1);
            continue;
        }
        disturbed = 0;
        match index_until_disturbed(&store, commits, &stop).await {
            Ok(true) => complete_at = Some(commits),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!("messages are searched without an index for now: {error}");
                skipped = AFTER_FAILURE;
            }
        }
    }
}

/// True once everything of that commit is in it.
async fn index_until_disturbed(store: &Store, commits: u64, stop: &Shutdown) -> Result<bool, String> {
    loop {
        let (batch_store, began) = (store.clone(), Instant::now());
        let more = tokio::task::spawn_blocking(move || batch_store.index_more()).await;
        if !more.map_err(|error| error.to_string())?.map_err(|error| error.to_string())? {
            return Ok(true);
        }
        tokio::select! {
            () = stop.requested() => return Ok(false),
            () = tokio::time::sleep(began.elapsed()) => {}
        }
        if store.commits() != commits {
            return Ok(false);
        }
    }
}
