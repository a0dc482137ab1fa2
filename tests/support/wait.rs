//! Waiting for a condition, with a limit and a name for the panic.

use std::time::{Duration, Instant};

/// How long anything may take that is expected soon. Generous: a loaded machine must not fail a test.
pub const SOON: Duration = Duration::from_secs(60);

const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(20);

/// Asks again and again until there is a value; `None` when time is up.
pub fn try_wait_for<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = look() {
            return Some(value);
        }
        if start.elapsed() >= limit {
            return None;
        }
        std::thread::sleep(LOOK_AGAIN_EVERY);
    }
}

pub fn wait_for<T>(what: &str, limit: Duration, look: impl FnMut() -> Option<T>) -> T {
    try_wait_for(limit, look).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    wait_for(what, limit, || condition().then_some(()));
}

/// Asks again until the two sides are equal; says how they differ when time is up.
pub fn wait_equal<T: PartialEq>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> (T, T),
    tell: impl Fn(&T, &T) -> String,
) {
    let mut last = String::new();
    let equal = try_wait_for(limit, || {
        let (left, right) = look();
        if left == right {
            return Some(());
        }
        last = tell(&left, &right);
        None
    });
    assert!(equal.is_some(), "waited {limit:?} in vain for {what}:\n{last}");
}
