//! Making a connection: TCP, and TLS where it is implicit. What comes after the first byte is the protocols'.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::tls::ClientTls;
use crate::types::limits;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte (RFC 8314 section 3).
    Implicit,
    /// STARTTLS before anything else of worth; without it no connection.
    StartTls,
    /// STARTTLS where the server offers it, else plain text. Only between mail exchangers.
    Opportunistic,
    /// Plain text.
    None,
}

/// Where a server is and how it is spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
    pub tls: TlsMode,
    /// Without it nothing is ever sent in plain text, whatever `tls` says.
    pub allow_plaintext: bool,
}

impl Endpoint {
    /// Host and port, as people write them (RFC 3986 section 3.2).
    pub fn place(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// May this connection be plain text all along?
    pub fn may_be_plain(&self) -> bool {
        self.allow_plaintext && matches!(self.tls, TlsMode::None | TlsMode::Opportunistic)
    }
}

/// How long to wait for what. Every wait on a server ends at one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS.
    pub connect_ms: u64,
    /// The greeting.
    pub greeting_ms: u64,
    /// No byte either way while an answer is due.
    pub silence_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: limits::UPSTREAM_CONNECT_TIMEOUT_MS,
            greeting_ms: limits::UPSTREAM_GREETING_TIMEOUT_MS,
            silence_ms: limits::UPSTREAM_SILENCE_TIMEOUT_MS,
        }
    }
}

/// A byte stream to a server, of whatever kind.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Any [`Transport`].
pub type BoxedStream = Box<dyn Transport>;

/// Opens byte streams: TCP in production, pipes and simulated networks in tests.
pub trait Dial: Send + Sync {
    fn dial(&self, host: &str, port: u16) -> impl Future<Output = io::Result<BoxedStream>> + Send;

    /// From which addresses new connections would come by now, where that can be told: when they change, connections from
    /// before lead nowhere.
    fn source(&self) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// TCP by the system's resolver, each address in turn.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Dial for Tcp {
    async fn dial(&self, host: &str, port: u16) -> io::Result<BoxedStream> {
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        // What is given up is given up: bytes that wait behind an outage must not reach the server after we asked it, on
        // another connection, what it had done. Without this the system goes on sending them, even when we are killed.
        stream.set_zero_linger()?;
        Ok(Box::new(stream))
    }

    /// Connecting a UDP socket sends nothing; the system only chooses the address by its routes.
    fn source(&self) -> Vec<IpAddr> {
        let toward = |far: (IpAddr, IpAddr)| {
            let socket = UdpSocket::bind((far.0, 0)).ok()?;
            socket.connect((far.1, 9)).ok()?;
            socket.local_addr().ok().map(|address| address.ip())
        };
        FAR_AWAY.into_iter().filter_map(toward).collect()
    }
}

/// Addresses of nobody (RFC 5737, RFC 3849), each behind the one that stands for any of ours.
const FAR_AWAY: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
    (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
];

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialError {
    /// The network, or the server is not there.
    Unreachable(String),
    /// TLS failed, or plain text would have been needed and is not allowed.
    Insecure(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(cause) | Self::Insecure(cause) => f.write_str(cause),
        }
    }
}

/// Connects to `endpoint`, with the TLS handshake done where TLS is implicit.
pub async fn open(
    dial: &impl Dial,
    endpoint: &Endpoint,
    tls: &ClientTls,
    timeouts: Timeouts,
) -> Result<BoxedStream, DialError> {
    if endpoint.tls == TlsMode::None && !endpoint.may_be_plain() {
        return Err(DialError::Insecure("plain text is not allowed to this server".to_owned()));
    }
    within(timeouts.connect_ms, async {
        let dialled = dial.dial(&endpoint.host, endpoint.port).await;
        let stream = dialled.map_err(|error| DialError::Unreachable(error.to_string()))?;
        match endpoint.tls {
            TlsMode::Implicit => tls.handshake(&endpoint.host, stream).await,
            TlsMode::StartTls | TlsMode::Opportunistic | TlsMode::None => Ok(stream),
        }
    })
    .await
}

/// The handshake after STARTTLS.
pub async fn upgrade(
    stream: BoxedStream,
    endpoint: &Endpoint,
    tls: &ClientTls,
    timeouts: Timeouts,
) -> Result<BoxedStream, DialError> {
    within(timeouts.connect_ms, tls.handshake(&endpoint.host, stream)).await
}

async fn within<T>(ms: u64, work: impl Future<Output = Result<T, DialError>>) -> Result<T, DialError> {
    timeout(Duration::from_millis(ms), work)
        .await
        .unwrap_or_else(|_| Err(DialError::Unreachable(format!("no connection within {} s", ms / 1000))))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_place_is_written_as_people_write_it() {
        for (host, place) in [("127.0.0.1", "127.0.0.1:1"), ("::1", "[::1]:1")] {
            let endpoint = Endpoint { host: host.to_owned(), port: 1, tls: TlsMode::None, allow_plaintext: true };
            assert_eq!(endpoint.place(), place);
        }
    }

    #[tokio::test]
    async fn what_is_given_up_before_it_went_out_never_arrives() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a loopback port");
        let port = listener.local_addr().expect("bound").port();
        let mut stream = Tcp.dial("127.0.0.1", port).await.expect("it listens");
        let (mut server, _) = listener.accept().await.expect("a connection");
        // The server does not read: what the system holds for it on both sides fills up.
        let all = vec![b'x'; 64 << 20];
        let sending = timeout(Duration::from_millis(200), stream.write_all(&all)).await;
        assert!(sending.is_err(), "more than any buffer holds");
        drop(stream);
        let error = server.read_to_end(&mut Vec::new()).await.expect_err("no orderly end");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
