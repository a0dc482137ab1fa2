//! refserver as a mail server: two of them exchange mail.

use std::net::SocketAddr;

use crate::support::imap::Imap;
use crate::support::net::free_address;
use crate::support::refserver::{self, Options, RefServer};
use crate::support::smtp::Smtp;
use crate::support::wait::{SOON, wait_until};

/// Two servers, for a.example and b.example, that know the way to each other.
pub fn pair() -> (RefServer, RefServer) {
    let (at_a, at_b) = (free_address(), free_address());
    let start = |user: &str, domain: &str, smtp: SocketAddr, other: &str, there: SocketAddr| {
        RefServer::start(&Options {
            users: &[user],
            domain: Some(domain),
            smtp: Some(smtp),
            config: format!("[routes]\n\"{other}\" = \"{there}\"\n"),
            ..Options::default()
        })
    };
    let a = start("ada", "a.example", at_a, "b.example", at_b);
    let b = start("bob", "b.example", at_b, "a.example", at_a);
    (a, b)
}

fn message(number: u64, to: &str) -> Vec<u8> {
    format!(
        "From: ada@a.example\r\nTo: {to}\r\nSubject: number {number}\r\nMessage-ID: <{number}@a.example>\r\n\r\nHi.\r\n"
    )
    .into_bytes()
}

fn submission(server: &RefServer) -> std::io::Result<Smtp> {
    let mut smtp = Smtp::connect(server.address("submission"))?;
    assert_eq!(smtp.login("ada", refserver::PASSWORD)?.code, 235);
    Ok(smtp)
}

fn submit(server: &RefServer, number: u64, to: &str) -> std::io::Result<u16> {
    Ok(submission(server)?.send("ada@a.example", &[to], &message(number, to))?.code)
}

/// The numbers in an INBOX; one may stand there more than once.
pub fn numbers(imap: &mut Imap) -> Vec<u64> {
    if imap.select("INBOX").exists() == 0 {
        return Vec::new();
    }
    let subject = |body: &[u8]| {
        let text = String::from_utf8_lossy(body).into_owned();
        let number = text.lines().find_map(|line| line.strip_prefix("Subject: number ")?.parse().ok());
        number.expect("one of our messages")
    };
    let mut numbers: Vec<u64> = imap.fetch_all().iter().map(|message| subject(&message.body)).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn two_servers_exchange_mail() {
    let (a, b) = pair();
    assert_eq!(submit(&a, 1, "bob@b.example").expect("a serves"), 250);
    assert_eq!(submit(&a, 2, "ada@a.example").expect("a serves"), 250);
    wait_until("mail to reach the other domain", SOON, || numbers(&mut b.login("bob")) == [1]);
    wait_until("mail to reach our own user", SOON, || numbers(&mut a.login("ada")) == [2]);
}

#[test]
fn the_mx_port_takes_mail_for_its_users_and_relays_for_nobody() {
    let (a, _b) = pair();
    let mut smtp = Smtp::connect(a.address("smtp")).expect("a serves");
    for (recipient, code) in [("ada@a.example", 250), ("nobody@a.example", 550), ("eve@far.example", 550)] {
        smtp.expect(250, "MAIL FROM:<x@y.example>");
        let answer = smtp.try_command(&format!("RCPT TO:<{recipient}>")).expect("a serves");
        assert_eq!(answer.code / 100, code / 100, "{recipient}: {answer:?}");
        smtp.expect(250, "RSET");
    }
    // Submission is for those who say who they are.
    let mut smtp = Smtp::connect(a.address("submission")).expect("a serves");
    assert_eq!(smtp.try_command("MAIL FROM:<ada@a.example>").expect("a serves").code, 530);
}

#[test]
fn what_the_other_server_refuses_comes_back_with_its_words() {
    let (a, b) = pair();
    assert_eq!(submit(&a, 1, "nobody@b.example").expect("a serves"), 250);
    wait_until("the report", SOON, || a.login("ada").select("INBOX").exists() == 1);
    let mut imap = a.login("ada");
    imap.select("INBOX");
    let text = String::from_utf8_lossy(&imap.fetch_all()[0].body).into_owned();
    // RFC 3464 section 2.3.5: who said it.
    let ip = b.address("smtp").ip();
    let told =
        format!("Action: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; [{ip}]\r\nDiagnostic-Code: smtp; 550 5.1.1 ");
    assert!(text.contains(&told) && text.contains(&format!("    {ip} said: 550 ")), "{text}");
}

#[test]
fn mail_for_a_server_that_is_down_waits_for_it() {
    let (a, mut b) = pair();
    b.kill();
    assert_eq!(submit(&a, 1, "bob@b.example").expect("a serves"), 250);
    b.restart();
    // The first time it looks again after up to a minute.
    wait_until("the mail to arrive after all", SOON * 2, || numbers(&mut b.login("bob")) == [1]);
}
