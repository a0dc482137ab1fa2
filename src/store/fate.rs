//! A seam for simulations of crashes and of full disks: whoever opens the store can have a say at the moments that decide
//! what its files hold, those of its opening among them. In production nobody has.

use super::Result;

/// A moment that decides what the files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Bytes of a message are about to be written.
    BeforeContent,
    /// Those of a message are written, all of them; with `durable`, all that were written are synced.
    AfterContent { durable: bool },
    /// A group of transactions is about to be committed.
    BeforeCommit,
    /// It is committed; with `durable` it is synced as well. Nobody was told yet.
    AfterCommit { durable: bool },
    /// What was committed without a sync is synced: a mail client is about to be told of it.
    Settled,
    /// Bytes to which nothing refers are about to be removed: the end of a pack, something within it, or all of it.
    BeforeRemoval,
    /// They are removed; no sync was made since.
    AfterRemoval,
    /// The store is about to be marked as cleanly stopped.
    BeforeClose,
}

/// Has a say at every [`Moment`].
pub trait Fate: Send + Sync {
    /// An error stops what is under way: before a commit nothing remains of it, after it the caller is not told that it
    /// was made.
    fn at(&self, moment: Moment) -> Result<()>;
}

/// Leaves everything to go its way.
pub(super) struct Fair;

impl Fate for Fair {
    fn at(&self, _: Moment) -> Result<()> {
        Ok(())
    }
}
