//! refserver's relay against servers that a DNS names: preference, rotation, addresses of both kinds, connections kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::support::dns::{Dns, Record};
use crate::support::net::free_address;
use crate::support::refserver::{Options, PASSWORD, RefServer};
use crate::support::sink::Sink;
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

/// A refserver, the DNS it asks, and the port on which every other server listens.
struct Net {
    dns: Dns,
    server: RefServer,
    port: u16,
}

impl Net {
    fn new() -> Self {
        let dns = Dns::start();
        // Free on ::1 as well: it is there that one of them listens.
        let port = loop {
            let port = free_address().port();
            if std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, port)).is_ok() {
                break port;
            }
        };
        let config = format!("dns = \"{}\"\nmx-port = {port}\n", dns.address);
        let server = RefServer::start(&Options { users: &["ada"], config, ..Options::default() });
        Self { dns, server, port }
    }

    /// A server with an address of its own, and that address.
    fn sink(&self) -> (Sink, Ipv4Addr) {
        let IpAddr::V4(ip) = free_address().ip() else { panic!("loopback is IPv4 here") };
        (Sink::at(SocketAddr::from((ip, self.port))), ip)
    }

    /// An address where nobody listens.
    fn nobody() -> Ipv4Addr {
        let IpAddr::V4(ip) = free_address().ip() else { panic!("loopback is IPv4 here") };
        ip
    }

    fn submit(&self, to: &[&str], count: usize) {
        let mut smtp = Smtp::connect(self.server.address("submission")).expect("refserver listens");
        assert_eq!(smtp.login("ada", PASSWORD).expect("it answers").code, 235);
        for number in 0..count {
            let text = format!("From: ada@home.example\r\nMessage-ID: <{number}@{}>\r\n\r\nHi\r\n", to[0]);
            assert_eq!(smtp.send("ada@home.example", to, text.as_bytes()).expect("it answers").code, 250);
        }
    }
}

#[test]
fn the_first_server_of_a_domain_that_answers_gets_its_mail_and_equals_take_turns() {
    let net = Net::new();
    let ((spare, spare_ip), (one, one_ip), (other, other_ip)) = (net.sink(), net.sink(), net.sink());
    for (host, ip) in [("spare", spare_ip), ("one", one_ip), ("other", other_ip), ("dead", Net::nobody())] {
        net.dns.add(&format!("{host}.mx.example"), Record::A(ip));
    }
    for (domain, preference, host) in [
        ("dead.example", 10, "dead.mx.example"),
        ("dead.example", 10, "nowhere.mx.example"),
        ("dead.example", 20, "spare.mx.example"),
        ("equal.example", 5, "one.mx.example"),
        ("equal.example", 5, "other.mx.example"),
        ("equal.example", 50, "spare.mx.example"),
    ] {
        net.dns.add(domain, Record::Mx(preference, host));
    }
    net.submit(&["a@dead.example", "b@dead.example", "c@Dead.Example"], 1);
    wait_until("the spare server to get it", SOON, || spare.delivered().len() == 1);
    let to = ["a@dead.example", "b@dead.example", "c@Dead.Example"];
    assert_eq!(spare.delivered()[0].to, to, "all of them in one transaction");
    net.submit(&["x@equal.example"], 30);
    wait_until("all of them", SOON, || one.delivered().len() + other.delivered().len() == 30);
    // By chance: that one of them got none is one case in half a billion.
    assert!(!one.delivered().is_empty() && !other.delivered().is_empty());
    assert_eq!(spare.delivered().len(), 1);
}

#[test]
fn a_server_is_tried_at_each_of_its_addresses_of_either_kind() {
    let net = Net::new();
    let six = Sink::at(SocketAddr::from((Ipv6Addr::LOCALHOST, net.port)));
    let (four, four_ip) = net.sink();
    net.dns.add("six.example", Record::Aaaa(Ipv6Addr::LOCALHOST));
    net.dns.add("six.example", Record::A(Net::nobody()));
    // 100::/64 is nobody's (RFC 6666).
    net.dns.add("four.example", Record::Aaaa("100::1".parse().expect("an address")));
    net.dns.add("four.example", Record::A(Net::nobody()));
    net.dns.add("four.example", Record::A(four_ip));
    net.submit(&["x@six.example"], 1);
    net.submit(&["x@four.example"], 1);
    wait_until("mail by IPv6", SOON, || six.delivered().len() == 1);
    wait_until("mail by IPv4", SOON, || four.delivered().len() == 1);
}

#[test]
fn many_messages_to_one_domain_share_few_connections() {
    let net = Net::new();
    let (sink, ip) = net.sink();
    net.dns.add("far.example", Record::A(ip));
    net.submit(&["x@far.example"], 100);
    wait_until("all of them", SOON, || sink.delivered().len() == 100);
    let mut bodies: Vec<_> = sink.delivered().into_iter().map(|delivered| delivered.bytes).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 100, "each of them once");
    assert!(sink.connections() <= 20, "{} connections", sink.connections());
}
