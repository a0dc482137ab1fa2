//! COMPRESS=DEFLATE (RFC 4978): a layer between the session and its transport, as a value.
//!
//! What comes in is inflated a piece at a time, only as the session asks for it: a few bytes that swell to gigabytes
//! cost no more memory than one piece. What goes out is flushed whenever the session has nothing more to say.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::types::limits;

/// Both directions of one session.
pub struct Deflate {
    compress: Compress,
    decompress: Decompress,
    /// Compressed input not looked at yet.
    input: Vec<u8>,
    /// The peer ended its stream: what follows is not compressed.
    ended: bool,
    /// Something was compressed since the last flush.
    unflushed: bool,
}

/// The peer sent what is no DEFLATE stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotDeflate;

impl Deflate {
    /// A layer whose first input is `input`.
    pub fn new(input: Vec<u8>) -> Self {
        Self {
            compress: Compress::new(Compression::fast(), false),
            decompress: Decompress::new(false),
            input,
            ended: false,
            unflushed: false,
        }
    }

    /// Adds compressed input.
    pub fn push(&mut self, input: &[u8]) {
        self.input.extend_from_slice(input);
    }

    /// The next piece of the input, inflated; empty where there is none.
    pub fn inflate(&mut self) -> Result<Vec<u8>, NotDeflate> {
        let mut inflated = Vec::with_capacity(limits::READ_BUFFER_BYTES);
        if self.ended {
            return Ok(inflated);
        }
        let before = self.decompress.total_in();
        let status = self.decompress.decompress_vec(&self.input, &mut inflated, FlushDecompress::Sync);
        let used = usize::try_from(self.decompress.total_in() - before).unwrap_or(usize::MAX);
        self.input.drain(..used.min(self.input.len()));
        match status {
            Ok(Status::Ok | Status::BufError) => Ok(inflated),
            Ok(Status::StreamEnd) => {
                self.ended = true;
                Ok(inflated)
            }
            Err(_) => Err(NotDeflate),
        }
    }

    /// Did the peer end its stream?
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Adds `plain` compressed to `out`; with `flush` everything so far can be read from it.
    pub fn deflate(&mut self, mut plain: &[u8], flush: bool, out: &mut Vec<u8>) {
        self.unflushed |= !plain.is_empty();
        let kind = if flush && self.unflushed { FlushCompress::Sync } else { FlushCompress::None };
        if plain.is_empty() && kind == FlushCompress::None {
            return;
        }
        loop {
            out.reserve(limits::READ_BUFFER_BYTES);
            let before = self.compress.total_in();
            let status = self.compress.compress_vec(plain, out, kind);
            let used = usize::try_from(self.compress.total_in() - before).unwrap_or(usize::MAX);
            plain = &plain[used.min(plain.len())..];
            // Room left over means that nothing more was to be written.
            if status.is_err() || (plain.is_empty() && out.len() < out.capacity()) {
                break;
            }
        }
        self.unflushed &= kind == FlushCompress::None;
    }

    /// Ends the layer; input that was not looked at belongs to what comes after it.
    pub fn into_rest(self) -> Vec<u8> {
        self.input
    }
}

/// What comes after a layer without what is left of it: the end of a flush or of the stream (RFC 1951 section 3.2.4,
/// section 3.2.6), with which no command begins.
pub fn without_rest_of_layer(input: &[u8]) -> &[u8] {
    let begins = input.iter().position(|byte| !matches!(byte, 0x00 | 0x01 | 0x03 | 0xff));
    &input[begins.unwrap_or(input.len())..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_however_it_is_cut() {
        let text = b"* 1 FETCH (FLAGS (\\Seen))\r\n".repeat(10_000);
        let mut sender = Deflate::new(Vec::new());
        let mut wire = Vec::new();
        for piece in text.chunks(1000) {
            sender.deflate(piece, false, &mut wire);
        }
        sender.deflate(b"", true, &mut wire);
        assert!(wire.len() < text.len() / 10);
        for piece_bytes in [1, 7, 100_000] {
            let mut receiver = Deflate::new(Vec::new());
            let mut received = Vec::new();
            for piece in wire.chunks(piece_bytes) {
                receiver.push(piece);
                loop {
                    let inflated = receiver.inflate().expect("a DEFLATE stream");
                    if inflated.is_empty() {
                        break;
                    }
                    assert!(inflated.len() <= limits::READ_BUFFER_BYTES);
                    received.extend(inflated);
                }
            }
            assert!(received == text, "{piece_bytes}");
        }
    }

    #[test]
    fn a_flush_with_nothing_to_say_says_nothing() {
        let mut layer = Deflate::new(Vec::new());
        let mut wire = Vec::new();
        layer.deflate(b"", true, &mut wire);
        assert_eq!(wire, b"");
        layer.deflate(b"x", true, &mut wire);
        let length = wire.len();
        layer.deflate(b"", true, &mut wire);
        assert_eq!(wire.len(), length);
    }

    #[test]
    fn what_is_no_stream_is_told() {
        let mut layer = Deflate::new(b"a1 NOOP\r\n\xff\xff\xff".to_vec());
        assert_eq!(layer.inflate(), Err(NotDeflate));
    }
}
