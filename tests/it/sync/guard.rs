//! What vanishes in a mass, and what a server leaves out by mistake.

use mailtide::store::Verdict;
use mailtide::types::{Bodies, BodyPolicy, Timestamp};

use super::model_remote::{Server, Traits};
use super::world::World;

const MANY: u32 = 120;

fn mirrored(traits: Traits) -> World {
    let world = World::new(traits);
    world.server.create("Work");
    for nth in 0..MANY {
        world.server.deliver("Work", &format!("m{nth}"), "");
    }
    world.settle();
    world
}

fn empty(server: &Server) {
    for uid in 1..=MANY {
        server.expunge("Work", uid);
    }
}

fn count(told: &str) -> usize {
    told.split_whitespace().filter(|word| word.starts_with('m')).count()
}

fn decide(world: &World, verdict: Verdict) {
    let engine = world.engine();
    engine.decide(world.mailbox("Work"), verdict, Timestamp::from_unix_ms(0)).expect("a mailbox in quarantine");
}

#[test]
fn a_mailbox_that_lost_everything_is_kept_until_the_user_confirms() {
    for traits in Traits::all() {
        let world = mirrored(traits);
        empty(&world.server);
        world.server.deliver("Work", "new", "");
        for _ in 0..2 {
            let report = world.sync().expect("a sync");
            assert_eq!(report.blocked, ["Work"]);
            assert_eq!(count(&world.here()), MANY as usize);
            assert!(world.here().contains("new"), "arrivals are taken in all the same");
            world.assert_sound();
        }
        decide(&world, Verdict::Confirmed);
        let report = world.settle();
        assert_eq!((report.gone, report.blocked), (MANY as usize, Vec::new()));
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

#[test]
fn a_mailbox_that_lost_everything_is_filled_again_if_the_user_rejects_that() {
    for traits in Traits::all() {
        let world = mirrored(traits);
        // As most programs delete: marked, and expunged a while later.
        (1..=MANY).step_by(2).for_each(|uid| world.server.set_flags("Work", uid, "\\Deleted \\Seen"));
        world.settle();
        empty(&world.server);
        world.sync().expect("a sync");
        decide(&world, Verdict::Rejected);
        let report = world.settle();
        assert_eq!(report.appended, MANY as usize);
        let there = world.there();
        assert!(
            there.contains("\\Seen") && !there.contains("\\Deleted"),
            "the next EXPUNGE takes none of them: {there}"
        );
        assert_eq!(count(&world.there()), MANY as usize);
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

#[test]
fn a_large_mailbox_that_is_gone_is_kept_until_the_user_decides() {
    let world = mirrored(Traits::modern());
    world.server.state().mailboxes.remove("Work");
    assert_eq!(world.sync().expect("a sync").blocked, ["Work"]);
    assert_eq!(count(&world.here()), MANY as usize);
    decide(&world, Verdict::Rejected);
    world.settle();
    assert_eq!(count(&world.there()), MANY as usize);
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}

#[test]
fn what_is_there_again_lifts_the_quarantine() {
    let world = mirrored(Traits::plain());
    let hidden = (1..=MANY).collect();
    world.server.state().hides.insert("Work".to_owned(), hidden);
    assert_eq!(world.sync().expect("a sync").blocked, ["Work"]);
    world.server.state().hides.clear();
    let report = world.settle();
    assert_eq!((report.blocked, report.arrived), (Vec::new(), 0));
    assert_eq!(world.here(), world.there());
}

#[test]
fn a_mass_moved_elsewhere_is_followed_without_asking() {
    for traits in Traits::all() {
        let world = mirrored(traits);
        world.server.create("Archive");
        for uid in 1..=MANY {
            world.server.move_message("Work", uid, "Archive");
        }
        let report = world.settle();
        assert_eq!((report.moved_in, report.gone, report.blocked), (MANY as usize, 0, Vec::new()));
        assert_eq!(world.here(), world.there());
        world.assert_sound();
    }
}

#[test]
fn a_mailbox_that_cannot_be_opened_is_not_gone() {
    for traits in Traits::all() {
        let world = mirrored(traits);
        world.server.deliver("Work", "new", "");
        world.server.state().refuses.push(("SELECT", "Work".to_owned(), None));
        let report = world.sync().expect("a sync");
        assert_eq!(report.refused.len(), 1);
        assert_eq!(count(&world.here()), MANY as usize);
        world.server.state().refuses.clear();
        world.settle();
        assert_eq!(world.here(), world.there());
    }
}

#[test]
fn many_small_mailboxes_gone_at_once_are_kept_and_a_list_without_inbox_is_no_list() {
    let world = World::new(Traits::modern());
    for folder in 0..10 {
        world.server.create(&format!("F{folder}"));
        for nth in 0..10 {
            world.server.deliver(&format!("F{folder}"), &format!("m{folder}{nth}"), "");
        }
    }
    world.settle();
    let whole = world.server.state().mailboxes.clone();
    world.server.state().mailboxes.clear();
    let report = world.sync().expect("a sync");
    assert_eq!((count(&world.here()), report.refused.len()), (100, 1));
    let inbox = whole.get("INBOX").expect("INBOX").clone();
    world.server.state().mailboxes.insert("INBOX".to_owned(), inbox);
    let report = world.sync().expect("a sync");
    assert_eq!((count(&world.here()), report.blocked.len()), (100, 10));
    world.server.state().mailboxes = whole;
    let report = world.settle();
    assert_eq!((report.blocked, report.arrived), (Vec::new(), 0));
    assert_eq!(world.here(), world.there());
    world.assert_sound();
}

#[test]
fn many_small_mailboxes_emptied_at_once_are_kept_until_the_user_decides_each() {
    for traits in Traits::all() {
        let world = World::new(traits);
        for folder in 0..10 {
            world.server.create(&format!("F{folder}"));
            for nth in 0..10 {
                world.server.deliver(&format!("F{folder}"), &format!("m{folder}{nth}"), "");
            }
        }
        world.server.create("Work");
        world.server.deliver("Work", "m", "");
        world.server.deliver("Work", "n", "");
        world.settle();
        for folder in 0..10 {
            (1..=10).for_each(|uid| world.server.expunge(&format!("F{folder}"), uid));
        }
        for _ in 0..2 {
            assert_eq!(world.sync().expect("a sync").blocked.len(), 10);
            assert_eq!(count(&world.here()), 101);
        }
        // What goes elsewhere meanwhile is no part of it.
        world.server.expunge("Work", 1);
        world.sync().expect("a sync");
        assert!(world.here().contains("Work: n"), "{}", world.here());
        let engine = world.engine();
        let decide = |folder: &str, verdict| {
            engine.decide(world.mailbox(folder), verdict, Timestamp::from_unix_ms(0)).expect("a mailbox in quarantine");
        };
        decide("F0", Verdict::Confirmed);
        decide("F1", Verdict::Rejected);
        let reports = [(); 3].map(|()| world.sync().expect("a sync"));
        assert!(reports.iter().all(|report| report.blocked.len() == 8), "{reports:?}");
        let here = world.here();
        assert!(here.contains("F0:\nF1: m10 m11"), "{here}");
        assert!(world.there().contains("F0:\nF1: m10 m11"), "{}", world.there());
        world.assert_sound();
    }
}

#[test]
fn another_server_under_the_same_name_takes_nothing_away_without_asking() {
    for traits in Traits::all() {
        let world = World::new(traits);
        world.server.create("B");
        for (mailbox, text) in [("INBOX", "x"), ("INBOX", "y"), ("B", "z")] {
            world.server.deliver(mailbox, text, "");
        }
        world.settle();
        for mailbox in ["INBOX", "B"] {
            empty_and_renumber(&world.server, mailbox);
            world.server.deliver(mailbox, "stranger", "");
        }
        for _ in 0..2 {
            world.sync().expect("a sync");
        }
        assert_eq!(world.here(), "B: stranger z\nINBOX: stranger x y");
        let quarantined = world.read(|reader| reader.quarantined(world.account));
        assert_eq!(quarantined.len(), 2);
        world.assert_sound();
        for mailbox in ["INBOX", "B"] {
            let decided = world.engine().decide(world.mailbox(mailbox), Verdict::Confirmed, Timestamp::from_unix_ms(0));
            decided.expect("a mailbox in quarantine");
        }
        world.settle();
        assert_eq!(world.here(), world.there());
    }
}

/// The server's data are lost, and it is set up anew: nothing of what was mirrored has a UID there any more.
#[test]
fn a_server_that_was_wiped_is_synced_and_caught_from_though_no_message_has_a_uid() {
    for default in [Bodies::All, Bodies::Headers] {
        for traits in Traits::all() {
            let mut world = World::new(traits);
            world.bodies = BodyPolicy { default, ..BodyPolicy::ALL };
            world.server.create("Work");
            for nth in 0..MANY {
                world.server.deliver("Work", &format!("m{nth}"), "");
            }
            world.settle();
            empty_and_renumber(&world.server, "Work");
            for _ in 0..2 {
                assert_eq!(world.sync().expect("a sync").blocked, ["Work"]);
                assert_eq!(world.catch("Work", true), 0);
            }
            world.server.deliver("Work", "new", "");
            world.catch("Work", false);
            assert_eq!(world.sync().expect("a sync").blocked, ["Work"]);
            assert_eq!(count(&world.here()), MANY as usize);
            assert!(world.here().contains("new"), "{}", world.here());
            world.assert_sound();
            decide(&world, Verdict::Confirmed);
            world.settle();
            assert_eq!(world.here(), world.there());
        }
    }
}

fn empty_and_renumber(server: &Server, mailbox: &str) {
    server.state().mailboxes.get_mut(mailbox).expect("a mailbox").messages.clear();
    server.renumber(mailbox);
}
