//! What systemd is told, where it started us (sd_notify(3)); elsewhere nothing happens.

use sd_notify::NotifyState;

/// Tells that we serve.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells that we are stopping.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells a line for `systemctl status`.
pub fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// Tells now and then that the runtime still turns, where the unit has a watchdog. Never returns.
pub async fn watchdog() {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    // Twice as often as asked: one late beat is no death.
    let mut beat = tokio::time::interval(limit / 2);
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "cannot tell systemd");
    }
}
