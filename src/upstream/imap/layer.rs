//! COMPRESS=DEFLATE (RFC 4978) under the shim: a stream that is plain until it is told otherwise.
//!
//! What was written can be read by the server after each flush, and what the server flushed can be read here at once,
//! however its bytes are cut: a byte kept back on either side is a session that stands still (QUIRKS.md row 38).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::imap::syntax::deflate::Deflate;
use crate::types::limits;

/// A stream, compressed or not.
pub(super) struct Layer<T> {
    inner: T,
    deflating: Option<Box<Deflating>>,
}

struct Deflating {
    deflate: Deflate,
    /// Inflated and not handed on yet.
    inflated: Vec<u8>,
    handed_on: usize,
    /// Deflated and not written yet.
    wire: Vec<u8>,
    written: usize,
}

impl<T> Layer<T> {
    pub(super) const fn new(inner: T) -> Self {
        Self { inner, deflating: None }
    }

    pub(super) fn into_inner(self) -> T {
        self.inner
    }

    /// From here on both directions are compressed; `input` was read already and is so.
    pub(super) fn compress(&mut self, input: Vec<u8>) {
        self.deflating = Some(Box::new(Deflating {
            deflate: Deflate::new(input),
            inflated: Vec::new(),
            handed_on: 0,
            wire: Vec::new(),
            written: 0,
        }));
    }
}

impl Deflating {
    /// Writes what is deflated.
    fn poll_wire(&mut self, inner: &mut (impl AsyncWrite + Unpin), cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.wire.len() {
            let count = ready!(Pin::new(&mut *inner).poll_write(cx, &self.wire[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        self.wire.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Layer<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { inner, deflating } = self.get_mut();
        let Some(layer) = deflating else { return Pin::new(inner).poll_read(cx, buf) };
        loop {
            if layer.handed_on < layer.inflated.len() {
                let rest = &layer.inflated[layer.handed_on..];
                let count = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..count]);
                layer.handed_on += count;
                return Poll::Ready(Ok(()));
            }
            layer.handed_on = 0;
            let not_deflate = |_| io::Error::new(io::ErrorKind::InvalidData, "what the server sends is not DEFLATE");
            layer.inflated = layer.deflate.inflate().map_err(not_deflate)?;
            if !layer.inflated.is_empty() {
                continue;
            }
            if layer.deflate.has_ended() {
                return Poll::Ready(Ok(()));
            }
            let mut piece = [0; limits::READ_BUFFER_BYTES];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut *inner).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            layer.deflate.push(piece.filled());
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Layer<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let Self { inner, deflating } = self.get_mut();
        let Some(layer) = deflating else { return Pin::new(inner).poll_write(cx, buf) };
        ready!(layer.poll_wire(inner, cx))?;
        let taken = &buf[..buf.len().min(limits::READ_BUFFER_BYTES)];
        layer.deflate.deflate(taken, false, &mut layer.wire);
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, deflating } = self.get_mut();
        if let Some(layer) = deflating {
            layer.deflate.deflate(b"", true, &mut layer.wire);
            ready!(layer.poll_wire(inner, cx))?;
        }
        Pin::new(inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Lets so many bytes through at once.
    struct Trickle<T>(T, usize);

    impl<T: AsyncRead + Unpin> AsyncRead for Trickle<T> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let most = self.1;
            let mut few = vec![0; buf.remaining().min(most)];
            let mut few = ReadBuf::new(&mut few);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut few))?;
            buf.put_slice(few.filled());
            Poll::Ready(Ok(()))
        }
    }

    impl<T: AsyncWrite + Unpin> AsyncWrite for Trickle<T> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let few = &buf[..buf.len().min(self.1)];
            Pin::new(&mut self.0).poll_write(cx, few)
        }
        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }
        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// Both ends speak in turns: each line must arrive before the next is said.
    async fn talk(bytes_at_once: usize) {
        let (here, there) = tokio::io::duplex(1 << 20);
        let (here, there) = (Trickle(here, bytes_at_once), Trickle(there, bytes_at_once));
        let (mut here, mut there) = (Layer::new(here), Layer::new(there));
        here.compress(Vec::new());
        there.compress(Vec::new());
        let line = |turn: u8| vec![b'a' + turn % 26; 1 + usize::from(turn) * 97];
        let says = async {
            for line in (0..40).map(line) {
                here.write_all(&line).await.expect("written");
                here.flush().await.expect("flushed");
                let mut echo = vec![0; line.len()];
                here.read_exact(&mut echo).await.expect("read");
                assert_eq!(echo, line);
            }
        };
        let echoes = async {
            for line in (0..40).map(line) {
                let mut heard = vec![0; line.len()];
                there.read_exact(&mut heard).await.expect("read");
                there.write_all(&heard).await.expect("written");
                there.flush().await.expect("flushed");
            }
        };
        tokio::join!(says, echoes);
    }

    #[tokio::test]
    async fn every_flush_arrives_even_a_byte_at_a_time() {
        for bytes_at_once in [1, 3, 64, 100_000] {
            talk(bytes_at_once).await;
        }
    }

    #[tokio::test]
    async fn what_was_read_before_is_inflated_first_and_the_end_is_an_end() {
        let mut wire = Vec::new();
        Deflate::new(Vec::new()).deflate(b"* 1 EXISTS\r\n", true, &mut wire);
        let (here, there) = tokio::io::duplex(10);
        drop(there);
        let mut layer = Layer::new(here);
        layer.compress(wire);
        let mut heard = Vec::new();
        layer.read_to_end(&mut heard).await.expect("an end");
        assert_eq!(heard, b"* 1 EXISTS\r\n");
    }

    #[tokio::test]
    async fn what_is_no_deflate_is_an_error() {
        let (here, _there) = tokio::io::duplex(10);
        let mut layer = Layer::new(here);
        layer.compress(b"\xff\xff\xff".to_vec());
        let error = layer.read_u8().await.expect_err("no DEFLATE");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
