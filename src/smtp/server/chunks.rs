//! BDAT (RFC 3030): a message in counted chunks.
//!
//! Rules: the octets of a chunk are read whatever the answer will be, so none of them is ever taken for a command; a
//! chunk whose size cannot be read ends the session, for where it ends nobody knows.

use super::backend::Backend;
use super::receiving::Receiving;
use super::{Phase, Session};
use crate::smtp::reply::Reply;
use crate::types::Timestamp;

/// A chunk on its way in.
pub(super) struct Chunk<U> {
    left: u64,
    size: u64,
    last: bool,
    /// How often its end is answered.
    answers: usize,
    /// The message it belongs to; or what the client is told once the chunk was read.
    of: Result<Receiving<U>, Reply>,
}

impl<B: Backend> Session<B> {
    /// The command; its octets come next.
    pub(super) fn bdat(&mut self, size: u64, last: bool, now: Timestamp) {
        // RFC 2033 section 4.3: the last one is answered as the end of data is.
        let answers = if last { self.answers_to_message() } else { 1 };
        let of = self.message_of_chunk(now);
        self.phase = Phase::Chunk(Chunk { left: size, size, last, answers, of });
        if size == 0 {
            self.finish_chunk(now);
        }
    }

    fn message_of_chunk(&mut self, now: Timestamp) -> Result<Receiving<B::Upload>, Reply> {
        let Some(transaction) = &mut self.transaction else {
            return Err(Reply::new(503, "5.5.1", "MAIL first"));
        };
        if transaction.envelope.to.is_empty() {
            return Err(Reply::new(554, "5.5.1", "No valid recipients"));
        }
        if let Some(receiving) = transaction.chunks.take() {
            return Ok(receiving);
        }
        let begun = self.backend.begin(&transaction.trace, &transaction.envelope, now);
        begun.map(|upload| Receiving::chunked(upload, self.config.message_max_bytes)).map_err(|refusal| {
            self.transaction = None;
            refusal.reply().clone()
        })
    }

    /// Takes octets of the chunk. Gives how many were.
    pub(super) fn take_chunk(&mut self, input: &[u8], now: Timestamp) -> usize {
        let Phase::Chunk(chunk) = &mut self.phase else { return 0 };
        let used = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(input.len());
        if let Ok(receiving) = &mut chunk.of {
            receiving.receive(&input[..used]);
        }
        chunk.left -= used as u64;
        if chunk.left == 0 {
            self.finish_chunk(now);
        }
        used
    }

    /// The chunk is complete.
    fn finish_chunk(&mut self, now: Timestamp) {
        let Phase::Chunk(chunk) = std::mem::replace(&mut self.phase, Phase::Commands) else { return };
        let receiving = match chunk.of {
            Ok(receiving) => receiving,
            Err(reply) => {
                (1..chunk.answers).for_each(|_| self.reply(&reply));
                return self.mistake(reply);
            }
        };
        let refused = receiving.refusal().map(|refusal| refusal.reply().clone());
        match (refused, &mut self.transaction) {
            // A failed chunk ends the transaction: more of them meet none.
            (Some(reply), _) => {
                self.transaction = None;
                (0..chunk.answers).for_each(|_| self.reply(&reply));
            }
            (None, Some(transaction)) if !chunk.last => {
                transaction.chunks = Some(receiving);
                self.reply(&Reply::new(250, "2.0.0", format!("{} octets received", chunk.size)));
            }
            (None, _) => self.finish_message(receiving, now),
        }
    }
}
