//! The layer between a server's byte stream and async-imap: reads and writes the stream, what passes is sorted by
//! [`inward`](super::inward) and [`outward`](super::outward). Bytes are written while reading, so the two directions never
//! wait for each other.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::inward::{Fault, Inward};
use super::layer::Layer;
use super::outward::Outward;

/// How much is read from the stream at once.
const READ_BYTES: usize = 64 * 1024;

/// See the module.
pub(super) struct WireShim<T> {
    inner: T,
    label: String,
    pub(super) inward: Inward,
    pub(super) outward: Outward,
    fault: Option<Fault>,
    unflushed: bool,
    moved_bytes: u64,
}

impl<T> WireShim<T> {
    /// A shim over `inner`; `label` names the connection in the wire trace.
    pub(super) fn new(inner: T, label: String) -> Self {
        Self::make(inner, label, false)
    }

    /// A shim over a connection whose greeting is past (after STARTTLS).
    pub(super) fn after_greeting(inner: T, label: String) -> Self {
        Self::make(inner, label, true)
    }

    fn make(inner: T, label: String, greeted: bool) -> Self {
        let (inward, outward) = (Inward::new(label.clone(), greeted), Outward::new(label.clone()));
        Self { inner, label, inward, outward, fault: None, unflushed: false, moved_bytes: 0 }
    }

    /// The stream, if nothing that came is unread: bytes sent before a TLS handshake are an attack
    /// (RFC 9051 section 6.2.1).
    pub(super) fn into_inner(self) -> Option<T> {
        self.inward.is_clean().then_some(self.inner)
    }

    /// Why the stream ended, if it did not end by itself.
    pub(super) fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// How many bytes went either way so far: a connection on which this stands still is silent.
    pub(super) const fn moved_bytes(&self) -> u64 {
        self.moved_bytes
    }

    /// Bytes kept, of all kinds.
    #[cfg(test)]
    fn kept_bytes(&mut self) -> usize {
        self.inward.kept_bytes() + self.outward.out().capacity()
    }
}

impl<T> WireShim<Layer<T>> {
    /// What was read behind the last response, and all that follows, is compressed.
    pub(super) fn compress(&mut self) {
        let input = self.inward.raw().split().to_vec();
        self.inner.compress(input);
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> WireShim<T> {
    /// Writes what waits to be written, as far as the stream takes it.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.outward.unsent() > 0 {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, self.outward.out()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved_bytes += count as u64;
            self.unflushed = true;
            self.outward.out().advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads more; false at the end of the stream.
    fn poll_in(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let raw = self.inward.raw();
        raw.reserve(READ_BYTES);
        let count = ready!(pin!(self.inner.read_buf(raw)).poll(cx))?;
        self.moved_bytes += count as u64;
        Poll::Ready(Ok(count > 0))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for WireShim<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // An error in writing shows in reading as well, and what the server said before is worth reading.
        let written = this.poll_out(cx);
        loop {
            let ready = this.inward.ready();
            if !ready.is_empty() {
                let count = buf.remaining().min(ready.len());
                buf.put_slice(&ready[..count]);
                ready.advance(count);
                return Poll::Ready(Ok(()));
            }
            if let Err(fault) = this.inward.digest() {
                let error = io::Error::other(fault.to_string());
                this.fault = Some(fault);
                return Poll::Ready(Err(error));
            }
            if !this.inward.ready().is_empty() {
                continue;
            }
            if !this.inward.raw().is_empty() {
                // The queue is full; the driver polls again when it has taken what is in it.
                return Poll::Pending;
            }
            match this.poll_in(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => match written {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    _ => return Poll::Pending,
                },
            }
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WireShim<T> {
    fn poll_write(mut self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(answer) = self.outward.written(buf) {
            self.inward.ready().extend_from_slice(&answer);
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T> fmt::Debug for WireShim<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireShim").field("label", &self.label).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::inward::Told;
    use super::super::outward::Line;
    use super::*;

    /// Reads what async-imap would read, and what was told, from a server that says `stream`; also the most bytes that
    /// were kept at any time.
    async fn seen(parts: Vec<Vec<u8>>) -> (String, Vec<Told>, u64, usize) {
        let (client, mut server) = tokio::io::duplex(16 * 1024);
        let writer = tokio::spawn(async move {
            for part in parts {
                server.write_all(&part).await.expect("the client reads");
            }
        });
        let mut shim = WireShim::after_greeting(client, String::new());
        let (mut read, mut told, mut body_bytes, mut kept) = (Vec::new(), Vec::new(), 0, 0);
        let mut buf = [0; 4096];
        loop {
            let count = std::future::poll_fn(|cx| {
                let mut buf = ReadBuf::new(&mut buf);
                let polled = Pin::new(&mut shim).poll_read(cx, &mut buf);
                kept = kept.max(shim.kept_bytes());
                let had_told = shim.inward.has_told();
                while let Some(one) = shim.inward.take_told() {
                    match one {
                        Told::Body(bytes) => body_bytes += bytes.len() as u64,
                        one => told.push(one),
                    }
                }
                match polled {
                    Poll::Pending if had_told => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(result) => Poll::Ready(Some(result.map(|()| buf.filled().len()))),
                }
            })
            .await;
            match count {
                None => {}
                Some(Ok(0)) | Some(Err(_)) => break,
                Some(Ok(count)) => read.extend_from_slice(&buf[..count]),
            }
        }
        writer.await.expect("the server speaks to its end");
        (String::from_utf8(read).expect("what is handed on is text"), told, body_bytes, kept)
    }

    #[tokio::test]
    async fn a_message_of_100_mb_passes_in_bounded_memory() {
        const SIZE: usize = 100 << 20;
        let mut parts = vec![format!("* 1 FETCH (UID 7 BODY[] {{{SIZE}}}\r\n").into_bytes()];
        parts.extend(std::iter::repeat_with(|| vec![b'x'; 1 << 20]).take(SIZE >> 20));
        parts.push(b" FLAGS ())\r\nA0001 OK done\r\n".to_vec());
        let (read, told, body_bytes, kept) = seen(parts).await;
        assert_eq!(read, "* 1 FETCH (UID 7 BODY[] \"streamed\" FLAGS ())\r\nA0001 OK .\r\n");
        assert_eq!(told[..2], [Told::BodyBegins(SIZE as u64), Told::BodyEnds]);
        assert_eq!(body_bytes, SIZE as u64);
        assert!(kept < 512 * 1024, "{kept} bytes were kept");
    }

    #[tokio::test]
    async fn a_flood_of_news_waits_on_the_server_not_in_memory() {
        let parts = vec![b"* 5 EXISTS\r\n".repeat(100_000), b"A0001 NO [OVERQUOTA] full\r\n".to_vec()];
        let (read, told, _, kept) = seen(parts).await;
        assert_eq!(read, "A0001 NO .\r\n");
        assert_eq!(told.len(), 100_001);
        assert!(kept < 512 * 1024, "{kept} bytes were kept");
    }

    #[tokio::test]
    async fn the_forms_that_break_imap_proto_never_reach_it() {
        let deep = format!("* 1 FETCH (UID 3 BODYSTRUCTURE {}{})\r\n", "(".repeat(60), ")".repeat(60));
        let stream = [
            "* 1 FETCH (INTERNALDATE NIL UID 1)\r\n",
            "* OK [ALERT]\u{e9}\r\n",
            "A0001 OK [ALERT]\u{e9}\r\n",
            "+ [ALERT]\u{e9}\r\n",
            &deep,
            "* VANISHED (EARLIER) 5:3\r\n",
            "* vanished 1:*\r\n",
        ];
        let (read, ..) = seen(vec![stream.concat().into_bytes()]).await;
        assert_eq!(read, "* 1 FETCH (UID 1)\r\nA0001 OK .\r\n+ \r\n* 1 FETCH (UID 3)\r\n* VANISHED (EARLIER) 3:5\r\n");
    }

    #[tokio::test]
    async fn only_the_tag_is_taken_from_what_async_imap_writes() {
        let (client, mut server) = tokio::io::duplex(1024);
        let mut shim = WireShim::after_greeting(client, String::new());
        shim.outward.prepare(Line::secret("LOGIN ", b"\"ann\" \"hunter2\""));
        shim.write_all(b"A0001 ").await.expect("a shim takes all");
        shim.write_all(b"LOGIN nobody nothing\r\n").await.expect("a shim takes all");
        let _ = tokio::time::timeout(std::time::Duration::from_millis(1), shim.read_u8()).await;
        let mut sent = [0; 100];
        let count = server.read(&mut sent).await.expect("the line was sent");
        assert_eq!(&sent[..count], b"A0001 LOGIN \"ann\" \"hunter2\"\r\n");
    }
}
