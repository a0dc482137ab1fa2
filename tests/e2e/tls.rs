//! Every way of TLS to the server, and certificates that must not be believed.

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::certificate::{self, Validity};
use crate::support::corpus;
use crate::support::imap::Imap;
use crate::support::net::free_address;
use crate::support::refserver::{Options, RefServer};
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

fn account<'a>(server: &RefServer, tls: &'a str, more: &'a str) -> Account<'a> {
    let (imap, smtp) = match tls {
        "implicit" => (server.address("imaps"), server.address("submissions")),
        _ => (server.address("imap"), server.address("submission")),
    };
    Account { smtp, tls, more, ..Account::at(server, "ada", imap) }
}

fn server() -> RefServer {
    RefServer::start(&Options { users: &["ada"], common_loopback: true, ..Options::default() })
}

#[test]
fn mail_is_mirrored_and_sent_over_every_way_of_tls() {
    let server = server();
    let trust = format!("tls-ca = \"{}\"", server.authority().display());
    for (count, tls) in ["none", "starttls", "implicit"].into_iter().enumerate() {
        let message = corpus::small(count as u64);
        server.login("ada").append("INBOX", &[], 1_000_000_000, &message);
        let agent = Agent::started(&account(&server, tls, &trust).text());
        agent.sync();
        let mut local = agent.login("ada");
        local.select("INBOX");
        assert!(local.fetch_all().iter().any(|fetched| fetched.body == message), "{tls}");
        let subject = format!("Sent with {tls}");
        let text = format!("From: ada@home.example\r\nTo: ada@home.example\r\nSubject: {subject}\r\n\r\nHello.\r\n");
        let answer = agent.login_smtp("ada").send("ada@home.example", &["ada@home.example"], text.as_bytes());
        assert_eq!(answer.expect("the local server stays").code, 250, "{tls}");
        let mut upstream = server.login("ada");
        wait_until(&format!("the delivery over {tls}"), SOON, || {
            upstream.select("INBOX");
            upstream.ok(&format!("SEARCH SUBJECT \"{subject}\"")).found().len() == 1
        });
    }
}

#[test]
fn clients_reach_refserver_over_every_way_of_tls() {
    let server = server();
    let authority = server.authority().to_owned();
    let connections = [
        Imap::connect_tls(server.address("imaps"), &authority),
        Imap::connect_starttls(server.address("imap"), &authority),
    ];
    for connection in connections {
        let mut imap = connection.expect("a handshake");
        imap.ok("LOGIN ada sesame");
        imap.select("INBOX");
    }
}

#[test]
fn clients_reach_the_agent_over_every_way_of_tls() {
    let server = server();
    let mut agent = Agent::new("");
    let [imaps, smtps, pop3s] = [free_address(), free_address(), free_address()];
    let local = format!("tls = true\nimaps = \"{imaps}\"\nsmtps = \"{smtps}\"\npop3s = \"{pop3s}\"\n");
    agent.configure(&(local + &Account::at(&server, "ada", server.address("imap")).text()));
    agent.start();
    let authority = agent.data.join("ca.pem");
    for connection in [Imap::connect_tls(imaps, &authority), Imap::connect_starttls(agent.imap, &authority)] {
        let mut imap = connection.expect("a handshake");
        imap.ok(&format!("LOGIN ada \"{LOCAL_PASSWORD}\""));
        imap.select("INBOX");
    }
    let mut smtp = Smtp::connect_tls(smtps, &authority).expect("a handshake");
    assert_eq!(smtp.login("ada", LOCAL_PASSWORD).expect("it answers").code, 235);
    let text = b"From: ada@home.example\r\n\r\nHello.\r\n";
    let answer = smtp.send("ada@home.example", &["ada@home.example"], text).expect("it answers");
    assert_eq!(answer.code, 250, "{answer:?}");
    let told = agent.ctl_ok(&["client-config"]);
    for address in [imaps, smtps, pop3s] {
        assert!(told.contains(&format!("{address} (TLS)")), "{told}");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let server = server();
    for tls in ["starttls", "implicit"] {
        let said = Agent::new(&account(&server, tls, "").text()).once();
        assert_eq!(said.code, 75, "{tls}: {said:?}");
        assert!(said.err.to_lowercase().contains("certificate"), "{tls}: {said:?}");
    }
}

#[test]
fn expired_and_foreign_certificates_are_refused_even_when_their_maker_is_trusted() {
    // The address 192.0.2.1 is for documentation (RFC 5737): nobody's.
    for (what, name, validity) in [("expired", "127.0.0.1", Validity::Expired), ("foreign", "192.0.2.1", Validity::Now)]
    {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let made = certificate::make(folder.path(), name, validity);
        let config =
            format!("tls = {{ certificate = \"{}\", key = \"{}\" }}\n", made.chain.display(), made.key.display());
        let server =
            RefServer::start(&Options { users: &["ada"], common_loopback: true, config, ..Options::default() });
        let trust = format!("tls-ca = \"{}\"", made.chain.display());
        for tls in ["starttls", "implicit"] {
            let said = Agent::new(&account(&server, tls, &trust).text()).once();
            assert_eq!(said.code, 75, "{what}, {tls}: {said:?}");
            assert!(said.err.to_lowercase().contains("certificate"), "{what}, {tls}: {said:?}");
        }
    }
}
