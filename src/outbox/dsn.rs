//! Delivery status notifications: multipart/report (RFC 6522) with a message/delivery-status part (RFC 3464), or their
//! UTF-8 forms where an address needs them (RFC 6533).
//!
//! Built as what goes before and after the original, which streams in between: no message is held in memory whole.

use std::net::IpAddr;

use super::copy::copy;
use super::sender::{Envelope, Reply};
use crate::message::Summary;
use crate::store::{ContentSource, Error, Result, Store, StoredContent};
use crate::types::{ByteSource, Timestamp};

/// A report to be made.
#[derive(Debug)]
pub struct Report<'a> {
    /// The server that reports, a domain name.
    pub reporting_mta: &'a str,
    /// Tells this report's message apart from others of the same moment, in its Message-ID.
    pub unique: &'a str,
    pub envelope: &'a Envelope,
    /// The original's Message-ID.
    pub message_id: &'a str,
    pub arrived: Timestamp,
    pub now: Timestamp,
    pub recipients: &'a [Told<'a>],
    /// It goes into a mailbox here, and not on to another server.
    pub is_delivered: bool,
}

/// What is reported of one recipient.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The recipient's place in the envelope.
    pub place: usize,
    pub action: Action,
    /// What the server that decided said; none where the decision was our own.
    pub reply: Option<&'a Reply>,
}

/// RFC 3464 section 2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Failed,
    /// Still tried.
    Delayed,
    Delivered,
    /// Handed to a server that reports no success.
    Relayed,
}

/// A report but for the original: `head`, then the original or its header as `original` says, then `tail`.
#[derive(Debug, PartialEq, Eq)]
pub struct Dsn {
    pub head: Vec<u8>,
    pub original: Original,
    pub tail: Vec<u8>,
}

/// How much of the original a report holds (RFC 3461 section 4.3; a failure comes back whole unless asked otherwise,
/// a success with the header); the least comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Original {
    Whole,
    Header,
    /// Nothing: it cannot be read, or there is no room for it. That part may be left out (RFC 6522 section 3).
    Nothing,
}

/// Should this be reported of this recipient (RFC 3461 section 4.1)? Never to the null reverse-path: reports of
/// reports would circle (RFC 5321 section 4.5.5).
pub fn wants(envelope: &Envelope, place: usize, action: Action) -> bool {
    let notify = envelope.recipients.get(place).and_then(|recipient| recipient.notify.as_deref());
    let asked = |word: &str| notify.is_some_and(|list| list.split(',').any(|element| element == word));
    !envelope.mail_from.is_empty()
        && match action {
            Action::Failed => notify.is_none() || asked("FAILURE"),
            // Left to us where the sender did not say (RFC 3461 section 4.1), and people want to know.
            Action::Delayed => notify.is_none() || asked("DELAY"),
            Action::Delivered | Action::Relayed => asked("SUCCESS"),
        }
}

/// Builds the report, with `at_most` of the original.
pub fn build(report: &Report<'_>, at_most: Original) -> Dsn {
    let utf8 =
        !report.envelope.mail_from.is_ascii() || report.recipients.iter().any(|told| !address(report, told).is_ascii());
    let tells = |action| report.recipients.iter().any(|told| told.action == action);
    // RET is about failures alone (RFC 3461 section 4.3).
    let wanted = match report.envelope.ret.as_deref() {
        Some("HDRS") => Original::Header,
        _ if tells(Action::Failed) => Original::Whole,
        _ => Original::Header,
    };
    let original = wanted.max(at_most);
    let subject = match () {
        () if tells(Action::Failed) => "Undelivered mail returned to sender",
        () if tells(Action::Delayed) => "Your message is not delivered yet",
        () if tells(Action::Delivered) => "Your message was delivered",
        () => "Your message was handed on",
    };
    let boundary = boundary(report);
    // Final delivery tells the reverse-path, which is null (RFC 5321 section 4.4), and nobody else does.
    let mut head = if report.is_delivered { "Return-Path: <>\r\n".to_owned() } else { String::new() };
    head += &header(report, subject, &boundary);
    head +=
        &format!("--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    head += &words(report);
    let status_type = if utf8 { "message/global-delivery-status" } else { "message/delivery-status" };
    head += &format!("\r\n--{boundary}\r\nContent-Type: {status_type}\r\n");
    head += if utf8 { "Content-Transfer-Encoding: 8bit\r\n\r\n" } else { "\r\n" };
    head += &status(report, utf8);
    let original_type = match (original, utf8) {
        (Original::Whole, false) => Some("message/rfc822"),
        (Original::Whole, true) => Some("message/global"),
        (Original::Header, false) => Some("text/rfc822-headers"),
        (Original::Header, true) => Some("message/global-headers"),
        (Original::Nothing, _) => None,
    };
    if let Some(kind) = original_type {
        // 8bit whatever it holds: a part that holds less is still well described.
        head += &format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
    }
    Dsn { head: head.into_bytes(), original, tail: format!("\r\n--{boundary}--\r\n").into_bytes() }
}

/// Builds the report on the message that `open` opens and stores its bytes. Where the original cannot be read, or makes
/// the report too large, the report holds less of it: that it was not delivered is told all the same.
pub fn store(
    store: &Store,
    report: &Report<'_>,
    open: impl Fn() -> Result<ContentSource>,
    summary: &Summary,
) -> Result<StoredContent> {
    let mut stored = Err(Error::NoContent);
    for at_most in [Original::Whole, Original::Header, Original::Nothing] {
        stored = store_with(store, report, at_most, &open, summary);
        if !matches!(stored, Err(Error::NoContent | Error::TooBig { .. })) {
            break;
        }
    }
    stored
}

fn store_with(
    store: &Store,
    report: &Report<'_>,
    at_most: Original,
    open: impl Fn() -> Result<ContentSource>,
    summary: &Summary,
) -> Result<StoredContent> {
    let dsn = build(report, at_most);
    let mut upload = store.upload();
    upload.write(&dsn.head)?;
    match dsn.original {
        Original::Whole => {
            let mut original = open()?;
            let size = original.size();
            copy(&mut original, size, |piece| upload.write(piece))?;
        }
        Original::Header => copy(&mut open()?, summary.root.body_start, |piece| upload.write(piece))?,
        Original::Nothing => {}
    }
    upload.write(&dsn.tail)?;
    upload.finish()
}

/// The same for the same report, and in no original that was not made to hold it.
fn boundary(report: &Report<'_>) -> String {
    let seed = format!("{}/{}/{}", report.message_id, report.unique, report.now.unix_ms());
    format!("report-{}", &blake3::hash(seed.as_bytes()).to_hex()[..32])
}

fn header(report: &Report<'_>, subject: &str, boundary: &str) -> String {
    let Report { reporting_mta, unique, now, .. } = report;
    let references = match printable(report.message_id, 900) {
        id if id.is_empty() => String::new(),
        id => format!("In-Reply-To: {id}\r\nReferences: {id}\r\n"),
    };
    format!(
        "Date: {date}\r\nFrom: Mail delivery <mailer-daemon@{reporting_mta}>\r\nTo: <{to}>\r\nSubject: {subject}\r\n\
         Message-ID: <{ms}.{unique}.report@{reporting_mta}>\r\n{references}Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\r\n",
        date = now.to_rfc5322(),
        to = report.envelope.mail_from,
        ms = now.unix_ms(),
    )
}

/// The part for people.
fn words(report: &Report<'_>) -> String {
    let mut text = format!("This is the mail system at {}.\r\n", report.reporting_mta);
    for (action, sentence) in [
        (Action::Failed, "Your message could not be delivered to:"),
        (Action::Delayed, "Your message is not delivered yet, and is still tried (you need do nothing), to:"),
        (Action::Delivered, "Your message was delivered to:"),
        (Action::Relayed, "Your message was handed on to a server that does not report deliveries, for:"),
    ] {
        let told: Vec<_> = report.recipients.iter().filter(|told| told.action == action).collect();
        if !told.is_empty() {
            text += &format!("\r\n{sentence}\r\n\r\n");
        }
        for told in told {
            text += &format!("  <{}>\r\n", address(report, told));
            if let Some(reply) = told.reply {
                let whose = reply.by.as_deref().map(|host| format!("{} said: ", printable(host, HOST_MAX_BYTES)));
                let whose = whose.unwrap_or_default();
                text += &format!("    {whose}{} {}\r\n", reply.code, printable(&reply.text, REPLY_TEXT_MAX_BYTES));
            }
        }
    }
    text
}

/// How much of a server's words is repeated: a line must stay under 998 octets (RFC 5322 section 2.1.1).
const REPLY_TEXT_MAX_BYTES: usize = 700;

/// No host has a longer name (RFC 1035 section 2.3.4).
const HOST_MAX_BYTES: usize = 255;

/// The part for programs (RFC 3464 section 2), in ASCII unless it is the UTF-8 form.
fn status(report: &Report<'_>, utf8: bool) -> String {
    let said = |text: String| if utf8 { text } else { text.replace(|character: char| !character.is_ascii(), "?") };
    let mut text = format!("Reporting-MTA: dns; {}\r\n", report.reporting_mta);
    if let Some(envid) = &report.envelope.envid {
        text += &format!("Original-Envelope-Id: {}\r\n", said(xtext_decoded(envid)));
    }
    text += &format!("Arrival-Date: {}\r\n", report.arrived.to_rfc5322());
    for told in report.recipients {
        let address = address(report, told);
        let recipient = report.envelope.recipients.get(told.place);
        text += "\r\n";
        if let Some((kind, original)) = recipient.and_then(|it| it.orcpt.as_deref()).and_then(|it| it.split_once(';')) {
            text += &format!("Original-Recipient: {kind}; {}\r\n", said(xtext_decoded(original)));
        }
        let kind = if utf8 && !address.is_ascii() { "utf-8" } else { "rfc822" };
        text += &format!("Final-Recipient: {kind}; {address}\r\n");
        let (action, default_status) = match told.action {
            Action::Failed => ("failed", "5.0.0"),
            Action::Delayed => ("delayed", "4.0.0"),
            Action::Delivered => ("delivered", "2.0.0"),
            Action::Relayed => ("relayed", "2.0.0"),
        };
        let status = told.reply.and_then(|reply| reply.enhanced.as_deref()).unwrap_or(default_status);
        text += &format!("Action: {action}\r\nStatus: {status}\r\n");
        if let Some(host) = told.reply.and_then(|reply| reply.by.as_deref()) {
            text += &format!("Remote-MTA: dns; {}\r\n", said(mta_name(host)));
        }
        if let Some(reply) = told.reply {
            let enhanced = reply.enhanced.as_deref().map(|code| format!("{code} ")).unwrap_or_default();
            let words = said(printable(&reply.text, REPLY_TEXT_MAX_BYTES));
            text += &format!("Diagnostic-Code: smtp; {} {enhanced}{words}\r\n", reply.code);
        }
        text += &format!("Last-Attempt-Date: {}\r\n", report.now.to_rfc5322());
    }
    text
}

/// Whose word is repeated (RFC 3464 section 2.3.5): a host's name, or its address as a literal (RFC 5321 section 4.1.3).
fn mta_name(host: &str) -> String {
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => format!("[{address}]"),
        Ok(IpAddr::V6(address)) => format!("[IPv6:{address}]"),
        Err(_) => printable(host, HOST_MAX_BYTES),
    }
}

fn address<'a>(report: &Report<'a>, told: &Told<'_>) -> &'a str {
    report.envelope.recipients.get(told.place).map_or("", |recipient| recipient.address.as_str())
}

/// `text` on one line, at most `max` bytes of it.
fn printable(text: &str, max: usize) -> String {
    let mut line: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
    line.truncate(line.floor_char_boundary(max));
    line
}

/// Undoes xtext (RFC 3461 section 4). The SMTP session let no control character into it.
fn xtext_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'+').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    printable(&String::from_utf8_lossy(&bytes), 900)
}

#[cfg(test)]
mod tests {
    use mail_parser::{MessageParser, MimeHeaders, PartType};

    use super::super::sender::Recipient;
    use super::*;

    fn envelope(recipients: &[(&str, Option<&str>)]) -> Envelope {
        let recipients = recipients
            .iter()
            .map(|(address, notify)| Recipient {
                address: (*address).to_owned(),
                notify: notify.map(str::to_owned),
                orcpt: Some("rfc822;Bob+40example".to_owned()),
            })
            .collect();
        let envid = Some("QQ+2B1".to_owned());
        Envelope { mail_from: "me@here".to_owned(), recipients, eight_bit: false, smtp_utf8: false, ret: None, envid }
    }

    fn report_of(envelope: &Envelope, told: &[Told<'_>]) -> Dsn {
        build(
            &Report {
                is_delivered: false,
                reporting_mta: "mx.here",
                unique: "7",
                envelope,
                message_id: "<1@here>",
                arrived: Timestamp::from_unix_ms(1_000_000_000_000),
                now: Timestamp::from_unix_ms(1_000_000_100_000),
                recipients: told,
            },
            Original::Whole,
        )
    }

    fn whole(dsn: &Dsn, original: &str) -> Vec<u8> {
        [&dsn.head, original.as_bytes(), &dsn.tail].concat()
    }

    #[test]
    fn a_failure_is_a_report_of_three_parts_with_the_original_in_it() {
        let envelope = envelope(&[("a@x", None), ("b@x", None)]);
        let reply = Reply { by: Some("mx.x".to_owned()), ..Reply::own(550, "5.1.1", "no such\r\nuser é") };
        let dsn = report_of(&envelope, &[Told { place: 1, action: Action::Failed, reply: Some(&reply) }]);
        assert_eq!(dsn.original, Original::Whole);
        let bytes = whole(&dsn, "Subject: hello\r\n\r\nbody\r\n");
        let message = MessageParser::default().parse(&bytes).expect("the report parses");
        let content_type = message.content_type().expect("it says what it is");
        assert_eq!((content_type.ctype(), content_type.subtype()), ("multipart", Some("report")));
        assert_eq!(content_type.attribute("report-type"), Some("delivery-status"));
        assert_eq!(message.header_raw("Auto-Submitted").map(str::trim), Some("auto-replied"));
        let kinds: Vec<String> = message.parts[1..]
            .iter()
            .map(|part| part.content_type().map(|it| format!("{}/{}", it.ctype(), it.subtype().unwrap_or_default())))
            .map(Option::unwrap_or_default)
            .collect();
        assert_eq!(kinds, ["text/plain", "message/delivery-status", "message/rfc822"]);
        let status = String::from_utf8_lossy(message.parts[2].contents()).into_owned();
        let expected = "Reporting-MTA: dns; mx.here\r\nOriginal-Envelope-Id: QQ+1\r\n\
            Arrival-Date: Sun, 09 Sep 2001 01:46:40 +0000\r\n\r\n\
            Original-Recipient: rfc822; Bob@example\r\nFinal-Recipient: rfc822; b@x\r\nAction: failed\r\n\
            Status: 5.1.1\r\nRemote-MTA: dns; mx.x\r\nDiagnostic-Code: smtp; 550 5.1.1 no such  user ?\r\n\
            Last-Attempt-Date: Sun, 09 Sep 2001 01:48:20 +0000";
        assert_eq!(status.trim_end(), expected);
        let PartType::Message(original) = &message.parts[3].body else { panic!("the original is a message") };
        assert_eq!(original.subject(), Some("hello"));
    }

    #[test]
    fn what_goes_into_a_mailbox_here_tells_its_reverse_path() {
        let envelope = envelope(&[("a@x", None)]);
        let told = [Told { place: 0, action: Action::Failed, reply: None }];
        let begins = |is_delivered| {
            let now = Timestamp::from_unix_ms(0);
            let report = Report {
                reporting_mta: "mx.here",
                unique: "7",
                envelope: &envelope,
                message_id: "<1@here>",
                arrived: now,
                now,
                recipients: &told,
                is_delivered,
            };
            String::from_utf8(build(&report, Original::Whole).head).expect("text").lines().next().map(str::to_owned)
        };
        assert_eq!(begins(true).as_deref(), Some("Return-Path: <>"));
        assert_eq!(begins(false).as_deref(), Some("Date: Thu, 01 Jan 1970 00:00:00 +0000"));
    }

    #[test]
    fn an_address_in_utf_8_makes_the_report_global() {
        let envelope = envelope(&[("用户@例子", None)]);
        let dsn = report_of(&envelope, &[Told { place: 0, action: Action::Failed, reply: None }]);
        let text = String::from_utf8(dsn.head).expect("it is UTF-8");
        for line in ["message/global-delivery-status", "message/global\r", "Final-Recipient: utf-8; 用户@例子", "5.0.0"]
        {
            assert!(text.contains(line), "{line}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_reported() {
        let mut envelope = envelope(&[("a@x", None), ("a@x", Some("NEVER")), ("a@x", Some("SUCCESS,FAILURE"))]);
        let wanted = |envelope: &Envelope, action| [0, 1, 2].map(|place| wants(envelope, place, action));
        assert_eq!(wanted(&envelope, Action::Failed), [true, false, true]);
        assert_eq!(wanted(&envelope, Action::Delivered), [false, false, true]);
        envelope.mail_from.clear();
        assert_eq!(wanted(&envelope, Action::Failed), [false; 3]);
    }
}
