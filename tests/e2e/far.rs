//! Two people far apart: each with an agent and a server of the own domain, and DNS between the servers.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;

use crate::support::agent::{Account, Agent};
use crate::support::dns::{Dns, Record};
use crate::support::net::free_address;
use crate::support::process::Process;
use crate::support::refserver::{Options, RefServer};
use crate::support::wait::{SOON, wait_until};

struct End {
    agent: Agent,
    server: RefServer,
    user: &'static str,
}

impl End {
    fn new(user: &'static str, domain: &'static str, smtp: SocketAddr, dns: &Dns) -> Self {
        let config = format!("dns = \"{}\"\nmx-port = {}\n", dns.address, smtp.port());
        let server = RefServer::start(&Options {
            users: &[user],
            domain: Some(domain),
            smtp: Some(smtp),
            config,
            ..Options::default()
        });
        let agent = Agent::started(&Account::at(&server, user, server.address("imap")).text());
        agent.sync();
        Self { agent, server, user }
    }

    fn address(&self) -> String {
        format!("{}@{}", self.user, self.server.domain)
    }

    fn write(&self, to: &str, subject: &str) {
        let letter = format!(
            "From: {}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{}>\r\n\r\nFrom afar.\r\n.\r\n",
            self.address(),
            self.server.domain
        );
        let answer = self.agent.login_smtp(self.user).send(&self.address(), &[to], letter.as_bytes());
        assert_eq!(answer.expect("the local server stays").code, 250);
    }

    /// The messages in the local INBOX with that subject.
    fn read(&self, subject: &str) -> Vec<String> {
        let mut imap = self.agent.login(self.user);
        imap.select("INBOX");
        let texts = imap.fetch_all().into_iter().map(|message| String::from_utf8_lossy(&message.body).into_owned());
        texts.filter(|text| text.contains(&format!("Subject: {subject}\r\n"))).collect()
    }

    fn queue(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
        command.arg("--data").arg(self.server.folder().join("data")).arg("queue").args(arguments);
        let output = command.output().expect("a program");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn ends() -> (End, End, Dns) {
    let dns = Dns::start();
    let one = free_address();
    // Mail exchangers of all domains listen on one port, each on an address of its own.
    let two = SocketAddr::new(free_address().ip(), one.port());
    for (domain, host, address) in [("one.example", "mx.one.example", one), ("two.example", "mx.two.example", two)] {
        let IpAddr::V4(ip) = address.ip() else { panic!("loopback is IPv4 here") };
        dns.add(domain, Record::Mx(10, host));
        dns.add(host, Record::A(ip));
    }
    (End::new("ann", "one.example", one, &dns), End::new("ben", "two.example", two, &dns), dns)
}

#[test]
fn what_is_written_offline_at_one_end_is_read_offline_at_the_other_and_answered() {
    let (ann, ben, _dns) = ends();
    ann.agent.ctl_ok(&["offline"]);
    ann.write("ben@two.example", "letter");
    ann.agent.ctl_ok(&["online"]);
    wait_until("the letter in ben's local INBOX", SOON, || ben.read("letter").len() == 1);
    ben.agent.ctl_ok(&["offline"]);
    let letter = ben.read("letter").remove(0);
    assert!(letter.starts_with("Return-Path: <ann@one.example>\r\n"), "{letter}");
    for hop in ["by two.example with ESMTP", "by one.example with ESMTPA"] {
        assert!(letter.contains(hop), "{hop} in {letter}");
    }
    assert!(letter.ends_with("\r\n\r\nFrom afar.\r\n.\r\n"), "{letter}");
    ben.write("ann@one.example", "answer");
    ben.agent.ctl_ok(&["online"]);
    wait_until("the answer in ann's local INBOX", SOON, || ann.read("answer").len() == 1);
    assert_eq!(ann.queue(&["list"]), "Nothing waits.\n");
    assert_eq!((ben.read("letter").len(), ann.read("answer").len()), (1, 1));
}

#[test]
fn mail_for_who_takes_none_comes_back_and_what_waits_can_be_seen_flushed_and_removed() {
    let (ann, _ben, dns) = ends();
    dns.add("null.example", Record::Mx(0, ""));
    dns.add("bare.example", Record::A(std::net::Ipv4Addr::new(127, 255, 255, 254)));
    for (to, subject) in [("x@null.example", "null"), ("x@nowhere.example", "nowhere"), ("x@bare.example", "bare")] {
        ann.write(to, subject);
    }
    for status in ["Status: 5.1.10", "Status: 5.1.2"] {
        wait_until(status, SOON, || {
            let reports = ann.read("Undelivered mail returned to sender");
            reports.iter().any(|report| report.contains(status))
        });
    }
    // Nobody listens at the domain's own address: it waits.
    wait_until("the deferral", SOON, || ann.queue(&["list"]).contains("deferred: 451"));
    assert!(ann.queue(&["list"]).contains("<ann@one.example>\tx@bare.example"));
    ann.queue(&["flush"]);
    let listed: serde_json::Value = serde_json::from_str(&ann.queue(&["list", "--json"])).expect("JSON");
    let number = listed[0]["id"].to_string();
    wait_until("it to be removed", SOON, || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
        command.arg("--data").arg(ann.server.folder().join("data")).args(["queue", "remove", &number]);
        let log = ann.agent.folder().join("queue.log");
        // It cannot be taken back while it is being sent.
        Process::start(&mut command, "queue", &log).wait_end(SOON).success()
    });
    assert_eq!(ann.queue(&["list"]), "Nothing waits.\n");
}
