//! The wall clock as a value, so that whoever needs the time is handed it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::types::Timestamp;

/// Tells the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(|| match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Timestamp::from_unix_ms(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
        }))
    }

    /// A clock that tells what `tell` tells.
    pub fn from_fn(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// How long it is until `moment`; nothing if it has passed.
    pub fn until(&self, moment: Timestamp) -> Duration {
        let ms = moment.unix_ms().saturating_sub(self.now().unix_ms());
        Duration::from_millis(u64::try_from(ms).unwrap_or(0))
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
