//! What becomes of mail from elsewhere when its sender is looked at.

use std::sync::Arc;

use mailtide::config::server::CheckSenders;
use mailtide::refserver::author::NoAuthor;
use mailtide::refserver::policy::Policy;
use mailtide::refserver::senders::{Checker, Client, Dmarc, Facts, Findings, Senders};
use mailtide::smtp::server::Role;
use mailtide::store::Origin;
use mailtide::types::{MailboxName, SpecialUse};

use super::delivery::{NOW, Post, codes, talk};

/// Finds what the sender's name says.
struct ByName;

impl Checker for ByName {
    fn check(&self, client: &Client, _: Result<&[String], NoAuthor>, message: &[u8]) -> Findings {
        let name = client.mail_from.split('@').next().unwrap_or_default();
        let dmarc = match name {
            "refused" => Dmarc::FailsToRefuse,
            "junk" => Dmarc::FailsToJunk,
            _ => Dmarc::Silent,
        };
        let facts = Facts { spf_fails: name == "forger", dkim_passes: false, dmarc };
        let field = format!(
            "Authentication-Results: mx.here.example; x-test={} ({} {} bytes)\r\n",
            client.address,
            client.helo,
            message.len()
        );
        Findings { field, facts }
    }
}

const TRACE: &str = "Received: from there.example ([192.0.2.7])\r\n\tby mx.here.example with ESMTP\r\n\
    \tfor <alice@here.example>;\r\n\tMon, 23 Nov 2026 13:49:00 +0000\r\n";
const MESSAGE: &str = "From: a@there.example\r\nSubject: hello\r\nAuthentication-Results: MX.here.example; spf=pass\r\n\
    Authentication-Results: elsewhere; spf=pass\r\n\r\nHello\r\n";
const KEPT: &str =
    "From: a@there.example\r\nSubject: hello\r\nAuthentication-Results: elsewhere; spf=pass\r\n\r\nHello\r\n";

fn send(post: &Post, role: Role, from: &str) -> String {
    let mut session = post.session(role);
    let hello = if role == Role::Lmtp { "LHLO" } else { "EHLO" };
    let envelope = format!("{hello} there.example\r\nMAIL FROM:<{from}>\r\nRCPT TO:<alice@here.example>\r\nDATA\r\n");
    assert_eq!(codes(&talk(&mut session, &envelope)), ["220", "250", "250", "250", "354"]);
    // In two pieces: the field must not be missed between them.
    let (begin, end) = MESSAGE.split_at(30);
    talk(&mut session, begin);
    talk(&mut session, &format!("{end}.\r\n"))
}

fn post(mode: Option<CheckSenders>) -> Post {
    let post = Post::with(Policy::default(), Some(Senders::new(mode, Arc::new(ByName))));
    let alice = post.account("alice");
    let make = |name| MailboxName::parse(name).expect("a fine name");
    let junk = make("Spam");
    let made = post
        .delivery
        .store
        .write(Origin::Authority, NOW, move |txn| txn.create_mailbox(alice, &junk, Some(SpecialUse::Junk)));
    made.expect("a mailbox");
    post
}

#[test]
fn what_was_found_stands_in_front_and_what_others_said_in_our_name_is_gone() {
    let post = post(None);
    let said = send(&post, Role::Mx, "refused@x");
    assert_eq!(codes(&said), ["250"], "it is marked and no more");
    let expected = format!(
        "Return-Path: <refused@x>\r\nAuthentication-Results: mx.here.example; x-test=192.0.2.7 (there.example {} bytes)\r\n\
         {TRACE}{KEPT}",
        MESSAGE.len()
    );
    assert_eq!(post.mailbox("alice", &MailboxName::inbox()), [expected]);
}

#[test]
fn where_it_counts_mail_is_refused_or_junk_as_its_domain_asks() {
    let post = post(Some(CheckSenders::Enforce));
    for (from, answer) in [("refused@x", "550 5.7.1 "), ("forger@x", "550 5.7.23 "), ("junk@x", "250 "), ("", "250 ")] {
        let said = send(&post, Role::Mx, from);
        assert!(said.starts_with(answer), "{from}: {said}");
    }
    let count = |name: &str| post.mailbox("alice", &MailboxName::parse(name).expect("a name")).len();
    assert_eq!((count("INBOX"), count("Spam")), (1, 1));
}

#[test]
fn what_is_not_looked_at_loses_what_is_said_in_our_name_and_nothing_else() {
    let off = post(Some(CheckSenders::Off));
    assert_eq!(codes(&send(&off, Role::Mx, "junk@x")), ["250"]);
    let cleaned = format!("Return-Path: <junk@x>\r\n{TRACE}{KEPT}");
    assert_eq!(off.mailbox("alice", &MailboxName::inbox()), [cleaned]);
    let own = format!("Return-Path: <junk@x>\r\n{TRACE}{MESSAGE}");
    // A server of ours looked at it where it came in.
    let enforced = post(Some(CheckSenders::Enforce));
    assert_eq!(codes(&send(&enforced, Role::Lmtp, "junk@x")), ["250"]);
    assert_eq!(enforced.mailbox("alice", &MailboxName::inbox()), [own.replace("ESMTP", "LMTP")]);
}

#[test]
fn where_it_counts_a_message_has_one_author_that_can_be_read() {
    for (mode, expected) in [(CheckSenders::Enforce, "550 5.7.1 "), (CheckSenders::Mark, "250 ")] {
        let post = post(Some(mode));
        for from in ["", "From: a@x.example\r\nFrom: b@y.example\r\n", "From: a@x.example\0\r\n"] {
            let mut session = post.session(Role::Mx);
            talk(&mut session, "EHLO there.example\r\nMAIL FROM:<a@x>\r\nRCPT TO:<alice@here.example>\r\nDATA\r\n");
            let said = talk(&mut session, &format!("{from}Subject: hello\r\n\r\nHello\r\n.\r\n"));
            assert!(said.starts_with(expected), "{from:?}: {said}");
        }
    }
}
