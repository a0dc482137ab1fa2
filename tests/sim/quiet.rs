//! The end of a world: every fault is lifted, people rest, and then both sides must be equal and everyone's promise kept.

use std::collections::{BTreeMap, BTreeSet};

use mailtide::journal::{Entry, Op, State};
use mailtide::refserver::faults::Quirk;
use mailtide::store::{Origin, Store, Verdict, With, check};
use mailtide::types::{AccountId, Flags, LocalUid, MessageId, SystemFlag, UidSet};

use super::ledger::Side;
use super::mail;
use super::template::USERS;
use super::world::World;

/// How long both sides may take to become equal: longer than the longest back-off and a few polls.
const ROUNDS_MAX: usize = 30;
const ROUND_MS: u64 = 10 * 60_000;

/// One mailbox: each message's number (or its bytes' hash) and its flags, sorted.
pub type Mailbox = Vec<(String, String)>;
pub type Snapshot = BTreeMap<String, Mailbox>;

/// Lifts every fault, waits until it is quiet, and looks at everything.
pub async fn settle(world: &mut World) {
    world.trace.tell("every fault is lifted, and people rest");
    world.network.disarm();
    world.network.come_up();
    world.set_disk_full(false);
    world.full.clone().into_iter().for_each(|account| world.set_quota(account, false));
    if world.server.posts_per_hour.take().is_some() {
        world.server.stop();
        world.disconnect(Side::There);
        world.pass(1_000).await;
        world.server.start();
    }
    while !world.agent.mirrors_all() {
        world.mirror_everything().await;
        // An agent that died over it is started again.
        world.pass(1_000).await;
    }
    let mut last = String::new();
    for round in 0..ROUNDS_MAX {
        if let Some(life) = &world.agent.life {
            life.handles.iter().for_each(|handle| handle.set_paused(false));
            life.disk.die_after(0);
        }
        world.pass(if round == 0 { 30_000 } else { ROUND_MS }).await;
        world.look_after();
        if world.is_violated() {
            return;
        }
        decide_as_a_user(world, round);
        last = match difference(world) {
            None => return keep_promises(world),
            Some(difference) => difference,
        };
    }
    world.violate(&format!("after {} h of quiet: {last}", ROUNDS_MAX as u64 * ROUND_MS / 3_600_000));
}

/// Answers what the agent asks its user: a mailbox in quarantine, an entry that is parked.
fn decide_as_a_user(world: &mut World, round: usize) {
    let Some(life) = &world.agent.life else { return };
    let (store, now) = (life.store.clone(), world.clock.now());
    for number in 0..world.agent.accounts {
        let account = life.account(number);
        for quarantine in store.read(|reader| reader.quarantined(account)).unwrap_or_default() {
            if quarantine.verdict != Verdict::Open {
                continue;
            }
            let verdict = if world.random.percent(50) { Verdict::Confirmed } else { Verdict::Rejected };
            let name = quarantine.name.map(String::from).unwrap_or_default();
            world.trace.tell(&format!("the user decides about {name}, from which mail vanished: {verdict:?}"));
            let mailbox = quarantine.mailbox;
            let decided =
                store.write(Origin::LocalUser, now, move |txn| txn.decide_quarantine(account, mailbox, verdict));
            decided.unwrap_or_else(|error| panic!("a decision: {error}"));
        }
        if round < 2 {
            continue;
        }
        let is_not_given = !store.read(|reader| reader.not_given(account)).unwrap_or_default().is_empty();
        if is_not_given || store.read(|reader| reader.withheld_count(account)).unwrap_or_default() > 0 {
            world.trace.tell("the user asks for what the server did not give");
            store.write(Origin::LocalUser, now, move |txn| txn.ask_again(account)).expect("a wish");
            life.handles[number].nudge();
        }
        for entry in store.read(|reader| reader.entries(account)).unwrap_or_default() {
            let State::Parked { why, .. } = &entry.state else { continue };
            // Retried, a deletion goes through, with the mail for which it was set aside.
            if round < 4 && !matches!(entry.op, Op::DeleteMailbox { .. }) {
                world.trace.tell(&format!("the user retries entry {} {:?}, parked: {why}", entry.id, entry.op));
                let retried = store.write(Origin::LocalUser, now, move |txn| txn.retry(entry.id));
                retried.unwrap_or_else(|error| panic!("a retry: {error}"));
                life.handles[number].nudge();
                continue;
            }
            world.trace.tell(&format!("the user discards entry {} {:?}, parked: {why}", entry.id, entry.op));
            let id = entry.id;
            let refused = let_go_with(world, &store, &entry);
            match store.write(Origin::Upstream, now, move |txn| txn.discard(id)) {
                Ok(()) => refused.into_iter().for_each(|number| world.ledger.let_go(number)),
                Err(error) => world.trace.tell(&format!("it cannot be: {error}")),
            }
        }
    }
}

/// The messages that the entry was to bring to a server that does not take them, and never will; or of which the bytes were
/// never here, and what was to be copied is there no more.
fn let_go_with(world: &World, store: &Store, entry: &Entry) -> Vec<u32> {
    let State::Parked { why, .. } = &entry.state else { return Vec::new() };
    let is_too_big = why.contains("[TOOBIG]") && world.server.faults.has(Quirk::TooBigBad);
    if !is_too_big && !why.contains("its bytes are not here") {
        return Vec::new();
    }
    let number = |message: &MessageId| {
        let facts = store.read(|reader| reader.message_facts(*message)).expect("facts")?;
        match facts.content {
            Some(content) => mail::number_of(&bytes(store, content)),
            None => {
                let summary = store.read(|reader| reader.summary_of(*message)).expect("a summary")?;
                mail::number_by(&String::from_utf8_lossy(summary.envelope.subject.as_deref()?))
            }
        }
    };
    entry.open.iter().filter_map(number).collect()
}

/// What keeps the world from being quiet and equal.
fn difference(world: &World) -> Option<String> {
    let Some(life) = &world.agent.life else { return Some("the agent does not run".to_owned()) };
    for (number, user) in USERS.iter().enumerate().take(world.agent.accounts) {
        let account = life.account(number);
        let overview = life.store.read(|reader| reader.overview(account)).ok()?;
        let entries = life.store.read(|reader| reader.entries(account)).ok()?;
        if let Some(entry) = entries.first() {
            return Some(format!("the journal of {} is not empty: {:?} {:?}", user, entry.op, entry.state));
        }
        if overview.outbox.queued + overview.outbox.sending + overview.outbox.parked > 0 {
            return Some(format!("the outbox of {} is not empty: {:?}", user, overview.outbox));
        }
        let here = snapshot(world, &life.store, account);
        let difference = match world.maildrop {
            Some(keep) => world.left_in_maildrop(keep, &here),
            None => compare(&here, &snapshot(world, world.server.store(), world.server.account(user))),
        };
        if let Some(difference) = difference {
            let error = overview.account.last_error.unwrap_or_default();
            return Some(format!("{}: {difference}; last error: {error:?}", user));
        }
        // Also what was handed over before the clock was set back.
        let ever = world.clock.now().plus_ms(i64::MAX);
        let unfiled = life.store.read(|reader| reader.submissions_unfiled(account, ever)).ok()?;
        if !unfiled.is_empty() {
            return Some("a sent message is not filed".to_owned());
        }
    }
    None
}

fn compare(here: &Snapshot, there: &Snapshot) -> Option<String> {
    for name in here.keys().chain(there.keys()) {
        match (here.get(name), there.get(name)) {
            (Some(_), None) => return Some(format!("folder {name} is only at the agent")),
            (None, Some(_)) => return Some(format!("folder {name} is only at the server")),
            (Some(a), Some(b)) if a != b => {
                let only = |a: &Mailbox, b: &Mailbox| {
                    let mut rest = b.clone();
                    let missing = a.iter().filter(|one| match rest.iter().position(|other| other == *one) {
                        Some(place) => {
                            rest.remove(place);
                            false
                        }
                        None => true,
                    });
                    missing.map(|(number, flags)| format!("{number}({flags})")).collect::<Vec<_>>().join(" ")
                };
                return Some(format!(
                    "{name}: only at the agent [{}], only at the server [{}]",
                    only(a, b),
                    only(b, a)
                ));
            }
            _ => {}
        }
    }
    None
}

/// What a store holds for one user.
fn snapshot(world: &World, store: &Store, account: AccountId) -> Snapshot {
    let mailboxes = store.read(|reader| reader.mailboxes(account)).expect("mailboxes");
    let mut snapshot = Snapshot::new();
    for mailbox in mailboxes.into_iter().filter(|mailbox| mailbox.selectable) {
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let messages = store.read(|reader| reader.messages_in(mailbox.id, &all, With::Columns)).expect("messages");
        let shown = messages.into_iter().map(|message| {
            let name = match message.content.map(|content| bytes(store, content)) {
                None => "a message without bytes".to_owned(),
                Some(bytes) => match mail::number_of(&bytes) {
                    Some(number) if world.ledger.is_intact(number, &bytes) => number.to_string(),
                    Some(number) => format!("an altered {number}"),
                    None => blake3::hash(&bytes).to_hex()[..8].to_owned(),
                },
            };
            (name, kept(world, &message.flags))
        });
        let mut shown: Mailbox = shown.collect();
        shown.sort();
        snapshot.insert(mailbox.name.map(String::from).unwrap_or_default(), shown);
    }
    snapshot
}

/// The messages in one mailbox.
pub fn numbers_in(store: &Store, account: AccountId, folder: &str) -> BTreeSet<u32> {
    numbers_of(store, account, folder, |_| true)
}

/// Those of them that are marked to be expunged.
pub fn numbers_marked_in(store: &Store, account: AccountId, folder: &str) -> BTreeSet<u32> {
    numbers_of(store, account, folder, |flags| flags.has(SystemFlag::Deleted))
}

fn numbers_of(store: &Store, account: AccountId, folder: &str, is_meant: impl Fn(&Flags) -> bool) -> BTreeSet<u32> {
    let mailboxes = store.read(|reader| reader.mailboxes(account)).expect("mailboxes");
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let is_it = |name: &mailtide::types::MailboxName| name.as_str() == folder;
    let found = mailboxes.into_iter().filter(|mailbox| mailbox.name.as_ref().is_some_and(is_it));
    let messages = found.flat_map(|mailbox| {
        store.read(|reader| reader.messages_in(mailbox.id, &all, With::Columns)).expect("messages")
    });
    let messages = messages.filter(|message| is_meant(&message.flags));
    messages.filter_map(|message| mail::number_of(&bytes(store, message.content?))).collect()
}

/// The messages that the agent has still to move upstream.
pub fn numbers_to_be_moved(store: &Store, account: AccountId) -> BTreeSet<u32> {
    let entries = store.read(|reader| reader.entries(account)).expect("a journal");
    let moves = entries.iter().filter(|entry| matches!(entry.op, Op::Move { .. }));
    let contents = moves.flat_map(|entry| &entry.open).filter_map(|message| {
        let facts = store.read(|reader| reader.message_facts(*message)).expect("a message");
        facts?.content
    });
    contents.filter_map(|content| mail::number_of(&bytes(store, content))).collect()
}

/// The flags that both sides can have.
fn kept(world: &World, flags: &Flags) -> String {
    match world.server.faults.has(Quirk::FewKeywords) {
        true => Flags::from_columns(flags.system_bits(), "").to_string(),
        false => flags.to_string(),
    }
}

pub fn bytes(store: &Store, content: mailtide::types::ContentId) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let piece = store.read_content(content, bytes.len() as u64, 1 << 20).expect("bytes");
        if piece.is_empty() {
            return bytes;
        }
        bytes.extend(piece);
    }
}

/// The messages that are in no mailbox at the agent and can be put back.
fn recoverable(world: &World) -> BTreeSet<u32> {
    let Some(life) = &world.agent.life else { return BTreeSet::new() };
    let mut found = BTreeSet::new();
    for account in life.accounts() {
        let gone = life.store.read(|reader| reader.gone(account)).expect("what went");
        let contents = gone.into_iter().filter_map(|gone| gone.content);
        let intact = contents.filter_map(|content| {
            let bytes = bytes(&life.store, content);
            mail::number_of(&bytes).filter(|number| world.ledger.is_intact(*number, &bytes))
        });
        found.extend(intact);
    }
    found
}

/// The messages that came back to who sent them: a mailbox that was full for five days, say, gets no more of them.
fn returned(world: &World) -> BTreeSet<u32> {
    let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let of_account = |(store, account): (Store, AccountId)| {
        let mailboxes = store.read(|reader| reader.mailboxes(account)).expect("mailboxes");
        let messages = mailboxes.into_iter().flat_map(|mailbox| {
            store.read(|reader| reader.messages_in(mailbox.id, &all, With::Columns)).expect("messages")
        });
        let contents = messages.filter_map(|message| message.content);
        contents.filter_map(|content| mail::number_returned_by(&bytes(&store, content))).collect::<Vec<_>>()
    };
    let is_sent = |number: &u32| world.ledger.sent.iter().any(|sent| sent.number == *number);
    world.counted().into_iter().flat_map(of_account).filter(is_sent).collect()
}

/// What the agent says was deleted at the server, though nobody did, nor anything by which it may look so.
fn slandered(world: &World) -> Vec<String> {
    let Some(life) = world.agent.life.as_ref().filter(|_| !world.folders_changed) else { return Vec::new() };
    let gone = life.accounts().into_iter().flat_map(|account| {
        let gone = life.store.read(|reader| reader.gone(account)).expect("what went");
        gone.into_iter().filter(|gone| gone.why == "deleted upstream").filter_map(|gone| gone.content)
    });
    let number = |content| mail::number_of(&bytes(&life.store, content));
    let is_untouched = |number: &u32| world.ledger.messages.get(number).is_some_and(super::ledger::Entry::is_untouched);
    let numbers = gone.filter_map(number).filter(is_untouched);
    numbers.map(|number| format!("message {number} is said to be deleted upstream, and nobody did")).collect()
}

/// Both sides are equal: is it what everyone was promised?
fn keep_promises(world: &mut World) {
    // A server that cannot expunge by UID keeps the original of what was moved by copying, marked, as long as others have
    // marks there.
    let can_expunge = world.tells_copies() || world.maildrop.is_some();
    let mut left: BTreeMap<u32, i32> = BTreeMap::new();
    let mut counts: BTreeMap<u32, i32> = BTreeMap::new();
    let mut flags: BTreeMap<u32, String> = BTreeMap::new();
    for (store, account) in world.counted() {
        for (_, mailbox) in snapshot(world, &store, account).into_iter().filter(|(name, _)| world.counts_in(name)) {
            for (number, shown) in mailbox {
                if let Ok(number) = number.parse() {
                    *counts.entry(number).or_default() += 1;
                    *left.entry(number).or_default() += i32::from(!can_expunge && shown.contains("\\Deleted"));
                    flags.insert(number, shown);
                }
            }
        }
    }
    let mut broken = slandered(world);
    let (recoverable, returned) = (recoverable(world), returned(world));
    for (number, entry) in &world.ledger.messages {
        let count = counts.get(number).copied().unwrap_or(0);
        // What came back was neither delivered nor filed.
        let least = if returned.contains(number) { 0 } else { entry.least };
        if count < least && !(world.is_partial && entry.is_unwanted) {
            broken.push(format!("message {number} is lost: there are {count}, there must be {least}"));
        }
        if count == 0 && entry.must_be_recoverable && !entry.is_unwanted && !recoverable.contains(number) {
            broken.push(format!("message {number}, undone at the server, is not recoverable at the agent"));
        }
        let left = left.get(number).filter(|_| entry.is_moved).copied().unwrap_or(0);
        if count - left > entry.most {
            broken.push(format!("message {number} is doubled: there are {count}, there may be {}", entry.most));
        }
        let is_kept = |flag: &&String| flag.starts_with('\\') || !world.server.faults.has(Quirk::FewKeywords);
        let is_shared = |flag: &&String| !world.has_labels() || *flag != "\\Deleted";
        for flag in entry.flags.keys().filter(|_| count == 1).filter(is_kept).filter(is_shared) {
            let has = flags.get(number).is_some_and(|flags| flags.split(' ').any(|one| one == flag));
            if entry.must_have(flag).is_some_and(|must| must != has) {
                broken.push(format!("message {number} {} {flag}", if has { "still has" } else { "lost" }));
            }
        }
    }
    let friend = snapshot(world, world.server.store(), world.server.account("friend"));
    for sent in &world.ledger.sent {
        if sent.to.is_some() {
            // Counted with the rest of what is mirrored.
            continue;
        }
        let number = sent.number.to_string();
        let came = friend.values().flatten().filter(|(other, _)| *other == number).count();
        if came == 0 && sent.is_acknowledged && !sent.is_undone && !returned.contains(&sent.number) {
            broken.push(format!("message {number} was never delivered"));
        }
        if came > 1 + usize::from(sent.is_forgotten) {
            broken.push(format!("message {number} was delivered {came} times"));
        }
    }
    broken.extend(check(world.server.store()).expect("a check"));
    for what in broken {
        world.violate(&what);
    }
}
