//! Accepts connections, admits them within the limits, and drives one session for each.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::pump::{Surroundings, handshake, in_place, tls_facts};
use super::{Clock, Shutdown, Wake, drive};
use crate::types::{Conversation, TlsFacts, limits};

/// A new connection, as the maker of sessions sees it.
#[derive(Clone)]
pub struct Accepted {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    /// Under implicit TLS: what the handshake agreed on.
    pub tls: Option<TlsFacts>,
    /// STARTTLS can be offered.
    pub can_upgrade: bool,
    /// Wakes the session.
    pub wake: Wake,
}

impl Accepted {
    /// Both ends are on this machine: nobody listens in between.
    pub fn is_loopback(&self) -> bool {
        self.peer.ip().to_canonical().is_loopback()
    }
}

/// Makes the session for a connection.
pub type MakeSession = Arc<dyn Fn(Accepted) -> Box<dyn Conversation> + Send + Sync>;

/// How a port treats TLS.
#[derive(Clone)]
pub enum Security {
    /// None at all.
    Plain,
    /// Plain until STARTTLS (or STLS).
    Upgradable(TlsAcceptor),
    /// TLS from the first byte.
    Implicit(TlsAcceptor),
}

/// What is served on one port.
#[derive(Clone)]
pub struct Service {
    /// For the log: `imap`, `submission`.
    pub name: &'static str,
    pub security: Security,
    pub make: MakeSession,
    /// Said to who is not admitted, in the protocol's words, before the connection is closed.
    pub busy: &'static [u8],
}

/// Why a listener cannot be opened, and what helps. `place` is where its address is said.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}; {}", remedy(cause, place))]
pub struct ListenError {
    pub address: SocketAddr,
    pub place: String,
    pub cause: io::Error,
}

/// What helps where one cannot listen on an address that is said at `place`.
pub fn remedy(cause: &io::Error, place: &str) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program listens there (`ss -ltnp` names it): stop it, or say another address {place}")
        }
        io::ErrorKind::AddrNotAvailable => format!("this machine has no such address: say another one {place}"),
        io::ErrorKind::PermissionDenied => {
            format!("ports below 1024 are not for everyone: say a higher one {place}")
        }
        _ => format!("say another address {place}"),
    }
}

/// Opens a listener; with the address that it really has, where port 0 was asked for.
pub async fn listen(address: SocketAddr, place: &str) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |cause| ListenError { address, place: place.to_owned(), cause };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves connections on `listener` until the shutdown is asked for and every session has ended (or its grace is over).
pub async fn serve(listener: TcpListener, service: Service, admission: Admission, clock: Clock, shutdown: Shutdown) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.requested() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (service, clock, shutdown) = (service.clone(), clock.clone(), shutdown.clone());
                    let permit = admission.admit(peer.ip());
                    sessions.spawn(async move {
                        let outcome = match &permit {
                            Some(_) => connection(stream, peer, &service, clock, shutdown).await,
                            None => refuse(stream, &service).await,
                        };
                        drop(permit);
                        if let Err(error) = outcome {
                            tracing::debug!(service = service.name, %peer, %error, "connection ended");
                        }
                    });
                }
                // Out of descriptors, or the peer left while it waited: the listener itself is sound.
                Err(error) => {
                    tracing::warn!(service = service.name, %error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
        }
    }
    drop(listener);
    let grace = Duration::from_millis(2 * limits::SHUTDOWN_GRACE_MS);
    let _ = tokio::time::timeout(grace, async { while sessions.join_next().await.is_some() {} }).await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: &Service,
    clock: Clock,
    shutdown: Shutdown,
) -> io::Result<()> {
    // Answers are small and awaited: waiting for more to send with them only adds delay.
    stream.set_nodelay(true)?;
    let local = stream.local_addr()?;
    let wake = Wake::default();
    let mut around = Surroundings { wake: wake.clone(), clock, shutdown, upgrade: None };
    let mut accepted = Accepted { peer, local, tls: None, can_upgrade: false, wake };
    match &service.security {
        Security::Plain => drive(stream, session(service, accepted)?, around).await,
        Security::Upgradable(acceptor) => {
            around.upgrade = Some(acceptor.clone());
            accepted.can_upgrade = true;
            drive(stream, session(service, accepted)?, around).await
        }
        Security::Implicit(acceptor) => {
            let stream = handshake(stream, acceptor).await?;
            accepted.tls = Some(tls_facts(&stream));
            drive(stream, session(service, accepted)?, around).await
        }
    }
}

/// Making a session may look into the store, so it is session work too.
fn session(service: &Service, accepted: Accepted) -> io::Result<Box<dyn Conversation>> {
    in_place(|| (service.make)(accepted))
}

/// Says that there is no room. Under implicit TLS nothing is said: a handshake is what cannot be afforded.
async fn refuse(mut stream: TcpStream, service: &Service) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    if !matches!(service.security, Security::Implicit(_)) {
        stream.write_all(service.busy).await?;
    }
    stream.shutdown().await
}

/// Who may connect: limits in all and for each address.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Mutex<Counts>>);

#[derive(Debug)]
struct Counts {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
    all_max: usize,
    by_address_max: usize,
}

impl Admission {
    /// The limits of a program.
    pub fn new() -> Self {
        Self::with_limits(limits::CONNECTIONS_MAX, limits::CONNECTIONS_PER_ADDRESS_MAX)
    }

    /// At most `all_max` connections, `by_address_max` from one address.
    pub fn with_limits(all_max: usize, by_address_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Counts { all: 0, by_address: BTreeMap::new(), all_max, by_address_max })))
    }

    /// Counts a connection in, unless there is no room. Loopback has no limit of its own: it is many programs.
    pub fn admit(&self, address: IpAddr) -> Option<Permit> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = counts.by_address.get(&address).copied().unwrap_or(0);
        let crowded = here >= counts.by_address_max && !address.to_canonical().is_loopback();
        if crowded || counts.all >= counts.all_max {
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(address, here + 1);
        Some(Permit { admission: self.clone(), address })
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new()
    }
}

/// Counts the connection out when dropped.
#[derive(Debug)]
pub struct Permit {
    admission: Admission,
    address: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.admission.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        match counts.by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_be_listened_on_is_told_with_the_remedy() {
        let (_held, taken) = listen(SocketAddr::from(([127, 0, 0, 1], 0)), "").await.expect("a free port");
        let foreign = SocketAddr::from(([192, 0, 2, 1], 0));
        for (address, remedy) in [
            (taken, "another program listens there (`ss -ltnp` names it): stop it, or say another address at `imap`"),
            (foreign, "this machine has no such address: say another one at `imap`"),
        ] {
            let error = listen(address, "at `imap`").await.expect_err("it cannot be had").to_string();
            assert!(error.starts_with(&format!("cannot listen on {address}: ")) && error.ends_with(remedy), "{error}");
        }
    }

    #[test]
    fn one_address_cannot_take_every_place() {
        let admission = Admission::with_limits(3, 2);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = admission.admit(one).expect("there is room");
        let second = admission.admit(one).expect("there is room");
        assert!(admission.admit(one).is_none());
        let third = admission.admit(other).expect("another address has its own room");
        drop(second);
        assert!(admission.admit(one).is_some());
        drop((first, third));
    }

    #[test]
    fn loopback_is_limited_only_in_all() {
        let admission = Admission::with_limits(2, 1);
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let held = [admission.admit(loopback), admission.admit(loopback)];
        assert!(held.iter().all(Option::is_some));
        assert!(admission.admit(loopback).is_none());
    }
}
