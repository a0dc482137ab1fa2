//! What the server sends, on its way in: cut into responses and sorted.
//!
//! What async-imap reads well goes on to it, rewritten in strict form: the greeting, tagged lines and `+` (bare), FETCH and
//! VANISHED. Everything told beside that waits in a queue for the driver, and so do the bytes of messages. At most
//! one response is on its way to async-imap at a time, and what was told before it is in the queue before it arrives:
//! the driver sees all in the server's order. No input or output here.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};

use super::code::{Condition, StatusLine, printable, uid_ranges};
use super::fetch;
use super::frame::{FrameError, Framer, Piece};
use super::untagged::Untagged;
use crate::message::Part;
use crate::types::{RemoteUid, UidSet, limits};
use crate::upstream::trace;

/// What the server said beside what async-imap reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Untagged(Untagged),
    /// Told before async-imap reads the same line without code and text.
    Tagged(String, StatusLine),
    /// `+`, with its text.
    Continue(String),
    BodyBegins(u64),
    Body(Bytes),
    BodyEnds,
    /// BODYSTRUCTURE of the message whose FETCH async-imap reads next.
    Structure(Box<Part>),
}

/// Why the shim gave up on the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the server sends {0}")]
    Limit(#[from] FrameError),
    #[error("what the server sends is not IMAP: {0:?}")]
    NotImap(String),
}

/// How much may wait in the queue before the driver has to take some.
const TOLD_MAX_BYTES: usize = 128 * 1024;
const TOLD_MAX: usize = 1024;
/// VANISHED goes to async-imap in lines of this length: it parses a response from the start for each 4 KiB that arrive.
const VANISHED_LINE_BYTES: usize = 2000;

/// See the module.
pub(super) struct Inward {
    label: String,
    /// As it came from the stream.
    raw: BytesMut,
    framer: Framer,
    /// For async-imap to read.
    ready: BytesMut,
    told: VecDeque<Told>,
    told_bytes: usize,
    /// Of the answer that is coming in.
    answer_bytes: usize,
    greeted: bool,
    hushed: bool,
}

impl Inward {
    /// `label` names the connection in the wire trace.
    pub(super) fn new(label: String, greeted: bool) -> Self {
        Self {
            label,
            raw: BytesMut::new(),
            framer: Framer::new(),
            ready: BytesMut::new(),
            told: VecDeque::new(),
            told_bytes: 0,
            answer_bytes: 0,
            greeted,
            hushed: false,
        }
    }

    /// Bytes from the stream.
    pub(super) const fn raw(&mut self) -> &mut BytesMut {
        &mut self.raw
    }

    /// Bytes for async-imap.
    pub(super) const fn ready(&mut self) -> &mut BytesMut {
        &mut self.ready
    }

    /// What comes from here on is another answer.
    pub(super) const fn begin_answer(&mut self) {
        self.answer_bytes = 0;
    }

    /// Is everything that came read, up to the end of a response?
    pub(super) fn is_clean(&self) -> bool {
        self.raw.is_empty() && self.framer.is_between_responses() && self.told.is_empty()
    }

    /// What was told next.
    pub(super) fn take_told(&mut self) -> Option<Told> {
        let told = self.told.pop_front()?;
        if let Told::Body(bytes) = &told {
            self.told_bytes -= bytes.len();
        }
        Some(told)
    }

    /// Has anything been told that was not taken?
    pub(super) fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// While hushed, the wire trace shows nothing that the server says: it may repeat a secret.
    pub(super) const fn hush(&mut self, hushed: bool) {
        self.hushed = hushed;
    }

    /// Bytes kept, of all kinds.
    #[cfg(test)]
    pub(super) fn kept_bytes(&self) -> usize {
        self.raw.capacity() + self.ready.capacity() + self.told_bytes
    }

    fn tell(&mut self, told: Told) {
        if let Told::Body(bytes) = &told {
            self.told_bytes += bytes.len();
        }
        self.told.push_back(told);
    }

    /// Works on what was read until async-imap has something to read, the queue is full, or more is needed.
    pub(super) fn digest(&mut self) -> Result<(), Fault> {
        while self.ready.is_empty() && self.told.len() < TOLD_MAX && self.told_bytes < TOLD_MAX_BYTES {
            match self.framer.next(&mut self.raw)? {
                None => return Ok(()),
                Some(Piece::BodyBegins(size)) => self.tell(Told::BodyBegins(size)),
                Some(Piece::Body(bytes)) => self.tell(Told::Body(bytes)),
                Some(Piece::BodyEnds) => self.tell(Told::BodyEnds),
                Some(Piece::Response(response)) => self.response(&response)?,
            }
        }
        Ok(())
    }

    fn response(&mut self, response: &[u8]) -> Result<(), Fault> {
        // Time alone ends no answer: a server that talks is not silent.
        self.answer_bytes += response.len();
        if self.answer_bytes > limits::UPSTREAM_ANSWER_MAX_BYTES {
            return Err(FrameError::AnswerTooLarge.into());
        }
        trace::received(&self.label, if self.hushed { trace::HUSHED } else { response });
        if let Some(line) = response.strip_prefix(b"* ") {
            return self.untagged(line);
        }
        if let Some(text) = response.strip_prefix(b"+") {
            self.tell(Told::Continue(printable(text)));
            // Of a login the challenge, which async-imap takes in base64 alone; nothing else of it is handed on.
            let challenge = text.trim_ascii();
            let challenge = if self.hushed && STANDARD.decode(challenge).is_ok() { challenge } else { b"" };
            self.ready.extend_from_slice(b"+ ");
            self.ready.extend_from_slice(challenge);
            self.ready.extend_from_slice(b"\r\n");
            return Ok(());
        }
        if response.trim_ascii().is_empty() {
            return Ok(());
        }
        let not_imap = || Fault::NotImap(printable(response));
        let space = response.iter().position(|byte| *byte == b' ').filter(|space| *space > 0).ok_or_else(not_imap)?;
        let tag = std::str::from_utf8(&response[..space]).map_err(|_| not_imap())?;
        let status = StatusLine::parse(response[space..].trim_ascii_start()).ok_or_else(not_imap)?;
        // Tags are ours: letters and digits. Another one answers nothing, and need not be readable to imap-proto.
        if tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.ready.extend_from_slice(format!("{tag} {} .\r\n", status.condition.as_str()).as_bytes());
        }
        self.tell(Told::Tagged(tag.to_owned(), status));
        Ok(())
    }

    fn untagged(&mut self, line: &[u8]) -> Result<(), Fault> {
        if !self.greeted {
            let status = StatusLine::parse(line)
                .filter(|status| matches!(status.condition, Condition::Ok | Condition::PreAuth | Condition::Bye))
                .ok_or_else(|| Fault::NotImap(printable(line)))?;
            self.greeted = true;
            self.ready.extend_from_slice(format!("* {} .\r\n", status.condition.as_str()).as_bytes());
            self.tell(Told::Untagged(Untagged::Status(status)));
            return Ok(());
        }
        if let Some(rewritten) = fetch::rewrite(line) {
            match rewritten {
                Ok(rewritten) => {
                    if let Some(bytes) = rewritten.inline_body {
                        self.tell(Told::BodyBegins(bytes.len() as u64));
                        self.tell(Told::Body(bytes.into()));
                        self.tell(Told::BodyEnds);
                    }
                    if let Some(structure) = rewritten.structure {
                        self.tell(Told::Structure(Box::new(structure)));
                    }
                    self.ready.extend_from_slice(&rewritten.line);
                }
                Err(_) => self.tell(Told::Untagged(Untagged::Unusable("FETCH"))),
            }
            return Ok(());
        }
        match vanished(line) {
            Some(Some(lines)) => self.ready.extend_from_slice(&lines),
            Some(None) => self.tell(Told::Untagged(Untagged::Unusable("VANISHED"))),
            None => self.tell(Told::Untagged(Untagged::parse(line))),
        }
        Ok(())
    }
}

/// `expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids` (RFC 7162 section 7), written anew in short lines with
/// every range ascending. `None`: another response; `Some(None)`: a malformed one.
fn vanished(line: &[u8]) -> Option<Option<Vec<u8>>> {
    let rest = strip_word(line, b"VANISHED")?;
    let (earlier, set) = match strip_word(rest, b"(EARLIER)") {
        Some(set) => ("(EARLIER) ", set),
        None => ("", rest),
    };
    let Ok(ranges) = uid_ranges(set.trim_ascii()) else { return Some(None) };
    let lines = UidSet::<RemoteUid>::from_ranges(ranges).split(VANISHED_LINE_BYTES);
    Some(Some(lines.iter().flat_map(|set| format!("* VANISHED {earlier}{set}\r\n").into_bytes()).collect()))
}

fn strip_word<'a>(line: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (first, rest) = line.split_at_checked(word.len())?;
    (first.eq_ignore_ascii_case(word) && rest.first() == Some(&b' ')).then(|| rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use async_imap::imap_proto::Response;
    use proptest::prelude::*;

    use super::*;

    /// What servers say, well and badly, in pieces to be put together.
    const WORDS: &[&str] = &[
        "* ",
        "A0001 ",
        "+ ",
        "OK ",
        "NO",
        "BYE ",
        "[ALERT]",
        "[COPYUID 1 2 3]",
        "]",
        "1 ",
        "0 ",
        "4294967296 ",
        "FETCH ",
        "EXISTS",
        "VANISHED ",
        "(EARLIER) ",
        "5:3,9",
        "1:*",
        "(",
        ")",
        "UID ",
        "7",
        "FLAGS ",
        "(\\Seen a])",
        "{",
        "\\*",
        "INTERNALDATE ",
        "\"17-Jul-1996 02:44:25 -0700\"",
        "NIL",
        "MODSEQ (9)",
        "RFC822.SIZE ",
        "BODY[] ",
        "BODY[HEADER] ",
        "EMAILID (M1)",
        "X-GM-MSGID ",
        "BODYSTRUCTURE ((",
        "{3}\r\nabc",
        "{0}\r\n",
        "{9}\r\n",
        "\"",
        "\"q\\\"\"",
        "\\",
        "é",
        "\0",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "SEARCH 1 2",
        "LIST () \"/\" x",
        "STATUS x (MESSAGES 1)",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn whatever_a_server_says_imap_proto_reads_all_it_is_given(
            words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
            noise in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut inward = Inward::new(String::new(), true);
            inward.raw.extend_from_slice(words.concat().as_bytes());
            inward.raw.extend_from_slice(&noise);
            let mut given = Vec::new();
            loop {
                let fault = inward.digest().is_err();
                while inward.take_told().is_some() {}
                given.extend_from_slice(&inward.ready);
                let progressed = !inward.ready.is_empty();
                inward.ready.clear();
                if fault || !progressed {
                    break;
                }
            }
            let mut rest: &[u8] = &given;
            while !rest.is_empty() {
                let text = String::from_utf8_lossy(rest).into_owned();
                let parsed = Response::parse(rest);
                prop_assert!(parsed.is_ok(), "{text:?}");
                if let Ok((after, _)) = parsed {
                    rest = after;
                }
            }
        }
    }
}
