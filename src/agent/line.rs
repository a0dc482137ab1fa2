//! By what comes to an account what its mail clients wait for: a connection to its IMAP server, or the inside of its maildrop.

use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::maildrop::Visits;
use super::servers::{Incoming, ServersOf};
use crate::message::outline::Wanted;
use crate::sync::bring::Tell;
use crate::sync::engine::Clock;
use crate::sync::maildrop::seam::OpenMaildrop;
use crate::sync::maildrop::{Counter, MaildropEngine};
use crate::sync::remote::{Connect, Remote};
use crate::sync::{self, Engine};
use crate::types::{Keep, MessageId, Timestamp};
use crate::upstream::imap::ImapRemote;
use crate::upstream::{Dial, Pop3Remote};

/// A connection on which nobody waits for anything is left after that time.
const LINGER: Duration = Duration::from_secs(60);

/// So is a maildrop, into which nobody else gets for as long: who reads one message after the other finds it open.
const LINGER_INSIDE: Duration = Duration::from_secs(5);

/// Of a maildrop one sees what was there on entering, and new mail waits outside: after that time it is left, however much is
/// asked for.
const INSIDE_MAX_MS: i64 = 30_000;

/// Whoever waits is told after that time that there is no connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);

/// See the module.
pub(super) enum Line {
    Mirror(Box<ImapRemote>),
    Maildrop(Box<Inside>),
}

/// The inside of a maildrop.
pub(super) struct Inside {
    engine: MaildropEngine,
    counter: Counter<Pop3Remote>,
    since: Timestamp,
    _alone: OwnedMutexGuard<()>,
}

enum Connected {
    Mirror(Box<ImapRemote>),
    Maildrop(OwnedMutexGuard<()>, Pop3Remote, Keep),
}

impl Line {
    /// Connects; into a maildrop once nobody else of this program is inside. Says why not.
    pub(super) async fn connect<D: Dial + Clone>(
        servers: &ServersOf<D>,
        visits: &Visits,
        clock: Clock<'_>,
    ) -> Result<Self, String> {
        let connected = timeout(CONNECT_MAX, async {
            match servers.get().await.map_err(told)?.incoming {
                Incoming::Imap(connector) => {
                    let remote = connector.connect().await.map_err(told)?;
                    Ok(Connected::Mirror(Box::new(remote)))
                }
                Incoming::Pop3(connector, keep) => {
                    let alone = visits.door.enter().await;
                    let maildrop = connector.open().await.map_err(told)?;
                    Ok(Connected::Maildrop(alone, maildrop, keep))
                }
            }
        });
        match connected.await {
            Ok(Ok(Connected::Mirror(remote))) => Ok(Self::Mirror(remote)),
            // To look around may take long where no unique ids tell what the messages are.
            Ok(Ok(Connected::Maildrop(alone, maildrop, keep))) => {
                let (engine, since) = (visits.engine(keep), clock());
                let counter = engine.open(maildrop, clock).await.map_err(told)?;
                Ok(Self::Maildrop(Box::new(Inside { engine, counter, since, _alone: alone })))
            }
            Ok(Err(why)) => Err(why),
            Err(_) => Err(format!("not within {} s", CONNECT_MAX.as_secs())),
        }
    }

    /// Fetches messages for somebody who waits.
    pub(super) async fn bring(
        &mut self,
        engine: &Engine,
        wishes: &[(MessageId, Wanted)],
        clock: Clock<'_>,
        tell: Tell<'_>,
    ) -> sync::Result<()> {
        match self {
            Self::Mirror(remote) => engine.bring(remote.as_mut(), wishes, clock, tell).await,
            Self::Maildrop(inside) => inside.engine.bring(&mut inside.counter, wishes, clock, tell).await,
        }
    }

    /// How long it is kept while nobody waits for anything.
    pub(super) const fn lingers(&self) -> Duration {
        match self {
            Self::Mirror(_) => LINGER,
            Self::Maildrop(_) => LINGER_INSIDE,
        }
    }

    /// Is it to be left before more is asked for?
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        match self {
            Self::Mirror(_) => false,
            Self::Maildrop(inside) => now > inside.since.plus_ms(INSIDE_MAX_MS),
        }
    }

    /// Says goodbye.
    pub(super) async fn leave(self) {
        match self {
            Self::Mirror(mut remote) => remote.logout().await,
            Self::Maildrop(mut inside) => {
                if let Err(error) = inside.counter.leave().await {
                    tracing::debug!("no goodbye from the maildrop: {error}");
                }
            }
        }
    }
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
