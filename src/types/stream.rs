//! Message bytes on their way, in pieces: a 100 MB message is never in memory as a whole.

use std::io;

/// Bytes that can be read in pieces, from any offset, as often as wanted.
pub trait ByteSource: Send {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// At most `max` bytes from `offset` on; empty only at the end.
    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>>;
}

impl ByteSource for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let end = start.saturating_add(max).min(self.len());
        Ok(self[start..end].to_vec())
    }
}
