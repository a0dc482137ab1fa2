//! The stage: two ends, each with a server of its own domain and an agent, and the zone by which the servers find each other.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use super::shore::{Shore, Site};
use super::zone;

/// The user whose mail is mirrored.
pub const ANN: &str = "ann";
/// Another user of the same server.
pub const BEN: &str = "ben";

/// Everything that runs.
pub struct World {
    /// Ann's and Ben's.
    pub sea: Shore,
    /// Eva's, far away.
    pub harbour: Shore,
}

impl World {
    /// Starts both servers in `folder`, the zone, and the lines.
    pub async fn start(folder: &Path) -> io::Result<Self> {
        let dns = zone::start(&["tide.example", "harbour.example"]).await?;
        let (at_sea, at_harbour) = (free_address()?, free_address()?);
        let sea = Site { domain: "tide.example", users: &[ANN, BEN], smtp: at_sea, mx_port: at_harbour.port(), dns };
        let harbour =
            Site { domain: "harbour.example", users: &["eva"], smtp: at_harbour, mx_port: at_sea.port(), dns };
        let (sea, harbour) =
            tokio::try_join!(Shore::start(folder.join("sea"), sea), Shore::start(folder.join("harbour"), harbour))?;
        Ok(Self { sea, harbour })
    }

    /// Stops all of it.
    pub async fn stop(self) {
        tokio::join!(self.sea.stop(), self.harbour.stop());
    }
}

/// Each server must be told where the other will listen, before either does.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}
