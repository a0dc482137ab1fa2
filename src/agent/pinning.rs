//! `syncctl fetch`: messages and whole folders that the user wants here, whatever the configuration says.
//!
//! Rules: first it is written down what is wanted, so that what cannot be had now comes by itself once it can; then it is
//! fetched as what a mail client waits for is. Once there is no connection, or the budget is spent, nothing more is tried.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::control::{failure, write};
use super::daemon::Agent;
use super::recovery::headline_of;
use super::supply::Wishes;
use crate::control::Failure;
use crate::control::bodies::{Amount, Fetched, Refusal, Target};
use crate::control::report::State;
use crate::message::outline::Wanted;
use crate::serve::bring::{Bringer as _, Outcome, Ticket, Wish};
use crate::store::{Reader, Result, Store, Wake};
use crate::types::{AccountId, MailboxName, MessageId};

/// Messages that are asked for at the same time: enough that round trips do not count.
const AHEAD: usize = 200;

/// Messages of which it is told why they cannot be had.
const REFUSALS_MAX: usize = 100;

/// One thing that was asked for, in one account.
struct Asked {
    wanted: String,
    account: AccountId,
    account_name: String,
    mailbox: Option<String>,
    /// Messages of it that are here.
    here: u64,
    absent: Vec<MessageId>,
    /// Messages of it that cannot be had any more.
    lost: Vec<MessageId>,
}

/// Fetches what is wanted, and tells what came of each.
pub(super) async fn fetch(
    agent: &Arc<Agent>,
    wanted: Vec<String>,
    account: Option<&str>,
) -> std::result::Result<Fetched, Failure> {
    let mut accounts = Vec::new();
    agent.each(account, |running| accounts.push((running.id, running.config.name.clone())))?;
    let pinned = {
        let agent = Arc::clone(agent);
        tokio::task::spawn_blocking(move || pin(&agent, &wanted, &accounts)).await
    };
    let mut targets = Vec::new();
    for asked in pinned.map_err(Failure::internal)?? {
        targets.push(granted(agent, asked).await?);
    }
    Ok(Fetched { targets })
}

/// Finds what is wanted, and writes it down.
fn pin(agent: &Agent, wanted: &[String], accounts: &[(AccountId, String)]) -> std::result::Result<Vec<Asked>, Failure> {
    let mut all = Vec::new();
    for name in wanted {
        let found = agent.common.store.read(|reader| find(reader, name, accounts)).map_err(failure)?;
        if found.is_empty() {
            return Err(Failure::not_found(format!(
                "there is no folder {name:?} (syncctl status), and no message with that number or Message-ID (syncctl why)"
            )));
        }
        all.extend(found);
    }
    let messages: Vec<MessageId> = all.iter().flat_map(|asked| asked.absent.iter().copied()).collect();
    write(agent, move |txn| txn.pin(&messages))?;
    Ok(all)
}

/// What is called so: a mailbox, else the message with that number, else those with that Message-ID.
fn find(reader: &Reader<'_>, wanted: &str, accounts: &[(AccountId, String)]) -> Result<Vec<Asked>> {
    let mut found = Vec::new();
    let name = MailboxName::parse(wanted).ok();
    for (account, account_name) in accounts {
        let mailbox = name.as_ref().map(|name| reader.mailbox_named(*account, name)).transpose()?.flatten();
        let Some(mailbox) = mailbox else { continue };
        let absent = reader.outlined_in(mailbox.id)?;
        found.push(Asked {
            wanted: wanted.to_owned(),
            account: *account,
            account_name: account_name.clone(),
            mailbox: mailbox.name.map(String::from),
            here: u64::from(reader.message_count(mailbox.id)?).saturating_sub(absent.len() as u64),
            absent,
            lost: Vec::new(),
        });
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let number = wanted.parse().ok().map(MessageId::new);
    let mut messages = match number.filter(|id| reader.message_facts(*id).is_ok_and(|facts| facts.is_some())) {
        Some(id) => vec![id],
        None => {
            let bare = wanted.trim().trim_start_matches('<').trim_end_matches('>');
            reader.messages_with_message_id(format!("<{bare}>").as_bytes())?
        }
    };
    // What is gone is of interest only where there is no other.
    if messages.iter().any(|id| reader.message(*id).is_ok_and(|message| message.is_some())) {
        messages.retain(|id| reader.message(*id).is_ok_and(|message| message.is_some()));
    }
    for message in messages {
        let account = reader.account_of_message(message)?;
        let Some((_, account_name)) = accounts.iter().find(|(id, _)| *id == account) else { continue };
        let facts = reader.message_facts(message)?;
        let is_here = facts.as_ref().is_some_and(|facts| facts.content.is_some());
        let is_there = reader.absent_message(message)?.is_some() || reader.unpopped_message(message)?.is_some();
        let is_known = is_there && reader.message(message)?.is_some();
        let only = |wanted: bool| if wanted { vec![message] } else { Vec::new() };
        found.push(Asked {
            wanted: wanted.to_owned(),
            account,
            account_name: account_name.clone(),
            mailbox: None,
            here: u64::from(is_here),
            absent: only(!is_here && is_known),
            lost: only(!is_here && !is_known),
        });
    }
    Ok(found)
}

/// Has it fetched.
async fn granted(agent: &Arc<Agent>, asked: Asked) -> std::result::Result<Target, Failure> {
    let mut target = Target {
        wanted: asked.wanted,
        account: asked.account_name,
        mailbox: asked.mailbox,
        state: State::Offline,
        error: None,
        here: asked.here,
        fetched: Amount::default(),
        waiting: 0,
        over_budget: 0,
        refused: 0,
        refusals: Vec::new(),
    };
    let store = agent.common.store.clone();
    for message in asked.lost {
        refuse(&store, &mut target, message, "its server does not have it any more".to_owned())?;
    }
    let mut errand = Errand::new(agent.common.wishes.clone(), asked.account, asked.absent);
    while let Some((message, outcome)) = errand.next().await {
        match outcome {
            Outcome::Here => {
                target.fetched.messages += 1;
                let facts = store.read(|reader| reader.message_facts(message)).map_err(failure)?;
                target.fetched.bytes += facts.map_or(0, |facts| facts.size_bytes);
            }
            Outcome::Refused(why) => refuse(&store, &mut target, message, why)?,
            Outcome::Offline => {
                target.waiting += 1 + errand.give_up();
            }
            Outcome::OverBudget => {
                let left = 1 + errand.give_up();
                target.waiting += left;
                target.over_budget += left;
            }
        }
    }
    // Nobody of that name any more: stopped meanwhile.
    let _ = agent.each(Some(&target.account.clone()), |running| {
        let live = running.live();
        (target.state, target.error) = (live.state, live.error);
    });
    Ok(target)
}

fn refuse(store: &Store, target: &mut Target, id: MessageId, why: String) -> std::result::Result<(), Failure> {
    target.refused += 1;
    if target.refusals.len() < REFUSALS_MAX {
        let (from, subject) = store.read(|reader| headline_of(reader, id)).map_err(failure)?;
        target.refusals.push(Refusal { id, from, subject, why });
    }
    Ok(())
}

/// Messages on their way, so many at a time.
struct Errand {
    wishes: Wishes,
    account: AccountId,
    todo: VecDeque<MessageId>,
    asked: VecDeque<(MessageId, Ticket<Outcome>)>,
    came: Arc<Notify>,
    wake: Wake,
}

impl Errand {
    fn new(wishes: Wishes, account: AccountId, messages: Vec<MessageId>) -> Self {
        let came = Arc::new(Notify::new());
        let notify = Arc::clone(&came);
        let wake: Wake = Arc::new(move || notify.notify_one());
        Self { wishes, account, todo: messages.into(), asked: VecDeque::new(), came, wake }
    }

    /// The next message of which it is known what came of it.
    async fn next(&mut self) -> Option<(MessageId, Outcome)> {
        loop {
            while self.asked.len() < AHEAD
                && let Some(message) = self.todo.pop_front()
            {
                let (wish, ticket) = Wish::new(message, Wanted::Whole, Arc::clone(&self.wake));
                self.asked.push_back((message, ticket));
                self.wishes.bring(self.account, wish);
            }
            let known = |(_, ticket): &(MessageId, Ticket<Outcome>)| ticket.outcome().is_some();
            match self.asked.iter().position(known) {
                Some(place) => {
                    let (message, ticket) = self.asked.remove(place)?;
                    return ticket.outcome().cloned().map(|outcome| (message, outcome));
                }
                None if self.asked.is_empty() => return None,
                None => self.came.notified().await,
            }
        }
    }

    /// Asks for nothing more that was not asked for yet. How much that is.
    fn give_up(&mut self) -> u64 {
        let left = self.todo.len() as u64;
        self.todo.clear();
        left
    }
}
