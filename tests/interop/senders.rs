//! Who mail is really from: our DKIM signatures as python3-dkim sees them, and SPF, DKIM and DMARC between two refservers
//! with a DNS of their own.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::dns::{Dns, Record};
use crate::support::net::free_address;
use crate::support::peers;
use crate::support::refserver::{Options, PASSWORD, RefServer};
use crate::support::sink::Sink;
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_for, wait_until};

const DKIM: &str = "[dkim]\nselector = \"mail\"\n";

fn submit(server: &RefServer, to: &str, text: &str) {
    let mut out = Smtp::connect(server.address("submission")).expect("refserver listens");
    assert_eq!(out.login("ada", PASSWORD).expect("it answers").code, 235);
    let from = format!("ada@{}", server.domain);
    let answer = out.send(&from, &[to], text.as_bytes()).expect("it answers");
    assert_eq!(answer.code, 250, "{answer:?}");
}

/// The record that `refserver dkim` shows: its name and value.
fn record(server: &RefServer) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_refserver"));
    command.arg("--data").arg(server.folder().join("data")).arg("--config").arg(server.folder().join("refserver.toml"));
    let output = command.args(["--domain", &server.domain, "dkim"]).output().expect("it runs");
    let shown = String::from_utf8(output.stdout).expect("text");
    let (name, rest) = shown.split_once(". IN TXT ( ").unwrap_or_else(|| panic!("no record: {shown}"));
    (name.to_owned(), rest.trim().trim_end_matches(" )").replace("\" \"", "").replace('"', ""))
}

/// Debian's: another Python does not see its packages.
const PYTHON: &str = "/usr/bin/python3";

const VERIFY: &str = "
import sys, dkim
name, value = sys.argv[2].encode(), sys.argv[3].encode()
message = open(sys.argv[1], 'rb').read()
look_up = lambda asked, timeout=5: value if asked.rstrip(b'.') == name else None
good = lambda message: dkim.verify(message, dnsfunc=look_up)
assert good(message), 'the signature is not good'
for part in (b'Subject: ', b'body'):
    assert part in message
    assert not good(message.replace(part, part + b'x')), part
assert not good(message.replace(b'\\r\\nFrom: ', b'\\r\\nFrom: a@b\\r\\nFrom: ')), 'a second From'
";

#[test]
fn python3_dkim_finds_our_signatures_good() {
    let python = Command::new(PYTHON).args(["-c", "import dkim"]).output();
    if !python.is_ok_and(|output| output.status.success()) {
        return peers::skip("python3-dkim");
    }
    let sink = Sink::start();
    let config = format!("[routes]\n\"far.example\" = \"{}\"\n{DKIM}", sink.address);
    let server = RefServer::start(&Options { users: &["ada"], config, ..Options::default() });
    let text = "From: Ada <ada@home.example>\r\nTo: bob@far.example\r\nSubject: a  long\r\n one\r\n\
        Date: Mon, 23 Nov 2026 13:49:00 +0000\r\nBcc: eve@far.example\r\nX: y\r\n\r\n.dot\r\nbody  \r\n\r\n\r\n";
    submit(&server, "bob@far.example", text);
    let delivered = wait_for("the delivery", SOON, || sink.delivered().into_iter().next());
    let file = server.folder().join("message.eml");
    std::fs::write(&file, &delivered.bytes).expect("a writable folder");
    let (name, value) = record(&server);
    assert_eq!(name, "mail._domainkey.home.example");
    let output = Command::new(PYTHON).args(["-c", VERIFY]).arg(&file).args([&name, &value]).output();
    let output = output.expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n{value}\n{}", String::from_utf8_lossy(&delivered.bytes));
    // A signature of ours says nothing of what is from elsewhere.
    submit(&server, "bob@far.example", "From: Ada <ada@else.example>\r\nMessage-ID: <2@x>\r\n\r\nbody\r\n");
    let unsigned = wait_for("the delivery", SOON, || sink.delivered().into_iter().nth(1));
    let text = String::from_utf8_lossy(&unsigned.bytes).into_owned();
    assert!(text.starts_with("Received: ") && !text.contains("DKIM-Signature"), "{text}");
}

/// The first message in that mailbox of ada's.
fn first(server: &RefServer, mailbox: &str) -> Option<String> {
    let mut imap = server.login("ada");
    imap.select(mailbox);
    imap.fetch_all().into_iter().next().map(|message| String::from_utf8_lossy(&message.body).into_owned())
}

fn letter(domain: &str) -> String {
    format!(
        "From: x@{domain}\r\nSubject: from {domain}\r\nAuthentication-Results: b.example; dmarc=pass\r\n\
         Message-ID: <1@{domain}>\r\n\r\nHello\r\n"
    )
}

#[test]
fn a_signed_message_passes_and_what_only_says_it_is_from_there_does_not() {
    let dns = Dns::start();
    let mx: SocketAddr = free_address();
    let config = format!("dns = \"{}\"\ncheck-senders = \"enforce\"\n", dns.address);
    let receiver = RefServer::start(&Options {
        users: &["ada"],
        domain: Some("b.example"),
        smtp: Some(mx),
        config,
        ..Options::default()
    });
    let as_others = format!("[[user]]\nname = \"ada\"\npassword = \"{PASSWORD}\"\nmay-send-as = [\"*@a.example\"]\n");
    let config = format!("[routes]\n\"b.example\" = \"{mx}\"\n{as_others}{DKIM}");
    let sender =
        RefServer::start(&Options { users: &["ada"], domain: Some("a.example"), config, ..Options::default() });
    let (name, value) = record(&sender);
    dns.add(&name, Record::Txt(value));
    dns.add("a.example", Record::Txt("v=spf1 ip4:127.0.0.0/8 -all".to_owned()));
    for (domain, policy) in [("a", "reject"), ("strict", "reject"), ("mild", "quarantine"), ("lax", "none")] {
        dns.add(&format!("_dmarc.{domain}.example"), Record::Txt(format!("v=DMARC1; p={policy}")));
    }
    dns.add("forged.example", Record::Txt("v=spf1 -all".to_owned()));

    submit(&sender, "ada@b.example", &letter("a.example"));
    let text = wait_for("the signed message", SOON, || first(&receiver, "INBOX"));
    let results = text.split("\r\nReceived:").next().expect("a beginning");
    for part in ["Authentication-Results: b.example;", "spf=pass", "dkim=pass", "header.s=mail", "dmarc=pass"] {
        assert!(results.contains(part), "no {part} in {text}");
    }
    assert_eq!(text.matches("Authentication-Results: b.example").count(), 1, "{text}");

    let mut forger = Smtp::connect(mx).expect("it listens");
    for (domain, code) in [
        ("strict.example", 550),
        ("mild.example", 250),
        ("lax.example", 250),
        ("silent.example", 250),
        ("forged.example", 550),
    ] {
        let from = format!("x@{domain}");
        let answer = forger.send(&from, &["ada@b.example"], letter(domain).as_bytes()).expect("it answers");
        assert_eq!(answer.code, code, "{domain}: {answer:?}");
    }
    wait_until("the junk", SOON, || first(&receiver, "Junk").is_some_and(|text| text.contains("dmarc=fail")));
    let mut imap = receiver.login("ada");
    imap.select("INBOX");
    assert_eq!(imap.fetch_all().len(), 3);
}

#[test]
fn what_dns_does_not_tell_now_counts_against_nobody() {
    let dns = Dns::start();
    for name in ["a.example", "_dmarc.a.example", "_dmarc.example"] {
        dns.add(name, Record::Trouble);
    }
    let config = format!("dns = \"{}\"\ncheck-senders = \"enforce\"\n", dns.address);
    let server =
        RefServer::start(&Options { users: &["ada"], domain: Some("b.example"), config, ..Options::default() });
    let mut smtp = Smtp::connect(server.address("smtp")).expect("it listens");
    let answer = smtp.send("x@a.example", &["ada@b.example"], letter("a.example").as_bytes()).expect("it answers");
    assert_eq!(answer.code, 250, "{answer:?}");
    let text = wait_for("the message", SOON, || first(&server, "INBOX"));
    assert!(text.contains("spf=temperror") && text.contains("dmarc=temperror"), "{text}");
}

#[test]
fn however_from_is_written_its_domain_has_its_way() {
    let dns = Dns::start();
    dns.add("_dmarc.strict.example", Record::Txt("v=DMARC1; p=reject".to_owned()));
    dns.add("good.example", Record::Txt("v=spf1 ip4:127.0.0.0/8 -all".to_owned()));
    for end in ["-all", "+all"] {
        dns.add("two.example", Record::Txt(format!("v=spf1 {end}")));
    }
    let config = format!("dns = \"{}\"\ncheck-senders = \"enforce\"\n", dns.address);
    let server =
        RefServer::start(&Options { users: &["ada"], domain: Some("b.example"), config, ..Options::default() });
    let mut smtp = Smtp::connect(server.address("smtp")).expect("it listens");
    let mut send = |mail_from: &str, from: &str| {
        let letter = format!("{from}\r\nSubject: x\r\n\r\nHello\r\n");
        smtp.send(mail_from, &["ada@b.example"], letter.as_bytes()).expect("it answers")
    };
    for from in [
        "From: ceo@strict.example",
        "From: a@good.example\r\nFrom: ceo@strict.example",
        "From: ceo@strict.example, a@good.example",
        "From: ceo @ strict . example",
        "From: ceo@strict(x).example",
        "From: ceo@STRICT.example.",
        "junk\r\nFrom: ceo@strict.example",
        " folded\r\nFrom: ceo@strict.example",
        "From: ceo@strict.example\0",
        "To: nobody",
    ] {
        let answer = send("a@good.example", from);
        assert_eq!(answer.code, 550, "{from:?}: {answer:?}");
    }
    for (mail_from, expected) in [
        ("a@good.example", ";\r\n\tspf=pass smtp.mailfrom=a@good.example;\r\n"),
        ("a@two.example", ";\r\n\tspf=permerror smtp.mailfrom=a@two.example;\r\n"),
    ] {
        let answer = send(mail_from, "From: a@good.example");
        assert_eq!(answer.code, 250, "{answer:?}");
        let mut imap = server.login("ada");
        imap.select("INBOX");
        let mut texts = imap.fetch_all().into_iter().map(|message| String::from_utf8_lossy(&message.body).into_owned());
        assert!(texts.next_back().is_some_and(|text| text.contains(expected)), "no {expected}");
    }
}
