//! A message on its way in: from 354 to the end of data.

use super::backend::Upload;
use crate::smtp::data::DataReceiver;
use crate::smtp::reply::Refusal;
use crate::types::Timestamp;

/// Receives one message. Once something is wrong the rest is read and thrown away: the client must be let finish
/// before it can be told (RFC 5321 section 4.2.5).
pub(super) struct Receiving<U> {
    receiver: DataReceiver,
    upload: Result<U, Refusal>,
    size_bytes: u64,
    max_bytes: u64,
    complete: bool,
}

impl<U: Upload> Receiving<U> {
    pub(super) const fn new(upload: U, max_bytes: u64) -> Self {
        Self { receiver: DataReceiver::new(), upload: Ok(upload), size_bytes: 0, max_bytes, complete: false }
    }

    /// Gives how many bytes of `input` were of this message.
    pub(super) fn receive(&mut self, input: &[u8]) -> usize {
        let mut content = Vec::new();
        let (used, complete) = self.receiver.receive(input, &mut content);
        self.complete = complete;
        self.size_bytes = self.size_bytes.saturating_add(content.len() as u64);
        if let Ok(upload) = &mut self.upload {
            let refusal = match () {
                () if self.size_bytes > self.max_bytes => Some(too_big()),
                () if self.receiver.had_bare_line_break() => Some(bare_line_break()),
                () => upload.write(&content).err(),
            };
            if let Some(refusal) = refusal {
                self.upload = Err(refusal);
            }
        }
        used
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn finish(self, now: Timestamp) -> Result<String, Refusal> {
        self.upload?.finish(now)
    }
}

/// RFC 1870 section 6.2.
pub(super) fn too_big() -> Refusal {
    Refusal::permanent(552, "5.3.4", "The message is larger than this server takes")
}

fn bare_line_break() -> Refusal {
    Refusal::permanent(554, "5.6.0", "The message holds a bare CR or LF: its lines must end with CRLF")
}
