//! One SMTP connection: greeting, EHLO, STARTTLS, and single commands. Framing is async-smtp's.

use std::future::Future;
use std::time::Duration;

use async_smtp::commands::{EhloCommand, QuitCommand, StarttlsCommand};
use async_smtp::error::Error;
use async_smtp::extension::ClientId;
use async_smtp::{SmtpClient, SmtpTransport};
use tokio::time::timeout;

use super::reply::{Extensions, RawReply, Verdict};
use super::wire::{ReplyWire, Shared};
use crate::outbox::sender::{Reply, SendError};
use crate::types::limits;
use crate::upstream::dial::{self, BoxedStream, DialError, Endpoint, Timeouts};
use crate::upstream::tls::ClientTls;

/// A connection to an SMTP server.
pub(super) struct Conversation {
    transport: SmtpTransport<ReplyWire<BoxedStream>>,
    shared: Shared,
    pub endpoint: Endpoint,
    timeouts: Timeouts,
    pub extensions: Extensions,
    pub is_encrypted: bool,
    /// Messages that the server took.
    pub messages: u32,
    /// MAIL commands that it was sent.
    pub transactions: usize,
}

impl Conversation {
    /// Takes the greeting of `stream` and says EHLO.
    pub(super) async fn begin(
        stream: BoxedStream,
        endpoint: &Endpoint,
        timeouts: Timeouts,
        is_encrypted: bool,
        hello_name: &str,
    ) -> Result<Self, SendError> {
        let mut conversation = Self::over(stream, endpoint, timeouts, is_encrypted).await?;
        let greeting = conversation.reply_within(timeouts.greeting_ms).await?;
        if greeting.verdict() != Verdict::Done {
            return Err(conversation.refused(&greeting));
        }
        conversation.hello(hello_name).await?;
        Ok(conversation)
    }

    /// async-smtp over `stream`, with nothing said yet.
    async fn over(
        stream: BoxedStream,
        endpoint: &Endpoint,
        timeouts: Timeouts,
        is_encrypted: bool,
    ) -> Result<Self, SendError> {
        let shared = Shared::default();
        let wire = ReplyWire::new(stream, endpoint.host.clone(), shared.clone());
        let transport = SmtpTransport::new(SmtpClient::new().without_greeting(), wire)
            .await
            .map_err(|error| SendError::Lost { host: endpoint.host.clone(), cause: error.to_string() })?;
        let endpoint = endpoint.clone();
        let extensions = Extensions::default();
        Ok(Self { transport, shared, endpoint, timeouts, extensions, is_encrypted, messages: 0, transactions: 0 })
    }

    /// EHLO, and HELO to a server that does not know it (RFC 5321 section 3.2).
    async fn hello(&mut self, name: &str) -> Result<(), SendError> {
        let reply = self.command(EhloCommand::new(ClientId::new(name.to_owned()))).await?;
        self.extensions = match reply.verdict() {
            Verdict::Done => Extensions::parse(&reply),
            Verdict::Never => {
                let reply = self.command(format!("HELO {name}\r\n")).await?;
                if reply.verdict() != Verdict::Done {
                    return Err(self.refused(&reply));
                }
                Extensions::default()
            }
            Verdict::GoOn | Verdict::NotNow => return Err(self.refused(&reply)),
        };
        Ok(())
    }

    /// STARTTLS (RFC 3207). What was said before does not count after it, and nothing may have come early.
    pub(super) async fn start_tls(mut self, tls: &ClientTls, hello_name: &str) -> Result<Self, SendError> {
        let reply = self.command(StarttlsCommand).await?;
        if reply.verdict() != Verdict::Done {
            return Err(self.insecure(&format!("the server refuses STARTTLS: {}", reply.text())));
        }
        let Self { transport, endpoint, timeouts, .. } = self;
        let Some(stream) = transport.into_inner().into_inner().into_inner() else {
            let cause = "bytes came in plain text where TLS should have begun".to_owned();
            return Err(SendError::Insecure { host: endpoint.host.clone(), cause });
        };
        let stream =
            dial::upgrade(stream, &endpoint, tls, timeouts).await.map_err(|error| dial_error(&endpoint, error))?;
        let mut encrypted = Self::over(stream, &endpoint, timeouts, true).await?;
        encrypted.hello(hello_name).await?;
        Ok(encrypted)
    }

    /// One command, its CRLF included, and its reply.
    pub(super) async fn command(&mut self, command: impl std::fmt::Display) -> Result<RawReply, SendError> {
        self.send(command).await?;
        self.reply().await
    }

    /// A command without waiting for its reply.
    pub(super) async fn send(&mut self, command: impl std::fmt::Display) -> Result<(), SendError> {
        match within(self.timeouts.silence_ms, self.transport.get_mut().send_command(command)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(self.lost(&error.to_string())),
            None => Err(self.lost("the server takes no more bytes")),
        }
    }

    /// A command that must be shown nowhere.
    pub(super) async fn secret(&mut self, command: String) -> Result<RawReply, SendError> {
        self.shared.prepare(command.into_bytes(), "AUTH ...");
        self.shared.hush(true);
        let reply = self.command("AUTH").await;
        self.shared.hush(false);
        reply
    }

    /// Bytes of the message.
    pub(super) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), SendError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.shared.prepare(bytes, "");
        self.send("message").await
    }

    /// The next reply.
    pub(super) async fn reply(&mut self) -> Result<RawReply, SendError> {
        self.reply_within(self.timeouts.silence_ms).await
    }

    async fn reply_within(&mut self, ms: u64) -> Result<RawReply, SendError> {
        let read = within(ms, self.transport.get_mut().read_response()).await;
        if let Some(reply) = self.shared.take_reply() {
            return Ok(reply);
        }
        Err(match (read, self.shared.take_fault()) {
            (_, Some(fault)) => self.lost(&format!("the server sends {fault}")),
            (None, None) => self.lost(&format!("no answer for {} s", ms / 1000)),
            (Some(Err(Error::Io(error))), None) if error.kind() != std::io::ErrorKind::Other => {
                self.lost(&error.to_string())
            }
            (Some(_), None) => self.lost("the server closed it"),
        })
    }

    /// The reply to the whole message: the server may be thinking about it.
    pub(super) async fn final_reply(&mut self) -> Result<RawReply, SendError> {
        self.reply_within(self.timeouts.silence_ms.max(limits::UPSTREAM_DATA_TIMEOUT_MS)).await
    }

    /// Does the server take one more message in this session (MAILMAX, RFC 9422 section 4.1)?
    pub(super) fn takes_more(&self) -> bool {
        self.transactions < self.extensions.limits().mail_max
    }

    /// QUIT, whatever the server says to it.
    pub(super) async fn quit(mut self) {
        let _ = within(limits::UPSTREAM_LOGOUT_TIMEOUT_MS, self.command(QuitCommand)).await;
    }

    pub(super) fn lost(&self, cause: &str) -> SendError {
        SendError::Lost { host: self.endpoint.host.clone(), cause: cause.to_owned() }
    }

    pub(super) fn insecure(&self, cause: &str) -> SendError {
        SendError::Insecure { host: self.endpoint.host.clone(), cause: cause.to_owned() }
    }

    pub(super) fn login_refused(&self, text: String) -> SendError {
        SendError::LoginRefused { host: self.endpoint.host.clone(), text }
    }

    pub(super) fn refused(&self, reply: &RawReply) -> SendError {
        SendError::Refused { host: self.endpoint.host.clone(), reply: self.said(reply) }
    }

    /// A reply of this server's, as the outbox keeps it.
    pub(super) fn said(&self, reply: &RawReply) -> Reply {
        reply.said_by(&self.endpoint.host)
    }
}

/// What a failed connection means.
pub(super) fn dial_error(endpoint: &Endpoint, error: DialError) -> SendError {
    let host = endpoint.host.clone();
    match error {
        DialError::Unreachable(cause) => SendError::Unreachable { place: endpoint.place(), cause },
        DialError::Insecure(cause) => SendError::Insecure { host, cause },
    }
}

async fn within<T>(ms: u64, work: impl Future<Output = T>) -> Option<T> {
    timeout(Duration::from_millis(ms), work).await.ok()
}
