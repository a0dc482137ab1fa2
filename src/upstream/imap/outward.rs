//! What is sent to the server, on its way out. From async-imap only the tag is taken: the line itself was prepared by the
//! driver, so that a secret or a literal never passes through async-imap, which logs what it sends. No input or output
//! here.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use bytes::BytesMut;

use super::answering::Slot;
use crate::upstream::trace;

/// A line to send: the bytes, and what the wire trace shows of it.
#[derive(Default)]
pub(super) struct Line {
    pub bytes: Vec<u8>,
    pub shown: String,
}

impl Line {
    /// A line that holds a secret behind `shown`.
    pub(super) fn secret(shown: &str, rest: &[u8]) -> Self {
        Self { bytes: [shown.as_bytes(), rest, b"\r\n"].concat(), shown: format!("{shown}...") }
    }

    /// Goes on with text that may be shown.
    pub(super) fn text(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.shown.push_str(&String::from_utf8_lossy(text));
    }
}

/// See the module.
pub(super) struct Outward {
    label: String,
    /// What async-imap has written of its current line.
    line: Vec<u8>,
    prepared: VecDeque<Line>,
    /// The next one, from whoever answers a challenge in the middle of a login.
    slot: Slot,
    answers_itself: bool,
    /// For the stream.
    out: BytesMut,
}

impl Outward {
    /// `label` names the connection in the wire trace.
    pub(super) fn new(label: String) -> Self {
        Self {
            label,
            line: Vec::new(),
            prepared: VecDeque::new(),
            slot: Slot::default(),
            answers_itself: false,
            out: BytesMut::new(),
        }
    }

    /// Bytes for the stream.
    pub(super) const fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// How many bytes wait to be written.
    pub(super) fn unsent(&self) -> usize {
        self.out.len()
    }

    /// The next line that async-imap writes is replaced by this one; of a command only its tag is kept.
    pub(super) fn prepare(&mut self, line: Line) {
        self.prepared.push_back(line);
    }

    /// Where to put the line that replaces the next one.
    pub(super) fn slot(&self) -> Slot {
        Arc::clone(&self.slot)
    }

    /// Forgets lines prepared and not written.
    pub(super) fn forget_prepared(&mut self) {
        self.prepared.clear();
        self.take_from_slot();
    }

    fn take_from_slot(&self) -> Option<Line> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The next command is not sent: async-imap is told OK. It makes a session only from a login, and after PREAUTH there
    /// is none.
    pub(super) const fn answer_next_command(&mut self) {
        self.answers_itself = true;
    }

    /// Sends bytes that are no command of their own: the rest of one, a literal, DONE.
    pub(super) fn push(&mut self, bytes: &[u8], shown: &str) {
        trace::sent(&self.label, shown);
        self.out.extend_from_slice(bytes);
    }

    /// Takes what async-imap writes. If that ends a line to be answered here, the answer is returned.
    pub(super) fn written(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.line.extend_from_slice(bytes);
        if !self.line.ends_with(b"\r\n") {
            return None;
        }
        let written = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.answers_itself) {
            let tag = written.split(|byte| *byte == b' ').next().unwrap_or_default();
            return Some([tag, b" OK .\r\n"].concat());
        }
        let Some(line) = self.prepared.pop_front().or_else(|| self.take_from_slot()) else {
            trace::sent(&self.label, &String::from_utf8_lossy(&written));
            self.out.extend_from_slice(&written);
            return None;
        };
        // A command is written as tag and text; an answer to a challenge has no tag, and async-imap writes no space.
        let tag = written.iter().position(|byte| *byte == b' ').map_or(&b""[..], |space| &written[..=space]);
        trace::sent(&self.label, &format!("{}{}", String::from_utf8_lossy(tag), line.shown));
        self.out.extend_from_slice(tag);
        self.out.extend_from_slice(&line.bytes);
        None
    }
}
