//! Addresses. Every test takes loopback addresses nobody else uses: 127.0.0.0/8 is all loopback on Linux, and other
//! programs' ephemeral ports live on 127.0.0.1, so a port found free on 127.x.y.z stays free.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A loopback address of its own, with a free port.
pub fn free_address() -> SocketAddr {
    loop {
        let listener = TcpListener::bind((own_ip(), 0));
        if let Ok(listener) = listener {
            return listener.local_addr().expect("a bound listener has an address");
        }
    }
}

fn own_ip() -> IpAddr {
    let count = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let [_, _, _, third] = count.to_be_bytes();
    // 127.0.x.y is left alone: everybody's.
    IpAddr::V4(Ipv4Addr::new(127, high % 254 + 1, low, third.wrapping_add(1)))
}
