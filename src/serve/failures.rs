//! Where logins fail: whoever guesses passwords waits longer each time, on however many connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::types::{Timestamp, limits};

/// The logins that failed, by where they came from. One value for all sessions of a program.
#[derive(Debug, Clone, Default)]
pub struct Failures(Arc<Mutex<BTreeMap<IpAddr, Failed>>>);

#[derive(Debug, Clone, Copy)]
struct Failed {
    times: u32,
    last: Timestamp,
}

impl Failures {
    /// One more failed from there; says how many did lately, this one included.
    pub(super) fn add(&self, from: IpAddr, now: Timestamp) -> u32 {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |failed: &Failed| failed.last.plus_ms(limits::LOGIN_FAILURES_KEPT_MS) > now;
        let place = network(from);
        if places.len() >= limits::LOGIN_FAILURES_PLACES_MAX && !places.contains_key(&place) {
            places.retain(|_, failed| is_recent(failed));
            if places.len() >= limits::LOGIN_FAILURES_PLACES_MAX {
                let oldest = places.iter().min_by_key(|(_, failed)| failed.last).map(|(place, _)| *place);
                oldest.map(|oldest| places.remove(&oldest));
            }
        }
        let failed = places.entry(place).or_insert(Failed { times: 0, last: now });
        let before = if is_recent(failed) { failed.times } else { 0 };
        *failed = Failed { times: before.saturating_add(1), last: now };
        failed.times
    }
}

/// Whoever has one IPv6 address has all of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_790_000_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn failures_count_by_where_they_come_from_and_are_forgotten() {
        let failures = Failures::default();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!([failures.add(one, NOW), failures.clone().add(one, NOW), failures.add(other, NOW)], [1, 2, 1]);
        assert_eq!(failures.add(address("::ffff:192.0.2.1"), NOW), 3, "the same address, written otherwise");
        assert_eq!([failures.add(address("2001:db8::1"), NOW), failures.add(address("2001:db8::2"), NOW)], [1, 2]);
        assert_eq!(failures.add(address("2001:db8:0:1::1"), NOW), 1);
        assert_eq!(failures.add(one, NOW.plus_ms(limits::LOGIN_FAILURES_KEPT_MS)), 1);
    }

    #[test]
    fn so_many_places_are_remembered_and_no_more() {
        let failures = Failures::default();
        for number in 0..=limits::LOGIN_FAILURES_PLACES_MAX as u32 {
            failures.add(IpAddr::V4(number.into()), NOW.plus_ms(i64::from(number)));
        }
        assert_eq!(failures.0.lock().expect("not poisoned").len(), limits::LOGIN_FAILURES_PLACES_MAX);
        assert_eq!(failures.add(IpAddr::V4(0.into()), NOW), 1, "the one that failed longest ago");
    }
}
