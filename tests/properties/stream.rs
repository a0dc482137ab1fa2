//! A server at the other end of a byte stream, that says what the input holds and nothing more: for the parts that are
//! clients. It reads all it is sent.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};

use mailtide::upstream::dial::BoxedStream;
use mailtide::upstream::{ClientTls, Dial, Endpoint, TlsMode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pieces::{Cut, hash};

/// Making one takes longer than a session.
pub static TLS: LazyLock<ClientTls> = LazyLock::new(ClientTls::unauthenticated);

/// Where the server is.
pub fn endpoint() -> Endpoint {
    Endpoint { host: "mail.example".to_owned(), port: 1, tls: TlsMode::None, allow_plaintext: true }
}

/// A password that no server of this input can say by itself.
pub fn secret_for(input: &[u8]) -> String {
    format!("{:016x}", hash(input))
}

/// Runs a conversation to its end, on a clock that jumps to the next time-out whenever nothing else is left to do.
pub fn run<T>(conversation: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(conversation)
}

/// Dials into a server that speaks `input`, cut as `cut` says, and then closes.
#[derive(Clone)]
pub struct Speaks {
    input: Arc<Vec<u8>>,
    cut: Cut,
    /// Everything the client said, on all connections.
    heard: Arc<Mutex<Vec<u8>>>,
    /// A line that begins with `$` waits for a command; the command's tag takes the place of the `$`.
    tagged: bool,
}

impl Speaks {
    /// A server for one conversation.
    pub fn new(input: &Arc<Vec<u8>>, cut: Cut, tagged: bool) -> Self {
        Self { input: Arc::clone(input), cut, heard: Arc::default(), tagged }
    }

    /// Did the client say that?
    pub fn has_heard(&self, bytes: &[u8]) -> bool {
        self.heard.lock().expect("held by none").windows(bytes.len()).any(|window| window == bytes)
    }
}

impl Dial for Speaks {
    async fn dial(&self, _host: &str, _port: u16) -> io::Result<BoxedStream> {
        let lines: VecDeque<Vec<u8>> = match self.tagged {
            true => self.input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
            false => VecDeque::from([self.input.to_vec()]),
        };
        let stream = Stream { lines, pieces: VecDeque::new(), speaks: self.clone(), heard: Heard::default() };
        Ok(Box::new(stream))
    }
}

struct Stream {
    /// What is not yet said.
    lines: VecDeque<Vec<u8>>,
    /// What is being said.
    pieces: VecDeque<Vec<u8>>,
    speaks: Speaks,
    heard: Heard,
}

/// What the client said.
#[derive(Default)]
struct Heard {
    line: Vec<u8>,
    /// Of commands that have no answer yet.
    tags: VecDeque<Vec<u8>>,
    waiting: Option<Waker>,
}

impl Heard {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.line.push(*byte);
            if *byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                let tag = line.split(|byte| *byte == b' ').next().unwrap_or_default();
                let is_tag = tag.len() == 5 && tag[0] == b'A' && tag[1..].iter().all(u8::is_ascii_digit);
                if is_tag && tag.len() < line.len() {
                    self.tags.push_back(tag.to_vec());
                }
            }
        }
        if !self.tags.is_empty()
            && let Some(waiting) = self.waiting.take()
        {
            waiting.wake();
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.pieces.is_empty() {
            // As many lines as can be said now.
            let mut text = Vec::new();
            while let Some(line) = this.lines.front() {
                match line.strip_prefix(b"$").filter(|_| this.speaks.tagged) {
                    None => text.extend_from_slice(line),
                    Some(rest) => match this.heard.tags.pop_front() {
                        Some(tag) => text.extend_from_slice(&[&tag, rest].concat()),
                        None => break,
                    },
                }
                this.lines.pop_front();
            }
            if text.is_empty() && !this.lines.is_empty() {
                this.heard.waiting = Some(cx.waker().clone());
                return Poll::Pending;
            }
            this.pieces = this.speaks.cut.pieces(&text).into_iter().map(<[u8]>::to_vec).collect();
        }
        if let Some(mut piece) = this.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                this.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.heard.take(bytes);
        self.speaks.heard.lock().expect("held by none").extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
