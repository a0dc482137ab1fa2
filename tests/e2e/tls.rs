//! Every way of TLS to the server, and certificates that must not be believed.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailtide::sasl::client::ScramClient;
use mailtide::sasl::scram::ScramHash;
use mailtide::types::{ChannelBinding, Secret};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::support::agent::{Account, Agent, LOCAL_PASSWORD};
use crate::support::certificate::{self, Validity};
use crate::support::corpus;
use crate::support::imap::{Imap, connect};
use crate::support::net::free_address;
use crate::support::refserver::{Options, PASSWORD, RefServer};
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

/// A connection under TLS, and what names it to both ends (RFC 9266).
fn bound(address: SocketAddr, root: &Path) -> (BufReader<TlsClient>, ChannelBinding) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(root).expect("a PEM certificate")).expect("a usable certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = rustls::ClientConnection::new(Arc::new(config), address.ip().into()).expect("a client");
    let mut stream = rustls::StreamOwned::new(session, connect(address).expect("the server listens"));
    stream.conn.complete_io(&mut stream.sock).expect("a handshake");
    let octets = [0; ChannelBinding::LENGTH];
    let exported = stream.conn.export_keying_material(octets, ChannelBinding::LABEL, Some(b""));
    (BufReader::new(stream), ChannelBinding::new(exported.expect("an exporter")))
}

type TlsClient = rustls::StreamOwned<rustls::ClientConnection, TcpStream>;

/// Says a line, and reads up to one that begins so.
fn converse(stream: &mut BufReader<TlsClient>, line: &str, until: &[&str]) -> String {
    stream.get_mut().write_all(format!("{line}\r\n").as_bytes()).expect("a connection that holds");
    loop {
        let mut said = String::new();
        stream.read_line(&mut said).expect("a connection that holds");
        if until.iter().any(|until| said.starts_with(until)) {
            return said.trim_end().to_owned();
        }
        assert!(!said.is_empty(), "the server closed");
    }
}

/// A login by SCRAM-SHA-256-PLUS; gives the last answer.
fn log_in_bound(stream: &mut BufReader<TlsClient>, binding: ChannelBinding, form: &Form) -> String {
    let (client, first) = ScramClient::begin(ScramHash::Sha256, "ada", "abcdefghijkl".to_owned(), Some(binding));
    let first = format!("{} {}", form.command, STANDARD.encode(first));
    let challenge = converse(stream, &first, &[form.challenge]);
    let challenge = STANDARD.decode(&challenge[form.challenge.len()..]).expect("BASE64");
    let (proving, answer) = client.answer(&challenge, &Secret::new(PASSWORD)).expect("a fine challenge");
    let said = converse(stream, &STANDARD.encode(answer), &[form.challenge, form.refused]);
    match said.strip_prefix(form.challenge) {
        None => said,
        Some(proof) => {
            assert!(proving.is_proof(&STANDARD.decode(proof).expect("BASE64")), "the server proves itself: {said}");
            converse(stream, "", &[form.accepted, form.refused])
        }
    }
}

/// How a protocol carries SASL.
struct Form {
    listener: &'static str,
    /// What is said first, and what tells the mechanisms.
    hello: &'static str,
    mechanisms: &'static [&'static str],
    command: &'static str,
    challenge: &'static str,
    accepted: &'static str,
    refused: &'static str,
}

const FORMS: [Form; 3] = [
    Form {
        listener: "imaps",
        hello: "c CAPABILITY",
        mechanisms: &["* CAPABILITY"],
        command: "a AUTHENTICATE SCRAM-SHA-256-PLUS",
        challenge: "+ ",
        accepted: "a OK",
        refused: "a NO [AUTHENTICATIONFAILED]",
    },
    Form {
        listener: "submissions",
        hello: "EHLO client.example",
        mechanisms: &["250-AUTH", "250 AUTH"],
        command: "AUTH SCRAM-SHA-256-PLUS",
        challenge: "334 ",
        accepted: "235",
        refused: "535",
    },
    Form {
        listener: "pop3s",
        hello: "CAPA",
        mechanisms: &["SASL"],
        command: "AUTH SCRAM-SHA-256-PLUS",
        challenge: "+ ",
        accepted: "+OK",
        refused: "-ERR [AUTH]",
    },
];

#[test]
fn a_login_can_be_bound_to_its_connection_and_is_worth_nothing_on_another() {
    let server = server();
    for form in &FORMS {
        let open = || {
            let (mut stream, binding) = bound(server.address(form.listener), server.authority());
            let told = converse(&mut stream, form.hello, form.mechanisms);
            assert!(told.contains("SCRAM-SHA-256-PLUS") && told.contains("SCRAM-SHA-1-PLUS"), "{told}");
            (stream, binding)
        };
        let (mut stream, binding) = open();
        let said = log_in_bound(&mut stream, binding.clone(), form);
        assert!(said.starts_with(form.accepted), "{}: {said}", form.listener);
        let (mut another, _) = open();
        let said = log_in_bound(&mut another, binding, form);
        assert!(said.starts_with(form.refused), "{}: {said}", form.listener);
    }
    let plain = Imap::connect(server.address("imap")).expect("the server listens").greeting;
    assert!(plain.contains("AUTH=SCRAM-SHA-256 ") && !plain.contains("-PLUS"), "there is nothing to bind to: {plain}");
}
