//! What every protocol session is to the one who drives it: bytes and events in, bytes out.
//!
//! The driver (`net::pump` in production, a loop in tests) owns the transport and the clock. It alternates:
//!
//! 1. `poll_output` until it answers [`Step::Wait`], writing what it produced between calls (so a slow reader holds
//!    one bounded buffer, never a whole mailbox);
//! 2. then waits for input, an event or the deadline, and hands that in.
//!
//! A session never blocks on anything but its backend; what its backend has to get from elsewhere it holds for.

use super::Timestamp;

/// What happened beside input bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The backend may have changed (another session, the mirror). A hint: the session looks for itself.
    Changed,
    /// The peer closed its side, or the transport broke. Nothing can be read any more.
    PeerClosed,
    /// The TLS handshake asked for by [`Step::StartTls`] is complete.
    TlsStarted(TlsFacts),
    /// The program is stopping: say goodbye.
    Shutdown,
    /// The deadline passed.
    Deadline,
}

/// What the session may know of the TLS layer below it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// For instance `TLSv1_3`.
    pub version: String,
    /// For instance `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
    /// What names this one connection to both ends of it, where the version has such a thing.
    pub binding: Option<ChannelBinding>,
}

/// `tls-exporter` (RFC 9266): octets that both ends of a TLS connection know, and nobody in between can have.
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelBinding([u8; Self::LENGTH]);

impl ChannelBinding {
    /// Octets (RFC 9266 section 2).
    pub const LENGTH: usize = 32;
    /// The label they are exported by, without a context.
    pub const LABEL: &'static [u8] = b"EXPORTER-Channel-Binding";
    /// What it is called in SASL.
    pub const NAME: &'static str = "tls-exporter";

    pub const fn new(octets: [u8; Self::LENGTH]) -> Self {
        Self(octets)
    }

    pub const fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for ChannelBinding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChannelBinding(..)")
    }
}

/// What the driver does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Write what was produced, then call `poll_output` again: there is more.
    Continue,
    /// Write what was produced, then wait for input, an event or the deadline.
    Wait,
    /// Write what was produced, then wait for an event or the deadline, and read nothing meanwhile: the session waits for
    /// its backend, and could only keep what came.
    Hold,
    /// Write what was produced, then do the server's side of a TLS handshake on the same transport. Bytes the peer
    /// sent before the handshake have been discarded by the session (RFC 3207 section 4.2, RFC 9051 section 6.2.1).
    StartTls,
    /// Write what was produced, then close.
    Close,
}

/// A protocol session as a value.
pub trait Conversation: Send {
    /// Takes bytes from the peer. The session keeps what it cannot use yet; the driver reads no further before the
    /// next [`Step::Wait`], so at most one read buffer is ever kept beside a partial command.
    fn handle_input(&mut self, input: &[u8], now: Timestamp);

    /// Takes an event.
    fn handle_event(&mut self, event: Event, now: Timestamp);

    /// Appends the next bytes for the peer to `out`: at most a little over [`super::limits::OUTPUT_CHUNK_BYTES`] a call.
    fn poll_output(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Step;

    /// When [`Event::Deadline`] is wanted, if nothing else happens first.
    fn deadline(&self) -> Option<Timestamp>;
}
