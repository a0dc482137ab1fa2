//! Handing mail over: each recipient's outcome, and what is known when the line breaks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailtide::outbox::sender::{Envelope, Outcome, SendError, Sender};
use mailtide::types::{ByteSource, Secret, SecretKind, limits};
use mailtide::upstream::smtp::Kept;
use mailtide::upstream::{Endpoint, Login, SmtpSender, Timeouts, TlsMode};

use super::script::{Line, Scripted, account};

const GREETING: &str = "S: 220 mx.example ESMTP\nC: EHLO client.example\n";
const ACCEPTED: &str =
    "S: 250-mx.example\nS: 250-PIPELINING\nS: 250-SIZE 1000\nS: 250-8BITMIME\nS: 250-DSN\nS: 250 SMTPUTF8\n";

fn sender(dial: Scripted, login: bool) -> SmtpSender<Scripted> {
    SmtpSender {
        endpoint: Endpoint { host: "mx.example".to_owned(), port: 25, tls: TlsMode::None, allow_plaintext: true },
        more: Vec::new(),
        tls: account(dial.clone()).tls,
        dial,
        login: login.then(|| Login {
            user: "ann".to_owned(),
            password: Secret::new("hunter2"),
            kind: SecretKind::Password,
            nonce: || Some("rOprNGfwEbeRWgbNEkqO".to_owned()),
        }),
        hello_name: "client.example".to_owned(),
        timeouts: Timeouts::default(),
        kept: None,
    }
}

fn envelope(recipients: &[&str]) -> Envelope {
    Envelope::plain("ann@a.example", recipients)
}

/// `+250 -550 ~450` and so on, one for each recipient.
fn shown(outcomes: &[Outcome]) -> String {
    let one = |outcome: &Outcome| match outcome {
        Outcome::Accepted(reply) => format!("+{}", reply.code),
        Outcome::AcceptedSilently(reply) => format!("({})", reply.code),
        Outcome::Deferred(reply) => format!("~{}", reply.code),
        Outcome::Failed(reply) => format!("-{}", reply.code),
    };
    outcomes.iter().map(one).collect::<Vec<_>>().join(" ")
}

async fn send(script: &str, login: bool, envelope: &Envelope, bytes: &str) -> (Result<String, SendError>, Scripted) {
    let dial = Scripted::new(&[script], Line::default());
    let mut bytes = bytes.as_bytes().to_vec();
    let sent = sender(dial.clone(), login).send(envelope, &mut bytes).await;
    (sent.map(|outcomes| shown(&outcomes)), dial)
}

#[tokio::test(start_paused = true)]
async fn every_recipient_has_an_outcome_of_its_own() {
    let script = format!(
        "{GREETING}{ACCEPTED}C: MAIL FROM:<ann@a.example> SIZE=29 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=e1\n\
         C: RCPT TO:<bob@b.example> NOTIFY=FAILURE ORCPT=rfc822;bob@b.example\nC: RCPT TO:<no@b.example>\n\
         C: RCPT TO:<later@b.example>\nC: RCPT TO:<é@b.example>\n\
         S: 250 2.1.0 Ok\nS: 250 2.1.5 Ok\nS: 550 5.1.1 nobody\nS: 450 4.2.0 greylisted\nS: 251 2.1.5 forwarded\n\
         C: DATA\nS: 354 go\nC: Subject: é\nC: ..dot\nC: ...\nC:  end\nC: .\nS: 250 2.0.0 taken\nC: QUIT\nS: 221 bye\n"
    );
    let mut envelope = envelope(&["bob@b.example", "no@b.example", "a b@c", "later@b.example", "é@b.example"]);
    envelope.recipients[0].notify = Some("FAILURE".to_owned());
    envelope.recipients[0].orcpt = Some("rfc822;bob@b.example".to_owned());
    (envelope.ret, envelope.envid) = (Some("HDRS".to_owned()), Some("e1".to_owned()));
    envelope.eight_bit = true;
    let (sent, dial) = send(&script, false, &envelope, "Subject: é\r\n.dot\r\n..\r\n end\r\n").await;
    assert_eq!(sent.as_deref(), Ok("+250 -550 -553 ~450 +250"), "{:?}", dial.report);
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn what_the_server_cannot_do_is_not_asked_of_it() {
    let bare = "S: 250 mx.example\n";
    let mail =
        "C: MAIL FROM:<ann@a.example>\nS: 250\nC: RCPT TO:<bob@b.example>\nS: 250\nC: RCPT TO:<c@c.example>\nS: 550\n";
    let data = "C: DATA\nS: 354\nC: hi\nC: .\nS: 250\nC: QUIT\nS: 221\n";
    let quit = "C: QUIT\nS: 221\n";
    let two = envelope(&["bob@b.example", "c@c.example"]);
    let eight_bit = Envelope { eight_bit: true, ..two.clone() };
    let international = Envelope { smtp_utf8: true, ..two.clone() };
    let rows = [
        (format!("{GREETING}{bare}{mail}{data}"), &two, "hi", "+250 -550"),
        (format!("{GREETING}S: 502 what?\nC: HELO client.example\nS: 250 hi\n{mail}{data}"), &two, "hi", "+250 -550"),
        (format!("{GREETING}{bare}{mail}{data}"), &eight_bit, "hi", "+250 -550"),
        (format!("{GREETING}{bare}{quit}"), &eight_bit, "é", "-554 -554"),
        (format!("{GREETING}{bare}{quit}"), &international, "Subject: é\r\n\r\nhi", "-553 -553"),
        (format!("{GREETING}{bare}{mail}{data}"), &international, "hi", "+250 -550"),
        (format!("{GREETING}S: 250-mx\nS: 250 SIZE 1\n{quit}"), &two, "hi", "-552 -552"),
        (format!("{GREETING}{bare}C: MAIL..\nS: 550 5.7.1 no\n{quit}"), &two, "hi", "-550 -550"),
        (
            format!("{GREETING}{bare}C: MAIL..\nS: 250\nC: RCPT..\nS: 571 no\nC: RCPT..\nS: 452 many\n{quit}"),
            &two,
            "hi",
            "-571 ~452",
        ),
        (format!("{GREETING}{bare}{mail}C: DATA\nS: 451 wait\n{quit}"), &two, "hi", "~451 -550"),
        (
            format!("{GREETING}{bare}{mail}C: DATA\nS: 354\nC: hi\nC: .\nS: 554 5.6.0 spam\n{quit}"),
            &two,
            "hi",
            "-554 -550",
        ),
    ];
    for (script, envelope, bytes, outcome) in rows {
        let (sent, dial) = send(&script, false, envelope, bytes).await;
        assert_eq!(sent.as_deref(), Ok(outcome), "{script}");
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_chunks_gets_chunks() {
    let offered = "S: 250-mx\nS: 250 CHUNKING\n";
    let mail = "C: MAIL FROM:<ann@a.example>\nS: 250\nC: RCPT TO:<bob@b.example>\nS: 250\n";
    let quit = "C: QUIT\nS: 221\n";
    // Two chunks, each of whole lines.
    let lines = "0123456789abcd\r\n".repeat(17_000);
    let rows = [
        (format!("C: BDAT 13 LAST\nC: .dot\nC: ..\nC: x\nS: 250 ok\n{quit}"), ".dot\r\n..\nx".to_owned(), "+250"),
        (format!("C: BDAT 0 LAST\nS: 250 ok\n{quit}"), String::new(), "+250"),
        (format!("C: BDAT 4 LAST\nC: hi\nS: 554 spam\n{quit}"), "hi\r\n".to_owned(), "-554"),
        (format!("C: BDAT 4 LAST\nC: hi\nS: 451 busy\n{quit}"), "hi\r\n".to_owned(), "~451"),
        (
            format!("C: BDAT 262144\nB: 262142\nS: 250\nC: BDAT 9856 LAST\nB: 9854\nS: 250 ok\n{quit}"),
            lines.clone(),
            "+250",
        ),
        (format!("C: BDAT 262144\nB: 262142\nS: 552 too much\n{quit}"), lines, "-552"),
    ];
    for (script, bytes, outcome) in rows {
        let (sent, dial) =
            send(&format!("{GREETING}{offered}{mail}{script}"), false, &envelope(&["bob@b.example"]), &bytes).await;
        assert_eq!(sent.as_deref(), Ok(outcome), "{script}");
        dial.assert_followed();
    }
}

/// RFC 9422.
#[tokio::test(start_paused = true)]
async fn no_server_is_sent_more_at_once_than_it_says_it_takes() {
    let rcpt = |addresses: &[&str]| {
        let line = |address: &&str| format!("C: RCPT TO:<{address}>\nS: 250\n");
        format!("C: MAIL..\nS: 250\n{}", addresses.iter().map(line).collect::<String>())
    };
    let data = "C: DATA\nS: 354\nC: hi\nC: .\nS: 250 ok\n";
    let quit = "C: QUIT\nS: 221\n";
    let offered = |limits: &str| format!("{GREETING}S: 250-mx\nS: 250 LIMITS {limits}\n");
    let all = envelope(&["a@x", "b@y", "c@x"]);
    let (two, one) = (rcpt(&["a@x", "b@y"]), rcpt(&["c@x"]));
    let (at_x, at_y) = (rcpt(&["a@x", "c@x"]), rcpt(&["b@y"]));
    let refused = "C: MAIL..\nS: 250\nC: RCPT..\nS: 550\nC: RCPT..\nS: 550\nC: RSET\nS: 250\n";
    let rows: Vec<(Vec<String>, &str)> = vec![
        (vec![format!("{}{two}{data}{one}{data}{quit}", offered("RCPTMAX=2"))], "+250 +250 +250"),
        (vec![format!("{}{at_x}{data}{at_y}{data}{quit}", offered("RCPTDOMAINMAX=1"))], "+250 +250 +250"),
        (vec![format!("{}{refused}{one}{data}{quit}", offered("RCPTMAX=2"))], "-550 -550 +250"),
        // What follows a MAIL that is refused is answered all the same.
        (
            vec![format!(
                "{}C: MAIL..\nC: RCPT..\nC: RCPT..\nS: 552 no\nS: 503 MAIL first\nS: 503 MAIL first\nC: RSET\nS: 250\n\
                 C: MAIL..\nC: RCPT..\nS: 250\nS: 250\n{data}{quit}",
                offered("RCPTMAX=2").replace("S: 250-mx\n", "S: 250-mx\nS: 250-PIPELINING\n")
            )],
            "-552 -552 +250",
        ),
        (
            vec![
                format!("{}{two}{data}{quit}", offered("MAILMAX=1 RCPTMAX=2")),
                format!("{}{one}{data}{quit}", offered("MAILMAX=1 RCPTMAX=2")),
            ],
            "+250 +250 +250",
        ),
        // Two have it: that the third does not is no reason to send it to them again.
        (vec![format!("{}{two}{data}C: MAIL..\nS: 421 enough\n", offered("RCPTMAX=2"))], "+250 +250 ~451"),
        (vec![format!("{}{two}{data}{quit}", offered("MAILMAX=1 RCPTMAX=2"))], "+250 +250 ~451"),
    ];
    for (scripts, expected) in rows {
        let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
        let dial = Scripted::new(&scripts, Line::default());
        let handed_over = sender(dial.clone(), false).hand_over(&all, &mut b"hi".to_vec()).await.expect("outcomes");
        assert_eq!(shown(&handed_over.and_leave().await), expected, "{scripts:#?}\n{:?}", dial.report);
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_had_its_messages_is_not_kept() {
    let hello = format!("{GREETING}S: 250-mx\nS: 250 LIMITS MAILMAX=1\n");
    let script =
        format!("{hello}C: MAIL..\nS: 250\nC: RCPT..\nS: 250\nC: DATA\nS: 354\nC: hi\nC: .\nS: 250\nC: QUIT\n");
    let dial = Scripted::new(&[&script, &script], Line::default());
    let sender = SmtpSender { kept: Some(Kept::default()), ..sender(dial.clone(), false) };
    for _ in 0..2 {
        let sent = sender.send(&envelope(&["a@x"]), &mut b"hi".to_vec()).await.expect("outcomes");
        assert_eq!(shown(&sent), "+250");
    }
    dial.assert_followed();
}

#[tokio::test(start_paused = true)]
async fn a_login_finds_the_way_that_the_server_takes() {
    let plain = "AGFubgBodW50ZXIy";
    let done = "C: MAIL..\nS: 550 enough\nC: QUIT\nS: 221\n";
    let rows = [
        format!("{GREETING}S: 250-mx\nS: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN {plain}\nS: 235 in\n{done}"),
        format!("{GREETING}S: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN {plain}\nS: 334\nC: {plain}\nS: 235 in\n{done}"),
        format!(
            "{GREETING}S: 250-mx\nS: 250 auth=login\nC: AUTH LOGIN\nS: 334 VXNlcg==\nC: YW5u\nS: 334\nC: aHVudGVyMg==\nS: 235 in\n{done}"
        ),
    ];
    for script in rows {
        let (sent, dial) = send(&script, true, &envelope(&["b@b"]), "hi").await;
        assert_eq!(sent.as_deref(), Ok("-550"), "{script}");
        dial.assert_followed();
    }
}

/// RFC 7677 section 3 within RFC 4954. No password follows a proof that was refused.
#[tokio::test(start_paused = true)]
async fn by_scram_both_sides_prove_that_they_know_the_password() {
    let encode = |text: &str| STANDARD.encode(text);
    let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let first = encode("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let challenge = encode(&format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    let proof = encode(&format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
    let verifier = encode("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let wrong = encode("v=AAAATRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let cheap = encode(&format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1"));
    let hello = format!("{GREETING}S: 250-mx\nS: 250 AUTH PLAIN LOGIN SCRAM-SHA-256\n");
    let begun = format!("{hello}C: AUTH SCRAM-SHA-256 {first}\n");
    let proved = format!("{begun}S: 334 {challenge}\nC: {proof}\n");
    let done = "C: MAIL..\nS: 550 enough\nC: QUIT\nS: 221\n";
    let rows = [
        (format!("{proved}S: 334 {verifier}\nC: \nS: 235 in\n{done}"), "-550"),
        (format!("{begun}S: 504 what?\nC: AUTH PLAIN AHVzZXIAcGVuY2ls\nS: 235 in\n{done}"), "-550"),
        (format!("{proved}S: 535 5.7.8 wrong\n"), "LoginRefused:535 wrong"),
        (format!("{proved}S: 454 4.7.0 busy\n"), "Refused:busy"),
        (format!("{proved}S: 235 in\n"), "LoginRefused:does not prove"),
        (format!("{proved}S: 334 {wrong}\n"), "LoginRefused:does not prove"),
        (format!("{begun}S: 334 {cheap}\n"), "LoginRefused:it asks for 1 rounds"),
        (format!("{begun}S: 334 what\n"), "LoginRefused:its challenge is none of SCRAM"),
    ];
    for (script, expected) in rows {
        let dial = Scripted::new(&[&script], Line::default());
        let mut sender = sender(dial.clone(), true);
        let login = sender.login.as_mut().expect("with a login");
        (login.user, login.password) = ("user".to_owned(), Secret::new("pencil"));
        let said = match sender.send(&envelope(&["b@b"]), &mut b"hi".to_vec()).await {
            Ok(outcomes) => shown(&outcomes),
            Err(error) => format!("{error:?}"),
        };
        let (variant, part) = expected.split_once(':').unwrap_or((expected, ""));
        assert!(said.starts_with(variant) && said.contains(part), "{said}\nis not {expected}\nafter {script}");
        dial.assert_followed();
    }
}

/// RFC 7628 section 4 within RFC 4954; a token goes by no other mechanism.
#[tokio::test(start_paused = true)]
async fn a_token_goes_by_the_mechanisms_for_tokens() {
    let encode = |text: &str| STANDARD.encode(text);
    let bearer = encode("n,a=ann,\u{1}host=mx.example\u{1}port=25\u{1}auth=Bearer hunter2\u{1}\u{1}");
    let xoauth2 = encode("user=ann\u{1}auth=Bearer hunter2\u{1}\u{1}");
    let why = encode(r#"{"status":"invalid_token"}"#);
    let both = format!("{GREETING}S: 250-mx\nS: 250 AUTH PLAIN XOAUTH2 OAUTHBEARER\n");
    let old = format!("{GREETING}S: 250-mx\nS: 250 AUTH LOGIN XOAUTH2\n");
    let done = "C: MAIL..\nS: 550 enough\nC: QUIT\nS: 221\n";
    let rows = [
        (format!("{both}C: AUTH OAUTHBEARER {bearer}\nS: 235 in\n{done}"), "-550"),
        (
            format!("{both}C: AUTH OAUTHBEARER {bearer}\nS: 504 no\nC: AUTH XOAUTH2 {xoauth2}\nS: 235 in\n{done}"),
            "-550",
        ),
        (
            format!("{both}C: AUTH OAUTHBEARER {bearer}\nS: 334 {why}\nC: AQ==\nS: 535 5.7.8 old\n"),
            "LoginRefused:535 old",
        ),
        (format!("{old}C: AUTH XOAUTH2 {xoauth2}\nS: 334 {why}\nC: \nS: 535 5.7.8 hunter2\n"), "LoginRefused:535 ..."),
        (format!("{old}C: AUTH XOAUTH2 {xoauth2}\nS: 334\nC: {xoauth2}\nS: 235 in\n{done}"), "-550"),
        (format!("{GREETING}S: 250-mx\nS: 250 AUTH PLAIN LOGIN\n"), "LoginRefused:with a token"),
    ];
    for (script, expected) in rows {
        let dial = Scripted::new(&[&script], Line::default());
        let mut sender = sender(dial.clone(), true);
        sender.login.as_mut().expect("with a login").kind = SecretKind::Token;
        let said = match sender.send(&envelope(&["b@b"]), &mut b"hi".to_vec()).await {
            Ok(outcomes) => shown(&outcomes),
            Err(error) => format!("{error:?}"),
        };
        let (variant, part) = expected.split_once(':').unwrap_or((expected, ""));
        assert!(said.starts_with(variant) && said.contains(part), "{said}\nis not {expected}\nafter {script}");
        assert!(!said.contains("hunter2"));
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_says_why() {
    let auth = format!("{GREETING}S: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN..\n");
    let mail = format!("{GREETING}{ACCEPTED}C: MAIL..\nC: RCPT..\n");
    let long = format!("s: 220-{}", "x".repeat(70_000));
    let rows: Vec<(bool, String, &str)> = vec![
        (false, String::new(), "Lost"),
        (false, "C: never".into(), "Lost:no answer for 60 s"),
        (false, "S: * OK IMAP4rev1".into(), "Lost:what is no SMTP"),
        (false, long, "Lost:more than 65536 bytes"),
        (false, "S: 220-a\nS: 221 b".into(), "Lost:disagree"),
        (false, "S: 554 go away".into(), "Refused:go away"),
        (false, format!("{GREETING}S: 421 busy"), "Refused:busy"),
        (true, format!("{GREETING}S: 250 mx"), "LoginRefused:no way to log in"),
        (true, format!("{auth}S: 535 5.7.8 hunter2 is wrong"), "LoginRefused:535 ... is wrong"),
        (true, format!("{auth}S: 535 5.7.8 no: AGFubgBodW50ZXIy, aHVudGVyMg=="), "LoginRefused:535 no: ..., ..."),
        (true, format!("{auth}S: 454 4.7.0 later"), "Refused:later"),
        (true, format!("{auth}S: 454-4.7.0 hunter2 not now\nS: 454 4.7.0 AGFubgBodW50ZXIy"), "Refused:... not now ..."),
        (true, format!("{auth}S: AGFubgBodW50ZXIy hunter2"), "Lost:what is no SMTP"),
        (true, auth, "Lost"),
        (false, format!("{mail}S: 451 4.3.0 later\nS: 503 no"), "Refused:later"),
        (false, format!("{mail}S: 250\nS: 421 closing"), "Refused:closing"),
        (
            false,
            format!("{mail}S: 250\nS: 250\nC: DATA\nS: 354\nC: hi\nC: .\nC: never"),
            "AnswerLost:no answer for 600 s",
        ),
        (false, format!("{mail}S: 250\nS: 250\nC: DATA\nS: 354\nC: hi\nC: .\nS: garbage"), "AnswerLost:no SMTP"),
        // One reply too many: what looks like "taken" is the answer to RCPT.
        (
            false,
            format!("{mail}S: 250\nS: 250 extra\nS: 250 ok\nC: DATA\nS: 354\n"),
            "Lost:it answers DATA with 250 ok",
        ),
    ];
    for (login, script, expected) in rows {
        let (sent, _) = send(&script, login, &envelope(&["b@b"]), "hi").await;
        let error = sent.expect_err(&script);
        let (variant, part) = expected.split_once(':').unwrap_or((expected, ""));
        let said = format!("{error:?}");
        for secret in ["hunter2", "AGFubgBodW50ZXIy", "aHVudGVyMg=="] {
            assert!(!said.contains(secret), "{said}");
        }
        assert!(
            said.starts_with(&format!("{variant} ")) && said.contains(part),
            "{said}\nis not {expected}\nafter {script:.300}"
        );
        assert!(!said.contains("hunter2"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_server_is_tried_where_one_is_not_there_and_never_after_a_message_went_out() {
    let mail = format!("{GREETING}{ACCEPTED}C: MAIL..\nC: RCPT..\nS: 250\nS: 250\nC: DATA\nS: 354\nC: hi\nC: .\n");
    let whole = format!("{mail}S: 250 taken\nC: QUIT\nS: 221 bye\n");
    let whole = whole.as_str();
    let auth = format!("{GREETING}S: 250-mx\nS: 250 AUTH PLAIN\nC: AUTH PLAIN..\nS: 535 no");
    for (login, scripts, expected) in [
        (false, vec![whole], "+250"),
        (false, vec!["S: 421 busy\nC: QUIT\nS: 221 bye", whole], "+250"),
        (false, vec!["", "S: 554 none here\nC: QUIT\nS: 221 bye", whole], "+250"),
        (false, vec!["S: 421 busy", "S: 421 full"], "Refused busy"),
        (false, vec![&mail, whole], "AnswerLost"),
        (true, vec![&auth, whole], "LoginRefused"),
    ] {
        let dial = Scripted::new(&scripts, Line::default());
        let mut sender = sender(dial.clone(), login);
        let host = |host: &str| Endpoint { host: host.to_owned(), ..sender.endpoint.clone() };
        sender.more = vec![host("two.example"), host("three.example")];
        let said = match sender.send(&envelope(&["b@b"]), &mut b"hi".to_vec()).await {
            Ok(outcomes) => shown(&outcomes),
            Err(error) => format!("{error:?}"),
        };
        let (variant, part) = expected.split_once(' ').unwrap_or((expected, ""));
        assert!(said.starts_with(variant) && said.contains(part), "{said}\nis not {expected}\nafter {scripts:?}");
    }
}

/// Which server may have it is not remembered; each attempt asks the first before any other, as the one whose answer was lost
/// was the first that was there. Only where nobody is there any more does another get it.
#[tokio::test(start_paused = true)]
async fn after_a_lost_answer_the_same_server_is_asked_first_again() {
    let mail = format!("{GREETING}{ACCEPTED}C: MAIL..\nC: RCPT..\nS: 250\nS: 250\nC: DATA\nS: 354\nC: hi\nC: .\n");
    let whole = format!("{mail}S: 250 taken\nC: QUIT\nS: 221 bye\n");
    let dial = Scripted::new(&[&mail, &whole], Line::default());
    let mut sender = sender(dial.clone(), false);
    let first = sender.endpoint.host.clone();
    sender.more = vec![Endpoint { host: "two.example".to_owned(), ..sender.endpoint.clone() }];
    let sent = sender.send(&envelope(&["b@b"]), &mut b"hi".to_vec()).await;
    assert!(matches!(sent, Err(SendError::AnswerLost { .. })), "{sent:?}");
    let sent = sender.send(&envelope(&["b@b"]), &mut b"hi".to_vec()).await.expect("it is there again");
    assert_eq!(shown(&sent), "+250");
    let dialled = dial.report.lock().expect("no panic while locked").dialled.clone();
    assert_eq!(dialled, [first.as_str(), &first]);
}

/// Lost before the final dot: nothing was taken over. Lost after it: perhaps it was.
#[tokio::test(start_paused = true)]
async fn a_cut_at_any_byte_is_told_by_what_the_server_may_have() {
    let before = format!(
        "{GREETING}S: 250-mx\nS: 250-PIPELINING\nS: 250 AUTH PLAIN\nC: AUTH PLAIN..\nS: 235 in\n\
         C: MAIL..\nC: RCPT..\nC: RCPT..\nS: 250 ok\nS: 250 ok\nS: 550 no\nC: DATA\nS: 354 go\n"
    );
    let script = format!("{before}C: hi\nC: .\nS: 250 2.0.0 taken\nC: QUIT\nS: 221 bye\n");
    let sent_bytes = |script: &str| {
        script.lines().filter_map(|line| line.strip_prefix("S: ")).map(|line| line.len() + 2).sum::<usize>()
    };
    let (until_data, all) = (sent_bytes(&before), sent_bytes(&script) - "221 bye\r\n".len());
    for cut in 0..=all {
        let dial = Scripted::new(&[&script], Line { cut_after: Some(cut), trickles: cut % 2 == 0 });
        let sent = sender(dial, true).send(&envelope(&["b@b", "c@c"]), &mut b"hi".to_vec()).await;
        match sent {
            Err(SendError::Lost { .. }) => assert!(cut <= until_data, "cut after {cut}"),
            Err(SendError::AnswerLost { .. }) => assert!((until_data..all).contains(&cut), "cut after {cut}"),
            Ok(outcomes) => assert_eq!((shown(&outcomes).as_str(), cut), ("+250 -550", all)),
            Err(error) => panic!("cut after {cut}: {error:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_takes_the_next_message_and_a_dead_one_is_replaced() {
    let hello = format!("{GREETING}S: 250 mx\n");
    let begun = "C: MAIL FROM:<ann@a.example>\nS: 250\nC: RCPT TO:<b@b>\nS: 250\nC: DATA\nS: 354\nC: hi\nC: .\n";
    let taken = format!("{begun}S: 250 taken\n");
    let refused = format!("{begun}S: 554 spam\nC: QUIT\nS: 221\n");
    let quit = "C: QUIT\nS: 221\n";
    let rows: [(Vec<String>, &str); 5] = [
        (vec![format!("{hello}{taken}{taken}{taken}{quit}")], "+250 +250 +250"),
        // The server closes between two messages, or says so.
        (vec![format!("{hello}{taken}"), format!("{hello}{taken}{taken}{quit}")], "+250 +250 +250"),
        (
            vec![format!("{hello}{taken}C: MAIL..\nS: 421 idle\n"), format!("{hello}{taken}{taken}{quit}")],
            "+250 +250 +250",
        ),
        // Where a message was refused, nobody knows what the server awaits.
        (vec![format!("{hello}{taken}{refused}"), format!("{hello}{taken}{quit}")], "+250 -554 +250"),
        // Its answer is lost: it may have it, and is not sent again here.
        (vec![format!("{hello}{taken}{begun}"), format!("{hello}{taken}{quit}")], "+250 lost +250"),
    ];
    for (scripts, expected) in rows {
        let scripts: Vec<&str> = scripts.iter().map(String::as_str).collect();
        let dial = Scripted::new(&scripts, Line::default());
        let sender = SmtpSender { kept: Some(Kept::default()), ..sender(dial.clone(), false) };
        let mut said = Vec::new();
        for _ in 0..3 {
            said.push(match sender.send(&envelope(&["b@b"]), &mut b"hi".to_vec()).await {
                Ok(outcomes) => shown(&outcomes),
                Err(SendError::AnswerLost { .. }) => "lost".to_owned(),
                Err(error) => format!("{error:?}"),
            });
        }
        assert_eq!(said.join(" "), expected, "{scripts:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(2 * limits::KEPT_CONNECTION_MS)).await;
        dial.assert_followed();
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_cannot_be_read_is_never_ended() {
    struct Torn;
    impl ByteSource for Torn {
        fn size(&self) -> u64 {
            9
        }
        fn read_at(&mut self, offset: u64, _max: usize) -> std::io::Result<Vec<u8>> {
            if offset == 0 { Ok(b"abc".to_vec()) } else { Err(std::io::Error::other("unreadable")) }
        }
    }
    let script =
        format!("{GREETING}S: 250 mx\nC: MAIL..\nS: 250\nC: RCPT..\nS: 250\nC: DATA\nS: 354\nC: abc\nC: never");
    let dial = Scripted::new(&[&script], Line::default());
    let error = sender(dial.clone(), false).send(&envelope(&["b@b"]), &mut Torn).await;
    assert_eq!(error, Err(SendError::Local("unreadable".to_owned())));
    // Time is paused: it goes on once everyone waits.
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    assert!(dial.report.lock().expect("no panic while locked").surprises.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_relay_takes_tls_where_it_can_and_a_submission_where_it_must() {
    let done = "C: MAIL..\nS: 550 enough\nC: QUIT\nS: 221\n";
    let offers = format!("{GREETING}S: 250-mx\nS: 250 STARTTLS\n");
    let broken = format!("{offers}C: STARTTLS\nS: 220 go\nB: 50\nS: no TLS at all\n");
    let plain = format!("{GREETING}S: 250 mx\n{done}");
    let in_spite = format!("{offers}{done}");
    let early = format!("{offers}C: STARTTLS\ns: 220 go\\n250 early\\n");
    let later = format!("{offers}C: STARTTLS\nS: 454 later\n");
    let rows: [(TlsMode, bool, &[&str], &str); 9] = [
        (TlsMode::Opportunistic, true, &[&plain], "-550"),
        (TlsMode::Opportunistic, true, &[&broken, &in_spite], "-550"),
        (TlsMode::Opportunistic, false, &[&plain], "plain text is not allowed"),
        (TlsMode::StartTls, true, &[&plain], "does not offer STARTTLS"),
        (TlsMode::StartTls, true, &[&broken], "not TLS"),
        (TlsMode::StartTls, true, &[&early], "plain text where TLS should have begun"),
        (TlsMode::StartTls, true, &[&later], "refuses STARTTLS: later"),
        (TlsMode::None, false, &[&plain], "plain text is not allowed"),
        (TlsMode::Implicit, true, &["S: 220 hi"], "not TLS"),
    ];
    for (tls, allow_plaintext, scripts, expected) in rows {
        let mut sender = sender(Scripted::new(scripts, Line::default()), false);
        (sender.endpoint.tls, sender.endpoint.allow_plaintext) = (tls, allow_plaintext);
        let sent = sender.send(&envelope(&["b@b"]), &mut b"hi".to_vec()).await;
        match sent {
            Ok(outcomes) => assert_eq!(shown(&outcomes), expected),
            Err(error) => assert!(error.to_string().contains(expected), "{tls:?}: {error} is not {expected}"),
        }
    }
}
