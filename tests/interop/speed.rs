//! How fast mail is taken in, beside Postfix on the same disk, in one run. It says what it measured, and fails where not
//! all of it is there; a busy machine measures nothing, so it judges no figure.
//!
//! A few messages in the usual tests; the full run is `MAILTIDE_SPEED=10000 cargo test --release --test interop speed --
//! --nocapture`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::agent::{Account, Agent};
use crate::support::mta::{self, Mta};
use crate::support::net::free_address;
use crate::support::peers;
use crate::support::refserver::RefServer;
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

const CONNECTIONS: usize = 10;
const SIZE_BYTES: usize = 10 * 1024;

/// Each is measured so often, in turns.
const ROUNDS: usize = 3;

/// Messages that `smtp-source` brings in a round where `MAILTIDE_SPEED` does not say; a tenth is put into an outbox.
const MESSAGES: usize = 200;

fn messages() -> usize {
    std::env::var("MAILTIDE_SPEED").map_or(MESSAGES, |text| text.parse().expect("a number"))
}

fn outgoing() -> usize {
    messages() / 10
}

fn rate(messages: usize, time: Duration) -> f64 {
    messages as f64 / time.as_secs_f64()
}

/// Postfix's own load generator.
fn smtp_source(root: &Path, to: SocketAddr, recipient: &str) -> f64 {
    let mut command = Command::new(root.join("usr/sbin/smtp-source"));
    command.env("LD_LIBRARY_PATH", root.join("usr/lib/postfix")).arg("-d");
    command.args(["-s", &CONNECTIONS.to_string(), "-m", &messages().to_string(), "-l", &SIZE_BYTES.to_string()]);
    command.args(["-f", "x@far.example", "-t", recipient, &to.to_string()]);
    let start = Instant::now();
    assert!(command.status().expect("it runs").success());
    rate(messages(), start.elapsed())
}

#[test]
fn refserver_takes_mail_beside_postfix() {
    let (Some(root), Some(postfix)) =
        (mta::unpacked("postfix"), Mta::postfix("postfix.example", ("x.example", free_address())))
    else {
        return;
    };
    let server = RefServer::with_users(&["ada"]);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        ours.push(smtp_source(&root, server.address("smtp"), "ada@home.example"));
        wait_until("the mail to be there", SOON, || {
            server.login("ada").select("INBOX").exists() as usize == round * messages()
        });
        theirs.push(smtp_source(&root, postfix.address, "bob@postfix.example"));
        // What it delivers is part of its work, and would disturb what comes next.
        wait_until("Postfix to deliver", SOON * 4, || {
            postfix.delivered_bytes() >= (round * messages() * SIZE_BYTES) as u64
        });
    }
    println!("{} messages of {SIZE_BYTES} bytes over {CONNECTIONS} connections, messages a second:", messages());
    println!("  refserver {ours:.0?}\n  Postfix   {theirs:.0?}");
}

fn letter(number: usize) -> Vec<u8> {
    let mut text =
        format!("From: ada@home.example\r\nSubject: {number}\r\nMessage-ID: <{number}@home.example>\r\n\r\n");
    while text.len() < SIZE_BYTES {
        text += "What is sent when there is no net waits until there is one, on disk, where it is safe.\r\n";
    }
    text.into_bytes()
}

/// So many connections at once, each with its share of the messages.
fn submit(connections: usize, connect: impl Fn() -> Smtp + Sync) -> f64 {
    let start = Instant::now();
    thread::scope(|scope| {
        for connection in 0..connections {
            let connect = &connect;
            scope.spawn(move || {
                let mut smtp = connect();
                for number in (connection..outgoing()).step_by(connections) {
                    let answer = smtp.send("ada@home.example", &["bob@far.example"], &letter(number));
                    assert_eq!(answer.expect("it answers").code, 250);
                }
            });
        }
    });
    rate(outgoing(), start.elapsed())
}

/// A program for each message, one after the other.
fn run_each(messages: usize, mut command: impl FnMut() -> Command) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("letter");
    std::fs::write(&file, letter(0)).expect("a writable folder");
    let start = Instant::now();
    for _ in 0..messages {
        let input = std::fs::File::open(&file).expect("just written");
        let output = command().arg("bob@far.example").stdin(input).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
    }
    rate(messages, start.elapsed())
}

/// Debian's msmtp comes with it.
const MSMTPQ: &str = "/usr/libexec/msmtp/msmtpq/msmtpq";

#[test]
fn the_outbox_takes_mail_beside_msmtpq_and_postfix() {
    let Some(postfix) = Mta::postfix("postfix.example", ("far.example", free_address())) else { return };
    if !Path::new(MSMTPQ).exists() {
        return peers::skip("msmtpq is not installed");
    }
    let mut server = RefServer::with_users(&["ada"]);
    let agent = Agent::started(&Account::at(&server, "ada", server.address("imap")).text());
    agent.sync();
    // No net: only what the outbox itself does is measured.
    server.kill();
    println!("{} messages of {SIZE_BYTES} bytes, messages a second:", outgoing());
    for connections in [1, CONNECTIONS] {
        let ours = submit(connections, || agent.login_smtp("ada"));
        let theirs = submit(connections, || Smtp::connect(postfix.address).expect("it listens"));
        println!("  by SMTP, {connections} at once: outbox {ours:.0}, Postfix {theirs:.0}");
    }
    let few = outgoing() / 10;
    let sendmail = run_each(few, || {
        let mut command = agent.command(env!("CARGO_BIN_EXE_syncctl"));
        command.args(["sendmail", "-i", "-f", "ada@home.example"]);
        command
    });
    let home = tempfile::tempdir().expect("a temporary folder");
    let (queue, programs) = (home.path().join("queue"), home.path().join("bin"));
    for folder in [&queue, &programs] {
        std::fs::create_dir(folder).expect("a writable folder");
    }
    // It pings a host to see whether there is a net; so there is none.
    std::os::unix::fs::symlink("/bin/false", programs.join("ping")).expect("a writable folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("every system has one"));
    let msmtpq = run_each(few, || {
        let mut command = Command::new(MSMTPQ);
        command.env("MSMTPQ_Q", &queue).env("MSMTPQ_LOG", home.path().join("log")).env("EMAIL_CONN_TEST", "p");
        command.env("HOME", home.path()).env("PATH", &path);
        command
    });
    assert_eq!(std::fs::read_dir(&queue).expect("the queue").count(), 2 * few, "a letter and its envelope each");
    println!("  a program for each, one after the other: syncctl sendmail {sendmail:.0}, msmtpq {msmtpq:.0}");
}
