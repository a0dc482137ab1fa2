//! Mail exchanged with Postfix and Exim, in both directions.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::support::agent::{Account, Agent};
use crate::support::mta::{self, Mta};
use crate::support::net::free_address;
use crate::support::process::{self, Process};
use crate::support::refserver::{Options, PASSWORD, RefServer};
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

const BODY: &str = "Grüße\r\n.\r\n..\r\nFrom here\r\n";

fn letter(subject: &str) -> String {
    format!(
        "From: Ada <ada@home.example>\r\nSubject: {subject}\r\nMessage-ID: <{subject}@home.example>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{BODY}"
    )
}

fn inbox(server: &RefServer, subject: &str) -> Vec<String> {
    let mut imap = server.login("ada");
    imap.select("INBOX");
    let all = imap.fetch_all().into_iter().map(|message| String::from_utf8_lossy(&message.body).into_owned());
    all.filter(|text| text.contains(&format!("Subject: {subject}"))).collect()
}

#[test]
fn postfix_and_exim_take_mail_from_refserver_and_bring_it_some() {
    let smtp = free_address();
    let (Some(postfix), Some(exim)) =
        (Mta::postfix("postfix.example", ("home.example", smtp)), Mta::exim("exim.example", ("home.example", smtp)))
    else {
        return;
    };
    let config =
        format!("[routes]\n\"postfix.example\" = \"{}\"\n\"exim.example\" = \"{}\"\n", postfix.address, exim.address);
    let server = RefServer::start(&Options { users: &["ada"], smtp: Some(smtp), config, ..Options::default() });
    let mut out = Smtp::connect(server.address("submission")).expect("refserver listens");
    assert_eq!(out.login("ada", PASSWORD).expect("it answers").code, 235);
    let to = ["bob@postfix.example", "eve@postfix.example", "bob@exim.example"];
    let answer = out.send("ada@home.example", &to, letter("out").as_bytes()).expect("it answers");
    assert_eq!(answer.code, 250, "{answer:?}");
    for (name, mta, copies) in [("postfix", &postfix, 2), ("exim", &exim, 1)] {
        wait_until(name, SOON, || mta.delivered().len() == copies);
        for text in mta.delivered() {
            let text = text.replace("\r\n", "\n");
            assert!(text.contains("Grüße\n.\n..\n"), "{name}: {text}");
            assert!(text.contains("by home.example with ESMTPA"), "{name}: {text}");
        }
        let mut back = Smtp::connect(mta.address).expect("it listens");
        let answer = back.send("bob@far.example", &["ada@home.example"], letter(name).as_bytes()).expect("it answers");
        assert_eq!(answer.code, 250, "{name}: {answer:?}");
        wait_until(name, SOON, || inbox(&server, name).len() == 1);
        let text = inbox(&server, name).remove(0);
        assert!(text.starts_with("Return-Path: <bob@far.example>\r\n") && text.ends_with(BODY), "{name}: {text}");
    }
}

#[test]
fn postfix_delivers_to_refserver_by_lmtp() {
    let lmtp = free_address();
    let Some(postfix) = Mta::postfix_by("lmtp", "postfix.example", ("home.example", lmtp)) else { return };
    let config = format!("lmtp = \"{lmtp}\"\n");
    let server = RefServer::start(&Options { users: &["ada", "bob"], config, ..Options::default() });
    let mut out = Smtp::connect(postfix.address).expect("it listens");
    let to = ["ada@home.example", "nobody@home.example", "bob@home.example"];
    let answer = out.send("x@postfix.example", &to, letter("lmtp").as_bytes()).expect("it answers");
    assert_eq!(answer.code, 250, "{answer:?}");
    wait_until("the delivery", SOON, || inbox(&server, "lmtp").len() == 1);
    assert!(inbox(&server, "lmtp")[0].contains("by home.example with LMTP"), "{:?}", inbox(&server, "lmtp"));
    let mut bob = server.login("bob");
    wait_until("bob's copy", SOON, || bob.select("INBOX").exists() == 1);
    // Each recipient has an answer of its own: only one of them comes back.
    wait_until("the report", SOON, || mta_report(&postfix).is_some());
    let report = mta_report(&postfix).expect("just seen");
    assert!(report.contains("nobody@home.example") && !report.contains("Final-Recipient: rfc822; ada@"), "{report}");
}

/// What came back to the sender.
fn mta_report(postfix: &Mta) -> Option<String> {
    postfix.delivered().into_iter().find(|text| text.contains("Undelivered Mail Returned to Sender"))
}

#[test]
fn the_agent_sends_by_exim_and_by_postfix() {
    for (name, start) in [("exim", Mta::exim as fn(&str, (&str, SocketAddr)) -> Option<Mta>), ("postfix", Mta::postfix)]
    {
        let server = RefServer::with_users(&["ada"]);
        let domain = format!("{name}.example");
        let Some(mta) = start(&domain, ("home.example", server.address("smtp"))) else { return };
        let account = Account { smtp: mta.address, ..Account::at(&server, "ada", server.address("imap")) };
        let agent = Agent::started(&account.text());
        let (subject, far) = (format!("by {name}"), format!("bob@{domain}"));
        let to = [far.as_str(), "ada@home.example"];
        let answer = agent.login_smtp("ada").send("ada@home.example", &to, letter(&subject).as_bytes());
        assert_eq!(answer.expect("it answers").code, 250, "{name}");
        wait_until("its own copy", SOON, || mta.delivered().len() == 1);
        wait_until("the copy that it handed on", SOON, || inbox(&server, &subject).len() == 1);
        assert!(inbox(&server, &subject)[0].ends_with(BODY), "{name}");
        wait_until("the copy in Sent", SOON, || {
            let mut imap = server.login("ada");
            imap.list().iter().any(|listed| listed.name == "Sent") && {
                imap.select("Sent");
                imap.fetch_all().len() == 1
            }
        });
    }
}

#[test]
fn smtp_source_brings_mail_and_smtp_sink_gets_some() {
    let Some(root) = mta::unpacked("postfix") else { return };
    let tool = |name: &str| {
        let mut command = Command::new(root.join("usr/sbin").join(name));
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/postfix"));
        command
    };
    let (address, folder) = (free_address(), tempfile::tempdir().expect("a temporary folder"));
    // Run by root it wants to be another, who writes there.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("ours");
    let mut sink = tool("smtp-sink");
    sink.args(["-u", "nobody", "-D"]).arg(folder.path().join("letter.")).args([&address.to_string(), "10"]);
    let log = tempfile::NamedTempFile::new().expect("a temporary file");
    let _sink = Process::start(&mut sink, "smtp-sink", log.path());
    let config = format!("[routes]\n\"far.example\" = \"{address}\"\n");
    let server = RefServer::start(&Options { users: &["ada"], config, ..Options::default() });
    let mut source = tool("smtp-source");
    source.args(["-d", "-s", "5", "-m", "100", "-l", "2000", "-f", "x@far.example", "-t", "ada@home.example"]);
    assert!(source.arg(server.address("smtp").to_string()).status().expect("it runs").success());
    assert_eq!(server.login("ada").select("INBOX").exists(), 100);

    let mut out = Smtp::connect(server.address("submission")).expect("refserver listens");
    assert_eq!(out.login("ada", PASSWORD).expect("it answers").code, 235);
    let answer = out.send("ada@home.example", &["bob@far.example"], letter("sink").as_bytes()).expect("it answers");
    assert_eq!(answer.code, 250, "{answer:?}");
    wait_until("the letter to be in the sink", SOON, || {
        let files = std::fs::read_dir(folder.path()).expect("a folder").flatten();
        let texts: Vec<String> = files.map(|file| process::read_lossy(&file.path()).replace("\r\n", "\n")).collect();
        texts.iter().any(|text| text.contains("Subject: sink") && text.contains("Grüße\n.\n..\n"))
    });
}
