//! The pump over an in-memory stream, with a session made for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use mailtide::net::pump::{Surroundings, Wake, drive};
use mailtide::net::tls::Identity;
use mailtide::net::{Clock, Shutdown};
use mailtide::types::{Conversation, Event, Step, Timestamp, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Echoes lines. `flood` answers with a hundred chunks, `tls` asks for TLS, `quit` closes, `panic` panics.
#[derive(Default)]
struct Echo {
    pending: Vec<u8>,
    next: Option<Step>,
    flood: usize,
    polls: Arc<AtomicUsize>,
    events: Arc<Mutex<Vec<Event>>>,
    deadline: Option<Timestamp>,
}

impl Conversation for Echo {
    fn handle_input(&mut self, input: &[u8], _: Timestamp) {
        match input {
            b"flood\n" => self.flood = 100,
            b"tls\n" => {
                self.pending.extend_from_slice(b"go\n");
                self.next = Some(Step::StartTls);
            }
            b"quit\n" => self.next = Some(Step::Close),
            b"panic\n" => panic!("as asked"),
            _ => self.pending.extend_from_slice(input),
        }
    }

    fn handle_event(&mut self, event: Event, _: Timestamp) {
        self.deadline = None;
        match &event {
            Event::Changed => self.pending.extend_from_slice(b"changed\n"),
            Event::Deadline => self.pending.extend_from_slice(b"late\n"),
            Event::TlsStarted(facts) => self.pending.extend_from_slice(facts.version.as_bytes()),
            Event::Shutdown => {
                self.pending.extend_from_slice(b"bye\n");
                self.next = Some(Step::Close);
            }
            Event::PeerClosed => self.next = Some(Step::Close),
        }
        self.events.lock().expect("not poisoned").push(event);
    }

    fn poll_output(&mut self, _: Timestamp, out: &mut Vec<u8>) -> Step {
        self.polls.fetch_add(1, Ordering::SeqCst);
        out.append(&mut self.pending);
        if self.flood > 0 {
            self.flood -= 1;
            out.resize(out.len() + limits::OUTPUT_CHUNK_BYTES, b'x');
            return Step::Continue;
        }
        self.next.take().unwrap_or(Step::Wait)
    }

    fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }
}

fn surroundings() -> Surroundings {
    Surroundings { wake: Wake::default(), clock: Clock::system(), shutdown: Shutdown::new(), upgrade: None }
}

async fn answer(peer: &mut DuplexStream, expected: &str) {
    let mut got = vec![0; expected.len()];
    peer.read_exact(&mut got).await.expect("an answer");
    assert_eq!(String::from_utf8_lossy(&got), expected);
}

#[tokio::test]
async fn what_is_said_is_answered_until_the_session_closes() {
    let (mut peer, ours) = duplex(1024);
    let pump = tokio::spawn(drive(ours, Box::new(Echo::default()), surroundings()));
    peer.write_all(b"hello\n").await.expect("written");
    answer(&mut peer, "hello\n").await;
    peer.write_all(b"quit\n").await.expect("written");
    assert_eq!(peer.read(&mut [0; 1]).await.expect("an end"), 0);
    pump.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_change_a_deadline_and_the_end_are_told() {
    let (mut peer, ours) = duplex(1024);
    let around = surroundings();
    let session = Echo { deadline: Some(around.clock.now()), ..Echo::default() };
    let pump = tokio::spawn(drive(ours, Box::new(session), around.clone()));
    answer(&mut peer, "late\n").await;
    (around.wake.callback())();
    answer(&mut peer, "changed\n").await;
    around.shutdown.request();
    answer(&mut peer, "bye\n").await;
    pump.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_peer_that_leaves_is_told_to_the_session() {
    let (peer, ours) = duplex(1024);
    let session = Echo::default();
    let events = Arc::clone(&session.events);
    let pump = tokio::spawn(drive(ours, Box::new(session), surroundings()));
    drop(peer);
    pump.await.expect("no panic").expect("a clean end");
    assert_eq!(*events.lock().expect("not poisoned"), [Event::PeerClosed]);
}

#[tokio::test]
async fn a_slow_reader_holds_back_the_session() {
    let (mut peer, ours) = duplex(1024);
    let session = Echo::default();
    let polls = Arc::clone(&session.polls);
    let pump = tokio::spawn(drive(ours, Box::new(session), surroundings()));
    peer.write_all(b"flood\n").await.expect("written");
    answer(&mut peer, "x").await;
    assert!(polls.load(Ordering::SeqCst) <= 3, "at most one chunk is made ahead of the reader");
    let mut rest = vec![0; 100 * limits::OUTPUT_CHUNK_BYTES - 1];
    peer.read_exact(&mut rest).await.expect("the rest");
    drop(peer);
    pump.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn a_session_that_panics_ends_its_own_connection_only() {
    let (mut peer, ours) = duplex(1024);
    let pump = tokio::spawn(drive(ours, Box::new(Echo::default()), surroundings()));
    peer.write_all(b"panic\n").await.expect("written");
    assert_eq!(peer.read(&mut [0; 1]).await.expect("an end"), 0);
    pump.await.expect("the pump itself does not panic").expect_err("the failure is reported");
}

#[tokio::test]
async fn starttls_goes_on_under_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let identity = Identity::in_folder(folder.path(), &["localhost".to_owned()]).expect("an identity");
    let around = Surroundings { upgrade: Some(identity.acceptor().expect("usable")), ..surroundings() };
    let (mut peer, ours) = duplex(64 * 1024);
    let pump = tokio::spawn(drive(ours, Box::new(Echo::default()), around));
    peer.write_all(b"tls\n").await.expect("written");
    answer(&mut peer, "go\n").await;
    let mut peer = connector(&identity).connect("localhost".try_into().expect("a name"), peer).await.expect("TLS");
    let mut version = [0; 7];
    peer.read_exact(&mut version).await.expect("an answer");
    assert_eq!(&version, b"TLSv1_3");
    peer.write_all(b"quit\n").await.expect("written");
    assert_eq!(peer.read(&mut [0; 1]).await.expect("close_notify"), 0);
    pump.await.expect("no panic").expect("a clean end");
}

/// A client that trusts nothing but the authority made with the identity.
fn connector(identity: &Identity) -> tokio_rustls::TlsConnector {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let authority = identity.authority.as_ref().expect("an authority");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).expect("a certificate")).expect("a usable root");
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider serves them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}
