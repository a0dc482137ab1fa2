//! The line between the agent and the server: a TCP relay that can be cut and joined.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A relay to one address. While it is cut, connections that exist are dropped and new ones are closed at once, as
/// when a laptop leaves the network.
pub struct Line {
    address: SocketAddr,
    is_up: watch::Sender<bool>,
}

impl Line {
    /// Starts relaying from a free loopback port to `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (is_up, watched) = watch::channel(true);
        tokio::spawn(accept(listener, target, watched));
        Ok(Self { address, is_up })
    }

    /// Where the agent connects.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing gets through from now on.
    pub fn cut(&self) {
        self.is_up.send_replace(false);
    }

    /// Connections work again.
    pub fn join(&self) {
        self.is_up.send_replace(true);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, watched: watch::Receiver<bool>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if *watched.borrow() => drop(tokio::spawn(relay(stream, target, watched.clone()))),
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn relay(mut near: TcpStream, target: SocketAddr, mut watched: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = watched.wait_for(|is_up| !is_up) => {}
    }
}
