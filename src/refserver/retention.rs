//! How long mailboxes keep their mail: what has been in a mailbox for longer than its rule says is deleted, or moved to the
//! mailbox that the rule names.
//!
//! Rules: it goes by the acts that users' own deletions and moves go by, so that every session is told; what was done is told in
//! the log, mailbox by mailbox; some hundred messages are one transaction, so that nobody waits long.

use std::time::Duration;

use super::users::Users;
use crate::config::mailboxes::Retention;
use crate::net::{Clock, Shutdown};
use crate::serve::neighbours::Neighbours;
use crate::serve::pop3::Expiries;
use crate::store::{Origin, Result, Store};
use crate::types::{AccountId, MailboxName, Timestamp};

/// It is looked this often, and at the start.
const INTERVAL: Duration = Duration::from_secs(3600);

/// Messages of one transaction.
const AT_ONCE: usize = 500;

/// What a rule did with one mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub user: String,
    pub mailbox: MailboxName,
    pub messages: usize,
    /// Where they are; `None`: gone.
    pub archive: Option<MailboxName>,
}

/// Follows every rule once.
pub fn follow(
    store: &Store,
    accounts: &[(String, AccountId)],
    neighbours: Neighbours,
    rules: &[Retention],
    now: Timestamp,
) -> Result<Vec<Done>> {
    let mut done = Vec::new();
    for rule in rules {
        let place = |name: &MailboxName| Neighbours::shared_name(name);
        let shared = place(&rule.mailbox).map(|name| (("Shared".to_owned(), neighbours.shared), name));
        let meant = accounts.iter().filter(|(name, _)| rule.user.as_ref().is_none_or(|user| user == name));
        let own = meant.filter(|_| shared.is_none()).map(|account| (account.clone(), rule.mailbox.clone()));
        for ((user, account), mailbox) in own.chain(shared.clone()) {
            let archive = rule.archive.as_ref().map(|name| place(name).unwrap_or_else(|| name.clone()));
            let messages = retire(store, account, &mailbox, archive.as_ref(), before(rule, now), now)?;
            if messages > 0 {
                done.push(Done { user, mailbox, messages, archive });
            }
        }
    }
    Ok(done)
}

/// After how many days each user's INBOX is rid of a message by these rules, the strictest of them.
pub fn expiries(accounts: &[(String, AccountId)], rules: &[Retention]) -> Expiries {
    let days = |user: &String| {
        let meant = rules.iter().filter(|rule| rule.user.as_ref().is_none_or(|name| name == user));
        meant.filter(|rule| rule.mailbox == MailboxName::inbox()).map(|rule| rule.days).min()
    };
    accounts.iter().map(|(user, account)| (*account, days(user))).collect()
}

/// What came into its mailbox before that has been there for long enough.
const fn before(rule: &Retention, now: Timestamp) -> Timestamp {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    now.plus_ms(-(rule.days as i64) * DAY_MS)
}

fn retire(
    store: &Store,
    account: AccountId,
    from: &MailboxName,
    to: Option<&MailboxName>,
    before: Timestamp,
    now: Timestamp,
) -> Result<usize> {
    let mut retired = 0;
    loop {
        let (from, to) = (from.clone(), to.cloned());
        let some = store.write(Origin::Authority, now, move |txn| {
            let Some(mailbox) = txn.reader().mailbox_named(account, &from)?.filter(|mailbox| mailbox.selectable) else {
                return Ok(0);
            };
            let uids = txn.reader().kept_since_before(mailbox.id, before, AT_ONCE)?;
            if uids.is_empty() {
                return Ok(0);
            }
            match to {
                None => txn.remove_messages(mailbox.id, &uids.iter().copied().collect()).map(|gone| gone.len()),
                Some(to) => {
                    let archive = match txn.reader().mailbox_named(account, &to)? {
                        Some(archive) if archive.selectable => archive.id,
                        _ => txn.create_mailbox(account, &to, None)?,
                    };
                    txn.move_messages(mailbox.id, &uids, archive).map(|moved| moved.uids.len())
                }
            }
        })?;
        retired += some;
        if some < AT_ONCE {
            return Ok(retired);
        }
    }
}

/// Follows the rules now and then, until the server stops.
pub(super) async fn follow_now_and_then(
    store: Store,
    accounts: Vec<(String, AccountId)>,
    neighbours: Neighbours,
    rules: Vec<Retention>,
    clock: Clock,
    shutdown: Shutdown,
) {
    while !rules.is_empty() {
        let (store, accounts, rules, now) = (store.clone(), accounts.clone(), rules.clone(), clock.now());
        let followed = tokio::task::spawn_blocking(move || follow(&store, &accounts, neighbours, &rules, now));
        match followed.await {
            Ok(Ok(done)) => done.iter().for_each(tell),
            Ok(Err(error)) => tracing::warn!(%error, "the retention rules cannot be followed now"),
            Err(error) => tracing::error!(%error, "following the retention rules failed"),
        }
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn tell(done: &Done) {
    let Done { user, mailbox, messages, archive } = done;
    match archive {
        None => tracing::info!(user, %mailbox, messages, "kept long enough: deleted"),
        Some(archive) => tracing::info!(user, %mailbox, messages, %archive, "kept long enough: archived"),
    }
}

/// The users that rules name must be there.
pub(super) fn unknown_user<'a>(rules: &'a [Retention], users: &Users) -> Option<&'a str> {
    let mut named = rules.iter().filter_map(|rule| rule.user.as_deref());
    named.find(|name| !users.accounts().any(|(known, _)| known == *name))
}
