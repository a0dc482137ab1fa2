//! Delivery status notifications on envelopes as clients give them: whatever stands in an envelope and whatever a server
//! replied, the report is a report, in lines that mail allows, and holds the original untouched.
//!
//! Input: SMTP commands, MAIL and RCPT, a line each; what stands behind an empty line is the server's reply and the
//! original message.

use mailtide::message::{Body, Part, Scanner};
use mailtide::outbox::dsn::{Action, Original, Report, Told, build, wants};
use mailtide::outbox::sender::{Envelope, Recipient, Reply};
use mailtide::smtp::command::{Command, MailFrom, RcptTo};
use mailtide::types::Timestamp;

pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (commands, said) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut mail = MailFrom::default();
    let mut recipients = Vec::new();
    for line in commands.split('\n') {
        // The session lets no other control characters reach the parser than those that may stand in a line.
        if line.contains(['\r', '\0']) {
            continue;
        }
        match Command::parse(line) {
            Ok(Command::Mail(given)) => mail = given,
            Ok(Command::Rcpt(RcptTo { address, notify, orcpt })) => {
                recipients.push(Recipient { address: address.to_string(), notify, orcpt });
            }
            _ => {}
        }
    }
    let Some(from) = mail.address else { return };
    let envelope = Envelope {
        mail_from: from.to_string(),
        recipients,
        eight_bit: mail.eight_bit,
        smtp_utf8: mail.smtp_utf8,
        ret: mail.ret.map(|ret| ret.as_str().to_owned()),
        envid: mail.envid,
    };
    let one_line: String = said.chars().filter(|character| !character.is_control()).take(500).collect();
    let by = one_line.split(' ').next().filter(|host| host.len() % 2 == 1).map(str::to_owned);
    let reply = Reply { by, ..Reply::own(550, "5.1.1", one_line) };
    let told: Vec<Told<'_>> = (0..envelope.recipients.len())
        .flat_map(|place| {
            let action = if place % 2 == 0 { Action::Failed } else { Action::Delivered };
            let reply = (place % 3 != 0).then_some(&reply);
            wants(&envelope, place, action).then_some(Told { place, action, reply })
        })
        .collect();
    if !told.is_empty() {
        check_report(&envelope, &told, said);
    }
}

fn check_report(envelope: &Envelope, told: &[Told<'_>], message_id: &str) {
    let report = build(
        &Report {
            is_delivered: true,
            reporting_mta: "mx.here",
            unique: "7",
            envelope,
            message_id,
            arrived: Timestamp::from_unix_ms(1_000_000_000_000),
            now: Timestamp::from_unix_ms(1_000_000_100_000),
            recipients: told,
        },
        Original::Whole,
    );
    let original: &[u8] = match report.original {
        Original::Whole => b"Subject: x\r\n\r\nbody\r\n",
        Original::Header => b"Subject: x\r\n\r\n",
        Original::Nothing => b"",
    };
    let bytes = [&report.head[..], original, &report.tail].concat();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        assert!(line.ends_with(b"\r\n") && line.len() <= 1000, "{} bytes: {}", line.len(), line.escape_ascii());
        let text = &line[..line.len() - 2];
        assert!(!text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{}", line.escape_ascii());
    }
    std::str::from_utf8(&bytes).expect("a report is UTF-8");
    let summary = Scanner::scan(&bytes);
    let Body::Multipart(parts) = &summary.root.body else { panic!("no multipart: {}", bytes.escape_ascii()) };
    let kinds: Vec<String> = parts.iter().map(|part| format!("{}/{}", part.media_type, part.media_subtype)).collect();
    assert_eq!(kinds.len(), 3, "{kinds:?}");
    let slice = |part: &Part| &bytes[part.body_start as usize..part.end as usize];
    // RFC 3464 section 2.1 wants ASCII; RFC 6533 has another type for the rest.
    let status = slice(&parts[1]);
    assert!(kinds[1] == "MESSAGE/GLOBAL-DELIVERY-STATUS" || status.is_ascii(), "{}", status.escape_ascii());
    assert_eq!(groups(status), 1 + told.len(), "{}", status.escape_ascii());
    assert_eq!(slice(&parts[2]), original, "the original is altered");
    if !envelope.mail_from.is_ascii() {
        assert_eq!(kinds[1], "MESSAGE/GLOBAL-DELIVERY-STATUS");
    }
}

/// Groups of fields, an empty line between them.
fn groups(status: &[u8]) -> usize {
    let text = String::from_utf8_lossy(status);
    text.split("\r\n\r\n").filter(|group| !group.trim().is_empty()).count()
}
