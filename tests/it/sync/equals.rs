//! Messages of equal bytes on a server that gives no identities: however the line is cut, N of them stay N.
//!
//! What others do is done between two syncs of which no answer was lost: while one is, nobody can tell their copy from ours.

use proptest::prelude::*;

use mailtide::store::{FlagChange, NewMessage, Origin};
use mailtide::types::{InternalDate, LocalUid, MailboxId, UidSet};

use super::model_remote::{Appends, Cut, Traits};
use super::world::World;
use super::{flags, mail};

/// Who makes a copy or a move may take several messages at once.
#[derive(Debug, Clone)]
enum Act {
    Append { to: usize, count: usize },
    Flag { pick: usize },
    Move { pick: usize, count: usize, to: usize },
    Copy { pick: usize, count: usize, to: usize },
    Expunge { pick: usize },
    Rename { pick: usize },
}

#[derive(Debug, Clone)]
enum Turn {
    Here(Act),
    There(Act),
    Sync { cut: Option<(usize, bool)> },
    Renumber { pick: usize },
}

fn act() -> impl Strategy<Value = Act> {
    let (pick, count, to) = (0..1000_usize, 1..4_usize, 0..3_usize);
    prop_oneof![
        2 => (to.clone(), count.clone()).prop_map(|(to, count)| Act::Append { to, count }),
        1 => pick.clone().prop_map(|pick| Act::Flag { pick }),
        3 => (pick.clone(), count.clone(), to.clone()).prop_map(|(pick, count, to)| Act::Move { pick, count, to }),
        4 => (pick.clone(), count, to).prop_map(|(pick, count, to)| Act::Copy { pick, count, to }),
        1 => pick.clone().prop_map(|pick| Act::Expunge { pick }),
        1 => pick.prop_map(|pick| Act::Rename { pick }),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        6 => act().prop_map(Turn::Here),
        3 => act().prop_map(Turn::There),
        4 => proptest::option::weighted(0.8, (1..50_usize, any::<bool>())).prop_map(|cut| Turn::Sync { cut }),
        1 => (0..1000_usize).prop_map(|pick| Turn::Renumber { pick }),
    ]
}

/// How many messages there are to be, and how many mailboxes got a name.
struct Tally {
    messages: usize,
    names: usize,
    /// Messages are elsewhere on the server than the last sync that ended saw: one that the user expunges may stay.
    are_astray: bool,
}

impl Tally {
    fn name(&mut self) -> String {
        self.names += 1;
        format!("N{}", self.names)
    }
}

/// Up to `count` neighbours from `pick` on.
fn neighbours<T: Copy>(all: &[T], pick: usize, count: usize) -> Vec<T> {
    if all.is_empty() { Vec::new() } else { all.iter().skip(pick % all.len()).take(count).copied().collect() }
}

fn here(world: &World, tally: &mut Tally, act: &Act) {
    let mailboxes: Vec<MailboxId> =
        world.read(|reader| reader.mailboxes(world.account)).iter().map(|it| it.id).collect();
    let all: UidSet<LocalUid> = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
    let uids_in = |mailbox| -> Vec<LocalUid> {
        world
            .read(|reader| reader.messages_in(mailbox, &all, mailtide::store::With::Columns))
            .iter()
            .map(|it| it.uid)
            .collect()
    };
    let picked = |pick: usize, count: usize| {
        let from = mailboxes[pick % mailboxes.len()];
        let uids = neighbours(&uids_in(from), pick / 7, count);
        (!uids.is_empty()).then_some((from, uids))
    };
    let target = |to: usize| mailboxes[to % mailboxes.len()];
    match *act {
        Act::Append { to, count } => {
            let new = (0..count).map(|nth| {
                let mut upload = world.store().upload();
                upload.write(&mail("m")).expect("an upload");
                let internal_date = InternalDate::new(2_000_000 + nth as i64 % 2, 60);
                NewMessage {
                    content: upload.finish().expect("an upload"),
                    flags: flags(""),
                    internal_date,
                    email_id: None,
                }
            });
            let (to, new) = (target(to), new.collect::<Vec<_>>());
            world.write(Origin::LocalUser, move |txn| txn.append(to, &new).map(drop));
            tally.messages += count;
        }
        Act::Flag { pick } => {
            if let Some((from, uids)) = picked(pick, 1) {
                let change = FlagChange::Add(flags("\\Seen"));
                world.write(Origin::LocalUser, move |txn| txn.store_flags(from, &uids, &change, None).map(drop));
            }
        }
        Act::Move { pick, count, to } => {
            if let Some((from, uids)) = picked(pick, count).filter(|(from, _)| *from != target(to)) {
                let to = target(to);
                world.write(Origin::LocalUser, move |txn| txn.move_messages(from, &uids, to).map(drop));
            }
        }
        Act::Copy { pick, count, to } => {
            if let Some((from, uids)) = picked(pick, count) {
                let to = target(to);
                tally.messages += uids.len();
                world.write(Origin::LocalUser, move |txn| txn.copy(from, &uids, to).map(drop));
            }
        }
        Act::Expunge { pick } => {
            if let Some((from, uids)) = picked(pick, 1).filter(|_| !tally.are_astray) {
                tally.messages -= 1;
                world.write(Origin::LocalUser, move |txn| {
                    txn.store_flags(from, &uids, &FlagChange::Add(flags("\\Deleted")), None)?;
                    txn.expunge(from, Some(&uids.into_iter().collect())).map(drop)
                });
            }
        }
        Act::Rename { pick } => {
            let mailboxes = world.read(|reader| reader.mailboxes(world.account));
            let name = mailboxes[pick % mailboxes.len()].name.as_ref().expect("it is in sight").to_string();
            if name != "INBOX" {
                world.rename(&name, &tally.name());
            }
        }
    }
}

/// Others copy and move no message that we have marked for EXPUNGE, and expunge none: where the user moves one that they expunge
/// it is made anew.
fn there(world: &World, tally: &mut Tally, act: &Act) {
    let names: Vec<String> = world.server.state().mailboxes.keys().cloned().collect();
    let picked = |pick: usize, count: usize| {
        let state = world.server.state();
        let from = names[pick % names.len()].clone();
        let uids: Vec<u32> = state.mailboxes[&from].messages.keys().copied().collect();
        (from, neighbours(&uids, pick / 7, count))
    };
    let target = |to: usize| names[to % names.len()].clone();
    match *act {
        Act::Append { to, count } => {
            for _ in 0..count {
                world.server.deliver(&target(to), "m", "");
            }
            tally.messages += count;
        }
        Act::Flag { pick } => {
            let (from, uids) = picked(pick, 1);
            uids.iter().for_each(|uid| world.server.set_flags(&from, *uid, "\\Flagged"));
        }
        Act::Move { pick, count, to } => {
            let (from, uids) = picked(pick, count);
            if from != target(to) && !is_expunged(world) {
                tally.are_astray = true;
                for uid in uids {
                    world.server.move_message(&from, uid, &target(to));
                }
            }
        }
        Act::Copy { pick, count, to } => {
            let (from, uids) = picked(pick, count);
            tally.messages += uids.len();
            for uid in uids {
                world.server.copy(&from, uid, &target(to));
            }
        }
        Act::Expunge { .. } => {}
        Act::Rename { pick } => {
            let name = target(pick);
            if name != "INBOX" && !is_expunged(world) {
                tally.are_astray = true;
                world.server.rename(&name, &tally.name());
            }
        }
    }
}

/// Was an answer lost, so that we do not know what we did?
fn is_in_doubt(world: &World) -> bool {
    world.journal().iter().any(|entry| entry.contains("InFlight") || entry.contains("cannot be seen"))
}

/// Is a message still to be expunged that the user expunged?
fn is_expunged(world: &World) -> bool {
    world.journal().iter().any(|entry| entry.starts_with("Expunge") || entry.starts_with("parked"))
}

fn count(told: &str) -> usize {
    let is_message = |word: &&str| word.split('(').next() == Some("m");
    told.split_whitespace().filter(is_message).count()
}

fn run(traits: Traits, turns: &[Turn]) {
    let mut world = World::new(traits);
    let mut tally = Tally { messages: 5, names: 0, are_astray: false };
    world.server.create("B");
    world.server.create("C");
    for mailbox in ["INBOX", "INBOX", "INBOX", "B", "B"] {
        world.server.deliver(mailbox, "m", "");
    }
    world.settle();
    for turn in turns {
        match turn {
            Turn::Here(act) => here(&world, &mut tally, act),
            Turn::There(act) if !is_in_doubt(&world) => there(&world, &mut tally, act),
            Turn::Renumber { pick } if !is_expunged(&world) => {
                tally.are_astray = true;
                let names: Vec<String> = world.server.state().mailboxes.keys().cloned().collect();
                world.server.renumber(&names[pick % names.len()]);
            }
            Turn::There(_) | Turn::Renumber { .. } => {}
            Turn::Sync { cut } => {
                let calls = world.server.state().calls;
                world.server.state().cut = match cut {
                    Some((n, true)) => Cut::Before(calls + n),
                    Some((n, false)) => Cut::After(calls + n),
                    None => Cut::Never,
                };
                tally.are_astray &= world.sync().is_err();
                world.reopen();
                world.assert_sound();
            }
        }
        let sum = count(&world.here());
        assert!(sum <= tally.messages, "never more than {} are here:\n{}", tally.messages, world.here());
    }
    world.settle();
    world.assert_sound();
    assert_eq!(world.here(), world.there());
    assert_eq!(world.journal(), Vec::<String>::new());
    assert_eq!(count(&world.there()), tally.messages, "{}", world.there());
}

/// What Courier is: no MOVE, no mod-sequences, no UIDNEXT; and what Cyrus is with OBJECTID off, or Dovecot.
fn kinds() -> Vec<Traits> {
    let mut kinds: Vec<Traits> = Traits::all().into_iter().collect();
    let mut courier = Traits::plain();
    courier.facts.uid_plus = true;
    courier.tells_uid_next = false;
    kinds.push(courier);
    let mut silent = Traits::modern();
    (silent.facts.uid_plus, silent.appends) = (false, Appends::Unheard);
    kinds.push(silent);
    kinds
}

/// A few each time; `MAILTIDE_CHANCE_CASES` asks for a longer run.
fn cases() -> u32 {
    std::env::var("MAILTIDE_CHANCE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_messages_stay_as_many_on_every_kind_of_server(
        kind in 0..5_usize,
        turns in proptest::collection::vec(turn(), 1..25),
    ) {
        run(kinds().swap_remove(kind), &turns);
    }
}

#[test]
fn what_chance_found_of_equal_messages_stays_right() {
    let found: &[&[Turn]] = &[
        // Of two messages copied together one was flagged: its copy's flags were never stored.
        &[Turn::Here(Act::Flag { pick: 333 }), Turn::Here(Act::Copy { pick: 84, count: 2, to: 0 })],
    ];
    for turns in found {
        kinds().into_iter().for_each(|traits| run(traits, turns));
    }
}
