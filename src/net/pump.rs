//! Drives a [`Conversation`] over a byte stream: the loop described in [`crate::types::conversation`].
//!
//! One task a connection. Its thread gives all others away while the session works ([`in_place`]: it may wait for the
//! store), so that what is answered is sent by who made it; between two steps the output is written whole, so a peer that
//! reads slowly holds one chunk and nothing more is read from it meanwhile. A session that panics costs its own connection
//! only.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Clock, Shutdown};
use crate::types::{ChannelBinding, Conversation, Event, Step, Timestamp, TlsFacts, limits};

/// Wakes one session from anywhere; several calls before it looks count as one.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// The call that wakes the session, in the form the store takes.
    pub fn callback(&self) -> Arc<dyn Fn() + Send + Sync> {
        let notify = Arc::clone(&self.0);
        Arc::new(move || notify.notify_one())
    }
}

/// What a connection brings beside its bytes.
#[derive(Clone)]
pub struct Surroundings {
    /// Wakes the session with [`Event::Changed`].
    pub wake: Wake,
    pub clock: Clock,
    pub shutdown: Shutdown,
    /// For [`Step::StartTls`]; without it the session must not offer STARTTLS.
    pub upgrade: Option<TlsAcceptor>,
}

/// Drives `session` over `stream` until either side is done.
pub async fn drive<S>(stream: S, session: Box<dyn Conversation>, around: Surroundings) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut transport = Transport::Plain(stream);
    let mut session = session;
    let mut input = vec![0; limits::READ_BUFFER_BYTES];
    let mut taken = None;
    let mut ending = Ending::No;
    loop {
        let step = settle(&mut transport, session.as_mut(), taken.take(), &around, &mut ending).await?;
        match step {
            Step::Close => return close(transport).await,
            Step::StartTls => {
                let (upgraded, facts) = upgrade(transport, around.upgrade.as_ref()).await?;
                transport = upgraded;
                taken = Some(Taken::Event(Event::TlsStarted(facts)));
            }
            Step::Wait | Step::Hold | Step::Continue => match ending {
                // Nothing can come any more, and there is nothing left to say.
                Ending::PeerClosed => return close(transport).await,
                Ending::No | Ending::Shutdown => {
                    let reads = (step != Step::Hold).then_some(&mut input[..]);
                    let next = next_event(&mut transport, reads, session.deadline(), &around, ending).await;
                    taken = Some(match next {
                        Next::Input(0) => {
                            ending = Ending::PeerClosed;
                            Taken::Event(Event::PeerClosed)
                        }
                        Next::Input(count) => Taken::Input(input[..count].to_vec()),
                        Next::Event(event) => Taken::Event(event),
                        Next::Shutdown => {
                            ending = Ending::Shutdown;
                            Taken::Event(Event::Shutdown)
                        }
                        Next::GraceOver => return close(transport).await,
                    });
                }
            },
        }
    }
}

/// What the session is handed next.
enum Taken {
    Input(Vec<u8>),
    Event(Event),
}

/// Whether, and why, the conversation is coming to its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Shutdown,
    PeerClosed,
}

enum Next {
    Input(usize),
    Event(Event),
    Shutdown,
    GraceOver,
}

/// Waits for whichever comes first; for input only where there is room for it.
async fn next_event<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
    input: Option<&mut [u8]>,
    deadline: Option<Timestamp>,
    around: &Surroundings,
    ending: Ending,
) -> Next {
    let deadline = async {
        match deadline {
            Some(moment) => tokio::time::sleep(around.clock.until(moment)).await,
            None => std::future::pending().await,
        }
    };
    let grace = async {
        match ending {
            Ending::Shutdown => tokio::time::sleep(Duration::from_millis(limits::SHUTDOWN_GRACE_MS)).await,
            Ending::No | Ending::PeerClosed => std::future::pending().await,
        }
    };
    let read = async {
        match input {
            Some(input) => transport.read(input).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = around.shutdown.requested(), if ending == Ending::No => Next::Shutdown,
        () = grace => Next::GraceOver,
        () = deadline => Next::Event(Event::Deadline),
        () = around.wake.0.notified() => Next::Event(Event::Changed),
        // A transport that broke is a peer that closed: the session cannot tell them apart, nor need it.
        read = read => Next::Input(read.unwrap_or(0)),
    }
}

/// Hands in what was taken, then writes output until the session wants something else than [`Step::Continue`].
async fn settle<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
    session: &mut dyn Conversation,
    mut taken: Option<Taken>,
    around: &Surroundings,
    ending: &mut Ending,
) -> io::Result<Step> {
    loop {
        let (now, next) = (around.clock.now(), taken.take());
        let (output, step) = in_place(|| round(session, next, now))?;
        if !output.is_empty() && *ending != Ending::PeerClosed {
            match write_all(transport, &output, &around.shutdown).await {
                Ok(()) => {}
                Err(error) if step == Step::Close => return Err(error),
                // The session hears of it, so that what it holds half done is given up in its own way.
                Err(_) => {
                    *ending = Ending::PeerClosed;
                    taken = Some(Taken::Event(Event::PeerClosed));
                    continue;
                }
            }
        }
        if step != Step::Continue {
            return Ok(step);
        }
    }
}

/// One round of session work: at most a little over one chunk of output.
fn round(session: &mut dyn Conversation, taken: Option<Taken>, now: Timestamp) -> (Vec<u8>, Step) {
    match taken {
        Some(Taken::Input(bytes)) => session.handle_input(&bytes, now),
        Some(Taken::Event(event)) => session.handle_event(event, now),
        None => {}
    }
    let mut output = Vec::new();
    let mut step = session.poll_output(now, &mut output);
    while step == Step::Continue && output.len() < limits::OUTPUT_CHUNK_BYTES {
        step = session.poll_output(now, &mut output);
    }
    (output, step)
}

/// Runs session work, which may wait for the store, while another thread takes over whatever else this one would do. A
/// runtime of one thread has no other.
pub(super) fn in_place<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let work = || catch_unwind(AssertUnwindSafe(work));
    let done = match Handle::current().runtime_flavor() {
        RuntimeFlavor::CurrentThread => work(),
        _ => tokio::task::block_in_place(work),
    };
    done.map_err(|_| io::Error::other("the session failed"))
}

/// Writes and flushes, unless the peer stops reading or the program stops.
async fn write_all<S: AsyncRead + AsyncWrite + Unpin>(
    transport: &mut Transport<S>,
    output: &[u8],
    shutdown: &Shutdown,
) -> io::Result<()> {
    let stall = Duration::from_millis(limits::WRITE_STALL_TIMEOUT_MS);
    let grace = Duration::from_millis(limits::SHUTDOWN_GRACE_MS);
    let write = async {
        transport.write_all(output).await?;
        transport.flush().await
    };
    let stopped = async {
        shutdown.requested().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        written = timeout(stall, write) => written.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
        () = stopped => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Ends the stream politely (close_notify under TLS) without waiting long for a peer that is gone.
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut transport: Transport<S>) -> io::Result<()> {
    let grace = Duration::from_millis(limits::SHUTDOWN_GRACE_MS);
    // The conversation is over; that the peer did not wait for the last word is no failure.
    let _ = timeout(grace, transport.shutdown()).await;
    Ok(())
}

async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    transport: Transport<S>,
    acceptor: Option<&TlsAcceptor>,
) -> io::Result<(Transport<S>, TlsFacts)> {
    let (Transport::Plain(stream), Some(acceptor)) = (transport, acceptor) else {
        return Err(io::Error::other("STARTTLS where it was not offered"));
    };
    let stream = handshake(stream, acceptor).await?;
    let facts = tls_facts(&stream);
    Ok((Transport::Tls(Box::new(stream)), facts))
}

/// The server's side of a TLS handshake, within the time limit.
pub(super) async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    acceptor: &TlsAcceptor,
) -> io::Result<TlsStream<S>> {
    let limit = Duration::from_millis(limits::TLS_HANDSHAKE_TIMEOUT_MS);
    timeout(limit, acceptor.accept(stream)).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What the handshake agreed on.
pub(super) fn tls_facts<S>(stream: &TlsStream<S>) -> TlsFacts {
    let connection = stream.get_ref().1;
    TlsFacts {
        version: connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS").to_owned(),
        cipher_suite: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .unwrap_or_default()
            .to_owned(),
        binding: binding(connection),
    }
}

/// Of TLS 1.3 alone: before it, what is exported can be the same on two connections (RFC 9266 section 3).
fn binding(connection: &rustls::ServerConnection) -> Option<ChannelBinding> {
    let is_unique = connection.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3);
    let octets = [0; ChannelBinding::LENGTH];
    let exported = connection.export_keying_material(octets, ChannelBinding::LABEL, Some(b""));
    exported.ok().filter(|_| is_unique).map(ChannelBinding::new)
}

/// A stream before and after STARTTLS.
enum Transport<S> {
    Plain(S),
    Tls(Box<TlsStream<S>>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
