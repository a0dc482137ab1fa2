//! A message that upstream moves is one message, whenever the line is cut and whatever the user does meanwhile.

use mailtide::store::{Origin, With};
use mailtide::types::{InternalDate, LocalUid, UidSet};

use super::model_remote::{Cut, Traits};
use super::world::World;

/// What the user may do to the message in the mailbox in which they see it.
type Act = fn(&World, &str);

const ACTS: [(&str, Act); 3] = [
    ("flagged", |world, mailbox| world.flag(mailbox, "m", "\\Flagged", "")),
    ("moved", |world, mailbox| world.move_message(mailbox, "m", "D")),
    ("expunged", |world, mailbox| world.expunge(mailbox, "m")),
];

/// Upstream moved the message; the pull that would tell was cut. Nothing else is there.
fn moved_before_a_cut(traits: &Traits, cut: usize) -> World {
    let mut world = World::new(traits.clone());
    ["B", "C", "D"].into_iter().for_each(|name| world.server.create(name));
    let uid = world.server.deliver("INBOX", "m", "");
    world.settle();
    world.server.move_message("INBOX", uid, "B");
    let calls = world.server.state().calls;
    world.server.state().cut = Cut::After(calls + cut);
    let _ = world.sync();
    world.close();
    world
}

#[test]
fn a_message_moved_upstream_around_a_cut_is_seen_once() {
    for traits in Traits::all() {
        for cut in 1..16 {
            let mut world = moved_before_a_cut(&traits, cut);
            world.reopen();
            assert_eq!(world.here().matches('m').count(), 1, "cut {cut}: {}", world.here());
            world.assert_sound();
        }
    }
}

#[test]
fn a_message_moved_on_upstream_after_a_cut_is_still_one() {
    for traits in Traits::all() {
        for cut in 1..16 {
            let template = moved_before_a_cut(&traits, cut);
            for mailbox in ["INBOX", "B"] {
                for (what, act) in ACTS {
                    let world = template.fork();
                    if world.uids(mailbox, "m").is_empty() {
                        continue;
                    }
                    world.server.move_message("B", 1, "C");
                    act(&world, mailbox);
                    world.settle();
                    let what = format!("{what} in {mailbox}, cut {cut}, {traits:?}");
                    assert_eq!(world.here(), world.there(), "{what}");
                    // What the user deleted and upstream moved stays, as the policy says.
                    assert_eq!(world.there().matches('m').count(), 1, "{what}: {}", world.there());
                    assert_eq!(world.journal(), Vec::<String>::new(), "{what}");
                    world.assert_sound();
                }
            }
        }
    }
}

#[test]
fn a_message_moved_upstream_in_the_midst_of_a_pull_is_still_one() {
    for traits in Traits::all() {
        for (from, to) in [("INBOX", "B"), ("B", "INBOX")] {
            for call in 1.. {
                let world = World::new(traits.clone());
                ["B", "D"].into_iter().for_each(|name| world.server.create(name));
                let uid = world.server.deliver(from, "m", "");
                world.settle();
                // Both are covered.
                for name in ["INBOX", "B"] {
                    world.server.deliver(name, "other", "");
                }
                let calls = world.server.state().calls;
                world.server.state().meanwhile = Some((calls + call, from, uid, to));
                world.sync().expect("a sync");
                if world.server.state().meanwhile.take().is_some() {
                    break;
                }
                let what = format!("{from} to {to} before call {call}");
                assert_eq!(world.here().matches('m').count(), 1, "{what}: {}", world.here());
                let shown = if world.uids(from, "m").is_empty() { to } else { from };
                world.move_message(shown, "m", "D");
                world.settle();
                assert_eq!(world.here(), world.there(), "{what}");
                assert_eq!(world.there().matches('m').count(), 1, "{what}: {}", world.there());
                world.assert_sound();
            }
        }
    }
}

/// Found by the simulator, seed 438544: what the user did to it where it had come went with it, or was done beside it.
#[test]
fn a_message_that_comes_and_is_moved_on_in_the_midst_of_one_pull_is_one_whatever_the_user_does_to_it() {
    for traits in Traits::all() {
        for (is_first, (what, act)) in [true, false].into_iter().flat_map(|is_first| ACTS.map(|act| (is_first, act))) {
            for call in 1.. {
                let world = World::new(traits.clone());
                ["B", "D"].into_iter().for_each(|name| world.server.create(name));
                if !is_first {
                    world.settle();
                }
                let uid = world.server.deliver("INBOX", "m", "");
                world.server.deliver("B", "other", "");
                let calls = world.server.state().calls;
                world.server.state().meanwhile = Some((calls + call, "INBOX", uid, "B"));
                world.sync().expect("a sync");
                if world.server.state().meanwhile.take().is_some() {
                    break;
                }
                let shown = if world.uids("INBOX", "m").is_empty() { "B" } else { "INBOX" };
                act(&world, shown);
                world.settle();
                let what = format!("{what} in {shown}, moved before call {call}");
                assert_eq!(world.here(), world.there(), "{what}");
                let there = world.there();
                match what.split_once(' ') {
                    Some(("flagged", _)) => assert!(there.contains("m(\\Flagged)"), "{what}: {there}"),
                    Some(("expunged", _)) if shown == "B" => {
                        assert_eq!(there.matches('m').count(), 0, "{what}: {there}")
                    }
                    _ => assert_eq!(there.matches('m').count(), 1, "{what}: {there}"),
                }
                world.assert_sound();
            }
        }
    }
}

/// Found by the simulator, seed 3115: a mailbox that is deleted here was not looked into before what vanished was made anew.
#[test]
fn a_message_moved_at_both_ends_is_one_wherever_the_other_end_put_it() {
    // Where there is no MOVE it may be moved between our COPY and our EXPUNGE: then both stay.
    for traits in Traits::all().into_iter().filter(|traits| traits.facts.r#move) {
        for to in ["B", "new", "deleted"] {
            for call in 1.. {
                let world = World::new(traits.clone());
                ["B", "D", "deleted"].into_iter().for_each(|name| world.server.create(name));
                world.server.deliver("INBOX", "m", "");
                world.settle();
                world.delete("deleted");
                world.move_message("INBOX", "m", "D");
                let calls = world.server.state().calls;
                world.server.state().meanwhile = Some((calls + call, "INBOX", 1, to));
                world.sync().expect("a sync");
                if world.server.state().meanwhile.take().is_some() {
                    break;
                }
                world.settle();
                for entry in world.read(|reader| reader.entries(world.account)) {
                    world.write(Origin::Upstream, move |txn| txn.discard(entry.id));
                }
                world.settle();
                let what = format!("to {to} before call {call}, {traits:?}");
                assert_eq!(world.here(), world.there(), "{what}");
                assert_eq!(world.there().matches('m').count(), 1, "{what}: {}", world.there());
                world.assert_sound();
            }
        }
    }
}

/// Found by a soak against Dovecot: where it was moved to was renamed between the listing and the look into it.
#[test]
fn a_message_moved_at_both_ends_is_one_though_its_mailbox_is_renamed_meanwhile() {
    'moves: for moved in 1.. {
        for renamed in moved + 1..moved + 8 {
            let world = World::new(Traits::modern());
            ["B", "D"].into_iter().for_each(|name| world.server.create(name));
            world.server.deliver("INBOX", "m", "");
            world.server.deliver("B", "x", "");
            world.settle();
            world.server.deliver("INBOX", "news", "");
            world.move_message("INBOX", "m", "D");
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + moved, "INBOX", 1, "B"));
            world.server.state().renamed = Some((calls + renamed, "B", "C"));
            // A server may hang up on who has the mailbox open.
            let _ = world.sync();
            if world.server.state().meanwhile.take().is_some() {
                break 'moves;
            }
            if world.server.state().renamed.take().is_some() {
                break;
            }
            world.settle();
            let what = format!("moved before call {moved}, renamed before {renamed}");
            assert_eq!(world.here(), world.there(), "{what}");
            assert_eq!(world.there().matches('m').count(), 1, "{what}: {}", world.there());
            world.assert_sound();
        }
    }
}

/// Found by a soak against Dovecot: it hopped from a mailbox that was still to be looked into to one that had been.
#[test]
fn a_message_moved_at_one_end_and_twice_at_the_other_is_one() {
    'moves: for first in 1.. {
        for second in first + 1..first + 12 {
            let world = World::new(Traits::modern());
            ["A", "B", "D"].into_iter().for_each(|name| world.server.create(name));
            let uid = world.server.deliver("A", "x", "");
            world.server.deliver("INBOX", "m", "");
            world.settle();
            world.server.deliver("INBOX", "news", "");
            world.server.expunge("A", uid);
            world.move_message("INBOX", "m", "D");
            let calls = world.server.state().calls;
            world.server.state().meanwhile = Some((calls + first, "INBOX", 1, "B"));
            world.server.state().then = Some((calls + second, "B", 1, "A"));
            world.sync().expect("a sync");
            if world.server.state().meanwhile.take().is_some() {
                break 'moves;
            }
            if world.server.state().then.take().is_some() {
                break;
            }
            world.settle();
            let what = format!("moved before calls {first} and {second}");
            assert_eq!(world.here(), world.there(), "{what}");
            assert_eq!(world.there().matches('m').count(), 1, "{what}: {}", world.there());
            world.assert_sound();
        }
    }
}

/// Found by a soak against Dovecot: it was two messages, until one of them was looked for again.
#[test]
fn a_message_that_comes_and_is_moved_upstream_in_the_midst_of_a_pull_is_one() {
    for call in 1.. {
        let world = World::new(Traits::modern());
        ["A", "B"].into_iter().for_each(|name| world.server.create(name));
        let gone = world.server.deliver("A", "x", "");
        world.settle();
        world.server.expunge("A", gone);
        let uid = world.server.deliver("INBOX", "m", "");
        let calls = world.server.state().calls;
        world.server.state().meanwhile = Some((calls + call, "INBOX", uid, "B"));
        world.sync().expect("a sync");
        if world.server.state().meanwhile.take().is_some() {
            break;
        }
        assert_eq!(world.here().matches('m').count(), 1, "before call {call}: {}", world.here());
        world.settle();
        assert_eq!(world.here(), world.there(), "before call {call}");
        world.assert_sound();
    }
}

/// Two messages with the same bytes are told apart by their dates, where both are moved: each keeps its own.
#[test]
fn equal_messages_moved_upstream_keep_their_own_dates() {
    for traits in Traits::all() {
        let world = World::new(traits.clone());
        world.server.create("B");
        let uids = [("\\Seen", 1_000), ("\\Flagged", 2_000)].map(|(flags, date)| {
            let uid = world.server.deliver("INBOX", "m", flags);
            let mut state = world.server.state();
            let message = state.mailboxes.get_mut("INBOX").and_then(|inbox| inbox.messages.get_mut(&uid));
            message.expect("it was just delivered").date = InternalDate::new(date, 0);
            uid
        });
        world.settle();
        // The later one first: the UIDs there are in the other order.
        for uid in uids.into_iter().rev() {
            world.server.move_message("INBOX", uid, "B");
        }
        world.settle();
        let b = world.mailbox("B");
        let all = UidSet::range(LocalUid::new(1), LocalUid::new(u32::MAX));
        let mut here: Vec<(String, i64)> = world
            .read(|reader| reader.messages_in(b, &all, With::Columns))
            .into_iter()
            .map(|message| (message.flags.to_string(), message.internal_date.unix_seconds()))
            .collect();
        here.sort();
        assert_eq!(here, [("\\Flagged".to_owned(), 2_000), ("\\Seen".to_owned(), 1_000)], "{traits:?}");
        world.assert_sound();
    }
}
