//! The end of the program as a value: asked for once, seen by all, for good.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

/// Whether the program (or the part of it that was handed this value) is to stop.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<bool>>);

impl Shutdown {
    /// Nobody asked yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Asks everyone who holds a clone to stop.
    pub fn request(&self) {
        self.0.send_replace(true);
    }

    /// Was it asked for?
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once it was asked for; at once if it was before.
    pub async fn requested(&self) {
        let mut seen = self.0.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = seen.wait_for(|requested| *requested).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// From this call on SIGTERM and SIGINT end nothing by themselves: what it gives resolves at one of them, with its name.
pub fn signal() -> std::io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}
