//! MTA-STS (RFC 8461) as refserver's relay keeps to it: a domain's policy, its servers, their certificates.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use crate::support::certificate::{self, Validity};
use crate::support::dns::{Dns, Record};
use crate::support::https::Https;
use crate::support::net::free_address;
use crate::support::refserver::{Options, PASSWORD, RefServer};
use crate::support::sink::Sink;
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

/// Domains with a policy; their mail server is `mx.` and the domain.
const DOMAINS: [&str; 5] = ["good.example", "forged.example", "bare.example", "testing.example", "strange.example"];

struct Net {
    dns: Dns,
    https: Https,
    sender: RefServer,
    good: RefServer,
    forged: RefServer,
    /// Without TLS: of bare.example and testing.example.
    bare: Sink,
    _folder: tempfile::TempDir,
}

fn policy(mode: &str, mx: &str) -> String {
    format!("version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n")
}

fn page(domain: &str) -> String {
    format!("mta-sts.{domain}/.well-known/mta-sts.txt")
}

impl Net {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).expect("a writable folder");
            path
        };
        let hosts = DOMAINS.map(|domain| format!("mta-sts.{domain}"));
        let web = certificate::make_for(&at("web"), &hosts.each_ref().map(String::as_str), Validity::Now);
        let mx = certificate::make(&at("mx"), "mx.good.example", Validity::Now);
        let roots = [&web.chain, &mx.chain].map(|path| std::fs::read_to_string(path).expect("a certificate")).concat();
        let ca = folder.path().join("roots.pem");
        std::fs::write(&ca, roots).expect("a writable folder");

        let dns = Dns::start();
        let https = Https::start(free_address(), Some(&web));
        // Mail exchangers listen on one port, each on an address of its own.
        let (good_at, port) = (free_address(), free_address().port());
        let [good_at, forged_at, bare_at] =
            [good_at, free_address(), free_address()].map(|it| SocketAddr::new(it.ip(), port));
        let tls = format!("tls = {{ certificate = {:?}, key = {:?} }}\n", mx.chain, mx.key);
        let server = |domain, smtp, config| {
            RefServer::start(&Options {
                users: &["bob"],
                domain: Some(domain),
                smtp: Some(smtp),
                config,
                ..Options::default()
            })
        };
        let good = server("good.example", good_at, tls);
        let forged = server("forged.example", forged_at, String::new());
        let bare = Sink::at(bare_at);
        for (domain, address) in DOMAINS.into_iter().zip([good_at, forged_at, bare_at, bare_at, good_at]) {
            let ip = |address: SocketAddr| match address.ip() {
                IpAddr::V4(ip) => Record::A(ip),
                IpAddr::V6(ip) => Record::Aaaa(ip),
            };
            // The zone is asked for names that live as long as it.
            let host: &'static str = format!("mx.{domain}").leak();
            dns.add(domain, Record::Mx(10, host));
            dns.add(host, ip(address));
            dns.add(&format!("mta-sts.{domain}"), ip(https.address));
            dns.add(&format!("_mta-sts.{domain}"), Record::Txt("v=STSv1; id=1;".to_owned()));
            let mode = if domain == "testing.example" { "testing" } else { "enforce" };
            let named = if domain == "strange.example" { "mail.strange.example" } else { host };
            https.put(&page(domain), 200, "text/plain", &policy(mode, named));
        }
        let config = format!(
            "dns = \"{}\"\nmx-port = {port}\nhttps-port = {}\ntls-ca = {ca:?}\n",
            dns.address,
            https.address.port()
        );
        let sender = RefServer::start(&Options { users: &["ada"], config, ..Options::default() });
        Self { dns, https, sender, good, forged, bare, _folder: folder }
    }

    fn submit(&self, to: &str) {
        let mut smtp = Smtp::connect(self.sender.address("submission")).expect("refserver listens");
        assert_eq!(smtp.login("ada", PASSWORD).expect("it answers").code, 235);
        let text = format!("From: ada@home.example\r\nTo: {to}\r\n\r\nHi\r\n");
        assert_eq!(smtp.send("ada@home.example", &[to], text.as_bytes()).expect("it answers").code, 250);
    }

    /// What waits, and why.
    fn queue(&self) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
        command.arg("--data").arg(self.sender.folder().join("data")).args(["queue", "list"]);
        String::from_utf8(command.output().expect("it runs").stdout).expect("text")
    }

    fn wait_deferred(&self, domain: &str, why: &str) {
        wait_until(why, SOON, || {
            self.queue()
                .lines()
                .any(|line| line.contains(domain) && line.contains("deferred: 451") && line.contains(why))
        });
    }
}

fn inbox(server: &RefServer) -> Vec<String> {
    let mut imap = server.login("bob");
    imap.select("INBOX");
    imap.fetch_all().into_iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

#[test]
fn mail_goes_only_to_servers_that_the_domain_names_and_that_prove_who_they_are() {
    let mut net = Net::new();
    for domain in DOMAINS {
        net.submit(&format!("bob@{domain}"));
    }
    wait_until("mail to who proves who they are", SOON, || inbox(&net.good).len() == 1);
    assert!(inbox(&net.good)[0].contains("with ESMTPS"), "{:?}", inbox(&net.good));
    wait_until("mail to who only tests a policy", SOON, || net.bare.delivered().len() == 1);
    assert_eq!(net.bare.delivered()[0].to, ["bob@testing.example"]);
    net.wait_deferred("forged.example", "certificate");
    net.wait_deferred("bare.example", "does not offer STARTTLS");
    net.wait_deferred("strange.example", "MTA-STS policy");
    net.submit("bob@good.example");
    wait_until("the second message", SOON, || inbox(&net.good).len() == 2);
    assert_eq!(net.https.asked(&page("good.example")), 1, "a policy is kept");

    // Another id, another policy; one that cannot be had any more stays what it was, over a restart, too.
    net.https.put(&page("forged.example"), 200, "text/plain", &policy("none", "mx.forged.example"));
    net.https.put(&page("bare.example"), 404, "text/plain", "");
    net.https.put(&page("strange.example"), 301, "text/plain", &policy("none", "mx.strange.example"));
    for (domain, id) in [("forged.example", Some("2")), ("bare.example", None), ("strange.example", Some("2"))] {
        let name = format!("_mta-sts.{domain}");
        net.dns.remove(&name);
        if let Some(id) = id {
            net.dns.add(&name, Record::Txt(format!("v=STSv1; id={id};")));
        }
    }
    net.sender.kill();
    net.sender.restart();
    wait_until("mail to who wants no proof any more", SOON, || inbox(&net.forged).len() == 1);
    wait_until("a look at the policy that moved", SOON, || net.https.asked(&page("strange.example")) == 2);
    net.wait_deferred("bare.example", "does not offer STARTTLS");
    net.wait_deferred("strange.example", "MTA-STS policy");
    assert_eq!(net.bare.delivered().len(), 1);
    assert_eq!(net.https.asked(&page("bare.example")), 1, "without a record nobody asks for a policy");
}
