//! What just came into one mailbox, taken in at once: ahead of the sync that follows, which covers the mailbox, moves its
//! cursor, and would need several round trips to come so far.
//!
//! It only adds messages, as arrivals of the round that the sync closes. Where something of ours may be on its way to the
//! mailbox nothing is taken in: it could be that.

use std::io;

use super::engine::Clock;
use super::fetch::ArrivalSink;
use super::pass::from;
use super::remote::{Fetched, MessageSink, Remote, RemoteError, RemoteName, Selected};
use super::tour::{Brought, Errand, Guide, Stop};
use super::{Engine, Result};
use crate::store::{self, Reader};
use crate::types::{AccountId, MailboxId, MailboxName, RemoteUid, UidValidity};

/// Where messages came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// Into the mailbox of this name that is selected, with this UIDVALIDITY.
    Here(RemoteName, UidValidity),
    /// Into another.
    There(RemoteName),
}

/// The mailbox, and from where on its messages are new.
struct Known {
    mailbox: MailboxId,
    name: MailboxName,
    uid_validity: UidValidity,
    uid_next: RemoteUid,
}

impl Engine {
    /// Takes in what came. Returns how many messages that were; a refusal is none, and told by the sync.
    pub async fn catch<R: Remote>(&self, remote: &mut R, clock: Clock<'_>, came: &Came) -> Result<usize> {
        let (store, account) = (self.store(), self.account());
        let (Came::Here(name, _) | Came::There(name)) = came;
        if remote.facts().labels && !name.0.eq_ignore_ascii_case("INBOX") {
            // Its bytes may be here already, or come by INBOX.
            return Ok(0);
        }
        let Some(known) = store.read(|reader| known(reader, account, name))? else { return Ok(0) };
        let since = store.read(|reader| reader.last_message())?;
        let sink = ArrivalSink::new(store.clone(), known.mailbox, clock(), since);
        let mut catcher = Catcher { sink, uid_validity: known.uid_validity, is_it: false };
        let new = from(known.uid_next);
        let outlines = !self.bodies_now()?.fetches_at_once(&known.name) && remote.facts().outlines;
        let outcome = match came {
            Came::Here(_, uid_validity) if *uid_validity != known.uid_validity => return Ok(0),
            Came::Here(..) => {
                catcher.is_it = true;
                match outlines {
                    true => remote.outline(&new, &mut catcher).await,
                    false => remote.fetch(&new, &mut catcher).await,
                }
            }
            Came::There(name) => {
                let errands = vec![if outlines { Errand::Outline(new) } else { Errand::Fetch(new) }];
                let stop = Stop { name: name.clone(), uid_validity: known.uid_validity, known: None, errands };
                remote.tour(&[stop], &mut catcher, false).await
            }
        };
        let committed = catcher.sink.commit();
        match outcome {
            Ok(()) | Err(RemoteError::Refused { .. } | RemoteError::Impossible(_)) => committed?,
            Err(error) => return Err(error.into()),
        }
        Ok(catcher.sink.arrived)
    }
}

/// `None`: nothing may be taken in from there before a sync.
fn known(reader: &Reader<'_>, account: AccountId, name: &RemoteName) -> store::Result<Option<Known>> {
    let is_it =
        |known: &str| known == name.0 || (known.eq_ignore_ascii_case("INBOX") && name.0.eq_ignore_ascii_case(known));
    let mailboxes = reader.remote_mailboxes(account)?;
    let Some(row) = mailboxes.into_iter().find(|row| is_it(&row.remote_name)) else { return Ok(None) };
    let (Some(uid_validity), Some(name), true) = (row.cursor.uid_validity, row.name, row.selectable) else {
        return Ok(None);
    };
    let is_covered = row.cursor != store::Cursor::start(Some(uid_validity));
    let is_steady = reader.quarantine(row.mailbox)?.is_none();
    let is_settled = reader.unresolved(account)?.is_empty();
    // What was caught before, or put there by us, is here.
    let after_last = reader.last_bound(row.mailbox)?.map(|last| RemoteUid::new(last.get().saturating_add(1)));
    let uid_next = after_last.map_or(row.cursor.uid_next, |after| after.max(row.cursor.uid_next));
    let known = Known { mailbox: row.mailbox, name, uid_validity, uid_next };
    Ok((is_covered && is_steady && is_settled).then_some(known))
}

/// Takes messages in, if the mailbox is the one that is known.
struct Catcher {
    sink: ArrivalSink,
    uid_validity: UidValidity,
    is_it: bool,
}

impl Guide for Catcher {
    fn enter(
        &mut self,
        _stop: usize,
        selected: std::result::Result<Selected, RemoteError>,
    ) -> std::result::Result<(), RemoteError> {
        self.is_it = selected.is_ok_and(|selected| selected.uid_validity == self.uid_validity);
        Ok(())
    }

    fn done(
        &mut self,
        _stop: usize,
        _errand: usize,
        _brought: std::result::Result<Brought, RemoteError>,
    ) -> std::result::Result<(), RemoteError> {
        Ok(())
    }

    fn news(&mut self, _stop: usize) {}
}

impl MessageSink for Catcher {
    fn begin(&mut self, size_bytes: u64) -> io::Result<()> {
        if self.is_it { self.sink.begin(size_bytes) } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_it { self.sink.write(bytes) } else { Ok(()) }
    }

    fn end(&mut self, message: Fetched) -> io::Result<()> {
        if self.is_it { self.sink.end(message) } else { Ok(()) }
    }

    fn absent(&mut self, uid: RemoteUid) -> io::Result<()> {
        self.sink.absent(uid)
    }
}
