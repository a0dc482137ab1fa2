//! A message on its way in: from 354 to the end of data, or chunk by chunk.

use super::backend::{Taken, Upload};
use crate::smtp::data::{DataReceiver, LineBreaks};
use crate::smtp::reply::Refusal;
use crate::types::Timestamp;

/// Receives one message. Once something is wrong the rest is read and thrown away: the client must be let finish
/// before it can be told (RFC 5321 section 4.2.5, RFC 3030 section 2).
pub(super) struct Receiving<U> {
    framing: Framing,
    upload: Result<U, Refusal>,
    size_bytes: u64,
    max_bytes: u64,
    complete: bool,
}

enum Framing {
    /// DATA.
    Dots(DataReceiver),
    /// BDAT: whoever counts the octets knows where it ends.
    Chunks(LineBreaks),
}

impl<U: Upload> Receiving<U> {
    /// A message that ends with a dot.
    pub(super) fn dotted(upload: U, max_bytes: u64) -> Self {
        Self::new(upload, max_bytes, Framing::Dots(DataReceiver::default()))
    }

    /// A message in chunks.
    pub(super) fn chunked(upload: U, max_bytes: u64) -> Self {
        Self::new(upload, max_bytes, Framing::Chunks(LineBreaks::default()))
    }

    const fn new(upload: U, max_bytes: u64, framing: Framing) -> Self {
        Self { framing, upload: Ok(upload), size_bytes: 0, max_bytes, complete: false }
    }

    /// Gives how many bytes of `input` were of this message.
    pub(super) fn receive(&mut self, input: &[u8]) -> usize {
        let mut unstuffed = Vec::new();
        let (content, used) = match &mut self.framing {
            Framing::Dots(receiver) => {
                let (used, complete) = receiver.receive(input, &mut unstuffed);
                self.complete = complete;
                (&unstuffed[..], used)
            }
            Framing::Chunks(breaks) => {
                breaks.see(input);
                (input, input.len())
            }
        };
        self.size_bytes = self.size_bytes.saturating_add(content.len() as u64);
        if let Some(refusal) = self.content_refusal() {
            self.upload = Err(refusal);
        } else if let Ok(upload) = &mut self.upload
            && let Err(refusal) = upload.write(content)
        {
            self.upload = Err(refusal);
        }
        used
    }

    /// The end of data was seen.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Why the message will not be taken, as far as is known.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.upload.as_ref().err()
    }

    /// What speaks against the content that came so far. However much is wrong with a message and wherever it was cut,
    /// it is refused for the same reason.
    fn content_refusal(&self) -> Option<Refusal> {
        let bare = match &self.framing {
            Framing::Dots(receiver) => receiver.had_bare_line_break(),
            Framing::Chunks(breaks) => breaks.had_bare(),
        };
        match () {
            () if self.size_bytes > self.max_bytes => Some(too_big()),
            () if bare => Some(bare_line_break()),
            () => None,
        }
    }

    pub(super) fn finish(mut self, now: Timestamp) -> Result<Taken, Refusal> {
        if let Framing::Chunks(breaks) = &mut self.framing {
            breaks.end();
        }
        match self.content_refusal() {
            Some(refusal) => Err(refusal),
            None => self.upload?.finish(now),
        }
    }
}

/// RFC 1870 section 6.2.
pub(super) fn too_big() -> Refusal {
    Refusal::permanent(552, "5.3.4", "The message is larger than this server takes")
}

fn bare_line_break() -> Refusal {
    Refusal::permanent(554, "5.6.0", "The message holds a bare CR or LF: its lines must end with CRLF")
}
