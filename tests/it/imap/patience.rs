//! How long a session waits for its client, over the pump and in paused time: what happens between two bytes takes none.

use std::time::Duration;

use mailtide::imap::server::Session;
use mailtide::net::pump::{Surroundings, Wake, drive};
use mailtide::net::{Clock, Shutdown};
use mailtide::types::{Timestamp, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{Instant, sleep};

use super::engine::config;
use super::memory_backend::MemoryBackend;
use super::transcript::Wishes;

/// A client's end of a connection that begins now.
fn connected() -> DuplexStream {
    let (peer, ours) = duplex(64 * 1024);
    let start = Instant::now();
    let clock = Clock::from_fn(move || {
        let ms = i64::try_from(start.elapsed().as_millis()).expect("a test is short");
        Timestamp::from_unix_ms(1_795_441_740_000 + ms)
    });
    let session = Session::new(config(&Wishes::default()), MemoryBackend::new(), clock.now());
    let around = Surroundings { wake: Wake::default(), clock, shutdown: Shutdown::new(), upgrade: None };
    tokio::spawn(drive(ours, Box::new(session), around));
    peer
}

/// Everything that is said until that line, and how long it takes.
async fn until(peer: &mut DuplexStream, last: &str) -> Duration {
    let (start, mut said) = (Instant::now(), Vec::new());
    while !String::from_utf8_lossy(&said).contains(last) {
        let mut piece = [0; 1024];
        let count = peer.read(&mut piece).await.expect("a connection");
        assert!(count > 0, "{last} was not said: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&piece[..count]);
    }
    start.elapsed()
}

fn ms(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).expect("a limit"))
}

#[tokio::test(start_paused = true)]
async fn who_does_not_log_in_is_sent_away_however_busy() {
    let mut peer = connected();
    let start = Instant::now();
    // A byte now and then, of a command that never ends.
    let busy = tokio::spawn(async move {
        until(&mut peer, "ready").await;
        for _ in 0..5 {
            sleep(Duration::from_secs(10)).await;
            peer.write_all(b"x").await.expect("a connection");
        }
        until(&mut peer, "* BYE Too long without a word").await;
        assert_eq!(peer.read(&mut [0; 1]).await.expect("an end"), 0);
    });
    busy.await.expect("no panic");
    let (took, limit) = (start.elapsed(), ms(limits::PRE_LOGIN_TIMEOUT_MS));
    assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_guesses_passwords_waits_longer_each_time() {
    let mut peer = connected();
    until(&mut peer, "ready").await;
    let delay = ms(limits::LOGIN_FAILURE_DELAY_MS);
    for time in 1..=limits::LOGIN_FAILURES_MAX {
        peer.write_all(b"a LOGIN alice wrong\r\n").await.expect("a connection");
        let took = until(&mut peer, "a NO [AUTHENTICATIONFAILED]").await;
        assert!(took >= delay * time && took < delay * (time + 1), "{time}: {took:?}");
    }
    let last = Instant::now();
    peer.read_to_end(&mut Vec::new()).await.expect("an end");
    assert!(last.elapsed() < delay, "and is sent away");
}

#[tokio::test(start_paused = true)]
async fn who_is_silent_for_long_enough_is_sent_away_and_not_before() {
    let mut peer = connected();
    until(&mut peer, "ready").await;
    peer.write_all(b"a LOGIN alice secret\r\nb IDLE\r\n").await.expect("a connection");
    until(&mut peer, "+ Idling").await;
    let took = until(&mut peer, "* BYE Too long without a word").await;
    let limit = ms(limits::IMAP_IDLE_TIMEOUT_MS);
    assert!(took >= limit && took < limit + Duration::from_secs(1), "{took:?}");
    // "The duration of such a timer MUST be at least 30 minutes" (RFC 3501 section 5.4).
    assert!(limit >= Duration::from_secs(30 * 60));
}
