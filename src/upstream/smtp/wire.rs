//! The layer between an SMTP server's byte stream and async-smtp.
//!
//! Inward it reads whole replies within a limit, in any form seen (no text, bare LF, bytes that are no UTF-8, codes such as
//! 571), keeps them for us, and hands async-smtp the bare code in the form it understands. Outward it puts prepared bytes in
//! place of the line async-smtp writes and logs: so neither a secret nor mail passes through async-smtp.
//!
//! async-smtp does not show what it reads from, so what is kept lies in [`Shared`].

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use super::reply::RawReply;
use crate::types::limits;
use crate::upstream::trace;

/// How much is read from the stream at once.
const READ_BYTES: usize = 4096;

/// What passes beside async-smtp.
#[derive(Clone, Default)]
pub(super) struct Shared(Arc<Mutex<Beside>>);

#[derive(Default)]
struct Beside {
    replies: VecDeque<RawReply>,
    fault: Option<String>,
    prepared: Option<Prepared>,
    hushed: bool,
}

/// Bytes that take the place of what async-smtp writes next.
struct Prepared {
    bytes: Vec<u8>,
    shown: &'static str,
}

impl Shared {
    /// The oldest reply not taken yet.
    pub(super) fn take_reply(&self) -> Option<RawReply> {
        self.lock().replies.pop_front()
    }

    /// What was wrong with what the server sent.
    pub(super) fn take_fault(&self) -> Option<String> {
        self.lock().fault.take()
    }

    /// What async-smtp writes next is replaced by these bytes; the wire trace shows `shown`, if anything.
    pub(super) fn prepare(&self, bytes: Vec<u8>, shown: &'static str) {
        self.lock().prepared = Some(Prepared { bytes, shown });
    }

    /// While hushed, nothing shows what the server says: it may repeat a secret.
    pub(super) fn hush(&self, hushed: bool) {
        self.lock().hushed = hushed;
    }

    fn lock(&self) -> MutexGuard<'_, Beside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct ReplyWire<T> {
    inner: T,
    label: String,
    shared: Shared,
    raw: Vec<u8>,
    /// How much of `raw` holds no line end.
    searched: usize,
    /// Lines of the reply that is not complete yet.
    lines: Vec<Vec<u8>>,
    lines_bytes: usize,
    handed: Vec<u8>,
    handed_used: usize,
    /// The first command is not sent but answered with 250: async-smtp makes its transport only by an EHLO of its own.
    answers_first: bool,
    out: Vec<u8>,
    out_used: usize,
}

impl<T> ReplyWire<T> {
    pub(super) fn new(inner: T, label: String, shared: Shared) -> Self {
        Self {
            inner,
            label,
            shared,
            raw: Vec::new(),
            searched: 0,
            lines: Vec::new(),
            lines_bytes: 0,
            handed: Vec::new(),
            handed_used: 0,
            answers_first: true,
            out: Vec::new(),
            out_used: 0,
        }
    }

    /// The stream, if nothing that came is unread (RFC 3207 section 4.2: nothing from before TLS may count after it).
    pub(super) fn into_inner(self) -> Option<T> {
        let clean = self.raw.is_empty() && self.lines.is_empty() && self.shared.lock().replies.is_empty();
        clean.then_some(self.inner)
    }

    /// Cuts the next reply off what was read; false if more is needed.
    fn digest(&mut self) -> Result<bool, String> {
        while let Some(end) = self.raw[self.searched..].iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = self.raw.drain(..=self.searched + end).collect();
            self.searched = 0;
            self.lines_bytes += line.len();
            within_limit(self.lines_bytes)?;
            line.truncate(line.trim_ascii_end().len());
            let hushed = self.shared.lock().hushed;
            trace::received(&self.label, if hushed { trace::HUSHED } else { &line });
            let is_last = line.get(3) != Some(&b'-');
            self.lines.push(line);
            if is_last {
                self.lines_bytes = 0;
                let reply = RawReply::parse(&std::mem::take(&mut self.lines));
                let reply = reply.map_err(|fault| if hushed { "what is no SMTP".to_owned() } else { fault })?;
                self.handed = reply.for_async_smtp();
                self.handed_used = 0;
                self.shared.lock().replies.push_back(reply);
                return Ok(true);
            }
        }
        self.searched = self.raw.len();
        within_limit(self.lines_bytes + self.raw.len()).map(|()| false)
    }
}

/// Of one reply, its line ends included.
fn within_limit(bytes: usize) -> Result<(), String> {
    match bytes > limits::UPSTREAM_REPLY_MAX_BYTES {
        true => Err(format!("a reply of more than {} bytes", limits::UPSTREAM_REPLY_MAX_BYTES)),
        false => Ok(()),
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncBufRead for ReplyWire<T> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.handed_used == this.handed.len() {
            match this.digest() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(fault) => {
                    this.shared.lock().fault = Some(fault.clone());
                    return Poll::Ready(Err(io::Error::other(fault)));
                }
            }
            let mut bytes = [0; READ_BYTES];
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() {
                return Poll::Ready(Ok(&[]));
            }
            this.raw.extend_from_slice(buf.filled());
        }
        Poll::Ready(Ok(&this.handed[this.handed_used..]))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        self.handed_used += count;
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for ReplyWire<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let bytes = ready!(self.as_mut().poll_fill_buf(cx))?;
        let count = bytes.len().min(buf.remaining());
        buf.put_slice(&bytes[..count]);
        self.consume(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> ReplyWire<T> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.out_used < self.out.len() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.out[self.out_used..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out_used += count;
        }
        self.out.clear();
        self.out_used = 0;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ReplyWire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_out(cx))?;
        if std::mem::take(&mut self.answers_first) {
            self.handed = b"250 .\r\n".to_vec();
            return Poll::Ready(Ok(buf.len()));
        }
        let prepared = self.shared.lock().prepared.take();
        let (bytes, shown) = match prepared {
            Some(prepared) => (prepared.bytes, prepared.shown.into()),
            None => (buf.to_vec(), String::from_utf8_lossy(buf)),
        };
        trace::sent(&self.label, &shown);
        self.out = bytes;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
