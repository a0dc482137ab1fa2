//! One mail transaction: MAIL, RCPT, DATA, with an outcome for each recipient (RFC 5321 section 3.3).
//!
//! MAIL and RCPT go together where the server takes them so (RFC 2920), the message only after at least one recipient was
//! accepted: so no server is ever left waiting for a message that will not come. It goes in chunks where the server takes
//! those (RFC 3030): a round trip less, and no end that could be mistaken.

use super::conversation::Conversation;
use super::reply::{RawReply, Verdict};
use super::stuffing::Stuffing;
use crate::outbox::sender::{Envelope, Outcome, Recipient, Reply, SendError};
use crate::types::{ByteSource, limits};

/// RCPT commands on their way at once: their replies fit any buffer.
const PIPELINED_RECIPIENTS: usize = 50;

/// How much of a message is written under one timeout: a line of a few hundred bytes a second still gets it over.
const WRITTEN_AT_ONCE_BYTES: usize = 16 * 1024;

/// Hands one message over.
pub(super) async fn run(
    conversation: &mut Conversation,
    envelope: &Envelope,
    bytes: &mut dyn ByteSource,
) -> Result<Vec<Outcome>, SendError> {
    let parameters = match mail_parameters(conversation, envelope, bytes)? {
        Ok(parameters) => parameters,
        Err(reply) => return Ok(envelope.recipients.iter().map(|_| Outcome::Failed(reply.clone())).collect()),
    };
    let mail = format!("MAIL FROM:<{}>{parameters}\r\n", envelope.mail_from);
    let mut outcomes: Vec<Option<Outcome>> = envelope.recipients.iter().map(malformed).collect();
    let pipelining = conversation.extensions.has("PIPELINING");
    let dsn = conversation.extensions.has("DSN");
    let asked: Vec<usize> = (0..outcomes.len()).filter(|place| outcomes[*place].is_none()).collect();
    let mut mail = Some(mail);
    for batch in asked.chunks(if pipelining { PIPELINED_RECIPIENTS } else { 1 }) {
        let begins = mail.take();
        if let Some(mail) = &begins {
            conversation.transactions += 1;
            conversation.send(mail).await?;
            if !pipelining && let Some(refused) = mail_reply(conversation, envelope).await? {
                return Ok(refused);
            }
        }
        for place in batch {
            conversation.send(rcpt(&envelope.recipients[*place], dsn)).await?;
        }
        if begins.is_some()
            && pipelining
            && let Some(refused) = mail_reply(conversation, envelope).await?
        {
            // Each command has its reply (RFC 2920 section 3.1): one that is left is taken for the next command's.
            for _ in batch {
                conversation.reply().await?;
            }
            return Ok(refused);
        }
        for place in batch {
            let reply = conversation.reply().await?;
            outcomes[*place] = match reply.verdict() {
                Verdict::Done => None,
                _ if reply.code == 421 => return Err(conversation.refused(&reply)),
                Verdict::NotNow | Verdict::GoOn => Some(Outcome::Deferred(conversation.said(&reply))),
                Verdict::Never => Some(Outcome::Failed(conversation.said(&reply))),
            };
        }
    }
    if outcomes.iter().all(Option::is_some) {
        return Ok(outcomes.into_iter().flatten().collect());
    }
    let answer = match conversation.extensions.has("CHUNKING") {
        true => chunks(conversation, bytes).await?,
        false => data(conversation, bytes).await?,
    };
    conversation.messages += u32::from(answer.verdict() == Verdict::Done);
    let reply = conversation.said(&answer);
    let decided = |recipient: &Recipient| match answer.verdict() {
        Verdict::Done if !dsn && wants_success(recipient) => Outcome::AcceptedSilently(reply.clone()),
        Verdict::Done => Outcome::Accepted(reply.clone()),
        Verdict::Never => Outcome::Failed(reply.clone()),
        Verdict::NotNow | Verdict::GoOn => Outcome::Deferred(reply.clone()),
    };
    let each = outcomes.into_iter().zip(&envelope.recipients);
    Ok(each.map(|(outcome, recipient)| outcome.unwrap_or_else(|| decided(recipient))).collect())
}

/// The reply to MAIL. `Some`: it was refused for good, and so was every recipient.
async fn mail_reply(conversation: &mut Conversation, envelope: &Envelope) -> Result<Option<Vec<Outcome>>, SendError> {
    let reply = conversation.reply().await?;
    match reply.verdict() {
        Verdict::Done => Ok(None),
        Verdict::Never => {
            let failed = Outcome::Failed(conversation.said(&reply));
            Ok(Some(vec![failed; envelope.recipients.len()]))
        }
        Verdict::NotNow | Verdict::GoOn => Err(conversation.refused(&reply)),
    }
}

/// DATA and the message; the reply that decides.
async fn data(conversation: &mut Conversation, bytes: &mut dyn ByteSource) -> Result<RawReply, SendError> {
    let ready = conversation.command(async_smtp::commands::DataCommand).await?;
    match ready.verdict() {
        Verdict::GoOn => {}
        // A server that takes what it was not sent is out of step: its reply was to something else.
        Verdict::Done => {
            let text = format!("it answers DATA with {} {}", ready.code, ready.text());
            return Err(conversation.lost(&text));
        }
        Verdict::NotNow | Verdict::Never => return Ok(ready),
    }
    let mut stuffing = Stuffing::new();
    let mut sent = 0;
    loop {
        let piece = bytes.read_at(sent, limits::CONTENT_CHUNK_BYTES).map_err(|error| SendError::of_bytes(&error))?;
        if piece.is_empty() {
            break;
        }
        sent += piece.len() as u64;
        for part in piece.chunks(WRITTEN_AT_ONCE_BYTES) {
            conversation.write(stuffing.piece(part)).await?;
        }
    }
    if sent != bytes.size() {
        return Err(SendError::Local("the message is not as long as it was".to_owned()));
    }
    // Once the final dot is on its way, the server may have it whatever we see of the connection.
    let answer = match conversation.write(stuffing.end().to_vec()).await {
        Ok(()) => conversation.final_reply().await,
        Err(error) => Err(error),
    };
    answer.map_err(perhaps_taken)
}

/// BDAT and the message, chunk by chunk; the reply that decides.
async fn chunks(conversation: &mut Conversation, bytes: &mut dyn ByteSource) -> Result<RawReply, SendError> {
    let mut ends = Stuffing::without_dots();
    let mut sent = 0;
    loop {
        let piece = bytes.read_at(sent, limits::CONTENT_CHUNK_BYTES).map_err(|error| SendError::of_bytes(&error))?;
        sent += piece.len() as u64;
        let mut chunk = ends.piece(&piece);
        let is_last = sent >= bytes.size();
        if is_last {
            chunk.extend_from_slice(ends.end());
        } else if piece.is_empty() {
            return Err(SendError::Local("the message is not as long as it was".to_owned()));
        }
        let mark = if is_last { " LAST" } else { "" };
        conversation.send(format!("BDAT {}{mark}\r\n", chunk.len())).await?;
        let (begin, end) = chunk.split_at(chunk.len() - chunk.len() % WRITTEN_AT_ONCE_BYTES);
        for part in begin.chunks(WRITTEN_AT_ONCE_BYTES) {
            conversation.write(part.to_vec()).await?;
        }
        let written = conversation.write(end.to_vec()).await;
        if is_last {
            // Once the last octets are on their way, the server may have it whatever we see of the connection.
            let answer = match written {
                Ok(()) => conversation.final_reply().await,
                Err(error) => Err(error),
            };
            return answer.map_err(perhaps_taken);
        }
        written?;
        let reply = conversation.reply().await?;
        match reply.verdict() {
            Verdict::Done => {}
            Verdict::GoOn => return Err(conversation.lost(&format!("it answers BDAT with {}", reply.code))),
            Verdict::NotNow | Verdict::Never => return Ok(reply),
        }
    }
}

/// The connection broke where the server may have the whole message.
fn perhaps_taken(error: SendError) -> SendError {
    match error {
        SendError::Lost { host, cause } => SendError::AnswerLost { host, cause },
        error => error,
    }
}

/// What follows the reverse-path; or why this server can never take the message.
fn mail_parameters(
    conversation: &Conversation,
    envelope: &Envelope,
    bytes: &mut dyn ByteSource,
) -> Result<Result<String, Reply>, SendError> {
    let offered = &conversation.extensions;
    let size = bytes.size();
    let mut parameters = String::new();
    if !is_address(&envelope.mail_from) && !envelope.mail_from.is_empty() {
        return Ok(Err(Reply::own(553, "5.1.7", "the sender's address is malformed")));
    }
    if let Some(limit) = offered.size_limit().filter(|limit| size > *limit) {
        let text = format!("the message has {size} bytes, and the server takes {limit}");
        return Ok(Err(Reply::own(552, "5.3.4", text)));
    }
    if offered.has("SIZE") {
        parameters.push_str(&format!(" SIZE={size}"));
    }
    if envelope.eight_bit && offered.has("8BITMIME") {
        parameters.push_str(" BODY=8BITMIME");
    } else if envelope.eight_bit && has_eight_bit(bytes, Until::End)? {
        return Ok(Err(Reply::own(554, "5.6.3", "the message is 8-bit, and the server takes only 7-bit")));
    }
    let mut addresses = envelope.recipients.iter().map(|recipient| &recipient.address).chain([&envelope.mail_from]);
    let ascii_addresses = addresses.all(|address| address.is_ascii());
    if envelope.smtp_utf8 || !ascii_addresses {
        if offered.has("SMTPUTF8") {
            parameters.push_str(" SMTPUTF8");
        } else if !ascii_addresses || has_eight_bit(bytes, Until::Body)? {
            return Ok(Err(Reply::own(553, "5.6.7", "the message needs SMTPUTF8, which the server does not take")));
        }
    }
    if offered.has("DSN") {
        for (keyword, value) in [("RET", &envelope.ret), ("ENVID", &envelope.envid)] {
            parameters.push_str(&parameter(keyword, value.as_deref()));
        }
    }
    Ok(Ok(parameters))
}

/// Does the sender want to hear of success (RFC 3461 section 4.1)?
fn wants_success(recipient: &Recipient) -> bool {
    recipient.notify.as_deref().is_some_and(|notify| notify.split(',').any(|word| word == "SUCCESS"))
}

fn rcpt(recipient: &Recipient, dsn: bool) -> String {
    let mut command = format!("RCPT TO:<{}>", recipient.address);
    if dsn {
        command.push_str(&parameter("NOTIFY", recipient.notify.as_deref()));
        command.push_str(&parameter("ORCPT", recipient.orcpt.as_deref()));
    }
    command.push_str("\r\n");
    command
}

/// `esmtp-param = esmtp-keyword ["=" esmtp-value]`; one that could not stand in a command is left out.
fn parameter(keyword: &str, value: Option<&str>) -> String {
    match value {
        Some(value) if !value.is_empty() && value.bytes().all(|byte| byte > b' ' && byte != b'=' && byte != 0x7f) => {
            format!(" {keyword}={value}")
        }
        _ => String::new(),
    }
}

fn malformed(recipient: &Recipient) -> Option<Outcome> {
    let reply = || Reply::own(553, "5.1.3", "the recipient's address is malformed");
    (!is_address(&recipient.address)).then(|| Outcome::Failed(reply()))
}

/// Whether an address can stand between angle brackets without ending them early.
fn is_address(address: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for character in address.chars() {
        let plain = !quoted && matches!(character, ' ' | '<' | '>');
        if character.is_control() || plain {
            return false;
        }
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
    }
    !address.is_empty() && !quoted && !escaped
}

/// How far a message is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Its header.
    Body,
    End,
}

fn has_eight_bit(bytes: &mut dyn ByteSource, until: Until) -> Result<bool, SendError> {
    let (mut offset, mut line_bytes) = (0, 0);
    loop {
        let piece = bytes.read_at(offset, limits::CONTENT_CHUNK_BYTES).map_err(|error| SendError::of_bytes(&error))?;
        if piece.is_empty() {
            return Ok(false);
        }
        for byte in &piece {
            match byte {
                b'\r' => {}
                b'\n' if line_bytes == 0 && until == Until::Body => return Ok(false),
                b'\n' => line_bytes = 0,
                byte if !byte.is_ascii() => return Ok(true),
                _ => line_bytes += 1,
            }
        }
        offset += piece.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_cannot_smuggle_anything_out_of_its_brackets() {
        for address in ["a@b", "\"a b>\"@c", "é@b", "postmaster", "\"a\\\" b\"@c"] {
            assert!(is_address(address), "{address}");
        }
        for address in ["", "a b@c", "a> SIZE=1 <b", "a\r\nRSET", "\"a", "a\\", "\"a\u{7f}\"@b"] {
            assert!(!is_address(address), "{address}");
        }
        assert_eq!(parameter("NOTIFY", Some("SUCCESS,FAILURE")), " NOTIFY=SUCCESS,FAILURE");
        assert_eq!(parameter("ENVID", Some("a b")), "");
    }
}
