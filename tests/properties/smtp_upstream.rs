//! An SMTP server that mail is handed to, whatever it says from its greeting on: each recipient has one outcome, or the
//! error says whether the message may have been taken; how the bytes were cut makes no difference.

use std::sync::Arc;

use mailtide::outbox::sender::{Envelope, Outcome, SendError, Sender};
use mailtide::types::{Secret, SecretKind, limits};
use mailtide::upstream::{Login, SmtpSender, Timeouts};

use super::pieces::{Cut, expanded};
use super::stream::{Speaks, TLS, endpoint, run, secret_for};

/// Bits of the first byte.
const LOGIN: u8 = 1;
const EIGHT_BIT: u8 = 2;

pub fn check(input: &[u8]) {
    let Some((mode, input)) = input.split_first() else { return };
    let input = Arc::new(expanded(input, 2 * limits::UPSTREAM_REPLY_MAX_BYTES));
    let mut whole = None;
    for cut in Cut::ALL {
        let dial = Speaks::new(&input, cut, false);
        let secret = secret_for(&input);
        let outcome = send(*mode, dial.clone(), &secret);
        check_outcome(&outcome);
        let accepted =
            outcome.iter().flatten().any(|outcome| !matches!(outcome, Outcome::Deferred(_) | Outcome::Failed(_)));
        // With its dots doubled behind DATA, as it is behind BDAT (RFC 3030 section 2).
        let is_sent = match dial.has_heard(b"BDAT ") {
            true => dial.has_heard(b" LAST\r\nSubject: ") && dial.has_heard(b"\r\n\r\n.\r\nx\r\n"),
            false => dial.has_heard(b"\r\n\r\n..\r\nx\r\n.\r\n"),
        };
        assert!(!accepted || is_sent, "accepted and not sent");
        let shows = format!("{outcome:?}").contains(&secret);
        assert!(!shows, "the password is shown: {outcome:?}");
        match &whole {
            None => whole = Some(outcome),
            Some(whole) => assert_eq!(&outcome, whole, "cut another way: {cut:?}"),
        }
    }
}

fn send(mode: u8, dial: Speaks, secret: &str) -> Result<Vec<Outcome>, SendError> {
    let login =
        Login { user: "ann".to_owned(), password: Secret::new(secret), kind: SecretKind::Password, nonce: || None };
    let sender = SmtpSender {
        dial,
        more: Vec::new(),
        endpoint: endpoint(),
        tls: TLS.clone(),
        login: (mode & LOGIN != 0).then_some(login),
        hello_name: "client.example".to_owned(),
        timeouts: Timeouts::default(),
        kept: None,
    };
    let envelope = Envelope {
        eight_bit: mode & EIGHT_BIT != 0,
        ret: Some("HDRS".to_owned()),
        ..Envelope::plain("ann@a.example", &["bob@b.example", "cy@c.example"])
    };
    let text = if mode & EIGHT_BIT != 0 { "Subject: é\r\n\r\n.\r\nx" } else { "Subject: e\r\n\r\n.\r\nx" };
    run(sender.send(&envelope, &mut text.as_bytes().to_vec()))
}

fn check_outcome(outcome: &Result<Vec<Outcome>, SendError>) {
    match outcome {
        Ok(outcomes) => {
            assert_eq!(outcomes.len(), 2, "one outcome for each recipient");
            for outcome in outcomes {
                let (reply, codes) = match outcome {
                    Outcome::Accepted(reply) | Outcome::AcceptedSilently(reply) => (reply, 200..300),
                    // Or a reply that says neither.
                    Outcome::Deferred(reply) => (reply, 300..500),
                    Outcome::Failed(reply) => (reply, 500..600),
                };
                assert!(codes.contains(&reply.code), "{outcome:?}");
                assert!(!reply.text.contains(char::is_control) && reply.text.chars().count() <= 500, "{outcome:?}");
            }
        }
        Err(error) => assert!(error.to_string().len() < 4000, "an error of {} bytes", error.to_string().len()),
    }
}
