//! Handing stored bytes on.

use crate::store::{Error, Result};
use crate::types::{ByteSource, limits};

/// Hands the first `bytes` bytes of a source on, in pieces.
pub(crate) fn copy(
    source: &mut (impl ByteSource + ?Sized),
    bytes: u64,
    mut write: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut offset = 0;
    while offset < bytes {
        let max = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(limits::CONTENT_CHUNK_BYTES);
        let piece = source.read_at(offset, max).map_err(|_| Error::NoContent)?;
        if piece.is_empty() {
            return Err(Error::NoContent);
        }
        write(&piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}
