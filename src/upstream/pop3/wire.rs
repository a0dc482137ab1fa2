//! Lines and multi-line responses over a byte stream, each wait with its end.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::reply::Reply;

use crate::sync::remote::RemoteError;
use crate::types::{Unstuffing, limits};
use crate::upstream::dial::{BoxedStream, Timeouts};
use crate::upstream::trace;

/// How much is read from the stream at once.
const READ_BYTES: usize = 16 * 1024;

/// A connection to a POP3 server.
pub(super) struct Wire {
    stream: BoxedStream,
    pub host: String,
    timeouts: Timeouts,
    /// Read and not used yet, from `used` on.
    read: Vec<u8>,
    used: usize,
    /// While hushed, nothing shows what the server says: it may repeat a secret.
    hushed: bool,
}

impl Wire {
    pub(super) fn new(stream: BoxedStream, host: &str, timeouts: Timeouts) -> Self {
        Self { stream, host: host.to_owned(), timeouts, read: Vec::new(), used: 0, hushed: false }
    }

    /// The stream, if nothing that came is unread (RFC 2595 section 4: nothing from before TLS may count after it).
    pub(super) fn into_stream(self) -> Result<BoxedStream, RemoteError> {
        match self.used == self.read.len() {
            true => Ok(self.stream),
            false => Err(RemoteError::Insecure {
                host: self.host,
                cause: "bytes came in plain text where TLS should have begun".to_owned(),
            }),
        }
    }

    /// The greeting.
    pub(super) async fn greeting(&mut self) -> Result<Reply, RemoteError> {
        let ms = self.timeouts.greeting_ms;
        let line = within(ms, self.line())
            .await
            .unwrap_or_else(|| Err(self.lost(&format!("no greeting within {} s: is it the right port?", ms / 1000))))?;
        Reply::parse(&line).ok_or_else(|| self.protocol("the connection", &line))
    }

    /// One command, and its status line.
    pub(super) async fn command(&mut self, command: &'static str, arguments: &str) -> Result<Reply, RemoteError> {
        let space = if arguments.is_empty() { "" } else { " " };
        self.send(&format!("{command}{space}{arguments}\r\n")).await?;
        self.reply(command).await
    }

    /// A line that must be shown nowhere, without its CRLF, and its status line.
    pub(super) async fn secret(&mut self, line: &str) -> Result<Reply, RemoteError> {
        self.write(format!("{line}\r\n").as_bytes(), "(login)").await?;
        self.hushed = true;
        let reply = self.reply("the login").await;
        self.hushed = false;
        reply
    }

    /// Commands, each with its CRLF.
    pub(super) async fn send(&mut self, commands: &str) -> Result<(), RemoteError> {
        self.write(commands.as_bytes(), commands).await
    }

    /// The next status line.
    pub(super) async fn reply(&mut self, request: &'static str) -> Result<Reply, RemoteError> {
        let line = self.line().await?;
        Reply::parse(&line).ok_or_else(|| self.protocol(request, &line))
    }

    /// The lines of a multi-line response, up to its end.
    pub(super) async fn lines(&mut self, request: &'static str) -> Result<Vec<String>, RemoteError> {
        let (mut lines, mut line, mut is_too_much) = (Vec::new(), Vec::new(), false);
        self.stream_to(&mut |bytes| {
            for byte in bytes {
                match byte {
                    b'\n' => {
                        let text = String::from_utf8_lossy(&std::mem::take(&mut line)).trim_end().to_owned();
                        lines.push(text);
                    }
                    byte => line.push(*byte),
                }
            }
            is_too_much |=
                line.len() > limits::UPSTREAM_POP3_LINE_MAX_BYTES || lines.len() > limits::UPSTREAM_POP3_MESSAGES_MAX;
            if is_too_much { Err(io::Error::other("more lines than can be taken")) } else { Ok(()) }
        })
        .await
        .map_err(|error| match error {
            RemoteError::Local(text) => RemoteError::Protocol { request, text },
            error => error,
        })?;
        Ok(lines)
    }

    /// A multi-line response, dots undone, as it comes.
    pub(super) async fn stream_to(
        &mut self,
        take: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), RemoteError> {
        let (mut unstuffing, mut out) = (Unstuffing::new(), Vec::with_capacity(READ_BYTES));
        while !unstuffing.is_over() {
            if self.used == self.read.len() {
                self.fill().await?;
            }
            self.used += unstuffing.push(&self.read[self.used..], &mut out);
            take(&out).map_err(|error| RemoteError::Local(error.to_string()))?;
            out.clear();
        }
        Ok(())
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<String, RemoteError> {
        let mut line = Vec::new();
        loop {
            let rest = &self.read[self.used..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            line.extend_from_slice(&rest[..end.unwrap_or(rest.len())]);
            self.used += end.map_or(rest.len(), |end| end + 1);
            if line.len() > limits::UPSTREAM_POP3_LINE_MAX_BYTES {
                let text = format!("a line of more than {} bytes", limits::UPSTREAM_POP3_LINE_MAX_BYTES);
                return Err(RemoteError::Protocol { request: "a command", text });
            }
            if end.is_some() {
                line.truncate(line.trim_ascii_end().len());
                trace::received(&self.host, if self.hushed { trace::HUSHED } else { &line });
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.fill().await?;
        }
    }

    /// Reads more; at least a byte.
    async fn fill(&mut self) -> Result<(), RemoteError> {
        self.read.clear();
        self.used = 0;
        self.read.reserve(READ_BYTES);
        match within(self.timeouts.silence_ms, self.stream.read_buf(&mut self.read)).await {
            Some(Ok(0)) => Err(self.lost("the server closed it")),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(self.lost(&error.to_string())),
            None => Err(self.lost(&format!("no answer for {} s", self.timeouts.silence_ms / 1000))),
        }
    }

    async fn write(&mut self, bytes: &[u8], shown: &str) -> Result<(), RemoteError> {
        trace::sent(&self.host, shown);
        let written = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match within(self.timeouts.silence_ms, written).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.lost(&error.to_string())),
            None => Err(self.lost("the server takes no more bytes")),
        }
    }

    pub(super) fn lost(&self, cause: &str) -> RemoteError {
        RemoteError::Lost { host: self.host.clone(), cause: cause.to_owned() }
    }

    fn protocol(&self, request: &'static str, line: &str) -> RemoteError {
        let shown: String = if self.hushed { "...".to_owned() } else { line.chars().take(80).collect() };
        RemoteError::Protocol { request, text: format!("{shown:?} is neither +OK nor -ERR") }
    }
}

async fn within<T>(ms: u64, work: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::from_millis(ms), work).await.ok()
}
