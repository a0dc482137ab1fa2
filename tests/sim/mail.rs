//! The messages of a world: each made from its number, so that its bytes can be made again and held against a copy.

use super::random::Random;

/// The line by which a message is known in the story and in the ledger.
const MARK: &str = "X-Sim-Number: ";

/// Makes message `number`. A few are as real mail at times is: without a Message-ID, with that of another, with bytes
/// that are no text, in one line, or long.
/// With `same_id` they all have the same Message-ID.
pub fn message(number: u32, random: &mut Random, same_id: bool) -> Vec<u8> {
    let message_id = match random.below(10) {
        0 if !same_id => String::new(),
        drawn if same_id || drawn == 1 => "Message-ID: <the-same@sea.example>\r\n".to_owned(),
        _ => format!("Message-ID: <{number}@sea.example>\r\n"),
    };
    let mut bytes = format!(
        "From: all@sea.example\r\nTo: friend@sea.example\r\nSubject: Message {number}\r\n\
         Date: Mon, 21 Sep 2026 14:{:02}:00 +0000\r\n{message_id}{MARK}{number}\r\n\r\n",
        number % 60
    )
    .into_bytes();
    match random.below(12) {
        0 => {}
        1 => bytes.extend_from_slice(b"no line end"),
        2 => bytes.extend_from_slice("N\u{e4}chstes Mal \u{2615}\r\n{5}\r\n* 1 EXISTS\r\n.\r\n..\r\n".as_bytes()),
        3 => bytes
            .extend((0..random.between(1, 20_000)).map(|n| if n % 70 == 69 { b'\n' } else { b'a' + (n % 26) as u8 })),
        _ => bytes.extend_from_slice(format!("This is message {number}.\r\n").as_bytes()),
    }
    bytes
}

/// The number of the message with that subject.
pub fn number_by(subject: &str) -> Option<u32> {
    subject.strip_prefix("Message ")?.parse().ok()
}

/// The number of a message: in its own header, not in that of a message which it returns.
pub fn number_of(bytes: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4000)]);
    let (header, _) = text.split_once("\r\n\r\n")?;
    marked(header)
}

/// The number of the message that a report returns to its sender, for good (RFC 3464 section 2.3.3).
pub fn number_returned_by(bytes: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(bytes);
    let (header, body) = text.split_once("\r\n\r\n")?;
    let is_report = header.contains("multipart/report; report-type=delivery-status");
    marked(body).filter(|_| is_report && body.contains("\r\nAction: failed\r\n"))
}

fn marked(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once(MARK)?;
    rest.split("\r\n").next()?.parse().ok()
}
