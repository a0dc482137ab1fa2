//! `syncctl verify`: the store by itself, and beside what its servers really have.
//!
//! Bytes that the disk has spoilt are dropped and fetched again, where a server has them.
//!
//! What is still to be done upstream differs by its nature and is only counted. Both sides may change while they are
//! compared: a difference counts when a sync and a second look find it again. A server is believed as little as by a sync:
//! it is asked again for a mailbox that it does not open and for messages that it leaves out (QUIRKS.md rows 19 and 35).
//! In a mailbox that has other UIDs than when it was synced (Proton Bridge, QUIRKS.md row 26: at each connection) messages are
//! known again by what the server shows of them; where that does not tell all of them apart it is not compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::control::{failure, read};
use super::daemon::Agent;
use super::maildrop::Visits;
use super::servers::{Incoming, Servers};
use super::settled;
use crate::config;
use crate::control::Failure;
use crate::control::report::{Verified, VerifiedAccount};
use crate::store::{self, MessageFacts, Reader, RemoteMailbox, Store};
use crate::sync::identity::{self, Found as Recognised, Sought};
use crate::sync::maildrop::engine::Compared;
use crate::sync::maildrop::seam::OpenMaildrop;
use crate::sync::remote::{Connect, Remote, RemoteError, RemoteName, Selected};
use crate::sync::{self, scan_each};
use crate::types::{AccountId, Flag, Flags, MessageId, RemoteUid, UidSet};
use crate::upstream::Tcp;
use crate::upstream::imap::{Connector, ImapRemote};

/// What one look found.
#[derive(Default)]
struct Found {
    mailboxes: u64,
    messages: u64,
    differences: Vec<String>,
    uncompared: Vec<String>,
    in_maildrop: Option<u64>,
}

/// Messages whose fingerprints are asked for at once.
const FINGERPRINTS_MAX: usize = 1000;

/// How often a mailbox is selected, if the server refuses.
const SELECTS_MAX: usize = 3;

/// Why an account could not be compared.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Servers(#[from] super::servers::ServersError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Sync(#[from] sync::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("it is not in sync: {0}")]
    NotSynced(String),
}

/// Audits the store, then each account.
pub(super) async fn run(agent: &Arc<Agent>, account: Option<&str>, store_only: bool) -> Result<Verified, Failure> {
    let mut chosen = Vec::new();
    agent.each(account, |running| chosen.push((running.config.clone(), running.id)))?;
    let store = agent.common.store.clone();
    let now = agent.common.clock.now();
    let audited = tokio::task::spawn_blocking(move || {
        let audit = store::audit(&store)?;
        let fetched_again = store.fetch_again(&audit.damaged, now)?;
        Ok::<_, store::Error>((audit, fetched_again as u64))
    });
    let (audit, fetched_again) = audited.await.map_err(Failure::internal)?.map_err(failure)?;
    let mut accounts = Vec::new();
    for (config, id) in chosen.into_iter().filter(|_| !store_only) {
        let (found, error) = match compare(agent, &config, id).await {
            Ok(found) => (found, None),
            Err(trouble) => (Found::default(), Some(trouble.to_string())),
        };
        let Found { mailboxes, messages, differences, uncompared, in_maildrop } = found;
        let unsettled = read(&agent.common.store, |reader| reader.entries(id))?.len() as u64;
        let name = config.name;
        accounts.push(VerifiedAccount {
            name,
            mailboxes,
            messages,
            differences,
            uncompared,
            unsettled,
            in_maildrop,
            error,
        });
    }
    Ok(Verified { store: audit.wrong, contents: audit.contents, fetched_again, accounts })
}

async fn compare(agent: &Arc<Agent>, config: &config::Account, id: AccountId) -> Result<Found, Trouble> {
    let servers = Servers::of(config, Tcp).await?;
    let connector = match servers.incoming {
        Incoming::Imap(connector) => connector,
        Incoming::Pop3(connector, keep) => {
            sync(agent, config).await?;
            let clock = agent.common.clock.clone();
            let mut visits = Visits::new(agent.common.store.clone(), id, config.bodies.clone());
            // One that was stopped meanwhile is inside no more.
            let _ = agent.each(Some(&config.name), |running| visits = running.visits().clone());
            let _alone = visits.door.enter().await;
            let engine = visits.engine(keep);
            let compared = engine.compare(&mut connector.open().await?, &move || clock.now()).await?;
            let Compared { messages: listed, differences } = compared;
            let (mailboxes, messages) = agent.common.store.read(|reader| here(reader, id))?;
            return Ok(Found { mailboxes, messages, differences, in_maildrop: Some(listed), ..Found::default() });
        }
    };
    let mut remote = connector.connect().await?;
    sync(agent, config).await?;
    let mut found = look(&agent.common.store, config, id, &connector, &mut remote).await?;
    if !found.differences.is_empty() || !found.uncompared.is_empty() {
        sync(agent, config).await?;
        let again = look(&agent.common.store, config, id, &connector, &mut remote).await?;
        let before = std::mem::replace(&mut found, again).differences;
        found.differences.retain(|difference| before.contains(difference));
    }
    remote.logout().await;
    Ok(found)
}

/// Mailboxes and messages here.
fn here(reader: &Reader<'_>, id: AccountId) -> store::Result<(u64, u64)> {
    let mailboxes = reader.overview(id)?.mailboxes;
    let messages = mailboxes.iter().map(|mailbox| u64::from(mailbox.messages)).sum();
    Ok((mailboxes.len() as u64, messages))
}

async fn sync(agent: &Arc<Agent>, config: &config::Account) -> Result<(), Trouble> {
    let synced = settled::wait(agent, &config.name).await.map_err(|failure| Trouble::NotSynced(failure.message))?;
    synced.error.map_or(Ok(()), |error| Err(Trouble::NotSynced(error)))
}

async fn look(
    store: &Store,
    config: &config::Account,
    id: AccountId,
    connector: &Connector<Tcp>,
    remote: &mut ImapRemote,
) -> Result<Found, Trouble> {
    let mut found = Found::default();
    let known = store.read(|reader| reader.remote_mailboxes(id))?;
    for listed in remote.list().await?.into_iter().filter(|listed| listed.selectable) {
        let mirrored = known.iter().find(|mailbox| mailbox.remote_name == listed.name.0);
        let path = listed.components.join("/");
        let wanted = crate::types::MailboxName::parse(&path).is_ok_and(|name| config.folders.includes(&name));
        match mirrored {
            Some(mailbox) if mailbox.selectable && mailbox.name.is_some() => {
                match look_into(store, mailbox, remote, &mut found).await {
                    // It may hang up on who asks for much (QUIRKS.md row 19), and take the next connection.
                    Err(Trouble::Remote(error)) if error.connection_lost() => {
                        *remote = connector.connect().await?;
                        look_into(store, mailbox, remote, &mut found).await?;
                    }
                    looked => looked?,
                }
            }
            None if wanted => found.differences.push(format!("{path}: the mailbox is on the server, not here")),
            Some(_) | None => {}
        }
    }
    Ok(found)
}

async fn look_into(
    store: &Store,
    mailbox: &RemoteMailbox,
    remote: &mut ImapRemote,
    found: &mut Found,
) -> Result<(), Trouble> {
    let name = mailbox.name.as_ref().map_or("", |name| name.as_str());
    let selected = match select(remote, mailbox).await {
        Ok(selected) => selected,
        Err(RemoteError::Refused { text, .. }) => {
            found.uncompared.push(format!("{name}: the server does not open it: {text}"));
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let uids = remote.uids().await?;
    let scanned = scan_each(remote, &uids).await?;
    let there: BTreeMap<RemoteUid, Flags> = scanned.into_iter().map(|one| (one.uid, one.flags)).collect();
    let (facts, skipped, pending) = store.read(|reader| {
        let facts = reader.bound_facts(mailbox.mailbox)?;
        let pending = facts.iter().map(|one| reader.is_pending(one.message)).collect::<store::Result<Vec<_>>>()?;
        Ok((facts, reader.skipped(mailbox.mailbox)?, pending))
    })?;
    found.mailboxes += 1;
    found.messages += facts.len() as u64;
    let is_renumbered = mailbox.cursor.uid_validity != Some(selected.uid_validity);
    let uids_now = match is_renumbered {
        false => facts.iter().filter_map(|one| Some((one.message, one.upstream.as_ref()?.uid?))).collect(),
        true => match known_again(store, &facts, &uids, remote).await?.filter(|_| skipped.is_empty()) {
            Some(known_again) => known_again,
            None => {
                let (there, here) = (selected.exists, facts.len());
                found.uncompared.push(format!(
                    "{name}: the server gave its messages other UIDs since they were synced ({there} there, {here} here), and \
                     not all can be told apart without them; after another sync they can be compared, unless it does that at \
                     each connection"
                ));
                return Ok(());
            }
        },
    };
    let is_bound = |one: &&MessageFacts| one.upstream.as_ref().is_some_and(|upstream| upstream.uid.is_some());
    let mut here: BTreeMap<RemoteUid, (&MessageFacts, bool)> = BTreeMap::new();
    for (one, pending) in facts.iter().zip(pending).filter(|(one, _)| is_bound(one)) {
        match uids_now.get(&one.message) {
            Some(uid) => drop(here.insert(*uid, (one, pending))),
            None if pending => {}
            None => found.differences.push(format!("{name}: message {} is here, not on the server", one.message)),
        }
    }
    for (uid, flags) in &there {
        match here.get(uid) {
            None if skipped.iter().any(|(skipped, _)| skipped == uid) => {
                found.differences.push(format!("{name}: the server does not give the bytes of UID {uid}"));
            }
            None => found.differences.push(format!("{name}: UID {uid} is on the server, not here")),
            Some((one, false)) => {
                let changed = one.flags.difference(flags).union(&flags.difference(&one.flags));
                if changed.iter().any(|flag| keeps(mailbox, &flag)) {
                    let text = format!("{name}: UID {uid} has the flags ({flags}) on the server, ({}) here", one.flags);
                    found.differences.push(text);
                }
            }
            Some((_, true)) => {}
        }
    }
    let lost = here.iter().filter(|(uid, (_, pending))| !there.contains_key(uid) && !pending);
    found.differences.extend(lost.map(|(uid, _)| format!("{name}: UID {uid} is here, not on the server")));
    Ok(())
}

/// Which messages have which UIDs, where those that are known are of another UIDVALIDITY. `None`: not all can be told apart.
async fn known_again(
    store: &Store,
    facts: &[MessageFacts],
    uids: &UidSet<RemoteUid>,
    remote: &mut ImapRemote,
) -> Result<Option<BTreeMap<MessageId, RemoteUid>>, Trouble> {
    let sought =
        store.read(|reader| facts.iter().map(|one| Sought::of(reader, one)).collect::<store::Result<Vec<_>>>())?;
    let mut shown = Vec::new();
    for uids in uids.iter().collect::<Vec<_>>().chunks(FINGERPRINTS_MAX) {
        shown.extend(remote.fingerprints(&uids.iter().copied().collect()).await?);
    }
    let Recognised { pairs, doubtful } = identity::by_fingerprint(&sought, &shown);
    let is_all = doubtful.is_empty() && shown.len() == uids.iter().count();
    Ok(is_all.then(|| pairs.into_iter().collect()))
}

/// Opens a mailbox, asking again where the server refuses.
async fn select(remote: &mut ImapRemote, mailbox: &RemoteMailbox) -> Result<Selected, RemoteError> {
    let name = RemoteName(mailbox.remote_name.clone());
    for _ in 1..SELECTS_MAX {
        match remote.select(&name, None).await {
            Err(RemoteError::Refused { .. }) => {}
            selected => return selected,
        }
    }
    remote.select(&name, None).await
}

/// Does the server keep the flag? An empty list says nothing: it was never told.
fn keeps(mailbox: &RemoteMailbox, flag: &Flag) -> bool {
    let any_keyword = mailbox.any_keyword && matches!(flag, Flag::Keyword(_));
    mailbox.permanent_flags.is_empty() || mailbox.permanent_flags.contains(flag) || any_keyword
}
