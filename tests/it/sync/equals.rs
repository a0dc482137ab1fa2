//! Messages of equal bytes on a server that gives no identities: however the line is cut, N of them stay N.
//!
//! What others do is done between two syncs of which no answer was lost: while one is, nobody can tell their copy from ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use proptest::prelude::*;

use mailtide::store::{self, FlagChange, NewMessage, Origin, Store, Txn, With};
use mailtide::types::{AccountId, Bodies, BodyPolicy, InternalDate, LocalUid, MailboxId, Timestamp, UidSet};

use super::model_remote::{Appends, Cut, Here, Traits};
use super::servers::with_mail;
use super::table::{self, Row};
use super::world::{NOW_MS, World, name};
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
    /// The user may do something meanwhile, before the n-th call.
    Sync {
        cut: Option<(usize, bool)>,
        meanwhile: Option<(usize, Act)>,
    },
    Renumber {
        pick: usize,
    },
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
        4 => (
            proptest::option::weighted(0.8, (1..50_usize, any::<bool>())),
            proptest::option::weighted(0.5, (1..40_usize, act())),
        ).prop_map(|(cut, meanwhile)| Turn::Sync { cut, meanwhile }),
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

/// Does what the user does. Returns how many messages there are more.
fn here(store: &Store, account: AccountId, are_astray: bool, act: &Act, new_name: &str) -> isize {
    let read = |mailbox: MailboxId| {
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let messages = store.read(|reader| reader.messages_in(mailbox, &all, With::Columns)).expect("a mailbox");
        messages.iter().map(|message| message.uid).collect::<Vec<_>>()
    };
    let mailboxes = store.read(|reader| reader.mailboxes(account)).expect("mailboxes");
    let picked = |pick: usize, count: usize| {
        let from = mailboxes[pick % mailboxes.len()].id;
        Some((from, neighbours(&read(from), pick / 7, count))).filter(|(_, uids)| !uids.is_empty())
    };
    let target = |to: usize| mailboxes[to % mailboxes.len()].id;
    match *act {
        Act::Append { to, count } => {
            let new = (0..count).map(|nth| {
                let mut upload = store.upload();
                upload.write(&mail("m")).expect("an upload");
                let (content, nth) = (upload.finish().expect("an upload"), i64::try_from(nth).expect("a few"));
                NewMessage {
                    content,
                    flags: flags(""),
                    internal_date: InternalDate::new(2_000_000 + nth, 60),
                    email_id: None,
                }
            });
            let (to, new) = (target(to), new.collect::<Vec<_>>());
            write(store, move |txn| txn.append(to, &new).map(drop));
            count.cast_signed()
        }
        Act::Flag { pick } => {
            if let Some((from, uids)) = picked(pick, 1) {
                let change = FlagChange::Add(flags("\\Seen"));
                write(store, move |txn| txn.store_flags(from, &uids, &change, None).map(drop));
            }
            0
        }
        Act::Move { pick, count, to } => {
            if let Some((from, uids)) = picked(pick, count).filter(|(from, _)| *from != target(to)) {
                let to = target(to);
                write(store, move |txn| txn.move_messages(from, &uids, to).map(drop));
            }
            0
        }
        Act::Copy { pick, count, to } => {
            let Some((from, uids)) = picked(pick, count) else { return 0 };
            let (to, more) = (target(to), uids.len().cast_signed());
            write(store, move |txn| txn.copy(from, &uids, to).map(drop));
            more
        }
        Act::Expunge { pick } => {
            let Some((from, uids)) = picked(pick, 1).filter(|_| !are_astray) else { return 0 };
            write(store, move |txn| {
                txn.store_flags(from, &uids, &FlagChange::Add(flags("\\Deleted")), None)?;
                txn.expunge(from, Some(&uids.into_iter().collect())).map(drop)
            });
            -1
        }
        Act::Rename { pick } => {
            let from = mailboxes[pick % mailboxes.len()].name.clone().expect("it is in sight");
            let to = name(new_name);
            if !from.is_inbox() {
                write(store, move |txn| txn.rename_mailbox(account, &from, &to));
            }
            0
        }
    }
}

fn write(store: &Store, work: impl FnOnce(&mut Txn<'_>) -> store::Result<()> + Send + 'static) {
    store.write(Origin::LocalUser, Timestamp::from_unix_ms(NOW_MS), work).expect("the user may do that");
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

fn run(traits: Traits, bodies: &BodyPolicy, alike: bool, turns: &[Turn]) {
    let mut world = World::new(traits);
    world.bodies = bodies.clone();
    let mut tally = Tally { messages: 5, names: 0, are_astray: false };
    world.server.create("B");
    world.server.create("C");
    if alike {
        world.server.state().mailboxes.values_mut().for_each(|mailbox| mailbox.uid_validity = 7);
    }
    for mailbox in ["INBOX", "INBOX", "INBOX", "B", "B"] {
        world.server.deliver(mailbox, "m", "");
    }
    world.settle();
    for turn in turns {
        match turn {
            Turn::Here(act) => {
                let name = tally.name();
                let more = here(world.store(), world.account, tally.are_astray, act, &name);
                tally.messages = tally.messages.strict_add_signed(more);
            }
            Turn::There(act) if matches!(act, Act::Rename { .. }) || !is_in_doubt(&world) => {
                there(&world, &mut tally, act)
            }
            Turn::Renumber { pick } if !is_expunged(&world) => {
                tally.are_astray = true;
                let names: Vec<String> = world.server.state().mailboxes.keys().cloned().collect();
                world.server.renumber(&names[pick % names.len()]);
            }
            Turn::There(_) | Turn::Renumber { .. } => {}
            Turn::Sync { cut, meanwhile } => {
                let calls = world.server.state().calls;
                let more = Arc::new(AtomicIsize::new(0));
                if let Some((n, act)) = meanwhile.clone() {
                    let (store, account, are_astray) = (world.store().clone(), world.account, tally.are_astray);
                    let (name, more) = (tally.name(), more.clone());
                    let act = move || more.store(here(&store, account, are_astray, &act, &name), Ordering::SeqCst);
                    world.server.state().here = Some((calls + n, Here(Box::new(act))));
                }
                world.server.state().cut = match cut {
                    Some((n, true)) => Cut::Before(calls + n),
                    Some((n, false)) => Cut::After(calls + n),
                    None => Cut::Never,
                };
                tally.are_astray &= world.sync().is_err();
                world.server.state().here = None;
                tally.messages = tally.messages.strict_add_signed(more.load(Ordering::SeqCst));
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

fn headers() -> BodyPolicy {
    BodyPolicy { default: Bodies::Headers, ..BodyPolicy::ALL }
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
        whole in any::<bool>(),
        alike in any::<bool>(),
        turns in proptest::collection::vec(turn(), 1..25),
    ) {
        let bodies = if whole { BodyPolicy::ALL } else { headers() };
        run(kinds().swap_remove(kind), &bodies, alike, &turns);
    }
}

#[test]
fn what_chance_found_of_equal_messages_stays_right() {
    let found: &[&[Turn]] = &[
        // Of two messages copied together one was flagged: its copy's flags were never stored.
        &[Turn::Here(Act::Flag { pick: 333 }), Turn::Here(Act::Copy { pick: 84, count: 2, to: 0 })],
        // A copy was copied before it was upstream, and its bytes were not here: it was to be appended.
        &[Turn::Here(Act::Copy { pick: 16, count: 1, to: 2 }), Turn::Here(Act::Copy { pick: 2, count: 1, to: 1 })],
    ];
    for turns in found {
        for traits in kinds() {
            run(traits.clone(), &BodyPolicy::ALL, false, turns);
            run(traits, &headers(), false, turns);
        }
    }
}

/// Two mailboxes may have one UIDVALIDITY (RFC 3501 section 2.3.1.1), and when both have other names nobody can tell which is
/// which but by what is in them.
#[test]
fn what_was_sent_to_one_of_two_mailboxes_alike_is_found_when_both_have_other_names() {
    type Act = fn(&World);
    let acts: [(&str, Act); 3] = [
        ("copied", |world| world.copy("INBOX", "m", "B")),
        ("moved", |world| world.move_message("INBOX", "m", "B")),
        ("appended", |world| world.append("B", "n", "")),
    ];
    let cases = Traits::all().into_iter().flat_map(|traits| [false, true].map(|has_twin| (traits.clone(), has_twin)));
    for (traits, has_twin) in cases {
        for (what, act) in acts {
            for call in 1.. {
                let mut world = World::new(traits.clone());
                ["B", "C"].into_iter().for_each(|name| world.server.create(name));
                let uid_validity = world.server.state().mailboxes["B"].uid_validity;
                world.server.state().mailboxes.get_mut("C").expect("a mailbox").uid_validity = uid_validity;
                world.server.deliver("INBOX", "m", "");
                if has_twin {
                    for (mailbox, text) in [("B", "b"), ("C", "c"), ("C", "m")] {
                        world.server.deliver(mailbox, text, "");
                    }
                }
                world.settle();
                act(&world);
                let expected = count(&world.here());
                let calls = world.server.state().calls;
                world.server.state().cut = Cut::After(calls + call);
                if world.sync().is_ok() {
                    assert!(call > 2, "{what}: every moment is tried");
                    break;
                }
                world.reopen();
                world.server.rename("B", "D");
                world.server.rename("C", "E");
                world.settle();
                world.assert_sound();
                assert_eq!(world.here(), world.there(), "{what}, cut {call}");
                assert_eq!(count(&world.there()), expected, "{what}, cut {call}, {has_twin}: {}", world.there());
            }
        }
    }
}

/// Found by the simulator, seed 424776: the server told no UID, and where it was looked for by its old name it was not.
#[test]
fn what_is_sent_to_a_mailbox_that_gets_another_name_at_any_moment_is_sent_once() {
    type Act = fn(&World);
    let acts: [(&str, Act); 3] = [
        ("copied", |world| world.copy("INBOX", "m", "B")),
        ("moved", |world| world.move_message("INBOX", "m", "B")),
        ("appended", |world| world.append("B", "n", "")),
    ];
    for traits in kinds() {
        for (what, act) in acts {
            for call in 1.. {
                let world = World::new(traits.clone());
                world.server.create("B");
                world.server.deliver("INBOX", "m", "");
                world.settle();
                act(&world);
                let expected = count(&world.here());
                let calls = world.server.state().calls;
                world.server.state().renamed = Some((calls + call, "B", "D"));
                // Where it was selected, the line is lost.
                let _ = world.sync();
                if world.server.state().renamed.is_some() {
                    assert!(call > 2, "{what}: every moment is tried");
                    break;
                }
                world.settle();
                world.assert_sound();
                assert_eq!(world.here(), world.there(), "{what}, before call {call}");
                assert_eq!(count(&world.there()), expected, "{what}, before call {call}: {}", world.there());
            }
        }
    }
}

/// Their flags go up before they are moved, and the answer to that may be lost together with where each is.
#[test]
fn equal_messages_that_come_together_keep_each_its_flags() {
    let row = Row {
        name: "two equal ones are moved into one mailbox",
        before: |server| {
            ["B", "C"].into_iter().for_each(|name| server.create(name));
            let uid = server.deliver("B", "m", "");
            server.copy("B", uid, "C");
        },
        here: |world| {
            world.flag("B", "m", "\\Flagged", "");
            world.flag("C", "m", "\\Answered", "");
            world.move_message("C", "m", "INBOX");
            world.move_message("B", "m", "INBOX");
        },
        there: |_| {},
        end: "B:\nC:\nINBOX: m(\\Answered) m(\\Flagged)",
        conflicts: &[],
        parked: 0,
    };
    Traits::all().into_iter().for_each(|traits| table::run(&row, traits));
}

/// Another client copied to where the user moves, and the move never got there: what is in the source still was not moved, and
/// the copy is not it.
#[test]
fn what_a_move_did_not_take_is_not_taken_away_because_another_put_a_copy_where_it_was_to_go() {
    for traits in Traits::all().into_iter().filter(|traits| traits.facts.r#move && !traits.facts.labels) {
        let mut template = World::new(traits.clone());
        template.server.create("B");
        let uid = template.server.deliver("B", "m", "");
        template.settle();
        template.move_message("B", "m", "INBOX");
        template.close();
        let world = template.fork();
        world.sync().expect("a sync");
        for cut in table::cuts(&world.server) {
            let mut world = template.fork();
            world.server.state().cut = cut;
            let _ = world.sync();
            world.server.state().cut = Cut::Never;
            if world.there() != "B: m\nINBOX:" {
                continue;
            }
            world.server.copy("B", uid, "INBOX");
            world.reopen();
            world.settle();
            assert_eq!(world.there(), "B:\nINBOX: m m", "{cut:?}: {traits:?}");
            assert_eq!(world.here(), world.there(), "{cut:?}: {traits:?}");
            world.assert_sound();
        }
    }
}

/// Found by the soak: what had moved was taken for the copy, and so there was one message less.
#[test]
fn a_message_that_moved_is_not_taken_for_its_copy_that_was_not_made() {
    for traits in Traits::all() {
        let mut seen = 0;
        for call in 1.. {
            let mut world = with_mail(traits.clone());
            world.server.create("C");
            world.settle();
            world.copy("INBOX", "m", "B");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::Before(calls + call);
            if world.sync().is_ok() {
                break;
            }
            world.reopen();
            seen += world.read(|reader| reader.unresolved(world.account)).len();
            // Something came into the target and is there no more; the original is moved by another.
            if !world.there().contains("B: m") {
                let came = world.server.deliver("B", "z", "");
                world.server.expunge("B", came);
            }
            world.server.move_message("INBOX", 2, "C");
            world.settle();
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "before call {call}");
            assert_eq!(world.there().trim_end(), "B: m\nC: m\nINBOX: x y", "before call {call}");
            world.assert_sound();
        }
        assert!(seen > 0, "some cut is in time");
    }
}
