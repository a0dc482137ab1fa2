//! What the user takes back while it is on its way, or of which only a part is taken back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mailtide::journal::{Entry, Op, State};
use mailtide::store::{Error, Origin, Without};
use mailtide::types::{Bodies, BodyPolicy, Timestamp};

use super::model_remote::{Cut, Here, Traits};
use super::servers::with_mail;
use super::world::{NOW_MS, World};

fn entries(world: &World, is_meant: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    let mut entries = world.read(|reader| reader.entries(world.account));
    entries.retain(is_meant);
    entries
}

/// One command does several acts; the answer to it is lost.
#[test]
fn an_act_that_is_on_its_way_with_another_is_not_taken_back() {
    let acts: [fn(&World, &str); 2] =
        [|world, text| world.move_message("INBOX", text, "B"), |world, text| world.copy("INBOX", text, "B")];
    for (traits, act) in Traits::all().into_iter().flat_map(|traits| acts.map(|act| (traits.clone(), act))) {
        let mut seen = 0;
        for call in 1.. {
            let mut world = with_mail(traits.clone());
            act(&world, "x");
            act(&world, "m");
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + call);
            if world.sync().is_ok() {
                break;
            }
            world.reopen();
            let is_in_flight = |entry: &Entry| matches!(entry.state, State::InFlight { .. });
            let under_way = entries(&world, is_in_flight);
            for entry in entries(&world, |entry| !is_in_flight(entry)) {
                let discarded = world.try_write(Origin::Upstream, move |txn| txn.discard(entry.id));
                assert_eq!(discarded.is_err(), !under_way.is_empty(), "cut after call {call}");
                if let Err(error) = discarded {
                    assert!(matches!(error, Error::Cannot(_)), "{error}");
                    seen += 1;
                }
            }
            world.settle();
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "cut after call {call}");
            world.assert_sound();
        }
        assert!(seen > 0, "some cut is in time");
    }
}

/// Its answer is lost. What the server did is known to be possible, and comes back; what removes mail is not given up before
/// that is known.
#[test]
fn an_act_that_may_be_done_twice_is_taken_back_and_comes_again_where_it_was_done() {
    let acts: [fn(&World); 6] = [
        |world| world.flag("INBOX", "m", "\\Seen", ""),
        |world| world.flag("INBOX", "f", "", "\\Flagged"),
        |world| world.rename("B", "C"),
        |world| world.create("C"),
        |world| world.subscribe("B", true),
        |world| world.delete("B"),
    ];
    let upstream = |world: &World| {
        let subscribed: Vec<bool> = world.server.state().mailboxes.values().map(|mailbox| mailbox.subscribed).collect();
        (world.there(), subscribed)
    };
    for (traits, (nth, act)) in
        Traits::all().into_iter().flat_map(|traits| acts.into_iter().enumerate().map(move |act| (traits.clone(), act)))
    {
        let mut template = with_mail(traits);
        template.server.deliver("INBOX", "f", "\\Flagged");
        template.settle();
        let before = upstream(&template);
        act(&template);
        template.close();
        let (mut done, mut undone) = (0, 0);
        for call in 1.. {
            let mut world = template.fork();
            let calls = world.server.state().calls;
            world.server.state().cut = Cut::After(calls + call);
            if world.sync().is_ok() {
                break;
            }
            world.reopen();
            let (was_done, what) = (before != upstream(&world), format!("act {nth}, call {call}"));
            for entry in entries(&world, |_| true) {
                let is_tried = world.read(|reader| reader.is_tried(entry.id));
                assert!(is_tried || !was_done, "{what}");
                let discarded = world.try_write(Origin::Upstream, move |txn| txn.discard(entry.id));
                assert_eq!(discarded.is_err(), is_tried && matches!(entry.op, Op::DeleteMailbox { .. }), "{what}");
            }
            world.settle();
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "{what}");
            let is_done = before != upstream(&world);
            assert!(is_done == was_done || matches!(nth, 5), "{what}: {}", world.there());
            world.assert_sound();
            *if was_done { &mut done } else { &mut undone } += 1;
        }
        assert!(done > 0 && undone > 0, "act {nth}: some cuts are before it, some after it");
    }
}

/// The flags that came before it, or after it, are another act.
#[test]
fn an_act_on_the_place_alone_is_taken_back_though_flags_of_the_message_wait() {
    let acts: [fn(&World); 3] = [
        |world| world.expunge("INBOX", "m"),
        |world| {
            world.flag("INBOX", "m", "\\Seen", "");
            world.move_message("INBOX", "m", "B");
        },
        |world| {
            world.move_message("INBOX", "m", "B");
            world.flag("B", "m", "\\Seen", "");
        },
    ];
    for (traits, act) in Traits::all().into_iter().flat_map(|traits| acts.map(|act| (traits.clone(), act))) {
        let world = with_mail(traits);
        act(&world);
        for entry in entries(&world, |entry| !matches!(entry.op, Op::Flags { .. })) {
            world.write(Origin::Upstream, move |txn| txn.discard(entry.id));
        }
        world.assert_sound();
        world.settle();
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()));
        assert!(world.here().contains("INBOX: m("), "{}", world.here());
        world.assert_sound();
    }
}

/// Its bytes are not here, so that it could not be brought back.
#[test]
fn a_deletion_that_is_taken_back_at_any_moment_of_a_sync_is_not_carried_out() {
    for traits in Traits::all() {
        let mut taken_back = 0;
        for call in 1.. {
            let mut world = World::new(traits.clone());
            world.bodies = BodyPolicy { default: Bodies::Headers, ..BodyPolicy::ALL };
            ["x", "m", "y"].into_iter().for_each(|text| _ = world.server.deliver("INBOX", text, ""));
            world.settle();
            world.expunge("INBOX", "m");
            world.append("INBOX", "sent before it", "");
            let discarded = Arc::new(AtomicBool::new(false));
            let (store, account, told) = (world.store().clone(), world.account, Arc::clone(&discarded));
            let act = move || {
                let entries = store.read(|reader| reader.entries(account)).expect("a read");
                for entry in entries.into_iter().filter(|entry| matches!(entry.op, Op::Expunge { .. })) {
                    let now = Timestamp::from_unix_ms(NOW_MS);
                    let is_done = store.write(Origin::Upstream, now, move |txn| txn.discard(entry.id)).is_ok();
                    told.store(is_done, Ordering::SeqCst);
                }
            };
            let calls = world.server.state().calls;
            world.server.state().here = Some((calls + call, Here(Box::new(act))));
            world.sync().expect("a sync");
            if world.server.state().here.take().is_some() {
                break;
            }
            world.settle();
            let is_there = world.there().contains(" m");
            assert_eq!(is_there, discarded.load(Ordering::SeqCst), "before call {call}: {}", world.there());
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "before call {call}");
            world.assert_sound();
            taken_back += usize::from(is_there);
        }
        assert!(taken_back > 1, "some are in time");
    }
}

/// Found by a user's trial: what the server did of it was taken for what the other acts had asked for, and stayed there alone.
#[test]
fn flags_that_are_taken_back_at_any_moment_of_a_sync_are_the_same_on_both_sides() {
    for (traits, nth) in Traits::all().into_iter().flat_map(|traits| (0..3).map(move |nth| (traits.clone(), nth))) {
        let (mut done, mut undone) = (0, 0);
        for call in 1.. {
            let world = with_mail(traits.clone());
            world.server.set_flags("INBOX", 2, "\\Flagged");
            world.settle();
            world.flag("INBOX", "m", "kw", "");
            world.flag("INBOX", "m", "\\Seen", "\\Flagged");
            let entry = entries(&world, |_| true)[nth].id;
            let store = world.store().clone();
            let act = move || {
                // It may be done by now.
                let _ = store.write(Origin::Upstream, Timestamp::from_unix_ms(NOW_MS), move |txn| txn.discard(entry));
            };
            let calls = world.server.state().calls;
            world.server.state().here = Some((calls + call, Here(Box::new(act))));
            world.sync().expect("a sync");
            if world.server.state().here.take().is_some() {
                break;
            }
            world.assert_sound();
            world.settle();
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "act {nth}, before call {call}");
            world.assert_sound();
            let is_done = world.there().contains("m(\\Seen kw)");
            *if is_done { &mut done } else { &mut undone } += 1;
        }
        assert!(done > 0 && undone > 0, "act {nth}: some are in time: {done}, {undone}");
    }
}

#[test]
fn of_several_acts_on_a_place_any_can_be_taken_back_alone() {
    // Which act is taken back, and where the message is then.
    for (nth, place) in [(0, None), (1, None), (2, Some("C"))] {
        for traits in Traits::all() {
            let world = with_mail(traits);
            world.server.create("C");
            world.settle();
            world.move_message("INBOX", "m", "B");
            world.move_message("B", "m", "C");
            world.expunge("C", "m");
            let acts = entries(&world, |entry| !matches!(entry.op, Op::Flags { .. }));
            let entry = acts[nth].id;
            world.write(Origin::Upstream, move |txn| txn.discard(entry));
            world.assert_sound();
            world.settle();
            let count = world.there().matches(" m").count();
            assert_eq!(count, usize::from(place.is_some()), "act {nth}: {}", world.there());
            assert!(place.is_none_or(|place| world.there().contains(&format!("{place}: m("))), "{}", world.there());
            assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "act {nth}");
            world.assert_sound();
        }
    }
}

/// Found by a user's trial: the flag stayed, and went to the server with the move.
#[test]
fn flags_are_taken_back_whatever_else_was_done_with_the_message() {
    /// What is done; which change of flags is taken back; what is on both sides in the end.
    type Row = (fn(&World), usize, &'static str);
    let table: [Row; 7] = [
        (
            |world| {
                world.flag("INBOX", "m", "kw", "");
                world.move_message("INBOX", "m", "B");
            },
            0,
            "B: m\nINBOX: x y",
        ),
        (
            |world| {
                world.move_message("INBOX", "m", "B");
                world.flag("B", "m", "kw", "");
                world.move_message("B", "m", "INBOX");
            },
            0,
            "B:\nINBOX: m x y",
        ),
        (
            |world| {
                world.flag("INBOX", "m", "kw", "");
                world.flag("INBOX", "m", "\\Seen", "");
            },
            0,
            "B:\nINBOX: m(\\Seen) x y",
        ),
        (
            |world| {
                world.flag("INBOX", "m", "kw", "");
                world.flag("INBOX", "m", "", "kw");
                world.flag("INBOX", "m", "\\Seen", "");
            },
            1,
            "B:\nINBOX: m(\\Seen kw) x y",
        ),
        (
            |world| {
                world.server.set_flags("INBOX", 2, "\\Flagged");
                world.flag("INBOX", "m", "kw", "");
                world.move_message("INBOX", "m", "B");
            },
            0,
            "B: m(\\Flagged)\nINBOX: x y",
        ),
        (
            |world| {
                world.copy("INBOX", "m", "B");
                world.flag("B", "m", "kw", "");
            },
            0,
            "B: m\nINBOX: m x y",
        ),
        (
            |world| {
                world.flag("INBOX", "m", "kw", "");
                world.copy("INBOX", "m", "B");
            },
            0,
            "B: m(kw)\nINBOX: m x y",
        ),
    ];
    for (traits, (nth, (act, taken, is))) in
        Traits::all().into_iter().flat_map(|traits| table.into_iter().enumerate().map(move |row| (traits.clone(), row)))
    {
        let world = with_mail(traits);
        act(&world);
        let entry = entries(&world, |entry| matches!(entry.op, Op::Flags { .. }))[taken].id;
        world.write(Origin::Upstream, move |txn| txn.discard(entry));
        world.assert_sound();
        world.settle();
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "row {nth}");
        assert_eq!(world.here().trim_end(), is, "row {nth}");
        world.assert_sound();
    }
}

/// Found by a user's trial: what was said was not what was done.
#[test]
fn what_becomes_of_the_messages_is_known_before_an_act_is_taken_back() {
    // What is done; of which message (of its mailbox) which act is taken back; what becomes of it; what is on both sides in the end.
    type Row = (fn(&World), usize, &'static str, &'static str);
    let table: [Row; 7] = [
        (|world| world.move_message("INBOX", "m", "B"), 0, "goes to INBOX", "B:\nINBOX: m x y"),
        (
            |world| {
                world.copy("INBOX", "m", "B");
                world.move_message("B", "m", "C");
            },
            0,
            "leaves C",
            "B:\nC:\nINBOX: m x y",
        ),
        (
            |world| {
                world.copy("INBOX", "m", "B");
                world.move_message("B", "m", "C");
            },
            1,
            "goes to B",
            "B: m\nC:\nINBOX: m x y",
        ),
        (
            |world| {
                world.append("B", "new", "");
                world.move_message("B", "new", "C");
                world.flag("C", "new", "kw", "");
            },
            0,
            "leaves C",
            "B:\nC:\nINBOX: m x y",
        ),
        (
            |world| {
                world.move_message("INBOX", "m", "B");
                world.move_message("B", "m", "C");
            },
            0,
            "stays",
            "B:\nC: m\nINBOX: x y",
        ),
        (
            |world| {
                world.move_message("INBOX", "m", "B");
                world.move_message("B", "m", "C");
            },
            1,
            "goes to B",
            "B: m\nC:\nINBOX: x y",
        ),
        (
            |world| {
                world.move_message("INBOX", "m", "B");
                world.expunge("B", "m");
            },
            0,
            "stays",
            "B:\nINBOX: x y",
        ),
    ];
    for (traits, (nth, (act, taken, becomes, is))) in
        Traits::all().into_iter().flat_map(|traits| table.into_iter().enumerate().map(move |row| (traits.clone(), row)))
    {
        let world = with_mail(traits);
        if is.contains("C:") {
            world.server.create("C");
            world.settle();
        }
        act(&world);
        let entry = entries(&world, |entry| !matches!(entry.op, Op::Flags { .. })).swap_remove(taken);
        let name = |mailbox| world.read(|reader| reader.mailbox(mailbox)).name.expect("a name");
        let told = match world.read(|reader| reader.without(&entry, entry.open[0])) {
            Without::Stays => "stays".to_owned(),
            Without::Goes(to) => format!("goes to {}", name(to)),
            Without::Leaves(from) => format!("leaves {}", name(from)),
        };
        assert_eq!(told, becomes, "row {nth}");
        world.write(Origin::Upstream, move |txn| txn.discard(entry.id));
        world.assert_sound();
        world.settle();
        assert_eq!((world.here(), world.journal()), (world.there(), Vec::new()), "row {nth}");
        assert_eq!(world.here().trim_end(), is, "row {nth}");
        world.assert_sound();
    }
}
