//! When a connection on which nothing is said is not to be believed any more: the machine slept, or has another address.
//! The other end may have given it up long ago, and no packet will ever tell.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::net::Clock;
use crate::upstream::Dial;

/// How often to look: soon enough for whoever opens the lid, rare enough to cost nothing.
const LOOK: Duration = Duration::from_secs(15);

/// The clock on the wall goes on while the machine sleeps, and timers stand still. Less than this is a clock being set.
const SLEPT_MS: i64 = 10_000;

/// Returns once the connections that there are should be tried.
pub(super) async fn distrust(clock: &Clock, dial: &impl Dial) {
    let source = dial.source();
    loop {
        let (wall, begun) = (clock.now(), Instant::now());
        sleep(LOOK).await;
        let passed_ms = clock.now().unix_ms() - wall.unix_ms();
        let slept_ms = passed_ms - i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let has_moved = dial.source() != source;
        if slept_ms > SLEPT_MS || has_moved {
            tracing::info!(slept_ms, has_moved, "connections are tried");
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};

    use super::*;
    use crate::types::Timestamp;
    use crate::upstream::dial::BoxedStream;

    /// A machine that has a lid and moves about.
    #[derive(Default)]
    struct Laptop {
        slept_ms: AtomicI64,
        place: AtomicU8,
    }

    impl Dial for Arc<Laptop> {
        async fn dial(&self, _host: &str, _port: u16) -> io::Result<BoxedStream> {
            Err(io::ErrorKind::ConnectionRefused.into())
        }

        fn source(&self) -> Vec<IpAddr> {
            vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, self.place.load(Ordering::SeqCst)))]
        }
    }

    /// How long it takes to distrust after `change`, if it does.
    async fn seconds_after(change: impl FnOnce(&Laptop)) -> Option<u64> {
        let laptop = Arc::new(Laptop::default());
        let (begun, sleeper) = (Instant::now(), laptop.clone());
        let clock = Clock::from_fn(move || {
            let up_ms = i64::try_from(begun.elapsed().as_millis()).expect("a short test");
            Timestamp::from_unix_ms(1_700_000_000_000 + up_ms + sleeper.slept_ms.load(Ordering::SeqCst))
        });
        let changed = async {
            sleep(Duration::from_secs(100)).await;
            change(&laptop);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = distrust(&clock, &laptop) => Some(begun.elapsed().as_secs() - 100),
            () = changed => None,
            () = sleep(Duration::from_secs(1000)) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn sleep_and_another_address_are_noticed_and_a_clock_that_is_set_is_not() {
        assert_eq!(seconds_after(|laptop| laptop.slept_ms.store(3_600_000, Ordering::SeqCst)).await, Some(5));
        assert_eq!(seconds_after(|laptop| laptop.place.store(7, Ordering::SeqCst)).await, Some(5));
        assert_eq!(seconds_after(|laptop| laptop.slept_ms.store(2_000, Ordering::SeqCst)).await, None);
        assert_eq!(seconds_after(|laptop| laptop.slept_ms.store(-3_600_000, Ordering::SeqCst)).await, None);
        assert_eq!(seconds_after(|_| ()).await, None);
    }
}
