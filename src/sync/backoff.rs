//! How long to wait before the next try. Pure: chance is an argument.

use super::Error;
use super::remote::RemoteError;
use crate::types::mutant::mutant;

/// The first wait: long enough for a router to come back, short enough not to be noticed.
const FIRST_MS: u64 = 2_000;

/// The longest wait: a server that is back should be found within a coffee break.
const MAX_MS: u64 = 10 * 60_000;

/// After a refused login: trying again soon gets accounts locked.
const REFUSED_FIRST_MS: u64 = 60_000;

/// The longest wait a server may ask for: Exchange names up to ten minutes, Gmail blocks for a day.
const ASKED_MAX_MS: u64 = 24 * 60 * 60_000;

/// Failures in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
    /// How many there were before the last.
    before: u32,
}

impl Backoff {
    /// After something worked.
    pub const fn reset(&mut self) {
        self.failures = 0;
        self.before = 0;
    }

    /// The wait was not waited for: somebody asked for a try, or the network is another. The next is no longer for it.
    pub const fn cut_short(&mut self) {
        self.failures = self.before;
    }

    /// How long to wait after `error`, in milliseconds. `chance` is any number, best a random one: it spreads the
    /// tries of many clients over the second half of the wait.
    pub fn wait_ms(&mut self, error: &Error, chance: u64) -> u64 {
        self.before = self.failures;
        if mutant!(NoBackOff) {
            return 10;
        }
        let first = match error {
            Error::Remote(RemoteError::Wait { retry_after_ms: Some(asked), .. }) => {
                // Never before the time the server named.
                return (*asked).min(ASKED_MAX_MS) + chance % FIRST_MS;
            }
            Error::Remote(RemoteError::LoginRefused { .. } | RemoteError::Insecure { .. }) => REFUSED_FIRST_MS,
            Error::Remote(_) | Error::Store(_) => FIRST_MS,
        };
        let wait = first.saturating_mul(1 << self.failures.min(16)).min(MAX_MS);
        self.failures = self.failures.saturating_add(1);
        wait / 2 + chance % (wait / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> Error {
        Error::Remote(RemoteError::Lost { host: "h".to_owned(), cause: "c".to_owned() })
    }

    #[test]
    fn waits_double_to_a_limit_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..12).map(|_| backoff.wait_ms(&lost(), 0)).collect();
        assert_eq!(&waits[..4], [1_000, 2_000, 4_000, 8_000]);
        assert_eq!(waits[11], MAX_MS / 2);
        backoff.reset();
        assert_eq!(backoff.wait_ms(&lost(), 0), 1_000);
    }

    #[test]
    fn chance_never_leaves_the_second_half() {
        for chance in [0, 1, 999, 1_000, 1_001, u64::MAX] {
            assert!((1_000..=2_000).contains(&Backoff::default().wait_ms(&lost(), chance)));
        }
    }

    #[test]
    fn what_the_server_asks_is_obeyed() {
        let asked = Error::Remote(RemoteError::Wait { retry_after_ms: Some(299_961), text: String::new() });
        assert!(Backoff::default().wait_ms(&asked, 5) >= 299_961);
    }
}
